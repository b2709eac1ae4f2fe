// RMSNorm and its gradient (src/engine/rms_norm.rs). A row's sums keep the order of A3 (lanes.cuh); the weight's gradient is a
// chain over a sequence's rows (chain.cuh). `plus_one`: the weight is 1 + w. x, dy and y do not overlap.
#include "chain.cuh"
#include "lanes.cuh"
#include "rows.cuh"

static __device__ __forceinline__ float norm_weight(float w, int plus_one) {
    return plus_one ? __fadd_rn(1.0f, w) : w;
}

// y = (x * r) * weight, a row.
template <int N>
static __device__ __forceinline__ void scale_row(
    const float* __restrict__ x, const float* __restrict__ weight, int plus_one, float r, float* __restrict__ y, int d) {
    for (int i = first_column<N>(); i < d; i += COLUMNS_A_WARP(N)) {
        const Few<N> from = load_few<N>(x + i), w = load_few<N>(weight + i);
        Few<N> to;
#pragma unroll
        for (int k = 0; k < N; k++) to.at[k] = __fmul_rn(__fmul_rn(from.at[k], r), norm_weight(w.at[k], plus_one));
        store_few<N>(y + i, to);
    }
}

static __device__ __forceinline__ bool in_fours(const float* x, const float* weight, const float* y, int d) {
    return d % 4 == 0 && aligned(x) && aligned(weight) && aligned(y);
}

// 256 threads, a grid of rows / 8 rounded up.
extern "C" __global__ void __launch_bounds__(ROW_THREADS)
rms_norm(const float* __restrict__ x, const float* __restrict__ weight, int plus_one, float eps, float* __restrict__ y,
         float* __restrict__ rinv, int d, long long rows) {
    const long long row = row_of_warp();
    if (row >= rows) return;
    const float* from = x + row * d;
    const float mean_square = __fdiv_rn(row_sum_squares(from, d), __int2float_rn(d));
    const float r = __frcp_rn(__fsqrt_rn(__fadd_rn(mean_square, eps)));
    if (lane_of_warp() == 0) rinv[row] = r;
    // The row is read again from the nearest cache.
    if (in_fours(x, weight, y, d)) {
        scale_row<4>(from, weight, plus_one, r, y + row * d, d);
    } else {
        scale_row<1>(from, weight, plus_one, r, y + row * d, d);
    }
}
KERNEL(rms_norm)

// y again, from the factors: 256 threads, a grid of rows / 8 rounded up.
extern "C" __global__ void __launch_bounds__(ROW_THREADS)
rms_scale(const float* __restrict__ x, const float* __restrict__ weight, int plus_one, const float* __restrict__ rinv,
          float* __restrict__ y, int d, long long rows) {
    const long long row = row_of_warp();
    if (row >= rows) return;
    if (in_fours(x, weight, y, d)) {
        scale_row<4>(x + row * d, weight, plus_one, rinv[row], y + row * d, d);
    } else {
        scale_row<1>(x + row * d, weight, plus_one, rinv[row], y + row * d, d);
    }
}
KERNEL(rms_scale)

// dot(g, xhat) with g = dy * weight and xhat = x * r.
struct ProductLane {
    const float *x, *dy, *weight;
    int plus_one;
    float r, sum, x_ahead[LANE_AHEAD], dy_ahead[LANE_AHEAD], w_ahead[LANE_AHEAD];
    __device__ __forceinline__ ProductLane(const float* x, const float* dy, const float* weight, int plus_one, float r)
        : x(x), dy(dy), weight(weight), plus_one(plus_one), r(r), sum(0.0f) {}
    __device__ __forceinline__ void load(int k, int i) {
        x_ahead[k] = x[i];
        dy_ahead[k] = dy[i];
        w_ahead[k] = weight[i];
    }
    __device__ __forceinline__ void add(int k) {
        const float g = __fmul_rn(dy_ahead[k], norm_weight(w_ahead[k], plus_one));
        sum = __fmaf_rn(g, __fmul_rn(x_ahead[k], r), sum);
    }
};

// dx += fma(-xhat, c, g) * r, a row.
template <int N>
static __device__ __forceinline__ void gradient_row(
    const float* __restrict__ x, const float* __restrict__ dy, const float* __restrict__ weight, int plus_one, float r, float c,
    float* __restrict__ dx, int d) {
    for (int i = first_column<N>(); i < d; i += COLUMNS_A_WARP(N)) {
        const Few<N> from = load_few<N>(x + i), above = load_few<N>(dy + i), w = load_few<N>(weight + i);
        Few<N> to = load_few<N>(dx + i);
#pragma unroll
        for (int k = 0; k < N; k++) {
            const float g = __fmul_rn(above.at[k], norm_weight(w.at[k], plus_one));
            const float xhat = __fmul_rn(from.at[k], r);
            to.at[k] = __fadd_rn(to.at[k], __fmul_rn(__fmaf_rn(-xhat, c, g), r));
        }
        store_few<N>(dx + i, to);
    }
}

// The gradient of x, added to dx: 256 threads, a grid of rows / 8 rounded up.
extern "C" __global__ void __launch_bounds__(ROW_THREADS, 4)
rms_norm_backward(const float* __restrict__ x, const float* __restrict__ weight, int plus_one, const float* __restrict__ rinv,
                  const float* __restrict__ dy, float* __restrict__ dx, int d, long long rows) {
    const long long row = row_of_warp();
    if (row >= rows) return;
    const float* from = x + row * d;
    const float* above = dy + row * d;
    const float r = rinv[row];
    ProductLane lane(from, above, weight, plus_one, r);
    run_lane(lane, d);
    const float c = __fdiv_rn(fold_lanes(lane.sum), __int2float_rn(d));
    if (in_fours(x, weight, dx, d) && aligned(dy)) {
        gradient_row<4>(from, above, weight, plus_one, r, c, dx + row * d, d);
    } else {
        gradient_row<1>(from, above, weight, plus_one, r, c, dx + row * d, d);
    }
}
KERNEL(rms_norm_backward)

// For each sequence and column a chain of fma(dy, xhat, .) over the sequence's rows from +0.
struct WeightTerm {
    const float *x, *rinv, *dy;
    int width;
    static constexpr int VALUES = 2;
    __device__ __forceinline__ void load(long long row, int column, float (&values)[2]) const {
        values[0] = dy[row * width + column];
        values[1] = __fmul_rn(x[row * width + column], rinv[row]);
    }
    static __device__ __forceinline__ float add(const float (&values)[2], float chain) {
        return __fmaf_rn(values[0], values[1], chain);
    }
};

// 288 threads, a grid of sequences * (d / 32 rounded up).
extern "C" __global__ void __launch_bounds__(CHAIN_THREADS, 3)
rms_norm_partial(const float* __restrict__ x, const float* __restrict__ rinv, const float* __restrict__ dy,
                 int rows_of_sequence, int sequences, int d, float* __restrict__ partial) {
    __shared__ float tiles[CHAIN_FLOATS(2)];
    (void)sequences;
    chain_columns(WeightTerm{x, rinv, dy, d}, tiles, rows_of_sequence, d, partial);
}
KERNEL(rms_norm_partial)
