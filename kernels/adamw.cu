// One step of AdamW (src/engine/adamw.rs). Element by element, no order to keep: 16 bytes read and 12 written an element.
// 256 threads, a grid of n / 1024 rounded up.
#include "slice.cuh"

// 2^-100: moments smaller than this are stored as +0.
#define MOMENT_FLOOR __uint_as_float((127u - 100u) << 23)

// The scalars of one step, in the order of the Rust structure.
struct AdamwStep {
    float clip, beta1, one_minus_beta1, beta2, one_minus_beta2, bias1, bias2_rsqrt, eps, lr, decay;
};

static __device__ __forceinline__ bool not_finite_bits(float x) {
    return (__float_as_uint(x) & 0x7fffffffu) >= 0x7f800000u;
}

template <bool Whole>
static __device__ __forceinline__ bool adamw_slice(
    float* params, const float* gradient, float* first, float* second, long long n, const AdamwStep& step) {
    const Slice<Whole> slice(n);
    Few<4> p = slice.load(params), m = slice.load(first), v = slice.load(second);
    const Few<4> g = slice.load(gradient);
    bool bad = false;
#pragma unroll
    for (int k = 0; k < 4; k++) {
        const float clipped = __fmul_rn(g.at[k], step.clip);
        float m_new = __fmaf_rn(step.beta1, m.at[k], __fmul_rn(step.one_minus_beta1, clipped));
        float v_new = __fmaf_rn(step.beta2, v.at[k], __fmul_rn(step.one_minus_beta2, __fmul_rn(clipped, clipped)));
        m_new = fabsf(m_new) < MOMENT_FLOOR ? 0.0f : m_new;
        v_new = v_new < MOMENT_FLOOR ? 0.0f : v_new;
        const float denominator = __fmaf_rn(__fsqrt_rn(v_new), step.bias2_rsqrt, step.eps);
        const float update = __fdiv_rn(__fmul_rn(m_new, step.bias1), denominator);
        p.at[k] = __fmaf_rn(-step.lr, update, __fmul_rn(p.at[k], step.decay));
        m.at[k] = m_new;
        v.at[k] = v_new;
        const bool some = not_finite_bits(p.at[k]) || not_finite_bits(m_new) || not_finite_bits(v_new);
        // What stands in for an absent element may come out as anything.
        bad = bad || (slice.exists(k) && some);
    }
    slice.store(params, p);
    slice.store(first, m);
    slice.store(second, v);
    return bad;
}

// Sets *not_finite to 1 where a parameter or moment comes out infinite or NaN.
extern "C" __global__ void __launch_bounds__(SLICE_THREADS)
adamw(float* p, const float* g, float* m, float* v, long long n, AdamwStep step, unsigned* not_finite) {
    const bool all = aligned(p) && aligned(g) && aligned(m) && aligned(v);
    const bool bad = all && slice_exists(n) ? adamw_slice<true>(p, g, m, v, n, step)
                                                : adamw_slice<false>(p, g, m, v, n, step);
    if (bad) atomicOr(not_finite, 1u);
}
KERNEL(adamw)
