// What the checked build (-DL402_SHIM_CHECKED) knows of each access of kernels: see check.cpp. Without it these are nothing.
#pragma once
#include <cstddef>

namespace shim::check {

#ifdef L402_SHIM_CHECKED
void launch(unsigned threads, const void* dynamic, size_t dynamic_size, const void* shared_begin, const void* shared_end);
void block();
void thread(unsigned index);
void barrier();
void warp(unsigned first_thread, unsigned mask);
void end();
// `code`: the address to blame, where it isn't the caller's.
void read(const void* at, size_t size, const void* code = nullptr);
void write(const void* at, size_t size, const void* code = nullptr);
void atomic(const void* at, size_t size);
#else
inline void launch(unsigned, const void*, size_t, const void*, const void*) {}
inline void block() {}
inline void thread(unsigned) {}
inline void barrier() {}
inline void warp(unsigned, unsigned) {}
inline void end() {}
inline void read(const void*, size_t, const void* = nullptr) {}
inline void write(const void*, size_t, const void* = nullptr) {}
inline void atomic(const void*, size_t) {}
#endif

}  // namespace shim::check
