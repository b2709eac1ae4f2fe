// One step of AdamW (src/engine/adamw.rs) on many tensors. Element by element, no order to keep: 16 bytes read and 12 written an
// element.
#include "slice.cuh"
#include "tensors.cuh"

// 2^-100: moments smaller than this are stored as +0.
#define MOMENT_FLOOR __uint_as_float((127u - 100u) << 23)
// Slices that a block takes one after the other.
#define ADAMW_SLICES 4

// The scalars of one step, in the order of the Rust structure.
struct AdamwStep {
    float clip, beta1, one_minus_beta1, beta2, one_minus_beta2, bias1, bias2_rsqrt, eps, lr, decay;
};

// A tensor of the flat arrays, and its step.
struct SteppedTensor {
    long long begin, length, first;
    AdamwStep step;
};

static __device__ __forceinline__ bool infinite_or_nan(float x) { return (__float_as_uint(x) & 0x7fffffffu) >= 0x7f800000u; }

// Whether a parameter or moment came out infinite or NaN.
template <bool Whole>
static __device__ __forceinline__ bool adamw_slice(
    const Slice<Whole>& slice, float* params, const float* gradient, float* first, float* second, const AdamwStep& step) {
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
        const bool some = infinite_or_nan(p.at[k]) || infinite_or_nan(m_new) || infinite_or_nan(v_new);
        // What stands in for an absent element may come out as anything.
        bad = bad || (slice.exists(k) && some);
    }
    slice.store(params, p);
    slice.store(first, m);
    slice.store(second, v);
    return bad;
}

// Lowers *not_finite to the number of the first tensor of which a parameter or moment comes out infinite or NaN. 256 threads, a
// grid of the tensors' lengths / 4096, each rounded up, in sum.
extern "C" __global__ void __launch_bounds__(SLICE_THREADS)
adamw(float* p, const float* g, float* m, float* v, const SteppedTensor* __restrict__ tensors, int count, unsigned* not_finite) {
    const int t = entry_of(tensors, count, blockIdx.x);
    const SteppedTensor tensor = tensors[t];
    p += tensor.begin, g += tensor.begin, m += tensor.begin, v += tensor.begin;
    const bool all = aligned(p) && aligned(g) && aligned(m) && aligned(v);
    long long base = (blockIdx.x - tensor.first) * ADAMW_SLICES * SLICE;
    bool bad = false;
    for (int s = 0; s < ADAMW_SLICES && base < tensor.length; s++, base += SLICE) {
        if (all && base + SLICE <= tensor.length) {
            bad |= adamw_slice(Slice<true>{base, tensor.length}, p, g, m, v, tensor.step);
        } else {
            bad |= adamw_slice(Slice<false>{base, tensor.length}, p, g, m, v, tensor.step);
        }
    }
    if (bad) atomicMin(not_finite, (unsigned)t);
}
KERNEL(adamw)
