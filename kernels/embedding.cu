// Rows of a table gathered, and their gradient scattered back (src/engine/embedding.rs).
#include "rows.cuh"

// x[t] = table[tokens[t]]: 256 threads, a grid of n / 8 rounded up.
extern "C" __global__ void __launch_bounds__(ROW_THREADS)
embedding(const float* __restrict__ table, int width, const unsigned* __restrict__ tokens, float* __restrict__ x, int n) {
    const long long t = row_of_warp();
    if (t >= n) return;
    const float* from = table + (size_t)tokens[t] * width;
    float* to = x + t * width;
    if (width % 4 == 0 && aligned(table) && aligned(x)) {
        copy_row<4>(from, to, width);
    } else {
        copy_row<1>(from, to, width);
    }
}
KERNEL(embedding)

// Threads of a block of `embedding_backward`.
#define SCATTER_THREADS 128
// Rows that a thread loads before it adds them.
#define SCATTER_AHEAD 8

// Adds the rows of dx at these positions, in their order, to columns of one row of the table.
template <int N>
static __device__ __forceinline__ void scatter_row(
    const float* __restrict__ dx, int width, const unsigned* __restrict__ positions, unsigned count, float* __restrict__ to) {
    for (int i = N * (int)threadIdx.x; i < width; i += N * SCATTER_THREADS) {
        Few<N> sum = load_few<N>(to + i);
        unsigned at = 0;
        for (; at + SCATTER_AHEAD <= count; at += SCATTER_AHEAD) {
            Few<N> ahead[SCATTER_AHEAD];
#pragma unroll
            for (int a = 0; a < SCATTER_AHEAD; a++) ahead[a] = load_few<N>(dx + (size_t)positions[at + a] * width + i);
#pragma unroll
            for (int a = 0; a < SCATTER_AHEAD; a++) {
#pragma unroll
                for (int k = 0; k < N; k++) sum.at[k] = __fadd_rn(sum.at[k], ahead[a].at[k]);
            }
        }
#pragma unroll 1
        for (; at < count; at++) {
            const Few<N> one = load_few<N>(dx + (size_t)positions[at] * width + i);
#pragma unroll
            for (int k = 0; k < N; k++) sum.at[k] = __fadd_rn(sum.at[k], one.at[k]);
        }
        store_few<N>(to + i, sum);
    }
}

// d_table[rows[u]] += dx[positions[begins[u]]], ..., positions ascending. The host has sorted the tokens' positions by token and
// kept their order, so that a row of the table belongs to one block. 128 threads, a grid of `distinct`.
extern "C" __global__ void __launch_bounds__(SCATTER_THREADS, 4)
embedding_backward(const float* __restrict__ dx, int width, const unsigned* __restrict__ positions,
                   const unsigned* __restrict__ begins, const unsigned* __restrict__ rows, int distinct,
                   float* __restrict__ d_table) {
    const unsigned u = blockIdx.x;
    if (u >= (unsigned)distinct) return;
    const unsigned begin = begins[u];
    float* to = d_table + (size_t)rows[u] * width;
    if (width % 4 == 0 && aligned(dx) && aligned(d_table)) {
        scatter_row<4>(dx, width, positions + begin, begins[u + 1] - begin, to);
    } else {
        scatter_row<1>(dx, width, positions + begin, begins[u + 1] - begin, to);
    }
}
KERNEL(embedding_backward)
