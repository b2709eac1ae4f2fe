// Tensors of one flat array that a kernel takes in one launch: the host gives a table of them, each with the number of its first
// block among all blocks.
#pragma once
#include "cuda.cuh"

// The entry of the table that block (or leaf) `number` belongs to: the last one whose `first` is not above it.
template <typename Entry>
static __device__ __forceinline__ int entry_of(const Entry* table, int count, long long number) {
    int low = 0, high = count;
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (table[middle].first <= number) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}
