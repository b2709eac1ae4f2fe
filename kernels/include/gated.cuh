// Gated units, element by element: what swiglu.cu and geglu.cu share (src/engine/gated.rs). 256 threads, a grid of
// n / 1024 rounded up.
#pragma once
#include "slice.cuh"

// What an element's gradients are: of the gate and of up, and h again.
struct Gradients {
    float gate, up, hidden;
};

template <typename Unit, bool Whole>
static __device__ __forceinline__ void gated_slice(const float* gate, const float* up, float* hidden, long long n) {
    const Slice<Whole> slice{(long long)blockIdx.x * SLICE, n};
    const Few<4> g = slice.load(gate), u = slice.load(up);
    Few<4> h;
#pragma unroll
    for (int k = 0; k < 4; k++) h.at[k] = Unit::element(g.at[k], u.at[k]);
    slice.store(hidden, h);
}

template <typename Unit>
static __device__ __forceinline__ void gated(const float* gate, const float* up, float* hidden, long long n) {
    const bool all = aligned(gate) && aligned(up) && aligned(hidden);
    if (all && ((long long)blockIdx.x + 1) * SLICE <= n) {
        gated_slice<Unit, true>(gate, up, hidden, n);
    } else {
        gated_slice<Unit, false>(gate, up, hidden, n);
    }
}

template <typename Unit, bool Whole>
static __device__ __forceinline__ void gated_backward_slice(float* gate, float* up, float* hidden, long long n) {
    const Slice<Whole> slice{(long long)blockIdx.x * SLICE, n};
    Few<4> g = slice.load(gate), u = slice.load(up), h = slice.load(hidden);
#pragma unroll
    for (int k = 0; k < 4; k++) {
        const Gradients gradients = Unit::element_backward(g.at[k], u.at[k], h.at[k]);
        g.at[k] = gradients.gate;
        u.at[k] = gradients.up;
        h.at[k] = gradients.hidden;
    }
    slice.store(gate, g);
    slice.store(up, u);
    slice.store(hidden, h);
}

// In place: gate and up become their gradients, the gradient of h becomes h.
template <typename Unit>
static __device__ __forceinline__ void gated_backward(float* gate, float* up, float* hidden, long long n) {
    const bool all = aligned(gate) && aligned(up) && aligned(hidden);
    if (all && ((long long)blockIdx.x + 1) * SLICE <= n) {
        gated_backward_slice<Unit, true>(gate, up, hidden, n);
    } else {
        gated_backward_slice<Unit, false>(gate, up, hidden, n);
    }
}
