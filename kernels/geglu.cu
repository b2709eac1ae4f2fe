// GEGLU and its gradient (src/engine/geglu.rs). Element by element, no order to keep.
#include "exp.cuh"
#include "gated.cuh"

struct Geglu {
    static constexpr float LINEAR = 1.595769f, CUBIC = 0.071354814f, SLOPE = 0.21406445f;

    static __device__ __forceinline__ float share(float g) {
        return sigmoid_of(__fmul_rn(g, __fmaf_rn(CUBIC, __fmul_rn(g, g), LINEAR)));
    }

    static __device__ __forceinline__ float element(float g, float u) {
        return __fmul_rn(__fmul_rn(g, share(g)), u);
    }

    static __device__ __forceinline__ Gradients element_backward(float g, float u, float dh) {
        const float s = share(g);
        const float gelu = __fmul_rn(g, s);
        const float curve = __fmaf_rn(SLOPE, __fmul_rn(g, g), LINEAR);
        const float slope = __fmaf_rn(__fmul_rn(gelu, __fsub_rn(1.0f, s)), curve, s);
        return Gradients{__fmul_rn(__fmul_rn(dh, u), slope), __fmul_rn(dh, gelu), __fmul_rn(gelu, u)};
    }
};

extern "C" __global__ void __launch_bounds__(SLICE_THREADS)
geglu(const float* gate, const float* up, float* hidden, long long n) {
    gated<Geglu>(gate, up, hidden, n);
}
KERNEL(geglu)

extern "C" __global__ void __launch_bounds__(SLICE_THREADS)
geglu_backward(float* gate, float* up, float* hidden, long long n) {
    gated_backward<Geglu>(gate, up, hidden, n);
}
KERNEL(geglu_backward)
