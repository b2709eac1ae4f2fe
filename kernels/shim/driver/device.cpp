// Devices, contexts and errors.
#include "driver.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace driver {

std::recursive_mutex mutex;
std::vector<std::unique_ptr<Context>> contexts;
thread_local Context* current = nullptr;

namespace {
bool initialised = false;

Settings read() {
    Settings out;
    if (const char* devices = getenv("L402_SHIM_DEVICES")) out.devices = atoi(devices);
    if (const char* streams = getenv("L402_SHIM_STREAMS")) out.eager = !strcmp(streams, "eager");
    const char* text = getenv("L402_SHIM_FAULT");
    std::string rest = text ? text : "";
    while (!rest.empty()) {
        const size_t comma = rest.find(',');
        const std::string fault = rest.substr(0, comma);
        rest = comma == std::string::npos ? "" : rest.substr(comma + 1);
        const size_t colon = fault.find(':');
        const std::string name = fault.substr(0, colon), value = colon == std::string::npos ? "" : fault.substr(colon + 1);
        if (name == "no-device") out.no_device = true;
        else if (name == "driver") out.version = atoi(value.c_str());
        else if (name == "memory") out.memory = strtoull(value.c_str(), nullptr, 10);
        else if (name == "capability") out.capability = atoi(value.c_str());
        else if (name == "lost") out.lost = strtoull(value.c_str(), nullptr, 10);
        else if (name == "flip") out.flip = value;
        else if (name == "pinned") out.pinned = strtoull(value.c_str(), nullptr, 10);
        else if (name == "unwaited") out.unwaited = value;
        else if (name == "kernels") out.no_kernels = true, out.kernels = value;
        else shim::fail("L402_SHIM_FAULT: %s is none", fault.c_str());
    }
    return out;
}

void write_memory() {
    FILE* out = fopen(getenv("L402_SHIM_MEMORY"), "w");
    if (!out) shim::fail("L402_SHIM_MEMORY: cannot be written");
    for (const auto& context : contexts)
        fprintf(out, "%zu %llu\n", context->pool.most, static_cast<unsigned long long>(context->pool.given_back));
    fclose(out);
}

Context* context_of(CUdevice device) {
    return device >= 0 && static_cast<size_t>(device) < contexts.size() ? contexts[static_cast<size_t>(device)].get() : nullptr;
}

struct Error {
    CUresult code;
    const char* name;
    const char* text;
};
const Error errors[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {CUDA_ERROR_NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU", "no kernel image is available for execution on the device"},
    {CUDA_ERROR_INVALID_PTX, "CUDA_ERROR_INVALID_PTX", "a PTX JIT compilation failed"},
    {CUDA_ERROR_UNSUPPORTED_PTX_VERSION, "CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "the provided PTX was compiled with an unsupported toolchain."},
    {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {CUDA_ERROR_NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {CUDA_ERROR_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
};
const Error* find(CUresult code) {
    for (const Error& error : errors)
        if (error.code == code) return &error;
    return nullptr;
}
}  // namespace

const Settings& settings() {
    static const Settings values = read();
    return values;
}

CUresult enter() {
    if (!initialised) return CUDA_ERROR_NOT_INITIALIZED;
    if (!current || !current->retained) return CUDA_ERROR_INVALID_CONTEXT;
    return current->lost ? CUDA_ERROR_LAUNCH_FAILED : CUDA_SUCCESS;
}

}  // namespace driver

using namespace driver;
using Lock = std::lock_guard<std::recursive_mutex>;

DRIVER_API cuInit(unsigned flags) {
    Lock lock(mutex);
    if (flags) return CUDA_ERROR_INVALID_VALUE;
    if (settings().no_device) return CUDA_ERROR_NO_DEVICE;
    if (initialised) return CUDA_SUCCESS;
    for (int device = 0; device < settings().devices; device++) {
        contexts.push_back(std::make_unique<Context>());
        Context& context = *contexts.back();
        context.device = device;
        context.null_stream = std::make_unique<Stream>();
        context.null_stream->context = &context, context.null_stream->blocking = true;
        context.streams.insert(context.null_stream.get());
    }
    initialised = true;
    if (getenv("L402_SHIM_MEMORY")) atexit(write_memory);
    return CUDA_SUCCESS;
}

DRIVER_API cuDriverGetVersion(int* version) {
    *version = settings().version;
    return CUDA_SUCCESS;
}

DRIVER_API cuDeviceGetCount(int* count) {
    if (!initialised) return CUDA_ERROR_NOT_INITIALIZED;
    *count = settings().devices;
    return CUDA_SUCCESS;
}

DRIVER_API cuDeviceGet(CUdevice* device, int ordinal) {
    if (!initialised) return CUDA_ERROR_NOT_INITIALIZED;
    if (!context_of(ordinal)) return CUDA_ERROR_INVALID_DEVICE;
    *device = ordinal;
    return CUDA_SUCCESS;
}

DRIVER_API cuDeviceGetName(char* name, int length, CUdevice device) {
    if (!context_of(device)) return CUDA_ERROR_INVALID_DEVICE;
    snprintf(name, static_cast<size_t>(length), "L402 shim %d", device);
    return CUDA_SUCCESS;
}

DRIVER_API cuDeviceGetUuid_v2(void* uuid, CUdevice device) {
    if (!context_of(device)) return CUDA_ERROR_INVALID_DEVICE;
    memset(uuid, 0x40 + device, 16);
    return CUDA_SUCCESS;
}
DRIVER_API cuDeviceGetUuid(void* uuid, CUdevice device) { return cuDeviceGetUuid_v2(uuid, device); }

DRIVER_API cuDeviceTotalMem_v2(size_t* bytes, CUdevice device) {
    if (!context_of(device)) return CUDA_ERROR_INVALID_DEVICE;
    *bytes = settings().memory;
    return CUDA_SUCCESS;
}

// The figures of an A100, but for the capability and the memory.
DRIVER_API cuDeviceGetAttribute(int* value, int attribute, CUdevice device) {
    if (!context_of(device)) return CUDA_ERROR_INVALID_DEVICE;
    switch (attribute) {
        case 1: *value = 1024; break;                          // threads per block
        case 2: case 3: *value = 1024; break;                  // block x, y
        case 4: *value = 64; break;                            // block z
        case 5: *value = 0x7fffffff; break;                    // grid x
        case 6: case 7: *value = 65535; break;                 // grid y, z
        case 8: *value = 48 << 10; break;                      // shared memory per block
        case 10: *value = 32; break;                           // warp
        case 12: case 82: *value = 65536; break;               // registers per block, per multiprocessor
        case 13: *value = 1410000; break;                      // clock, kHz
        case 16: *value = 108; break;                          // multiprocessors
        case 33: *value = device + 1; break;                   // PCI bus
        case 36: *value = 1215000; break;                      // memory clock, kHz
        case 37: *value = 5120; break;                         // memory bus, bits
        case 38: *value = 40 << 20; break;                     // L2
        case 39: *value = 2048; break;                         // threads per multiprocessor
        case 40: *value = 2; break;                            // copy engines
        case 75: *value = settings().capability / 10; break;
        case 76: *value = settings().capability % 10; break;
        case 81: *value = 164 << 10; break;                    // shared memory per multiprocessor
        case 97: *value = 163 << 10; break;                    // shared memory per block, at most
        case 106: *value = 32; break;                          // blocks per multiprocessor
        case 111: *value = 1 << 10; break;                     // reserved shared memory per block
        case 115: *value = 1; break;                           // memory pools
        default: *value = 0;
    }
    return CUDA_SUCCESS;
}

DRIVER_API cuDevicePrimaryCtxRetain(void** out, CUdevice device) {
    Lock lock(mutex);
    Context* context = context_of(device);
    if (!context) return CUDA_ERROR_INVALID_DEVICE;
    context->retained++;
    *out = context;
    return CUDA_SUCCESS;
}

DRIVER_API cuDevicePrimaryCtxRelease_v2(CUdevice device) {
    Lock lock(mutex);
    Context* context = context_of(device);
    if (!context || !context->retained) return CUDA_ERROR_INVALID_CONTEXT;
    if (context->retained == 1 && !context->lost) run_all(*context);
    context->retained--;
    return CUDA_SUCCESS;
}

DRIVER_API cuCtxSetCurrent(void* context) {
    Lock lock(mutex);
    current = static_cast<Context*>(context);
    return CUDA_SUCCESS;
}

DRIVER_API cuCtxGetCurrent(void** context) {
    *context = current;
    return CUDA_SUCCESS;
}

DRIVER_API cuCtxGetDevice(CUdevice* device) {
    if (!current) return CUDA_ERROR_INVALID_CONTEXT;
    *device = current->device;
    return CUDA_SUCCESS;
}

DRIVER_API cuCtxSetFlags(unsigned) { return CUDA_SUCCESS; }

DRIVER_API cuCtxGetStreamPriorityRange(int* least, int* greatest) {
    *least = 0, *greatest = -5;
    return CUDA_SUCCESS;
}

DRIVER_API cuCtxSynchronize() {
    Lock lock(mutex);
    if (const CUresult state = enter()) return state;
    run_all(*current);
    waited(*current);
    return enter();
}

DRIVER_API cuGetErrorName(CUresult code, const char** name) {
    const Error* error = find(code);
    *name = error ? error->name : nullptr;
    return error ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

DRIVER_API cuGetErrorString(CUresult code, const char** text) {
    const Error* error = find(code);
    *text = error ? error->text : nullptr;
    return error ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}
