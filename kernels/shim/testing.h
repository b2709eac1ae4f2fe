// For small C++ programs that run a kernel on the shim and compare it with its definition to the bit.
#pragma once
#include "memory.h"
#include "shim.h"

#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace shim {

// Numbers for inputs: xorshift64.
struct Numbers {
    uint64_t state;
    explicit Numbers(uint64_t seed) : state(seed * 0x9e3779b97f4a7c15ull + 88172645463325252ull) {}
    uint64_t next() {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        return state;
    }
    // From -1 to 1.
    float uniform() { return static_cast<float>(next() >> 40) / 8388608.0f - 1.0f; }
    // A wide range of exponents, with zeros of both signs and subnormals now and then.
    float wide() {
        const unsigned kind = static_cast<unsigned>(next() >> 59);
        if (kind == 0) return next() >> 63 ? 0.0f : -0.0f;
        if (kind == 1) return uniform() * 0x1p-126f;
        return std::ldexp(uniform(), static_cast<int>(next() >> 59) - 16);
    }
    int below(int n) { return static_cast<int>((next() >> 33) % static_cast<uint64_t>(n)); }
    std::vector<float> vector(size_t n) {
        std::vector<float> out(n);
        for (float& x : out) x = uniform();
        return out;
    }
};

// Device memory: it ends within 15 bytes of a page that faults, and holds poison at first.
template <typename T>
class Buffer {
    T* at;
    size_t n;

public:
    explicit Buffer(size_t n) : at(static_cast<T*>(memory::allocate(n * sizeof(T)))), n(n) {}
    explicit Buffer(const std::vector<T>& from) : Buffer(from.size()) { memcpy(static_cast<void*>(at), from.data(), n * sizeof(T)); }
    Buffer(const Buffer&) = delete;
    ~Buffer() { memory::release(at); }
    operator T*() const { return at; }
    std::vector<T> host() const { return std::vector<T>(at, at + n); }
};

// Runs `test` with threads and blocks forward, reversed and shuffled.
inline void in_all_orders(const std::function<void(const char* order)>& test) {
    set_order(Order::forward), test("forward");
    set_order(Order::reversed), test("reversed");
    set_order(Order::shuffled, 1), test("shuffled:1");
    set_order(Order::shuffled, 2), test("shuffled:2");
}

// Ends the program unless the bits are equal.
template <typename T>
void expect_bits(const std::string& what, const std::vector<T>& got, const std::vector<T>& want) {
    if (got.size() != want.size()) fail("%s: %zu elements, not %zu", what.c_str(), got.size(), want.size());
    size_t differ = 0, first = 0;
    for (size_t i = got.size(); i-- > 0;)
        if (memcmp(&got[i], &want[i], sizeof(T))) differ++, first = i;
    if (differ)
        fail("%s: %zu of %zu elements differ, the first at %zu: %.9g, not %.9g", what.c_str(), differ, got.size(), first,
             static_cast<double>(got[first]), static_cast<double>(want[first]));
}

}  // namespace shim

#define LAUNCH(kernel, grid, block, shared, ...) shim::launch(#kernel, kernel, grid, block, shared, __VA_ARGS__)
