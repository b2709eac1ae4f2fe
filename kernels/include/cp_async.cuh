// Copies from global to shared memory that run beside the computation (sm_80). The data is there for the copying thread after
// cp_async_wait, for others after a barrier that follows it.
#pragma once
#include "cuda.cuh"

#ifdef __CUDACC_RTC__

static __device__ __forceinline__ unsigned shared_address(const void* shared) {
    return static_cast<unsigned>(__cvta_generic_to_shared(shared));
}

// 16 bytes; both addresses on 16 bytes.
static __device__ __forceinline__ void cp_async_16(void* shared, const void* global) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared_address(shared)), "l"(global) : "memory");
}

// `bytes` (0 to 16) bytes, then zeros up to 16; `global` is not read where bytes is 0, but it must be on 16 bytes.
static __device__ __forceinline__ void cp_async_16(void* shared, const void* global, int bytes) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(bytes) : "memory");
}

// 4 bytes.
static __device__ __forceinline__ void cp_async_4(void* shared, const void* global) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4;" ::"r"(shared_address(shared)), "l"(global) : "memory");
}

// 4 bytes, or a zero where bytes is 0.
static __device__ __forceinline__ void cp_async_4(void* shared, const void* global, int bytes) {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(bytes) : "memory");
}

// What was begun since the last commit is one group.
static __device__ __forceinline__ void cp_async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits until at most the last `PENDING` groups are under way.
template <int PENDING>
static __device__ __forceinline__ void cp_async_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(PENDING) : "memory");
}

#else

// On the CPU the destination holds poison from the beginning of a copy to the wait, where the data arrives: as late as it may.
static inline void cp_async_16(void* shared, const void* global) { shim::copy_begin(shared, global, 16, 16); }
static inline void cp_async_16(void* shared, const void* global, int bytes) { shim::copy_begin(shared, global, 16, bytes); }
static inline void cp_async_4(void* shared, const void* global) { shim::copy_begin(shared, global, 4, 4); }
static inline void cp_async_4(void* shared, const void* global, int bytes) { shim::copy_begin(shared, global, 4, bytes); }
static inline void cp_async_commit() { shim::copy_commit(); }
template <int PENDING>
static inline void cp_async_wait() {
    shim::copy_wait(PENDING);
}

#endif
