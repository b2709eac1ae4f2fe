// The scheduler of the shim: fibers, barriers, warp operations, shared memory.
#include "shim.h"
#include "check.h"
#include "fiber.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <csignal>
#include <string>
#include <sys/mman.h>
#include <unistd.h>
#include <vector>

extern "C" {
extern char __start_l402_shared[] __attribute__((weak, visibility("hidden")));
extern char __stop_l402_shared[] __attribute__((weak, visibility("hidden")));
}

// A report of the sanitizer ends in an abort, which says where.
extern "C" __attribute__((visibility("default"))) const char* __ubsan_default_options() { return "abort_on_error=1"; }

namespace shim {

uint3 thread_index, block_index;
dim3 block_size, grid_size;

namespace {

constexpr size_t STACK = 256 << 10;
constexpr unsigned POISON = 0x7fbadbad;  // a signalling NaN

enum class State : uint8_t { ready, barrier, warp, done };

struct Copy {
    unsigned char* to;
    const unsigned char* from;
    size_t size;
    int bytes;
    unsigned group;
};

struct Fiber {
    void* stack_pointer;
    State state;
    uint3 index;
    Place place;
    WarpOperation* operation;
    std::vector<Copy> copies;
    unsigned group;  // of the copies that are begun next
};

struct Random {
    uint64_t state;
    unsigned below(unsigned n) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        return static_cast<unsigned>((state >> 32) * n >> 32);
    }
};

Order order = Order::forward;
bool order_is_set = false;
Random random_state{1};

std::vector<Fiber> fibers;
char* stacks = nullptr;
size_t stack_count = 0;
void* scheduler;
Fiber* current = nullptr;
const std::function<void()>* thread_body;
const char* kernel_name = nullptr;
unsigned threads, warps;

char* dynamic_pages = nullptr;
size_t dynamic_capacity = 0;
unsigned char* dynamic_base = nullptr;
size_t dynamic_size = 0;

void yield(State state) {
    current->state = state;
    l402_shim_switch(&current->stack_pointer, scheduler);
}

void fiber_entry() {
    (*thread_body)();
    if (!current->copies.empty()) fail("the thread ends before its asynchronous copies have arrived");
    current->state = State::done;
    l402_shim_switch(&current->stack_pointer, scheduler);
    abort();
}

// 0..n in the order of this launch.
void arrange(std::vector<unsigned>& numbers, unsigned n) {
    numbers.resize(n);
    for (unsigned i = 0; i < n; i++) numbers[i] = order == Order::reversed ? n - 1 - i : i;
    if (order == Order::shuffled)
        for (unsigned i = n; i > 1; i--) std::swap(numbers[i - 1], numbers[random_state.below(i)]);
}

void read_order() {
    if (order_is_set) return;
    const char* text = getenv("L402_SHIM_ORDER");
    if (!text || !strcmp(text, "forward")) return set_order(Order::forward);
    if (!strcmp(text, "reversed")) return set_order(Order::reversed);
    if (!strncmp(text, "shuffled:", 9)) return set_order(Order::shuffled, strtoull(text + 9, nullptr, 10));
    fprintf(stderr, "shim: L402_SHIM_ORDER is forward, reversed or shuffled:SEED\n");
    abort();
}

void poison(void* at, size_t bytes) {
    unsigned* words = static_cast<unsigned*>(at);
    for (size_t i = 0; i < bytes / 4; i++) words[i] = POISON;
}

// Stacks with a page between them that faults.
void make_stacks(size_t count) {
    if (count <= stack_count) return;
    if (stacks) munmap(stacks, stack_count * STACK);
    void* at = mmap(nullptr, count * STACK, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) {
        perror("shim: mmap");
        abort();
    }
    stacks = static_cast<char*>(at);
    stack_count = count;
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    for (size_t i = 0; i < count; i++) mprotect(stacks + i * STACK, page, PROT_NONE);
}

// Dynamic shared memory ends at a page that faults.
void make_dynamic(size_t size) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t capacity = (size + page - 1) / page * page;
    if (!dynamic_pages || capacity > dynamic_capacity) {
        if (dynamic_pages) munmap(dynamic_pages, dynamic_capacity + page);
        void* at = mmap(nullptr, capacity + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (at == MAP_FAILED) {
            perror("shim: mmap");
            abort();
        }
        dynamic_pages = static_cast<char*>(at);
        dynamic_capacity = capacity;
        mprotect(dynamic_pages + capacity, page, PROT_NONE);
    }
    dynamic_size = (size + 15) / 16 * 16;
    dynamic_base = reinterpret_cast<unsigned char*>(dynamic_pages + dynamic_capacity - dynamic_size);
}

struct sigaction before_segv, before_bus, before_abort;

void on_fault(int signal, siginfo_t* info, void*) {
    struct sigaction* before = signal == SIGSEGV ? &before_segv : signal == SIGBUS ? &before_bus : &before_abort;
    if (current) {
        char text[400];
        const int length = snprintf(text, sizeof text, "shim: %s in kernel %s block (%u, %u, %u) thread (%u, %u, %u), address %p\n",
                                    signal == SIGABRT ? "abort" : "access outside of what is allocated", kernel_name, block_index.x,
                                    block_index.y, block_index.z, current->index.x, current->index.y, current->index.z,
                                    signal == SIGABRT ? nullptr : info->si_addr);
        if (write(2, text, static_cast<size_t>(length)) < 0) _exit(134);
        signal == SIGABRT ? (void)::signal(SIGABRT, SIG_DFL) : (void)0;
        current = nullptr;
        abort();
    }
    sigaction(signal, before, nullptr);
}

void install_faults() {
    static bool installed = false;
    if (installed) return;
    installed = true;
    static char alternate[64 << 10];
    stack_t stack{};
    if (sigaltstack(nullptr, &stack) == 0 && (stack.ss_flags & SS_DISABLE)) {
        stack.ss_sp = alternate, stack.ss_size = sizeof alternate, stack.ss_flags = 0;
        sigaltstack(&stack, nullptr);
    }
    struct sigaction action {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &before_segv);
    sigaction(SIGBUS, &action, &before_bus);
    sigaction(SIGABRT, &action, &before_abort);
}

const char* base_name(const char* path) {
    const char* slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

[[noreturn]] void fail_at(const Fiber& fiber, const std::string& message) {
    fprintf(stderr, "shim: kernel %s block (%u, %u, %u) thread (%u, %u, %u): %s\n", kernel_name, block_index.x, block_index.y,
            block_index.z, fiber.index.x, fiber.index.y, fiber.index.z, message.c_str());
    current = nullptr;
    signal(SIGABRT, SIG_DFL);
    abort();
}

std::string at(Place place) { return std::string(base_name(place.file)) + ":" + std::to_string(place.line); }

void run_fiber(unsigned i) {
    current = &fibers[i];
    current->state = State::ready;
    thread_index = current->index;
    check::thread(i);
    l402_shim_switch(&scheduler, current->stack_pointer);
    current = nullptr;
}

// Whether all lanes that `lane` waits for have come to the same operation.
bool complete(unsigned first, unsigned lane) {
    const WarpOperation& mine = *fibers[first + lane].operation;
    for (unsigned other = 0; other < 32; other++) {
        if (!(mine.mask >> other & 1)) continue;
        if (first + other >= threads) fail_at(fibers[first + lane], std::string(mine.name) + " names lanes that the block doesn't have");
        const Fiber& fiber = fibers[first + other];
        if (fiber.state != State::warp || fiber.operation->mask != mine.mask) return false;
        if (fiber.operation->resolve != mine.resolve || fiber.operation->name != mine.name ||
            fiber.operation->place.line != mine.place.line)
            fail_at(fiber, "lane " + std::to_string(other) + " is at " + fiber.operation->name + " of " + at(fiber.operation->place) +
                               ", lane " + std::to_string(lane) + " of its warp at " + mine.name + " of " + at(mine.place));
    }
    return true;
}

// Runs a warp until each of its threads is at a barrier or done.
void run_warp(unsigned warp) {
    static std::vector<unsigned> lanes;
    const unsigned first = warp * 32, count = threads - first < 32 ? threads - first : 32;
    for (;;) {
        arrange(lanes, count);
        unsigned waiting = 0;
        for (unsigned lane : lanes) {
            if (fibers[first + lane].state == State::ready) run_fiber(first + lane);
            if (fibers[first + lane].state == State::warp) waiting |= 1u << lane;
        }
        if (waiting == 0) return;
        bool progress = false;
        for (unsigned lane = 0; lane < count; lane++) {
            if (fibers[first + lane].state != State::warp || !complete(first, lane)) continue;
            const WarpOperation& operation = *fibers[first + lane].operation;
            WarpOperation* all[32] = {};
            for (unsigned other = 0; other < 32; other++)
                if (operation.mask >> other & 1) all[other] = fibers[first + other].operation;
            const unsigned mask = operation.mask;
            current = &fibers[first + lane];
            operation.resolve(all, mask);
            current = nullptr;
            for (unsigned other = 0; other < 32; other++)
                if (mask >> other & 1) fibers[first + other].state = State::ready;
            progress = true;
        }
        if (progress) continue;
        for (unsigned lane = 0; lane < count; lane++) {
            const Fiber& fiber = fibers[first + lane];
            if (fiber.state != State::warp) continue;
            for (unsigned other = 0; other < 32; other++) {
                if (!(fiber.operation->mask >> other & 1)) continue;
                const Fiber& missing = fibers[first + other];
                if (missing.state == State::warp && missing.operation->mask == fiber.operation->mask) continue;
                fail_at(fiber, std::string(fiber.operation->name) + " of " + at(fiber.operation->place) + " waits for lane " +
                                   std::to_string(other) + ", which " +
                                   (missing.state == State::done      ? "has ended"
                                    : missing.state == State::barrier ? "is at the barrier of " + at(missing.place)
                                                                      : "names other lanes at " + at(missing.operation->place)));
            }
        }
        abort();
    }
}

void run_block() {
    static std::vector<unsigned> sequence;
    if (&__start_l402_shared != nullptr)
        poison(__start_l402_shared, static_cast<size_t>(__stop_l402_shared - __start_l402_shared));
    poison(dynamic_base, dynamic_size);
    for (unsigned i = 0; i < threads; i++) {
        Fiber& fiber = fibers[i];
        fiber.stack_pointer = fiber_prepare(stacks + (i + 1) * STACK, fiber_entry);
        fiber.state = State::ready;
        fiber.index = {i % block_size.x, i / block_size.x % block_size.y, i / block_size.x / block_size.y};
        fiber.operation = nullptr;
        fiber.group = 0;
    }
    for (;;) {
        arrange(sequence, warps);
        for (unsigned warp : sequence) run_warp(warp);
        const Fiber *waits = nullptr, *ended = nullptr;
        for (unsigned i = 0; i < threads; i++) {
            const Fiber& fiber = fibers[i];
            if (fiber.state == State::done) {
                ended = &fiber;
                continue;
            }
            if (waits && waits->place.line != fiber.place.line)
                fail_at(fiber, "is at the barrier of " + at(fiber.place) + ", others are at that of " + at(waits->place));
            waits = &fiber;
        }
        if (!waits) return;
        if (ended) fail_at(*ended, "has ended, others wait at the barrier of " + at(waits->place));
        for (unsigned i = 0; i < threads; i++) fibers[i].state = State::ready;
        check::barrier();
    }
}

}  // namespace

bool on_fiber_stack(const void* at) { return at >= stacks && at < stacks + stack_count * STACK; }
bool in_kernel() { return current != nullptr; }

void set_order(Order new_order, uint64_t seed) {
    order = new_order;
    order_is_set = true;
    random_state.state = seed * 0x9e3779b97f4a7c15ull + 88172645463325252ull;
}

void fail(const char* format, ...) {
    char text[400];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (current) fail_at(*current, text);
    fprintf(stderr, "shim: %s\n", text);
    signal(SIGABRT, SIG_DFL);
    abort();
}

void run(const char* kernel, dim3 grid, dim3 block, size_t shared, const std::function<void()>& thread) {
    read_order();
    install_faults();
    kernel_name = kernel, grid_size = grid, block_size = block, thread_body = &thread;
    const uint64_t total = static_cast<uint64_t>(block.x) * block.y * block.z;
    if (total == 0 || total > 1024 || block.z > 64) fail("kernel %s: a block of %u x %u x %u threads", kernel, block.x, block.y, block.z);
    if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
        fail("kernel %s: a grid of %u x %u x %u blocks", kernel, grid.x, grid.y, grid.z);
    if (shared > 227 * 1024) fail("kernel %s: %zu bytes of shared memory", kernel, shared);
    threads = static_cast<unsigned>(total), warps = (threads + 31) / 32;
    fibers.resize(threads);
    make_stacks(threads);
    make_dynamic(shared);
    check::launch(threads, dynamic_base, dynamic_size, &__start_l402_shared ? __start_l402_shared : nullptr,
                  &__start_l402_shared ? __stop_l402_shared : nullptr);
    std::vector<unsigned> columns;
    for (unsigned z = 0; z < grid.z; z++)
        for (unsigned y = 0; y < grid.y; y++) {
            arrange(columns, grid.x);
            for (unsigned x : columns) {
                block_index = {x, order == Order::reversed ? grid.y - 1 - y : y, order == Order::reversed ? grid.z - 1 - z : z};
                check::block();
                run_block();
            }
        }
    check::end();
}

void barrier(Place place) {
    current->place = place;
    yield(State::barrier);
}

unsigned char* dynamic_shared(size_t align) {
    if (align > 16) fail("dynamic shared memory is on 16 bytes");
    if (dynamic_size == 0) fail("the launch gives no dynamic shared memory");
    return dynamic_base;
}

void warp_operation(WarpOperation& operation) {
    const unsigned linear = static_cast<unsigned>(current - fibers.data());
    if (!(operation.mask >> (linear % 32) & 1)) fail("%s: the mask %08x leaves out the calling lane", operation.name, operation.mask);
    current->operation = &operation;
    yield(State::warp);
}

void warp_barrier(unsigned mask, Place place) {
    WarpOperation operation{};
    operation.name = "__syncwarp", operation.mask = mask, operation.place = place;
    operation.resolve = [](WarpOperation* const*, unsigned mask) {
        check::warp(static_cast<unsigned>(current - fibers.data()) / 32 * 32, mask);
    };
    warp_operation(operation);
}

void copy_begin(void* shared, const void* global, size_t size, int bytes) {
    const uintptr_t misaligned = (reinterpret_cast<uintptr_t>(shared) | reinterpret_cast<uintptr_t>(global)) % size;
    if (misaligned) fail("cp.async of %zu bytes from %p to %p: not on %zu bytes", size, global, shared, size);
    if (bytes < 0 || static_cast<size_t>(bytes) > size) fail("cp.async of %zu bytes reads %d", size, bytes);
    check::write(shared, size, __builtin_return_address(0));
    if (bytes) check::read(global, static_cast<size_t>(bytes), __builtin_return_address(0));
    poison(shared, size);
    current->copies.push_back({static_cast<unsigned char*>(shared), static_cast<const unsigned char*>(global), size, bytes, current->group});
}

void copy_commit() { current->group++; }

void copy_wait(int pending) {
    std::vector<Copy> left;
    for (const Copy& copy : current->copies) {
        // A copy that isn't committed, or is of one of the last groups, is still under way.
        if (copy.group + static_cast<unsigned>(pending) >= current->group) {
            left.push_back(copy);
            continue;
        }
        check::write(copy.to, copy.size, __builtin_return_address(0));
        memcpy(copy.to, copy.from, static_cast<size_t>(copy.bytes));
        memset(copy.to + copy.bytes, 0, copy.size - static_cast<size_t>(copy.bytes));
    }
    current->copies.swap(left);
}

namespace {
Registered* registered = nullptr;
}

Registered::Registered(const char* name, void (*call)(void**), unsigned parameters, const size_t* sizes)
    : name(name), call(call), parameters(parameters), sizes(sizes), next(registered) {
    registered = this;
}

const Registered* find(const char* name, size_t length) {
    for (const Registered* kernel = registered; kernel; kernel = kernel->next)
        if (strlen(kernel->name) == length && !memcmp(kernel->name, name, length)) return kernel;
    return nullptr;
}

}  // namespace shim
