// Modules: PTX names the kernels, their parameters and their static shared memory; what runs is the kernel of that name that was
// compiled for the CPU. Launches.
#include "driver.h"

#include <cstdlib>
#include <cstring>

namespace driver {
namespace {

struct Function {
    std::string name;
    const shim::Registered* kernel;
    std::vector<size_t> parameters;  // bytes
    size_t most_threads = 1024, static_shared = 0;
    size_t dynamic_limit = 48 << 10;
};

struct Module {
    Context* context;
    std::map<std::string, std::unique_ptr<Function>> functions;
};
std::set<Module*> modules;
std::set<Function*> functions;

constexpr size_t MOST_SHARED = 163 << 10;

size_t number_after(const std::string& text, size_t at) { return strtoull(text.c_str() + at, nullptr, 10); }

// The bytes of `.param .u64 name`, or of `.param .align 8 .b8 name[24]`.
size_t parameter_size(const std::string& line) {
    const size_t type = line.find(".param ") + 7;
    if (line.compare(type, 6, ".align") == 0) return number_after(line, line.find('[') + 1);
    return number_after(line, type + 2) / 8;
}

size_t shared_size(const std::string& line) {
    const size_t open = line.find('[');
    const size_t unit = line.find(".b8") != std::string::npos ? 1 : line.find("64") != std::string::npos ? 8 : 4;
    return open == std::string::npos ? unit : unit * number_after(line, open + 1);
}

// Reads the lines of PTX that matter.
CUresult read(const char* text, Module& module) {
    std::string version, target;
    Function* function = nullptr;
    const char* end;
    for (const char* line_begin = text; *line_begin; line_begin = *end ? end + 1 : end) {
        end = strchr(line_begin, '\n');
        if (!end) end = line_begin + strlen(line_begin);
        const std::string line(line_begin, end);
        size_t at;
        if (line.rfind("//", 0) == 0) continue;
        if (line.rfind(".version ", 0) == 0) version = line.substr(9);
        else if (line.rfind(".target ", 0) == 0) target = line.substr(8);
        else if ((at = line.find(".entry ")) != std::string::npos) {
            const size_t begin = at + 7;
            const std::string name = line.substr(begin, line.find_first_of("( \t\r", begin) - begin);
            auto fresh = std::make_unique<Function>();
            fresh->name = name, fresh->kernel = shim::find(name.data(), name.size());
            function = fresh.get();
            module.functions[name] = std::move(fresh);
        } else if (function && line.find(".param ") != std::string::npos && line.find("ld.param") == std::string::npos) {
            function->parameters.push_back(parameter_size(line));
        } else if (function && (at = line.find(".maxntid ")) != std::string::npos) {
            size_t threads = 1;
            for (const char* number = line.c_str() + at + 9; number; number = strchr(number, ',') ? strchr(number, ',') + 1 : nullptr)
                threads *= strtoull(number, nullptr, 10);
            function->most_threads = threads;
        } else if (function && line.find(".shared ") != std::string::npos && line.find(".align") != std::string::npos &&
                   line.find(".extern") == std::string::npos) {
            function->static_shared += shared_size(line);
        }
    }
    if (version.empty() || target.rfind("sm_", 0) != 0 || module.functions.empty()) return CUDA_ERROR_INVALID_PTX;
    const int major = atoi(version.c_str()), minor = atoi(version.c_str() + version.find('.') + 1);
    // PTX 8.0 came with CUDA 12.0, 8.5 with 12.5, 8.7 with 12.8.
    const int least = (major + 4) * 1000 + 10 * (major == 8 && minor > 5 ? minor + 1 : minor);
    if (settings().version < least) return CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
    const int wanted = atoi(target.c_str() + 3);
    const bool exact = target.find('a') != std::string::npos;
    if (exact ? settings().capability != wanted : settings().capability < wanted) return CUDA_ERROR_NO_BINARY_FOR_GPU;
    return CUDA_SUCCESS;
}

struct Launch {
    Context* context;
    Function* function;
    dim3 grid, block;
    size_t shared;
    std::vector<char> values;
    std::vector<void*> pointers;
};

// One wrong bit in the first byte that the kernel changed.
struct Flip {
    std::vector<std::pair<char*, std::vector<char>>> before;
    explicit Flip(const Launch& launch) {
        for (size_t i = 0; i < launch.pointers.size(); i++) {
            if (launch.function->parameters[i] != 8) continue;
            char* at;
            memcpy(&at, launch.pointers[i], 8);
            if (const shim::memory::Allocation* it = shim::memory::holding(at, 1))
                before.emplace_back(it->begin, std::vector<char>(it->begin, it->begin + it->bytes));
        }
    }
    void apply() {
        for (auto& [at, bytes] : before)
            for (size_t i = 0; i < bytes.size(); i++)
                if (at[i] != bytes[i]) {
                    at[i] = static_cast<char>(at[i] ^ 1);
                    return;
                }
    }
};

void run(Launch& launch) {
    if (++launch.context->launches == settings().lost) {
        launch.context->lost = true;
        return;
    }
    const std::function<void()> thread = [&] { launch.function->kernel->call(launch.pointers.data()); };
    const char* name = launch.function->kernel->name;
    if (settings().flip == name) {
        Flip flip(launch);
        shim::run(name, launch.grid, launch.block, launch.shared, thread);
        flip.apply();
    } else {
        shim::run(name, launch.grid, launch.block, launch.shared, thread);
    }
}

}  // namespace
}  // namespace driver

