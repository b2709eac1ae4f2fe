// Sums of a row in the order of the contract (A3, src/engine/sum.rs): a warp's lane j is the definition's lane j. It starts at +0
// and takes elements j, j + 32, ... in ascending order; what a ragged row lacks adds nothing. Only the loads run ahead.
#pragma once
#include "rows.cuh"

// Elements that a lane loads before it adds them.
#define LANE_AHEAD 8

// lane[i] += lane[i + w] for w = 16, 8, 4, 2, 1, the total in every lane: with XOR each pair is added in both lanes, and a sum of
// two does not depend on their order.
static __device__ __forceinline__ float fold_lanes(float lane) {
#pragma unroll
    for (int w = 16; w > 0; w >>= 1) lane = __fadd_rn(lane, __shfl_xor_sync(WARP, lane, w));
    return lane;
}

// Passes the row's elements of this lane to `lane.add(i)` in ascending order, after `lane.load(slot, i)` of the next LANE_AHEAD.
template <typename Lane>
static __device__ __forceinline__ void run_lane(Lane& lane, int n) {
    int i = lane_of_warp();
#pragma unroll 1
    for (; i < n - 32 * (LANE_AHEAD - 1); i += 32 * LANE_AHEAD) {
#pragma unroll
        for (int k = 0; k < LANE_AHEAD; k++) lane.load(k, i + 32 * k);
#pragma unroll
        for (int k = 0; k < LANE_AHEAD; k++) lane.add(k);
    }
#pragma unroll 1
    for (; i < n; i += 32) {
        lane.load(0, i);
        lane.add(0);
    }
}

struct SumLane {
    const float* x;
    float sum, ahead[LANE_AHEAD];
    __device__ __forceinline__ explicit SumLane(const float* x) : x(x), sum(0.0f) {}
    __device__ __forceinline__ void load(int k, int i) { ahead[k] = x[i]; }
    __device__ __forceinline__ void add(int k) { sum = __fadd_rn(sum, ahead[k]); }
};

struct SquaresLane {
    const float* x;
    float sum, ahead[LANE_AHEAD];
    __device__ __forceinline__ explicit SquaresLane(const float* x) : x(x), sum(0.0f) {}
    __device__ __forceinline__ void load(int k, int i) { ahead[k] = x[i]; }
    __device__ __forceinline__ void add(int k) { sum = __fmaf_rn(ahead[k], ahead[k], sum); }
};

// The sum of a row, in every lane of the warp that calls.
static __device__ __forceinline__ float row_sum(const float* x, int n) {
    SumLane lane(x);
    run_lane(lane, n);
    return fold_lanes(lane.sum);
}

// The sum of a row's squares, each entering by fma.
static __device__ __forceinline__ float row_sum_squares(const float* x, int n) {
    SquaresLane lane(x);
    run_lane(lane, n);
    return fold_lanes(lane.sum);
}
