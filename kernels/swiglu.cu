// SwiGLU and its gradient (src/engine/swiglu.rs). Element by element, no order to keep.
#include "exp.cuh"
#include "gated.cuh"

struct Swiglu {
    static __device__ __forceinline__ float element(float g, float u) {
        return __fmul_rn(__fmul_rn(g, sigmoid_of(g)), u);
    }

    static __device__ __forceinline__ Gradients element_backward(float g, float u, float dh) {
        const float s = sigmoid_of(g);
        const float silu = __fmul_rn(g, s);
        const float slope = __fmaf_rn(silu, __fsub_rn(1.0f, s), s);
        return Gradients{__fmul_rn(__fmul_rn(dh, u), slope), __fmul_rn(dh, silu), __fmul_rn(silu, u)};
    }
};

extern "C" __global__ void __launch_bounds__(SLICE_THREADS)
swiglu(const float* gate, const float* up, float* hidden, long long n) {
    gated<Swiglu>(gate, up, hidden, n);
}
KERNEL(swiglu)

extern "C" __global__ void __launch_bounds__(SLICE_THREADS)
swiglu_backward(float* gate, float* up, float* hidden, long long n) {
    gated_backward<Swiglu>(gate, up, hidden, n);
}
KERNEL(swiglu_backward)
