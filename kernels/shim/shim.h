// CUDA C++ as plain C++17: kernels run on the CPU, one block at a time, its threads as fibers that change at barriers and warp
// operations only. What the hardware leaves open (which thread or block is first, when an asynchronous copy arrives, what shared
// memory holds at the beginning) is chosen by L402_SHIM_ORDER, as late as it may be, and poison.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <type_traits>
#include <utility>

struct dim3 {
    unsigned x, y, z;
    constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
struct uint3 {
    unsigned x, y, z;
};

#include "check.h"
#include "vectors.h"

namespace shim {

extern uint3 thread_index, block_index;
extern dim3 block_size, grid_size;

// The order of threads between barriers, and of blocks.
enum class Order { forward, reversed, shuffled };
void set_order(Order order, uint64_t seed = 0);

// Runs a kernel over a grid.
void run(const char* kernel, dim3 grid, dim3 block, size_t shared, const std::function<void()>& thread);

// Prints the message with the kernel, block and thread under way, and aborts.
[[noreturn]] void fail(const char* format, ...) __attribute__((format(printf, 1, 2)));

// Where an operation stands in the source.
struct Place {
    const char* file;
    int line;
};

void barrier(Place place);
unsigned char* dynamic_shared(size_t align);

// An operation of several lanes of a warp. When all lanes in the mask have come, `resolve` is called once for all.
struct WarpOperation {
    void (*resolve)(WarpOperation* const lanes[32], unsigned mask);
    const char* name;
    unsigned mask;
    Place place;
    uint64_t value, result;  // the exchanged value
    int argument, width;     // source lane, delta or lane mask
    const void* in;
    void* out;
};
void warp_operation(WarpOperation& operation);

uint64_t shuffle(const char* name, int kind, unsigned mask, uint64_t value, int argument, int width, Place place);
unsigned ballot(const char* name, unsigned mask, bool predicate, Place place);
uint64_t reduce(const char* name, int kind, unsigned mask, uint64_t value, Place place);
void warp_barrier(unsigned mask, Place place);

void copy_begin(void* shared, const void* global, size_t size, int bytes);
void copy_commit();
void copy_wait(int pending);

void mma_s8(int (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]);
void ldmatrix(unsigned* out, int matrices, const void* row, bool transposed);

// A kernel under its name, with the parameters that a driver's launch gives as pointers.
struct Registered {
    const char* name;
    void (*call)(void** parameters);
    unsigned parameters;
    const size_t* sizes;
    Registered* next;
    Registered(const char* name, void (*call)(void**), unsigned parameters, const size_t* sizes);
};
const Registered* find(const char* name, size_t length);

template <auto kernel>
struct Unpack;
template <typename... P, void (*kernel)(P...)>
struct Unpack<kernel> {
    static constexpr size_t sizes[] = {sizeof(P)..., 0};
    template <size_t... I>
    __attribute__((no_sanitize_thread)) static void at(void** parameters, std::index_sequence<I...>) {
        (void)parameters;
        kernel(*static_cast<std::remove_const_t<P>*>(parameters[I])...);
    }
    static void call(void** parameters) { at(parameters, std::index_sequence_for<P...>()); }
    static constexpr unsigned count = sizeof...(P);
};

// Launches a kernel from C++.
template <typename... P, typename... A>
void launch(const char* name, void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, const A&... arguments) {
    static_assert(sizeof...(P) == sizeof...(A), "as many arguments as the kernel has parameters");
    run(name, grid, block, shared, [&]() __attribute__((no_sanitize_thread)) { kernel(static_cast<P>(arguments)...); });
}

template <typename T>
uint64_t bits(T value) {
    static_assert(sizeof(T) == 4 || sizeof(T) == 8, "a warp exchanges words of 4 or 8 bytes");
    uint64_t word = 0;
    memcpy(&word, &value, sizeof(T));
    return word;
}
template <typename T>
T from_bits(uint64_t word) {
    T value;
    memcpy(&value, &word, sizeof(T));
    return value;
}

}  // namespace shim

#define KERNEL(name)                                                                                                    \
    static shim::Registered registered_##name(#name, &shim::Unpack<&name>::call, shim::Unpack<&name>::count, \
                                              shim::Unpack<&name>::sizes);
#define SHARED(type, name) type* const name = reinterpret_cast<type*>(shim::dynamic_shared(alignof(type)))

#define threadIdx (shim::thread_index)
#define blockIdx (shim::block_index)
#define blockDim (shim::block_size)
#define gridDim (shim::grid_size)
#define warpSize 32
#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __grid_constant__
// All static shared memory is one section, which is poisoned before each block. It is aligned no more than the type asks for.
#define __shared__ static __attribute__((section("l402_shared")))

#define SHIM_PLACE (shim::Place{__FILE__, __LINE__})
#define __syncthreads() shim::barrier(SHIM_PLACE)
#define __syncwarp(...) shim::warp_barrier(shim::mask_or_all(__VA_ARGS__), SHIM_PLACE)

namespace shim {
constexpr unsigned mask_or_all(unsigned mask = 0xffffffffu) { return mask; }

template <typename T>
T shuffle_typed(const char* name, int kind, Place place, unsigned mask, T value, int argument, int width = 32) {
    return from_bits<T>(shuffle(name, kind, mask, bits(value), argument, width, place));
}
template <typename T>
T reduce_typed(const char* name, int kind, Place place, unsigned mask, T value) {
    static_assert(std::is_integral_v<T> && sizeof(T) == 4, "integers of 4 bytes");
    return static_cast<T>(reduce(name, kind + (std::is_signed_v<T> ? 16 : 0), mask, bits(value), place));
}
}  // namespace shim

#define __shfl_sync(...) shim::shuffle_typed("__shfl_sync", 0, SHIM_PLACE, __VA_ARGS__)
#define __shfl_xor_sync(...) shim::shuffle_typed("__shfl_xor_sync", 1, SHIM_PLACE, __VA_ARGS__)
#define __shfl_down_sync(...) shim::shuffle_typed("__shfl_down_sync", 2, SHIM_PLACE, __VA_ARGS__)
#define __shfl_up_sync(...) shim::shuffle_typed("__shfl_up_sync", 3, SHIM_PLACE, __VA_ARGS__)
#define __ballot_sync(mask, predicate) shim::ballot("__ballot_sync", mask, (predicate) != 0, SHIM_PLACE)
#define __any_sync(mask, predicate) (shim::ballot("__any_sync", mask, (predicate) != 0, SHIM_PLACE) != 0)
#define __all_sync(mask, predicate) (shim::ballot("__all_sync", mask, (predicate) == 0, SHIM_PLACE) == 0)
#define __reduce_add_sync(mask, value) shim::reduce_typed("__reduce_add_sync", 0, SHIM_PLACE, mask, value)
#define __reduce_min_sync(mask, value) shim::reduce_typed("__reduce_min_sync", 1, SHIM_PLACE, mask, value)
#define __reduce_max_sync(mask, value) shim::reduce_typed("__reduce_max_sync", 2, SHIM_PLACE, mask, value)
#define __reduce_and_sync(mask, value) shim::reduce_typed("__reduce_and_sync", 3, SHIM_PLACE, mask, value)
#define __reduce_or_sync(mask, value) shim::reduce_typed("__reduce_or_sync", 4, SHIM_PLACE, mask, value)
#define __reduce_xor_sync(mask, value) shim::reduce_typed("__reduce_xor_sync", 5, SHIM_PLACE, mask, value)

#include "intrinsics.h"
