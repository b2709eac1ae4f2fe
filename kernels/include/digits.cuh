// A vector's numbers as integers with one power of two, and the integers as balanced digits to the base 128: the device's
// src/engine/integer/scale.rs.
#pragma once
#include "cuda.cuh"

// The bits of a float's magnitude, and those of infinity.
#define MAGNITUDE 0x7fffffffu
#define INFINITY_BITS 0x7f800000u
// Added to the largest magnitude's bits it carries into the exponent from a significand of 8127.5 / 4096 on.
#define CARRY 0x20400u
// Below this exponent the factor 2^(12 - e) is no float.
#define LEAST_EXPONENT (-115)
// The largest sum of squares of a vector's integers.
#define SQUARES (15ull << 27)
// 1.5 * 2^23: added to a float within 2^22 it rounds it to an integer, ties to even, which is then in the low bits.
#define ROUNDING 12582912.0f

// What a product takes of a vector: its high digits, the sums of its digits, its low digits, in this order.
#define PLANES 3
// Numbers of a plane come in multiples of so many, zeros after the last.
#define PLANE_UNIT 64

// The exponent of the finest scale.
static __device__ __forceinline__ int finest_exponent(unsigned largest) {
    const int exponent = static_cast<int>((largest + CARRY) >> 23) - 127;
    return exponent < LEAST_EXPONENT ? LEAST_EXPONENT : exponent;
}

// How often the scale must be made half as fine for this sum of squares.
static __device__ __forceinline__ int coarsening(unsigned long long squares) {
    int times = 0;
    for (unsigned long long bound = SQUARES; bound < squares; bound *= 4) times++;
    return times;
}

// 2^(12 - e). A vector's exponent is at most 139: 129 of one that is not finite, and ten of 2^20 squares of 16 bits.
static __device__ __forceinline__ float up_of(int exponent) {
    return __uint_as_float(static_cast<unsigned>(139 - exponent) << 23);
}

// 2^(e - 12), what an integer is worth: subnormal at the least exponent. NaN where a number is not finite.
static __device__ __forceinline__ float step_of(int exponent, unsigned largest) {
    const unsigned bits = exponent == LEAST_EXPONENT ? 0x00400000u : static_cast<unsigned>(exponent + 115) << 23;
    return __uint_as_float(largest < INFINITY_BITS ? bits : 0x7fc00000u);
}

// A number as an integer from -8127 to 8127. What one that is not finite becomes is no matter: 16 bits of something.
static __device__ __forceinline__ int quantised(float x, float up) {
    return static_cast<short>(__float_as_uint(__fadd_rn(__fmul_rn(x, up), ROUNDING)) & 0xffffu);
}

// Adds a number's square as an integer.
static __device__ __forceinline__ void add_square(unsigned long long& squares, float x, float up) {
    const int q = quantised(x, up);
    squares += static_cast<unsigned>(q * q);
}

// The digits of four numbers, a byte each, in a word of each plane.
static __device__ __forceinline__ void split(const float (&x)[4], float up, unsigned (&planes)[PLANES]) {
    planes[0] = planes[1] = planes[2] = 0;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int q = quantised(x[i], up);
        const int high = (q + 64) >> 7, low = ((q + 64) & 127) - 64;
        planes[0] |= (static_cast<unsigned>(high) & 255u) << 8 * i;
        planes[1] |= (static_cast<unsigned>(high + low) & 255u) << 8 * i;
        planes[2] |= (static_cast<unsigned>(low) & 255u) << 8 * i;
    }
}
