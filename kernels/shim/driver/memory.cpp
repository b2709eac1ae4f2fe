// Device memory, pinned memory and copies.
#include "driver.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

namespace driver {
namespace {

std::map<CUdeviceptr, Context*> owners;
std::map<const char*, size_t> pinned;
size_t all_pinned = 0;

void take(Pool& pool, size_t bytes) {
    if (pool.used == 0) pool.most = 0;
    pool.used += bytes;
    if (pool.used > pool.most) pool.most = pool.used;
    if (pool.used > pool.reserved) pool.reserved = pool.used;
}

CUresult release(Context& context, CUdeviceptr at) {
    const auto owner = owners.find(at);
    if (owner == owners.end()) return CUDA_ERROR_INVALID_VALUE;
    if (owner->second != &context) shim::fail("cuMemFree: memory of device %d is freed on device %d", owner->second->device, context.device);
    void* begin = reinterpret_cast<void*>(at);
    context.allocated -= shim::memory::holding(begin, 0)->bytes;
    owners.erase(owner);
    shim::memory::release(begin);
    return CUDA_SUCCESS;
}

// A copy whose host side is not pinned is staged: the host may go on with its memory when the call returns.
CUresult to_device(const char* function, Context& context, Stream& stream, CUdeviceptr to, const void* from, size_t bytes) {
    void* destination = memory_of(context, function, to, bytes);
    if (is_pinned(from, bytes)) {
        give(stream, [=] { memcpy(destination, from, bytes); });
        stream.copied = "uploads", stream.copied_at = stream.given;
        return CUDA_SUCCESS;
    }
    auto staged = std::make_shared<std::vector<char>>(static_cast<const char*>(from), static_cast<const char*>(from) + bytes);
    give(stream, [=] { memcpy(destination, staged->data(), bytes); });
    return CUDA_SUCCESS;
}

CUresult to_host(const char* function, Context& context, Stream& stream, void* to, CUdeviceptr from, size_t bytes) {
    const void* source = memory_of(context, function, from, bytes);
    give(stream, [=] { memcpy(to, source, bytes); });
    if (!is_pinned(to, bytes)) return wait(stream);
    stream.copied = "downloads", stream.copied_at = stream.given;
    return CUDA_SUCCESS;
}

}  // namespace

CUresult allocate(Context& context, CUdeviceptr* at, size_t bytes) {
    if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    // Memory whose freeing is queued counts as free.
    if (bytes > settings().memory - context.allocated) run_all(context);
    if (bytes > settings().memory - context.allocated) return CUDA_ERROR_OUT_OF_MEMORY;
    void* memory = shim::memory::allocate(bytes);
    if (!memory) return CUDA_ERROR_OUT_OF_MEMORY;
    context.allocated += bytes;
    take(context.pool, bytes);
    *at = reinterpret_cast<CUdeviceptr>(memory);
    owners[*at] = &context;
    return CUDA_SUCCESS;
}

void* memory_of(const Context& context, const char* function, CUdeviceptr at, size_t bytes) {
    void* address = reinterpret_cast<void*>(at);
    const shim::memory::Allocation* it = shim::memory::holding(address, bytes);
    if (!it) shim::fail("%s: %zu bytes at %p are not inside of what is allocated on the device", function, bytes, address);
    if (owners.at(reinterpret_cast<CUdeviceptr>(it->begin)) != &context)
        shim::fail("%s: %p is memory of another device than %d", function, address, context.device);
    return address;
}

bool is_pinned(const void* at, size_t bytes) {
    const char* address = static_cast<const char*>(at);
    auto next = pinned.upper_bound(address);
    if (next == pinned.begin()) return false;
    const auto& it = *std::prev(next);
    const size_t offset = static_cast<size_t>(address - it.first);
    return offset <= it.second && bytes <= it.second - offset;
}

void waited(Context& context) {
    Pool& pool = context.pool;
    const size_t keeps = pool.threshold > pool.used ? static_cast<size_t>(pool.threshold) : pool.used;
    if (pool.reserved > keeps) pool.reserved = keeps, pool.given_back++;
}

}  // namespace driver

