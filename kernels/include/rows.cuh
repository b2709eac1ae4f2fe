// Kernels over rows of a matrix, a warp a row: 8 rows a block, so a grid of rows / 8 rounded up. A lane takes N neighbouring
// columns, then those 32 N further on: `for (int i = first_column<N>(); i < width; i += COLUMNS_A_WARP(N))`.
#pragma once
#include "few.cuh"

#define ROWS_A_BLOCK 8
#define ROW_THREADS (32 * ROWS_A_BLOCK)
#define COLUMNS_A_WARP(n) (32 * (n))

static __device__ __forceinline__ int lane_of_warp() { return (int)(threadIdx.x & 31); }

static __device__ __forceinline__ long long row_of_warp() {
    return (long long)blockIdx.x * ROWS_A_BLOCK + (threadIdx.x >> 5);
}

template <int N>
static __device__ __forceinline__ int first_column() {
    return N * lane_of_warp();
}

// A copy of one row by a warp.
template <int N>
static __device__ __forceinline__ void copy_row(const float* __restrict__ from, float* __restrict__ to, int width) {
    for (int i = first_column<N>(); i < width; i += COLUMNS_A_WARP(N)) store_few<N>(to + i, load_few<N>(from + i));
}
