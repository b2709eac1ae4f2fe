// Matrix products of small integers by a warp (sm_80 and later), and the loads that feed them.
//
// mma_s8: d[16 x 8] += a[16 x 32] b[32 x 8], bytes into wrapping int32. With group = lane / 4 and t = lane % 4, byte i (0..3) of
//   a[0]: row group,     column 4 t + i        a[2]: row group,     column 16 + 4 t + i
//   a[1]: row group + 8, column 4 t + i        a[3]: row group + 8, column 16 + 4 t + i
//   b[0]: row 4 t + i,      column group       b[1]: row 16 + 4 t + i, column group
//   d[0], d[1]: row group, columns 2 t and 2 t + 1             d[2], d[3]: row group + 8
// ldmatrix_x4: four matrices of 8 rows of 16 bytes. Lane 8 j + r gives the address of row r of matrix j; out[j] of a lane holds
//   the four bytes 4 t .. 4 t + 3 of row group of matrix j: for bytes, what a[] and b[] want.
// ldmatrix_x4_trans: the same with each matrix of 8 x 8 two-byte elements transposed.
#pragma once
#include "cuda.cuh"

#ifdef __CUDACC_RTC__

static __device__ __forceinline__ void mma_s8(int (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

static __device__ __forceinline__ void ldmatrix_x4(unsigned (&out)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row)))
                 : "memory");
}

static __device__ __forceinline__ void ldmatrix_x2(unsigned (&out)[2], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.shared.b16 {%0, %1}, [%2];"
                 : "=r"(out[0]), "=r"(out[1])
                 : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row)))
                 : "memory");
}

static __device__ __forceinline__ void ldmatrix_x4_trans(unsigned (&out)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row)))
                 : "memory");
}

static __device__ __forceinline__ void ldmatrix_x2_trans(unsigned (&out)[2], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared.b16 {%0, %1}, [%2];"
                 : "=r"(out[0]), "=r"(out[1])
                 : "r"(static_cast<unsigned>(__cvta_generic_to_shared(row)))
                 : "memory");
}

#else

static inline void mma_s8(int (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) { shim::mma_s8(d, a, b); }
static inline void ldmatrix_x4(unsigned (&out)[4], const void* row) { shim::ldmatrix(out, 4, row, false); }
static inline void ldmatrix_x2(unsigned (&out)[2], const void* row) { shim::ldmatrix(out, 2, row, false); }
static inline void ldmatrix_x4_trans(unsigned (&out)[4], const void* row) { shim::ldmatrix(out, 4, row, true); }
static inline void ldmatrix_x2_trans(unsigned (&out)[2], const void* row) { shim::ldmatrix(out, 2, row, true); }

#endif
