// Element-wise kernels: 256 threads a block take a slice of 1024 elements, four a thread.
#pragma once
#include "few.cuh"

#define SLICE_THREADS 256
#define SLICE 1024

// The elements from `base` on. `Whole`: all exist, every tensor is aligned, and a thread's four are neighbours; else they are 256
// apart, so that those of a warp still are neighbours.
template <bool Whole>
struct Slice {
    // Where it begins, and how many elements the tensors have.
    long long base, n;

    __device__ __forceinline__ Few<4> load(const float* x) const {
        if constexpr (Whole) {
            return load_few<4>(x + base + 4 * threadIdx.x);
        } else {
            Few<4> few;
#pragma unroll
            for (int k = 0; k < 4; k++) few.at[k] = exists(k) ? x[index(k)] : 0.0f;
            return few;
        }
    }

    __device__ __forceinline__ void store(float* x, const Few<4>& few) const {
        if constexpr (Whole) {
            store_few<4>(x + base + 4 * threadIdx.x, few);
        } else {
#pragma unroll
            for (int k = 0; k < 4; k++) {
                if (exists(k)) x[index(k)] = few.at[k];
            }
        }
    }

    // Whether this thread has a k-th element.
    __device__ __forceinline__ bool exists(int k) const { return Whole || index(k) < n; }

    __device__ __forceinline__ long long index(int k) const { return base + threadIdx.x + SLICE_THREADS * k; }
};
