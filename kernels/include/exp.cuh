// exp, log and sigmoid of src/engine/exp.rs, operation by operation: the names and the constants are that file's.
#pragma once
#include "cuda.cuh"

#define EXP_SMALLEST -87.33654f
#define EXP_LARGEST 88.72283f
#define POSITIVE_INFINITY __uint_as_float(0x7f800000u)

struct Reduced {
    float shifted, r, q;
};

static __device__ __forceinline__ Reduced exp_reduce(float x) {
    const float round = 12582912.0f;
    Reduced reduced;
    reduced.shifted = __fmaf_rn(x, 1.44269504f, round);
    const float n = __fsub_rn(reduced.shifted, round);
    float r = __fmaf_rn(n, -0.69314575f, x);
    r = __fmaf_rn(n, -1.4286068e-6f, r);
    float q = 1.9875478e-4f;
    q = __fmaf_rn(q, r, 1.3936256e-3f);
    q = __fmaf_rn(q, r, 8.333078e-3f);
    q = __fmaf_rn(q, r, 4.1666485e-2f);
    q = __fmaf_rn(q, r, 0.16666667f);
    q = __fmaf_rn(q, r, 0.5f);
    reduced.r = r;
    reduced.q = q;
    return reduced;
}

static __device__ __forceinline__ float exp_of(float x) {
    const Reduced reduced = exp_reduce(x);
    float p = __fmaf_rn(reduced.q, reduced.r, 1.0f);
    p = __fmaf_rn(p, reduced.r, 1.0f);
    // Adds n to the exponent of p.
    float scaled = __uint_as_float(__float_as_uint(p) + (__float_as_uint(reduced.shifted) << 23));
    scaled = x < EXP_SMALLEST ? 0.0f : scaled;
    // Not `x > EXP_LARGEST`: NaN goes this way too.
    return x <= EXP_LARGEST ? scaled : __fadd_rn(x, POSITIVE_INFINITY);
}

static __device__ __forceinline__ float sigmoid_of(float x) {
    float y = -fabsf(x);
    y = y < EXP_SMALLEST ? EXP_SMALLEST : y;
    const Reduced reduced = exp_reduce(y);
    const float r = reduced.r;
    const float t = __fmaf_rn(__fmul_rn(r, r), reduced.q, r);
    float high = __fadd_rn(1.0f, t);
    float low = __fsub_rn(t, __fsub_rn(high, 1.0f));
    const float power = __uint_as_float((__float_as_uint(reduced.shifted) + 127u) << 23);
    high = __fmul_rn(high, power);
    low = __fmul_rn(low, power);
    const float sum = __fadd_rn(1.0f, high);
    const float rest = __fadd_rn(__fsub_rn(high, __fsub_rn(sum, 1.0f)), low);
    // A correctly rounded reciprocal is the quotient 1 / sum.
    const float quotient = __frcp_rn(sum);
    float remainder = __fmaf_rn(-sum, quotient, 1.0f);
    remainder = __fmaf_rn(-rest, quotient, remainder);
    const float correction = __fmul_rn(quotient, remainder);
    const bool negative = x < 0.0f;
    high = negative ? high : 1.0f;
    low = negative ? low : 0.0f;
    const float result = __fmaf_rn(high, quotient, __fmaf_rn(high, correction, __fmul_rn(low, quotient)));
    return x < EXP_SMALLEST ? 0.0f : result;
}

static __device__ __forceinline__ float log_of(float x) {
    // Subnormals are scaled up by 2^23 first.
    const bool tiny = x < 1.17549435e-38f;
    const float scaled = tiny ? __fmul_rn(x, 8388608.0f) : x;
    const unsigned bits = __float_as_uint(scaled);
    const int exponent = (int)(bits - 0x3f3504f3u) >> 23;
    const float f = __fsub_rn(__uint_as_float(bits - ((unsigned)exponent << 23)), 1.0f);
    const float e = __fadd_rn(__int2float_rn(exponent), tiny ? -23.0f : 0.0f);
    float p = 7.0376836e-2f;
    p = __fmaf_rn(p, f, -1.151461e-1f);
    p = __fmaf_rn(p, f, 1.1676999e-1f);
    p = __fmaf_rn(p, f, -1.2420141e-1f);
    p = __fmaf_rn(p, f, 1.4249323e-1f);
    p = __fmaf_rn(p, f, -1.6668058e-1f);
    p = __fmaf_rn(p, f, 2.0000715e-1f);
    p = __fmaf_rn(p, f, -2.4999994e-1f);
    p = __fmaf_rn(p, f, 3.333333e-1f);
    const float square = __fmul_rn(f, f);
    float tail = __fmul_rn(__fmul_rn(p, f), square);
    tail = __fmaf_rn(e, -2.1219444e-4f, tail);
    tail = __fmaf_rn(square, -0.5f, tail);
    const float result = __fmaf_rn(e, 0.6933594f, __fadd_rn(f, tail));
    if (x > 0.0f && x < POSITIVE_INFINITY) return result;
    if (x == 0.0f) return -POSITIVE_INFINITY;
    return x > 0.0f ? x : __uint_as_float(0x7fc00000u);
}
