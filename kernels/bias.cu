// A bias added to every row, and its gradient (src/engine/bias.rs), a chain over a sequence's rows (chain.cuh).
#include "chain.cuh"
#include "rows.cuh"

template <int N>
static __device__ __forceinline__ void bias_row(const float* __restrict__ bias, float* __restrict__ x, int width) {
    for (int i = first_column<N>(); i < width; i += COLUMNS_A_WARP(N)) {
        Few<N> to = load_few<N>(x + i);
        const Few<N> b = load_few<N>(bias + i);
#pragma unroll
        for (int k = 0; k < N; k++) to.at[k] = __fadd_rn(to.at[k], b.at[k]);
        store_few<N>(x + i, to);
    }
}

// x[row][i] += bias[i]: 256 threads, a grid of rows / 8 rounded up.
extern "C" __global__ void __launch_bounds__(ROW_THREADS)
bias(const float* __restrict__ bias, float* __restrict__ x, int width, long long rows) {
    const long long row = row_of_warp();
    if (row >= rows) return;
    if (width % 4 == 0 && aligned(bias) && aligned(x)) {
        bias_row<4>(bias, x + row * width, width);
    } else {
        bias_row<1>(bias, x + row * width, width);
    }
}
KERNEL(bias)

// For each sequence and column a chain of sums over the sequence's rows from +0.
struct BiasTerm {
    const float* dy;
    int width;
    static constexpr int VALUES = 1;
    __device__ __forceinline__ void load(long long row, int column, float (&values)[1]) const {
        values[0] = dy[row * width + column];
    }
    static __device__ __forceinline__ float add(const float (&values)[1], float chain) { return __fadd_rn(chain, values[0]); }
};

// 288 threads, a grid of sequences * (width / 32 rounded up).
extern "C" __global__ void __launch_bounds__(CHAIN_THREADS, 3)
bias_partial(const float* __restrict__ dy, int seq_len, int sequences, int width, float* __restrict__ partial) {
    __shared__ float tiles[CHAIN_FLOATS(1)];
    (void)sequences;
    chain_columns(BiasTerm{dy, width}, tiles, seq_len, width, partial);
}
KERNEL(bias_partial)
