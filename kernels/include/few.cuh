// A few neighbouring floats of a thread: four, loaded as one where their place is a multiple of 16 bytes, or one.
#pragma once
#include "cuda.cuh"

template <int N>
struct Few {
    float at[N];
};

static __device__ __forceinline__ bool aligned(const void* p) { return ((uintptr_t)p & 15) == 0; }

template <int N>
static __device__ __forceinline__ Few<N> load_few(const float* p) {
    if constexpr (N == 4) {
        const float4 four = *reinterpret_cast<const float4*>(p);
        return Few<4>{{four.x, four.y, four.z, four.w}};
    } else {
        return Few<1>{{*p}};
    }
}

template <int N>
static __device__ __forceinline__ void store_few(float* p, const Few<N>& few) {
    if constexpr (N == 4) {
        *reinterpret_cast<float4*>(p) = make_float4(few.at[0], few.at[1], few.at[2], few.at[3]);
    } else {
        *p = few.at[0];
    }
}
