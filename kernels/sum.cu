// Sums of whole tensors and of sequences' parts (src/engine/sum.rs; A3, A4).
#include "lanes.cuh"
#include "rows.cuh"

// Elements of a block of a tensor sum.
#define SUM_BLOCK 4096

// One warp sums one block of 4096 in the order of A3; the host repeats it over the sums until one is left. 256 threads, a grid of
// the number of sums / 8 rounded up.
extern "C" __global__ void __launch_bounds__(ROW_THREADS) block_sums(const float* x, long long n, float* sums) {
    const long long block = row_of_warp();
    if (block * SUM_BLOCK >= n) return;
    const int length = (int)min((long long)SUM_BLOCK, n - block * SUM_BLOCK);
    const float sum = row_sum(x + block * SUM_BLOCK, length);
    if (lane_of_warp() == 0) sums[block] = sum;
}
KERNEL(block_sums)

// As `block_sums`, of the squares.
extern "C" __global__ void __launch_bounds__(ROW_THREADS) block_sum_squares(const float* x, long long n, float* sums) {
    const long long block = row_of_warp();
    if (block * SUM_BLOCK >= n) return;
    const int length = (int)min((long long)SUM_BLOCK, n - block * SUM_BLOCK);
    const float sum = row_sum_squares(x + block * SUM_BLOCK, length);
    if (lane_of_warp() == 0) sums[block] = sum;
}
KERNEL(block_sum_squares)

// acc[i] += partial[s][i], sequences ascending. 256 threads, a grid of width / 256 rounded up.
extern "C" __global__ void __launch_bounds__(256)
add_sequences(const float* partial, int sequences, int width, float* acc) {
    const int i = (int)(blockIdx.x * 256 + threadIdx.x);
    if (i >= width) return;
    float sum = acc[i];
#pragma unroll 8
    for (int s = 0; s < sequences; s++) sum = __fadd_rn(sum, partial[(size_t)s * width + i]);
    acc[i] = sum;
}
KERNEL(add_sequences)
