// The compression function of BLAKE3 (O'Connor, Aumasson, Neves, Wilcox-O'Hearn, "BLAKE3: one function, fast everywhere", 2020,
// section 2.2). A chaining value is eight words, a block sixteen, little-endian.
#pragma once
#include "cuda.cuh"

#define BLAKE3_CHUNK_START 1u
#define BLAKE3_CHUNK_END 2u
#define BLAKE3_PARENT 4u
#define BLAKE3_ROOT 8u
#define BLAKE3_DERIVE_KEY_MATERIAL 64u

// A chaining value, or the key of a derivation.
struct Chaining {
    unsigned word[8];
};

static __device__ __forceinline__ unsigned rotate_right(unsigned x, int by) { return __funnelshift_r(x, x, (unsigned)by); }

static __device__ __forceinline__ void blake3_quarter(unsigned& a, unsigned& b, unsigned& c, unsigned& d, unsigned x, unsigned y) {
    a = a + b + x;
    d = rotate_right(d ^ a, 16);
    c = c + d;
    b = rotate_right(b ^ c, 12);
    a = a + b + y;
    d = rotate_right(d ^ a, 8);
    c = c + d;
    b = rotate_right(b ^ c, 7);
}

// `cv` after a block of `length` bytes; the block is used up.
static __device__ __forceinline__ void blake3_compress(
    Chaining& cv, unsigned (&m)[16], unsigned counter, unsigned length, unsigned flags) {
    unsigned v[16] = {cv.word[0], cv.word[1], cv.word[2], cv.word[3], cv.word[4], cv.word[5], cv.word[6], cv.word[7],
                      0x6a09e667u, 0xbb67ae85u, 0x3c6ef372u, 0xa54ff53au, counter,    0u,         length,     flags};
#pragma unroll
    for (int round = 0; round < 7; round++) {
        blake3_quarter(v[0], v[4], v[8], v[12], m[0], m[1]);
        blake3_quarter(v[1], v[5], v[9], v[13], m[2], m[3]);
        blake3_quarter(v[2], v[6], v[10], v[14], m[4], m[5]);
        blake3_quarter(v[3], v[7], v[11], v[15], m[6], m[7]);
        blake3_quarter(v[0], v[5], v[10], v[15], m[8], m[9]);
        blake3_quarter(v[1], v[6], v[11], v[12], m[10], m[11]);
        blake3_quarter(v[2], v[7], v[8], v[13], m[12], m[13]);
        blake3_quarter(v[3], v[4], v[9], v[14], m[14], m[15]);
        // The next round takes the words in another order: names only, no instructions.
        const unsigned next[16] = {m[2], m[6],  m[3],  m[10], m[7], m[0],  m[4],  m[13],
                                   m[1], m[11], m[12], m[5],  m[9], m[14], m[15], m[8]};
#pragma unroll
        for (int i = 0; i < 16; i++) m[i] = next[i];
    }
#pragma unroll
    for (int i = 0; i < 8; i++) cv.word[i] = v[i] ^ v[i + 8];
}
