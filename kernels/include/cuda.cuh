// What every kernel file includes first. Under NVRTC it names fixed-width types and little else; under a C++17 compiler it is the
// shim that runs kernels on the CPU.
#pragma once

#ifdef __CUDACC_RTC__

typedef signed char int8_t;
typedef unsigned char uint8_t;
typedef short int16_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
typedef unsigned long long uintptr_t;

// Stands after each kernel; the shim registers the kernel by its name.
#define KERNEL(name)

// The dynamic shared memory of a block, as `type* name`.
extern __shared__ __align__(16) unsigned char l402_shared_bytes[];
#define SHARED(type, name) type* const name = reinterpret_cast<type*>(l402_shared_bytes)

#else
#include "../shim/shim.h"
#endif

// The whole warp.
#define WARP 0xffffffffu