using namespace driver;
using Lock = std::lock_guard<std::recursive_mutex>;

DRIVER_API cuModuleLoadData(void** out, const void* image) {
    Lock lock(mutex);
    if (const CUresult state = enter()) return state;
    auto module = std::make_unique<Module>();
    module->context = current;
    if (const CUresult refused = read(static_cast<const char*>(image), *module)) return refused;
    if (settings().no_kernels && (settings().kernels.empty() || module->functions.count(settings().kernels))) return CUDA_ERROR_INVALID_PTX;
    for (auto& [name, function] : module->functions) functions.insert(function.get());
    *out = *modules.insert(module.release()).first;
    return CUDA_SUCCESS;
}
DRIVER_API cuModuleLoadDataEx(void** out, const void* image, unsigned, int*, void**) { return cuModuleLoadData(out, image); }

DRIVER_API cuModuleUnload(void* handle) {
    Lock lock(mutex);
    if (const CUresult state = enter()) return state;
    Module* module = static_cast<Module*>(handle);
    if (!modules.erase(module)) return CUDA_ERROR_INVALID_HANDLE;
    run_all(*module->context);
    for (auto& [name, function] : module->functions) functions.erase(function.get());
    delete module;
    return CUDA_SUCCESS;
}

// A kernel that PTX has and the CPU's build has not, or with other parameters, is not found.
DRIVER_API cuModuleGetFunction(void** out, void* handle, const char* name) {
    Lock lock(mutex);
    if (const CUresult state = enter()) return state;
    Module* module = static_cast<Module*>(handle);
    if (!modules.count(module)) return CUDA_ERROR_INVALID_HANDLE;
    const auto found = module->functions.find(name);
    if (found == module->functions.end() || !found->second->kernel) return CUDA_ERROR_NOT_FOUND;
    Function& function = *found->second;
    const shim::Registered& kernel = *function.kernel;
    if (kernel.parameters != function.parameters.size()) shim::fail("%s: the PTX has other parameters than the source", name);
    for (size_t i = 0; i < function.parameters.size(); i++)
        if (kernel.sizes[i] != function.parameters[i]) shim::fail("%s: parameter %zu of the PTX has another size than in the source", name, i);
    *out = &function;
    return CUDA_SUCCESS;
}

