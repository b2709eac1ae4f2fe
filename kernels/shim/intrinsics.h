// CUDA's arithmetic intrinsics: correctly rounded, and conversions that saturate as the hardware's do.
#pragma once
#include <climits>
#include <cmath>

static inline float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __frcp_rn(float a) { return 1.0f / a; }
static inline float __fsqrt_rn(float a) { return __builtin_sqrtf(a); }
static inline double __fma_rn(double a, double b, double c) { return __builtin_fma(a, b, c); }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dsub_rn(double a, double b) { return a - b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline double __ddiv_rn(double a, double b) { return a / b; }
static inline double __dsqrt_rn(double a) { return __builtin_sqrt(a); }

static inline float __int_as_float(int i) { return shim::from_bits<float>(shim::bits(i)); }
static inline float __uint_as_float(unsigned i) { return shim::from_bits<float>(shim::bits(i)); }
static inline int __float_as_int(float f) { return shim::from_bits<int>(shim::bits(f)); }
static inline unsigned __float_as_uint(float f) { return shim::from_bits<unsigned>(shim::bits(f)); }
static inline double __longlong_as_double(long long i) { return shim::from_bits<double>(shim::bits(i)); }
static inline long long __double_as_longlong(double f) { return shim::from_bits<long long>(shim::bits(f)); }

namespace shim {
// NaN is 0 (for 64 bits the least value), what does not fit the nearest.
template <typename I, typename F>
static inline I saturate(F f, I nan) {
    if (f != f) return nan;
    const F over = static_cast<F>(1ull << (sizeof(I) * 8 - 1)) * (std::is_signed_v<I> ? 1 : 2);
    if (f >= over) return static_cast<I>(std::is_signed_v<I> ? (1ull << (sizeof(I) * 8 - 1)) - 1 : ~0ull);
    if (f <= (std::is_signed_v<I> ? -over : F(0))) return std::is_signed_v<I> ? static_cast<I>(1ull << (sizeof(I) * 8 - 1)) : I(0);
    return static_cast<I>(f);
}
}  // namespace shim
static inline int __float2int_rn(float f) { return shim::saturate<int>(__builtin_rintf(f), 0); }
static inline int __float2int_rz(float f) { return shim::saturate<int>(__builtin_truncf(f), 0); }
static inline int __float2int_rd(float f) { return shim::saturate<int>(__builtin_floorf(f), 0); }
static inline int __float2int_ru(float f) { return shim::saturate<int>(__builtin_ceilf(f), 0); }
static inline unsigned __float2uint_rn(float f) { return shim::saturate<unsigned>(__builtin_rintf(f), 0); }
static inline unsigned __float2uint_rz(float f) { return shim::saturate<unsigned>(__builtin_truncf(f), 0); }
static inline long long __float2ll_rn(float f) { return shim::saturate<long long>(__builtin_rintf(f), LLONG_MIN); }
static inline long long __float2ll_rz(float f) { return shim::saturate<long long>(__builtin_truncf(f), LLONG_MIN); }
static inline int __double2int_rn(double f) { return shim::saturate<int>(__builtin_rint(f), INT_MIN); }
static inline long long __double2ll_rn(double f) { return shim::saturate<long long>(__builtin_rint(f), LLONG_MIN); }
static inline float __int2float_rn(int i) { return static_cast<float>(i); }
static inline float __uint2float_rn(unsigned i) { return static_cast<float>(i); }
static inline float __ll2float_rn(long long i) { return static_cast<float>(i); }
static inline float __ull2float_rn(unsigned long long i) { return static_cast<float>(i); }
static inline double __int2double_rn(int i) { return i; }
static inline double __uint2double_rn(unsigned i) { return i; }
static inline double __ll2double_rn(long long i) { return static_cast<double>(i); }
static inline float __double2float_rn(double f) { return static_cast<float>(f); }

static inline int __clz(int i) { return i == 0 ? 32 : __builtin_clz(static_cast<unsigned>(i)); }
static inline int __clzll(long long i) { return i == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(i)); }
static inline int __ffs(int i) { return __builtin_ffs(i); }
static inline int __popc(unsigned i) { return __builtin_popcount(i); }
static inline int __popcll(unsigned long long i) { return __builtin_popcountll(i); }
static inline unsigned __brev(unsigned i) {
    unsigned out = 0;
    for (int bit = 0; bit < 32; bit++) out |= (i >> bit & 1) << (31 - bit);
    return out;
}
static inline unsigned __umulhi(unsigned a, unsigned b) { return static_cast<unsigned>(static_cast<uint64_t>(a) * b >> 32); }
static inline int __mulhi(int a, int b) { return static_cast<int>(static_cast<int64_t>(a) * b >> 32); }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return static_cast<unsigned long long>(static_cast<unsigned __int128>(a) * b >> 64);
}
static inline unsigned __funnelshift_l(unsigned low, unsigned high, unsigned shift) {
    return static_cast<unsigned>(((static_cast<uint64_t>(high) << 32 | low) << (shift & 31)) >> 32);
}
static inline unsigned __funnelshift_r(unsigned low, unsigned high, unsigned shift) {
    return static_cast<unsigned>((static_cast<uint64_t>(high) << 32 | low) >> (shift & 31));
}
static inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
    const uint64_t both = static_cast<uint64_t>(y) << 32 | x;
    unsigned out = 0;
    for (int i = 0; i < 4; i++) out |= static_cast<unsigned>(both >> (selector >> (4 * i) & 7) * 8 & 255) << (8 * i);
    return out;
}
static inline int __dp4a(int a, int b, int c) {
    unsigned sum = static_cast<unsigned>(c);
    for (int i = 0; i < 4; i++) {
        const int x = static_cast<int8_t>(static_cast<unsigned>(a) >> (8 * i));
        const int y = static_cast<int8_t>(static_cast<unsigned>(b) >> (8 * i));
        sum += static_cast<unsigned>(x * y);
    }
    return static_cast<int>(sum);
}
static inline unsigned __dp4a(unsigned a, unsigned b, unsigned c) {
    for (int i = 0; i < 4; i++) c += (a >> (8 * i) & 255) * (b >> (8 * i) & 255);
    return c;
}

