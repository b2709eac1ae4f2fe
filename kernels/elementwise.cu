// Adding and scaling: one thread an element, in any order.
#include "cuda.cuh"

static __device__ __forceinline__ long long element() { return static_cast<long long>(blockIdx.x) * 256 + threadIdx.x; }

// acc[i] = acc[i] + x[i]. Grid: ceil(n / 256) blocks of 256, as for all here.
extern "C" __global__ void __launch_bounds__(256) add_into(float* __restrict__ acc, const float* __restrict__ x, long long n) {
    const long long i = element();
    if (i < n) acc[i] = __fadd_rn(acc[i], x[i]);
}
KERNEL(add_into)

// out[i] = x[i] + y[i]
extern "C" __global__ void __launch_bounds__(256)
    add(const float* __restrict__ x, const float* __restrict__ y, float* __restrict__ out, long long n) {
    const long long i = element();
    if (i < n) out[i] = __fadd_rn(x[i], y[i]);
}
KERNEL(add)

// x[i] = x[i] factor
extern "C" __global__ void __launch_bounds__(256) scale(float* __restrict__ x, float factor, long long n) {
    const long long i = element();
    if (i < n) x[i] = __fmul_rn(x[i], factor);
}
KERNEL(scale)
