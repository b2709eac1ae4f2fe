// CUDA's vector types. A load or store through a pointer that is not aligned as the type asks aborts (-fsanitize=alignment).
#pragma once

#define SHIM_VECTOR2(type, name, align)                                    \
    struct alignas(align) name {                                           \
        type x, y;                                                         \
    };                                                                     \
    static inline name make_##name(type x, type y) { return name{x, y}; }
#define SHIM_VECTOR4(type, name, align)                                                                \
    struct alignas(align) name {                                                                       \
        type x, y, z, w;                                                                               \
    };                                                                                                 \
    static inline name make_##name(type x, type y, type z, type w) { return name{x, y, z, w}; }

SHIM_VECTOR2(float, float2, 8)
SHIM_VECTOR4(float, float4, 16)
SHIM_VECTOR2(int, int2, 8)
SHIM_VECTOR4(int, int4, 16)
SHIM_VECTOR2(unsigned, uint2, 8)
SHIM_VECTOR4(unsigned, uint4, 16)
SHIM_VECTOR2(signed char, char2, 2)
SHIM_VECTOR4(signed char, char4, 4)
SHIM_VECTOR2(unsigned char, uchar2, 2)
SHIM_VECTOR4(unsigned char, uchar4, 4)
SHIM_VECTOR2(short, short2, 4)
SHIM_VECTOR4(short, short4, 8)
SHIM_VECTOR2(unsigned short, ushort2, 4)
SHIM_VECTOR4(unsigned short, ushort4, 8)
SHIM_VECTOR2(double, double2, 16)
SHIM_VECTOR2(long long, longlong2, 16)
SHIM_VECTOR2(unsigned long long, ulonglong2, 16)

#undef SHIM_VECTOR2
#undef SHIM_VECTOR4
