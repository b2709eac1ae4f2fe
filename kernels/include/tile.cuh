// The pieces of a product of float32 tiles: slabs of operands in shared memory, k after k, and register tiles that carry each
// output's one chain of fma over ascending k (A2).
//
// A slab lies as [k][row], so that a thread reads its rows for one k as float4. Lanes of a warp stand 4 x 8 over its part of the
// tile; bit 1 of a lane is a row bit and bit 0 a column bit, so that lanes i and i ^ 1 read the same rows and lanes i and i ^ 2 the
// same columns: each half of a 128-bit load is then one access of shared memory.
#pragma once
#include "cp_async.cuh"

// Shared memory whose address stays in a register: on sm_90 the compiler would ask for its beginning again before every access.
static __device__ __forceinline__ float* pinned(float* shared) {
#ifdef __CUDACC_RTC__
    unsigned address = shared_address(shared);
    asm volatile("" : "+r"(address));
    return static_cast<float*>(__cvta_shared_to_generic(address));
#else
    return shared;
#endif
}

// Where a lane stands among the 4 rows and 8 columns of lanes.
static __device__ __forceinline__ int lane_row(int lane) { return (lane >> 1 & 1) | (lane >> 3 & 2); }
static __device__ __forceinline__ int lane_col(int lane) { return (lane & 1) | (lane >> 1 & 6); }

// Consecutive floats, aligned as a vector of them.
template <int N>
static __device__ __forceinline__ void load_vector(float* to, const float* from) {
    if constexpr (N == 4) {
        const float4 x = *reinterpret_cast<const float4*>(from);
        to[0] = x.x, to[1] = x.y, to[2] = x.z, to[3] = x.w;
    } else if constexpr (N == 2) {
        const float2 x = *reinterpret_cast<const float2*>(from);
        to[0] = x.x, to[1] = x.y;
    } else {
        to[0] = *from;
    }
}

template <int N>
static __device__ __forceinline__ void store_vector(float* to, const float* from) {
    if constexpr (N == 4)
        *reinterpret_cast<float4*>(to) = make_float4(from[0], from[1], from[2], from[3]);
    else if constexpr (N == 2)
        *reinterpret_cast<float2*>(to) = make_float2(from[0], from[1]);
    else
        *to = *from;
}

// Rows (or columns) of a thread: N of them in groups of up to four, groups LANES * 4 apart.
template <int N, int LANES>
struct Spread {
    static constexpr int WIDTH = N < 4 ? N : 4;
    static constexpr int GROUPS = N / WIDTH;
    static constexpr int STEP = LANES * WIDTH;
    static constexpr int SPAN = LANES * N;

    // The i-th row of the thread, less the thread's first.
    static __device__ __forceinline__ constexpr int at(int i) { return i / WIDTH * STEP + i % WIDTH; }

    static __device__ __forceinline__ void load(float (&to)[N], const float* from) {
#pragma unroll
        for (int g = 0; g < GROUPS; g++) load_vector<WIDTH>(to + g * WIDTH, from + g * STEP);
    }
};

// K steps of every chain of a register tile: the next step's rows and columns are read while this one's products run.
template <int K, int TM, int TN, int A_LD, int B_LD>
static __device__ __forceinline__ void multiply(float (&acc)[TM][TN], const float* a, const float* b) {
    using Rows = Spread<TM, 4>;
    using Cols = Spread<TN, 8>;
    float x[2][TM], y[2][TN];
    Rows::load(x[0], a);
    Cols::load(y[0], b);
#pragma unroll
    for (int k = 0; k < K; k++) {
        if (k + 1 < K) {
            Rows::load(x[(k + 1) & 1], a + (k + 1) * A_LD);
            Cols::load(y[(k + 1) & 1], b + (k + 1) * B_LD);
        }
#pragma unroll
        for (int i = 0; i < TM; i++)
#pragma unroll
            for (int j = 0; j < TN; j++) acc[i][j] = __fmaf_rn(x[k & 1][i], y[k & 1][j], acc[i][j]);
    }
}

// The same in parts of `PART` steps: a loop that fits the instruction caches.
template <int K, int PART, int TM, int TN, int A_LD, int B_LD>
static __device__ __forceinline__ void multiply_in_parts(float (&acc)[TM][TN], const float* a, const float* b) {
#pragma unroll 1
    for (int k = 0; k < K; k += PART) multiply<PART, TM, TN, A_LD, B_LD>(acc, a + k * A_LD, b + k * B_LD);
}

// The same for a number of steps that only the launch knows: a chain never runs past its k.
template <int TM, int TN, int A_LD, int B_LD>
static __device__ __forceinline__ void multiply_some(float (&acc)[TM][TN], const float* a, const float* b, int steps) {
#pragma unroll 1
    for (int k = 0; k < steps; k++) multiply<1, TM, TN, A_LD, B_LD>(acc, a + k * A_LD, b + k * B_LD);
}