DRIVER_API cuFuncGetAttribute(int* value, int attribute, void* handle) {
    Function* function = static_cast<Function*>(handle);
    if (!functions.count(function)) return CUDA_ERROR_INVALID_HANDLE;
    switch (attribute) {
        case 0: *value = static_cast<int>(function->most_threads); break;
        case 1: *value = static_cast<int>(function->static_shared); break;
        case 4: *value = 64; break;
        case 5: case 6: *value = settings().capability; break;
        case 8: *value = static_cast<int>(function->dynamic_limit); break;
        default: *value = 0;
    }
    return CUDA_SUCCESS;
}

DRIVER_API cuFuncSetAttribute(void* handle, int attribute, int value) {
    Lock lock(mutex);
    if (const CUresult state = enter()) return state;
    Function* function = static_cast<Function*>(handle);
    if (!functions.count(function)) return CUDA_ERROR_INVALID_HANDLE;
    if (attribute != 8) return CUDA_SUCCESS;
    if (value < 0 || static_cast<size_t>(value) + function->static_shared > MOST_SHARED) return CUDA_ERROR_INVALID_VALUE;
    function->dynamic_limit = static_cast<size_t>(value);
    return CUDA_SUCCESS;
}
DRIVER_API cuFuncSetCacheConfig(void*, int) { return CUDA_SUCCESS; }

DRIVER_API cuOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, void* handle, int threads, size_t shared) {
    Function* function = static_cast<Function*>(handle);
    if (!functions.count(function) || threads <= 0) return CUDA_ERROR_INVALID_VALUE;
    const size_t by_threads = 2048 / static_cast<size_t>(threads), by_shared = (164 << 10) / (shared + function->static_shared + 1024);
    *blocks = static_cast<int>(by_threads < by_shared ? by_threads : by_shared);
    return CUDA_SUCCESS;
}

DRIVER_API cuLaunchKernel(void* handle, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y,
                          unsigned block_z, unsigned shared, void* stream_handle, void** parameters, void** extra) {
    Lock lock(mutex);
    if (const CUresult state = enter()) return state;
    Function* function = static_cast<Function*>(handle);
    Stream* stream = stream_of(stream_handle);
    if (!functions.count(function) || !stream) return CUDA_ERROR_INVALID_HANDLE;
    if (extra) return CUDA_ERROR_NOT_SUPPORTED;
    const uint64_t threads = uint64_t(block_x) * block_y * block_z;
    if (!grid_x || !grid_y || !grid_z || !threads || grid_x > 0x7fffffffu || grid_y > 65535 || grid_z > 65535 || block_x > 1024 ||
        block_y > 1024 || block_z > 64 || threads > 1024)
        return CUDA_ERROR_INVALID_VALUE;
    if (threads > function->most_threads) return CUDA_ERROR_INVALID_VALUE;
    if (shared > function->dynamic_limit || (function->dynamic_limit <= 48 << 10 && shared + function->static_shared > 48 << 10))
        return CUDA_ERROR_INVALID_VALUE;
    // The parameters are read now; the kernel runs later.
    auto launch = std::make_shared<Launch>();
    launch->context = current, launch->function = function, launch->shared = shared;
    launch->grid = dim3(grid_x, grid_y, grid_z), launch->block = dim3(block_x, block_y, block_z);
    size_t total = 0;
    for (size_t size : function->parameters) total += (size + 15) / 16 * 16;
    launch->values.resize(total + 16);
    char* at = reinterpret_cast<char*>((reinterpret_cast<uintptr_t>(launch->values.data()) + 15) / 16 * 16);
    for (size_t i = 0; i < function->parameters.size(); i++) {
        memcpy(at, parameters[i], function->parameters[i]);
        launch->pointers.push_back(at);
        at += (function->parameters[i] + 15) / 16 * 16;
    }
    give(*stream, [launch] { driver::run(*launch); });
    return CUDA_SUCCESS;
}
