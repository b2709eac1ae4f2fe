// The memory of the device that the shim plays.
#pragma once
#include <cstddef>

namespace shim::memory {

// Memory on 16 bytes that ends at a page that faults; it holds poison. Null when there is none.
void* allocate(size_t bytes);

// Every later access faults. False when `at` is not the beginning of what is allocated.
bool release(void* at);

// The allocation that holds [at, at + bytes), or null.
struct Allocation {
    char* begin;
    size_t bytes;
};
const Allocation* holding(const void* at, size_t bytes);

// Bytes of all that is allocated.
size_t allocated();

}  // namespace shim::memory
