// The scalar definitions of src/engine that several tests need, transliterated.
#pragma once
#include "testing.h"

#include <array>
#include <cmath>

namespace definition {

using shim::bits;

inline float from_word(uint32_t word) { return shim::from_bits<float>(word); }
inline uint32_t word_of(float x) { return static_cast<uint32_t>(bits(x)); }

const float SMALLEST = -87.33654f, LARGEST = 88.72283f;

inline void reduce(float x, float& shifted, float& r, float& q) {
    const float round = 12582912.0f, log2_e = 1.44269504088896340735992468100189214f;
    shifted = fmaf(x, log2_e, round);
    const float n = shifted - round;
    r = fmaf(n, -0.69314575f, x);
    r = fmaf(n, -1.4286068e-6f, r);
    q = 1.9875478e-4f;
    for (float c : {1.3936256e-3f, 8.333078e-3f, 4.1666485e-2f, 0.16666667f, 0.5f}) q = fmaf(q, r, c);
}

inline float exp(float x) {
    float shifted, r, q;
    reduce(x, shifted, r, q);
    const float p = fmaf(fmaf(q, r, 1.0f), r, 1.0f);
    const float scaled = x < SMALLEST ? 0.0f : from_word(word_of(p) + (word_of(shifted) << 23));
    return x <= LARGEST ? scaled : x + INFINITY;
}

inline float sigmoid(float x) {
    float y = -fabsf(x), shifted, r, q;
    if (y < SMALLEST) y = SMALLEST;
    reduce(y, shifted, r, q);
    const float t = fmaf(r * r, q, r);
    float high = 1.0f + t, low = t - (high - 1.0f);
    const float power = from_word((word_of(shifted) + 127) << 23);
    high = high * power, low = low * power;
    const float sum = 1.0f + high, rest = (high - (sum - 1.0f)) + low, quotient = 1.0f / sum;
    const float remainder = fmaf(-rest, quotient, fmaf(-sum, quotient, 1.0f)), correction = quotient * remainder;
    if (!(x < 0.0f)) high = 1.0f, low = 0.0f;
    return x < SMALLEST ? 0.0f : fmaf(high, quotient, fmaf(high, correction, low * quotient));
}

inline float log(float x) {
    if (!(x > 0.0f && x < INFINITY)) return x == 0.0f ? -INFINITY : x > 0.0f ? x : NAN;
    const bool tiny = x < 0x1p-126f;
    const uint32_t word = word_of(tiny ? x * 8388608.0f : x);
    const int32_t exponent = static_cast<int32_t>(word - 0x3f3504f3u) >> 23;
    const float f = from_word(word - (static_cast<uint32_t>(exponent) << 23)) - 1.0f;
    const float e = static_cast<float>(exponent) + (tiny ? -23.0f : 0.0f);
    float p = 7.0376836e-2f;
    for (float c : {-1.151461e-1f, 1.1676999e-1f, -1.2420141e-1f, 1.4249323e-1f, -1.6668058e-1f, 2.0000715e-1f, -2.4999994e-1f,
                    3.333333e-1f})
        p = fmaf(p, f, c);
    const float square = f * f, tail = fmaf(square, -0.5f, fmaf(e, -2.1219444e-4f, (p * f) * square));
    return fmaf(e, 0.6933594f, f + tail);
}

inline float fold(float (&lanes)[32]) {
    for (int w = 16; w > 0; w /= 2)
        for (int i = 0; i < w; i++) lanes[i] += lanes[i + w];
    return lanes[0];
}

inline float sum(const float* x, size_t n) {
    float lanes[32] = {};
    for (size_t i = 0; i < n; i++) lanes[i % 32] += x[i];
    return fold(lanes);
}

inline float dot(const float* x, const float* y, size_t n) {
    float lanes[32] = {};
    for (size_t i = 0; i < n; i++) lanes[i % 32] = fmaf(x[i], y[i], lanes[i % 32]);
    return fold(lanes);
}

}  // namespace definition

// Numbers of every kind: mostly within 4, zeros of both signs, subnormals, large ones; infinities and NaN if `ugly`.
inline std::vector<float> numbers_of_every_kind(shim::Numbers& numbers, size_t n, bool ugly = false, float large = 1e4f) {
    std::vector<float> out(n);
    for (float& x : out) {
        const float plain = 4 * numbers.uniform();
        switch (numbers.below(64)) {
            case 0: x = std::copysign(0.0f, plain); break;
            case 1: x = plain * 0x1p-129f; break;
            case 2: x = plain * 1e-30f; break;
            case 3: x = plain * large; break;
            case 4: x = plain * 20; break;
            case 5: x = ugly ? std::copysign(INFINITY, plain) : plain; break;
            case 6: x = ugly ? NAN : plain; break;
            default: x = plain;
        }
    }
    return out;
}

// Bits must be equal; all NaN are alike.
inline void expect_same(const std::string& what, std::vector<float> got, std::vector<float> want) {
    for (auto* all : {&got, &want})
        for (float& x : *all)
            if (x != x) x = NAN;
    shim::expect_bits(what, got, want);
}

// Device memory that begins `shift` floats behind a multiple of 16 bytes.
struct Shifted {
    shim::Buffer<float> buffer;
    size_t shift;
    Shifted(const std::vector<float>& from, size_t shift) : buffer(padded(from, shift)), shift(shift) {}
    Shifted(size_t n, size_t shift) : Shifted(std::vector<float>(n, 9.0f), shift) {}
    operator float*() const { return static_cast<float*>(buffer) + shift; }
    std::vector<float> host() const {
        const std::vector<float> all = buffer.host();
        for (size_t i = 0; i < shift; i++)
            if (all[i] != 7.0f) shim::fail("written before the beginning");
        return std::vector<float>(all.begin() + static_cast<long>(shift), all.end());
    }

private:
    static std::vector<float> padded(const std::vector<float>& from, size_t shift) {
        std::vector<float> all(shift, 7.0f);
        all.insert(all.end(), from.begin(), from.end());
        return all;
    }
};