static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline unsigned min(unsigned a, unsigned b) { return a < b ? a : b; }
static inline unsigned max(unsigned a, unsigned b) { return a > b ? a : b; }
static inline long long min(long long a, long long b) { return a < b ? a : b; }
static inline long long max(long long a, long long b) { return a > b ? a : b; }
// A maximum of floats is `a > b ? a : b`.
float min(float, float) = delete;
float max(float, float) = delete;

template <typename T>
static inline T __ldg(const T* p) { return *p; }
template <typename T>
static inline T __ldcs(const T* p) { return *p; }
template <typename T>
static inline T __ldcg(const T* p) { return *p; }
template <typename T>
static inline void __stcs(T* p, T value) { *p = value; }
template <typename T>
static inline void __stcg(T* p, T value) { *p = value; }

// Atomic operations: on integers only, because a float sum by atomics depends on the launch order.
#define SHIM_ATOMIC(name, type, expression)                 \
    static inline type name(type* address, type value) {    \
        const type old = shim::atomic_load(address);        \
        shim::atomic_store<type>(address, expression);      \
        return old;                                         \
    }
#define SHIM_ATOMICS(type)                                                   \
    SHIM_ATOMIC(atomicMin, type, value < old ? value : old)                  \
    SHIM_ATOMIC(atomicMax, type, value > old ? value : old)                  \
    SHIM_ATOMIC(atomicAnd, type, old & value)                                \
    SHIM_ATOMIC(atomicOr, type, old | value)                                 \
    SHIM_ATOMIC(atomicXor, type, old ^ value)                                \
    SHIM_ATOMIC(atomicExch, type, value)                                     \
    static inline type atomicCAS(type* address, type compare, type value) {  \
        const type old = shim::atomic_load(address);                         \
        if (old == compare) shim::atomic_store(address, value);              \
        return old;                                                          \
    }
namespace shim {
// Threads change at barriers only, so that a load and a store are one atomic operation.
template <typename T>
__attribute__((no_sanitize_thread)) T atomic_load(T* address) {
    check::atomic(address, sizeof(T));
    return *address;
}
template <typename T>
__attribute__((no_sanitize_thread)) void atomic_store(T* address, T value) {
    *address = value;
}
}  // namespace shim
SHIM_ATOMICS(int)
SHIM_ATOMICS(unsigned)
SHIM_ATOMICS(unsigned long long)
SHIM_ATOMIC(atomicAdd, int, static_cast<int>(static_cast<unsigned>(old) + static_cast<unsigned>(value)))
SHIM_ATOMIC(atomicAdd, unsigned, old + value)
SHIM_ATOMIC(atomicAdd, unsigned long long, old + value)
float atomicAdd(float*, float) = delete;
#undef SHIM_ATOMIC
#undef SHIM_ATOMICS