using namespace driver;
using Lock = std::lock_guard<std::recursive_mutex>;

#define ENTER                                     \
    Lock lock(mutex);                             \
    if (const CUresult state = enter()) return state
#define STREAM(handle)                                        \
    Stream* stream = stream_of(handle);                       \
    if (!stream) return CUDA_ERROR_INVALID_HANDLE

DRIVER_API cuMemGetInfo_v2(size_t* free, size_t* total) {
    ENTER;
    *total = settings().memory, *free = settings().memory - std::max(current->pool.reserved, current->allocated);
    return CUDA_SUCCESS;
}

DRIVER_API cuMemAlloc_v2(CUdeviceptr* at, size_t bytes) {
    ENTER;
    return allocate(*current, at, bytes);
}

DRIVER_API cuMemAllocAsync(CUdeviceptr* at, size_t bytes, void* handle) {
    ENTER;
    STREAM(handle);
    return allocate(*current, at, bytes);
}

// Waits for all that is under way, as the driver does.
DRIVER_API cuMemFree_v2(CUdeviceptr at) {
    ENTER;
    run_all(*current);
    const shim::memory::Allocation* it = shim::memory::holding(reinterpret_cast<void*>(at), 1);
    if (it) current->pool.used -= it->bytes;
    return release(*current, at);
}

DRIVER_API cuMemFreeAsync(CUdeviceptr at, void* handle) {
    ENTER;
    STREAM(handle);
    memory_of(*current, "cuMemFreeAsync", at, 1);
    current->pool.used -= shim::memory::holding(reinterpret_cast<void*>(at), 1)->bytes;
    give(*stream, [at, context = current] {
        if (release(*context, at)) shim::fail("cuMemFreeAsync: %p is not the beginning of an allocation", reinterpret_cast<void*>(at));
    });
    return CUDA_SUCCESS;
}

// The pool of a device is its context's.
DRIVER_API cuDeviceGetDefaultMemPool(void** pool, CUdevice device) {
    Lock lock(mutex);
    if (device < 0 || static_cast<size_t>(device) >= contexts.size()) return CUDA_ERROR_INVALID_DEVICE;
    *pool = &contexts[static_cast<size_t>(device)]->pool;
    return CUDA_SUCCESS;
}

DRIVER_API cuMemPoolSetAttribute(void* pool, int attribute, void* value) {
    Lock lock(mutex);
    // Of those the release threshold matters here.
    if (attribute != 4) return CUDA_ERROR_INVALID_VALUE;
    static_cast<Pool*>(pool)->threshold = *static_cast<uint64_t*>(value);
    return CUDA_SUCCESS;
}

DRIVER_API cuMemPoolTrimTo(void* handle, size_t bytes) {
    Lock lock(mutex);
    Pool& pool = *static_cast<Pool*>(handle);
    pool.reserved = std::min(pool.reserved, std::max(bytes, pool.used));
    return CUDA_SUCCESS;
}

DRIVER_API cuMemHostAlloc(void** out, size_t bytes, unsigned) {
    ENTER;
    // What is pinned is counted, not locked: the shim runs where little may be locked.
    void* memory = nullptr;
    if (bytes == 0) return CUDA_ERROR_INVALID_VALUE;
    if (bytes > settings().pinned - all_pinned) return CUDA_ERROR_OUT_OF_MEMORY;
    if (posix_memalign(&memory, 4096, bytes)) return CUDA_ERROR_OUT_OF_MEMORY;
    for (size_t i = 0; i + 4 <= bytes; i += 4) memcpy(static_cast<char*>(memory) + i, "\xad\xdb\xba\x7f", 4);
    pinned[static_cast<const char*>(memory)] = bytes;
    all_pinned += bytes;
    *out = memory;
    return CUDA_SUCCESS;
}

