#include "memory.h"
#include "shim.h"

#include <cstdint>
#include <map>
#include <sys/mman.h>
#include <unistd.h>

namespace shim::memory {
namespace {

struct Mapped {
    Allocation allocation;
    char* pages;
    size_t length;
};
std::map<uintptr_t, Mapped> mapped;
size_t total = 0;

constexpr unsigned POISON = 0x7fbadbad;
constexpr unsigned char AFTER = 0xc5;

size_t slack(size_t bytes) { return (16 - bytes % 16) % 16; }

}  // namespace

void* allocate(size_t bytes) {
    const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
    const size_t inner = (bytes + slack(bytes) + page - 1) / page * page;
    void* at = mmap(nullptr, inner + 2 * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) return nullptr;
    char* pages = static_cast<char*>(at);
    if (inner && mprotect(pages + page, inner, PROT_READ | PROT_WRITE)) return nullptr;
    char* begin = pages + page + inner - bytes - slack(bytes);
    for (size_t i = 0; i + 4 <= bytes; i += 4) memcpy(begin + i, &POISON, 4);
    memset(begin + bytes, AFTER, slack(bytes));
    mapped[reinterpret_cast<uintptr_t>(begin)] = {{begin, bytes}, pages, inner + 2 * page};
    total += bytes;
    return begin;
}

bool release(void* at) {
    const auto found = mapped.find(reinterpret_cast<uintptr_t>(at));
    if (found == mapped.end()) return false;
    const Mapped& it = found->second;
    for (size_t i = 0; i < slack(it.allocation.bytes); i++)
        if (static_cast<unsigned char>(it.allocation.begin[it.allocation.bytes + i]) != AFTER)
            fail("device memory of %zu bytes was written after its end", it.allocation.bytes);
    total -= it.allocation.bytes;
    munmap(it.pages, it.length);
    mapped.erase(found);
    return true;
}

const Allocation* holding(const void* at, size_t bytes) {
    const uintptr_t address = reinterpret_cast<uintptr_t>(at);
    auto next = mapped.upper_bound(address);
    if (next == mapped.begin()) return nullptr;
    const Allocation& it = std::prev(next)->second.allocation;
    const size_t offset = address - reinterpret_cast<uintptr_t>(it.begin);
    return offset <= it.bytes && bytes <= it.bytes - offset ? &it : nullptr;
}

size_t allocated() { return total; }

}  // namespace shim::memory
