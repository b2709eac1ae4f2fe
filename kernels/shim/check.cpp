// The checked build: kernels are compiled with -fsanitize=thread, and this stands in for its runtime. Each access of a kernel
// must be inside of shared memory or of one device allocation, and two accesses of different threads to one byte, one of them a
// write, must have a barrier between them (within a block; between blocks nothing but atomic operations orders them).
#ifdef L402_SHIM_CHECKED
#include "check.h"
#include "memory.h"
#include "shim.h"

#include <cstdio>
#include <dlfcn.h>
#include <memory>
#include <pthread.h>
#include <string>
#include <unordered_map>
#include <vector>

extern "C" {
extern char __ehdr_start[] __attribute__((visibility("hidden")));
extern char _end[] __attribute__((visibility("hidden")));
}

namespace shim {
bool on_fiber_stack(const void* at);
bool in_kernel();
}  // namespace shim

namespace shim::check {
namespace {

// Who accessed a byte, and when: a number of the block (never used again), the thread, the barriers of the block and those of the
// warp before.
struct Access {
    uint64_t block : 30, thread : 10, barriers : 16, warp : 7, atomic : 1;
};
static_assert(sizeof(Access) == 8);

struct Byte {
    Access write, read, other_read;
};

constexpr size_t PAGE = 4096;
std::unordered_map<uintptr_t, std::unique_ptr<Byte[]>> pages;
uintptr_t last_page = 0;
Byte* last_bytes = nullptr;

uint64_t block_number = 0, first_block = 0;
Access now{};
std::vector<unsigned> warp_barriers;
unsigned barriers_passed;
const char *dynamic_begin, *dynamic_end, *static_begin, *static_end, *host_begin, *host_end;
// The allocation that was accessed last.
const char *near_begin = nullptr, *near_end = nullptr;

bool within(const char* at, size_t size, const char* begin, const char* end) {
    return at >= begin && at < end && size <= static_cast<size_t>(end - at);
}

std::string place_of(const void* code) {
    Dl_info info;
    char text[600];
    if (!dladdr(code, &info) || !info.dli_fname) return "?";
    const size_t offset = static_cast<size_t>(static_cast<const char*>(code) - static_cast<const char*>(info.dli_fbase)) - 1;
    snprintf(text, sizeof text, "addr2line -s -i -e '%s' 0x%zx 2>/dev/null", info.dli_fname, offset);
    // The line, and those of the functions it was inlined into.
    std::string lines;
    if (FILE* out = popen(text, "r")) {
        while (fgets(text, sizeof text, out)) {
            text[strcspn(text, " \n")] = 0;
            if (strncmp(text, "shim.", 5) && strncmp(text, "??", 2)) lines += (lines.empty() ? "" : ", in ") + std::string(text);
        }
        pclose(out);
    }
    return lines.empty() ? "?" : lines;
}

Byte& byte_at(const char* at) {
    const uintptr_t page = reinterpret_cast<uintptr_t>(at) / PAGE;
    if (page != last_page || !last_bytes) {
        std::unique_ptr<Byte[]>& bytes = pages[page];
        if (!bytes) bytes.reset(new Byte[PAGE]());
        last_page = page, last_bytes = bytes.get();
    }
    return last_bytes[reinterpret_cast<uintptr_t>(at) % PAGE];
}

// Each block has its own shared memory.
bool ordered(Access before, bool shared) {
    if (before.block < first_block || (shared && before.block != now.block)) return true;
    if (before.atomic && now.atomic) return true;
    if (before.block != now.block) return false;
    if (before.thread == now.thread || before.barriers != now.barriers) return true;
    return before.thread / 32 == now.thread / 32 && before.warp != now.warp;
}

[[noreturn]] void race(const char* at, bool write, Access before, bool before_write, const void* code) {
    const char* memory = within(at, 1, dynamic_begin, dynamic_end) ? "dynamic shared" : within(at, 1, static_begin, static_end) ? "shared" : "global";
    const char* begin = *memory == 'd' ? dynamic_begin : *memory == 's' ? static_begin : near_begin;
    const std::string who = before.block == now.block ? "thread " + std::to_string(before.thread) + " of the block"
                                                      : "thread " + std::to_string(before.thread) + " of another block";
    fail("race: %s byte %td of %s memory, which %s %s, with no barrier between (%s)", write ? "writes" : "reads", at - begin, memory,
         who.c_str(), before_write ? "wrote" : "read", place_of(code).c_str());
}

// Whether the access is to shared or device memory. Aborts unless it is inside of it; the stacks and the program's own constants
// are no concern of ours.
bool concerns(const char* at, size_t size, bool write, const void* code) {
    if (within(at, size, near_begin, near_end) || within(at, size, dynamic_begin, dynamic_end)) return true;
    if (within(at, 1, static_begin, static_end)) return true;
    if (const memory::Allocation* it = memory::holding(at, size)) {
        near_begin = it->begin, near_end = it->begin + it->bytes;
        return true;
    }
    if (within(at, 1, __ehdr_start, _end) || within(at, 1, host_begin, host_end) || on_fiber_stack(at)) return false;
    const memory::Allocation* it = memory::holding(at, 1);
    if (it || memory::holding(at - 1, 1))
        fail("%s %zu bytes beyond the end of device memory (%s)", write ? "writes" : "reads", size, place_of(code).c_str());
    fail("%s %zu bytes at %p, which is not memory of the device or of the block (%s)", write ? "writes" : "reads", size, at, place_of(code).c_str());
}

void access(const void* address, size_t size, bool write, const void* code) {
    const char* at = static_cast<const char*>(address);
    if (!in_kernel() || !concerns(at, size, write, code)) return;
    const bool shared = within(at, 1, dynamic_begin, dynamic_end) || within(at, 1, static_begin, static_end);
    for (size_t i = 0; i < size; i++) {
        Byte& byte = byte_at(at + i);
        if (!ordered(byte.write, shared)) race(at + i, write, byte.write, true, code);
        if (write) {
            if (!ordered(byte.read, shared)) race(at + i, write, byte.read, false, code);
            if (!ordered(byte.other_read, shared)) race(at + i, write, byte.other_read, false, code);
            byte.write = now;
        } else {
            // Of reads by several threads two are kept, of different warps where there are.
            if (byte.read.block == now.block && byte.read.barriers == now.barriers && byte.read.thread / 32 != now.thread / 32)
                byte.other_read = byte.read;
            byte.read = now;
        }
    }
}

}  // namespace

void launch(unsigned threads, const void* dynamic, size_t dynamic_size, const void* shared_begin, const void* shared_end) {
    dynamic_begin = static_cast<const char*>(dynamic), dynamic_end = dynamic_begin + dynamic_size;
    static_begin = static_cast<const char*>(shared_begin), static_end = static_cast<const char*>(shared_end);
    near_begin = near_end = nullptr;
    warp_barriers.assign((threads + 31) / 32, 0);
    first_block = block_number + 1;
    pthread_attr_t attributes;
    void* stack;
    size_t size;
    if (pthread_getattr_np(pthread_self(), &attributes)) fail("pthread_getattr_np");
    pthread_attr_getstack(&attributes, &stack, &size);
    pthread_attr_destroy(&attributes);
    host_begin = static_cast<const char*>(stack), host_end = host_begin + size;
}

void block() {
    block_number++;
    barriers_passed = 0;
    warp_barriers.assign(warp_barriers.size(), 0);
}

void thread(unsigned index) {
    now.block = block_number, now.thread = index, now.barriers = barriers_passed, now.warp = warp_barriers[index / 32], now.atomic = 0;
}

void barrier() {
    barriers_passed++;
    warp_barriers.assign(warp_barriers.size(), 0);
}

// A barrier of some lanes orders nothing that is kept here: only those of whole warps count.
void warp(unsigned first_thread, unsigned mask) {
    if (mask == 0xffffffffu) warp_barriers[first_thread / 32]++;
}

void end() {}

void read(const void* at, size_t size, const void* code) { access(at, size, false, code ? code : __builtin_return_address(0)); }
void write(const void* at, size_t size, const void* code) { access(at, size, true, code ? code : __builtin_return_address(0)); }
void atomic(const void* at, size_t size) {
    now.atomic = 1;
    access(at, size, true, __builtin_return_address(0));
    now.atomic = 0;
}

}  // namespace shim::check

// What the compiler calls.
#define HOOK(name, size, write) \
    void name(const void* at) { shim::check::access(at, size, write, __builtin_return_address(0)); }
#define HOOKS(size)                              \
    HOOK(__tsan_read##size, size, false)         \
    HOOK(__tsan_write##size, size, true)         \
    HOOK(__tsan_unaligned_read##size, size, false) \
    HOOK(__tsan_unaligned_write##size, size, true) \
    HOOK(__tsan_volatile_read##size, size, false)  \
    HOOK(__tsan_volatile_write##size, size, true)
extern "C" {
HOOKS(1) HOOKS(2) HOOKS(4) HOOKS(8) HOOKS(16)
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}
void __tsan_read_range(const void* at, size_t size) { shim::check::access(at, size, false, __builtin_return_address(0)); }
void __tsan_write_range(const void* at, size_t size) { shim::check::access(at, size, true, __builtin_return_address(0)); }
}
#endif