DRIVER_API cuMemFreeHost(void* memory) {
    ENTER;
    run_all(*current);
    const auto found = pinned.find(static_cast<const char*>(memory));
    if (found == pinned.end()) return CUDA_ERROR_INVALID_VALUE;
    all_pinned -= found->second;
    pinned.erase(found);
    free(memory);
    return CUDA_SUCCESS;
}

DRIVER_API cuMemcpyHtoD_v2(CUdeviceptr to, const void* from, size_t bytes) {
    ENTER;
    if (const CUresult failed = to_device("cuMemcpyHtoD", *current, *current->null_stream, to, from, bytes)) return failed;
    return wait(*current->null_stream);
}

DRIVER_API cuMemcpyHtoDAsync_v2(CUdeviceptr to, const void* from, size_t bytes, void* handle) {
    ENTER;
    STREAM(handle);
    return to_device("cuMemcpyHtoDAsync", *current, *stream, to, from, bytes);
}

DRIVER_API cuMemcpyDtoH_v2(void* to, CUdeviceptr from, size_t bytes) {
    ENTER;
    if (const CUresult failed = to_host("cuMemcpyDtoH", *current, *current->null_stream, to, from, bytes)) return failed;
    return wait(*current->null_stream);
}

DRIVER_API cuMemcpyDtoHAsync_v2(void* to, CUdeviceptr from, size_t bytes, void* handle) {
    ENTER;
    STREAM(handle);
    return to_host("cuMemcpyDtoHAsync", *current, *stream, to, from, bytes);
}

DRIVER_API cuMemcpyDtoDAsync_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes, void* handle) {
    ENTER;
    STREAM(handle);
    void* destination = memory_of(*current, "cuMemcpyDtoDAsync", to, bytes);
    const void* source = memory_of(*current, "cuMemcpyDtoDAsync", from, bytes);
    if (bytes && (to < from ? to + bytes > from : from + bytes > to)) shim::fail("cuMemcpyDtoDAsync: the two overlap");
    give(*stream, [=] { memcpy(destination, source, bytes); });
    return CUDA_SUCCESS;
}
// Does not wait, but is in the order of the null stream.
DRIVER_API cuMemcpyDtoD_v2(CUdeviceptr to, CUdeviceptr from, size_t bytes) { return cuMemcpyDtoDAsync_v2(to, from, bytes, nullptr); }

DRIVER_API cuMemcpyPeerAsync(CUdeviceptr to, void* to_context, CUdeviceptr from, void* from_context, size_t bytes, void* handle) {
    ENTER;
    STREAM(handle);
    void* destination = memory_of(*static_cast<Context*>(to_context), "cuMemcpyPeerAsync", to, bytes);
    const void* source = memory_of(*static_cast<Context*>(from_context), "cuMemcpyPeerAsync", from, bytes);
    give(*stream, [=] { memcpy(destination, source, bytes); });
    return CUDA_SUCCESS;
}

DRIVER_API cuMemsetD8Async(CUdeviceptr at, unsigned char value, size_t bytes, void* handle) {
    ENTER;
    STREAM(handle);
    void* memory = memory_of(*current, "cuMemsetD8Async", at, bytes);
    give(*stream, [=] { memset(memory, value, bytes); });
    return CUDA_SUCCESS;
}
DRIVER_API cuMemsetD8_v2(CUdeviceptr at, unsigned char value, size_t bytes) { return cuMemsetD8Async(at, value, bytes, nullptr); }

DRIVER_API cuMemsetD32Async(CUdeviceptr at, unsigned value, size_t count, void* handle) {
    ENTER;
    STREAM(handle);
    if (at % 4) return CUDA_ERROR_INVALID_VALUE;
    unsigned* memory = static_cast<unsigned*>(memory_of(*current, "cuMemsetD32Async", at, 4 * count));
    give(*stream, [=] {
        for (size_t i = 0; i < count; i++) memory[i] = value;
    });
    return CUDA_SUCCESS;
}
DRIVER_API cuMemsetD32_v2(CUdeviceptr at, unsigned value, size_t count) { return cuMemsetD32Async(at, value, count, nullptr); }
