// Sums of whole tensors and of sequences' parts (src/engine/sum.rs; A3, A4).
#include "lanes.cuh"
#include "rows.cuh"
#include "tensors.cuh"

// Elements of a block of a tensor sum.
#define SUM_BLOCK 4096

// A tensor of the flat array.
struct SummedTensor {
    long long begin, length, first;
};

// A warp sums one block of 4096 of one tensor in the order of A3: elements, or `squares`. The host repeats it on the sums of each
// tensor until one is left; a sum that is alone already comes out as it is, because none is -0. 256 threads, a grid of `blocks` / 8
// rounded up.
extern "C" __global__ void __launch_bounds__(ROW_THREADS)
block_sums(const float* __restrict__ x, const SummedTensor* __restrict__ tensors, int count, long long blocks, int squares,
           float* __restrict__ sums) {
    const long long block = row_of_warp();
    if (block >= blocks) return;
    const SummedTensor tensor = tensors[entry_of(tensors, count, block)];
    const long long begin = (block - tensor.first) * SUM_BLOCK;
    const int length = (int)min((long long)SUM_BLOCK, tensor.length - begin);
    x += tensor.begin + begin;
    const float sum = squares ? row_sum_squares(x, length) : row_sum(x, length);
    if (lane_of_warp() == 0) sums[block] = sum;
}
KERNEL(block_sums)

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
