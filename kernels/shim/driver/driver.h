// A CUDA driver whose devices are the shim: what its parts share.
//
// Work given to a stream runs as late as it may: when the host waits for it, or something that the host waits for does. So a
// missing wait gives wrong bits here, too. L402_SHIM_STREAMS=eager runs it at once.
#pragma once
#include "../memory.h"
#include "../shim.h"

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

using CUdevice = int;
using CUdeviceptr = unsigned long long;

enum CUresult : int {
    CUDA_SUCCESS = 0,
    CUDA_ERROR_INVALID_VALUE = 1,
    CUDA_ERROR_OUT_OF_MEMORY = 2,
    CUDA_ERROR_NOT_INITIALIZED = 3,
    CUDA_ERROR_NO_DEVICE = 100,
    CUDA_ERROR_INVALID_DEVICE = 101,
    CUDA_ERROR_INVALID_CONTEXT = 201,
    CUDA_ERROR_NO_BINARY_FOR_GPU = 209,
    CUDA_ERROR_INVALID_PTX = 218,
    CUDA_ERROR_UNSUPPORTED_PTX_VERSION = 222,
    CUDA_ERROR_INVALID_HANDLE = 400,
    CUDA_ERROR_NOT_FOUND = 500,
    CUDA_ERROR_NOT_READY = 600,
    CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES = 701,
    CUDA_ERROR_LAUNCH_FAILED = 719,
    CUDA_ERROR_NOT_SUPPORTED = 801,
};

#define DRIVER_API extern "C" __attribute__((visibility("default"))) CUresult

namespace driver {

// What goes wrong on purpose: L402_SHIM_FAULT holds, divided by commas,
//   no-device           there is a driver, but no device
//   driver:11000        the driver's version
//   memory:BYTES        the memory of a device (4 GiB without)
//   capability:75       the compute capability (80 without)
//   lost:N              the N-th launch, and all that comes after it, fails
//   flip:KERNEL         each launch of this kernel gives one wrong bit
//   pinned:BYTES        the memory that may be pinned
//   unwaited:uploads    whoever waits for an event that comes after a copy from pinned memory waits for nothing; of one to pinned
//                       memory with unwaited:downloads
//   kernels:KERNEL      the file of this kernel is not compiled; all of them without one
// L402_SHIM_DEVICES is the number of devices (1 without). L402_SHIM_MEMORY names a file for a line for each device at the end: the
// most bytes that were allocated at a time since it last was empty, by the order of calls, and how often the pool gave memory back
// because the host waited.
struct Settings {
    bool no_device = false, eager = false, no_kernels = false;
    int version = 12080, devices = 1, capability = 80;
    size_t memory = size_t(4) << 30, pinned = SIZE_MAX;
    uint64_t lost = 0;
    std::string flip, kernels, unwaited;
};
const Settings& settings();

struct Stream;

// What a device's pool has: by the order of calls, in which the driver hands out again what was freed before.
struct Pool {
    size_t used = 0, reserved = 0, most = 0;
    uint64_t threshold = 0, given_back = 0;
};

// The primary context of a device.
struct Context {
    CUdevice device;
    int retained = 0;
    bool lost = false;
    size_t allocated = 0;  // with what a queued freeing still holds
    Pool pool;
    uint64_t launches = 0;
    std::unique_ptr<Stream> null_stream;
    std::set<Stream*> streams;  // all, with the null stream
};

struct Stream {
    Context* context;
    bool blocking;  // waits for the null stream, and it for this one
    std::deque<std::function<void()>> queue;
    uint64_t given = 0, done = 0;  // work that was queued, and that has run
    // The last copy from or to pinned memory, and its position.
    const char* copied = "";
    uint64_t copied_at = 0;
};

struct Event {
    Context* context;
    Stream* stream = nullptr;
    uint64_t position = 0;
    const char* after = "";  // the copy that it comes right after
    std::shared_ptr<double> seconds;  // when it was reached
};

extern std::recursive_mutex mutex;
extern std::vector<std::unique_ptr<Context>> contexts;
extern thread_local Context* current;

// Whether the calling thread may go on: there is a device, a current context, and it isn't lost.
CUresult enter();

// The stream of a handle, or null when it is none.
Stream* stream_of(void* handle);

// Queues work.
void give(Stream& stream, std::function<void()> work);
// Runs a stream's work up to a position.
void run_until(Stream& stream, uint64_t position);
void run_all(Context& context);
CUresult wait(Stream& stream);
// The host has waited: the pool gives back what it has beyond its threshold.
void waited(Context& context);

// Device memory: allocated on a device, and known by it.
CUresult allocate(Context& context, CUdeviceptr* at, size_t bytes);
// Aborts unless [at, at + bytes) is of one allocation of this device.
void* memory_of(const Context& context, const char* function, CUdeviceptr at, size_t bytes);
bool is_pinned(const void* at, size_t bytes);

}  // namespace driver
