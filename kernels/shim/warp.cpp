// Warp operations: computed once, when all their lanes have come.
#include "check.h"
#include "shim.h"

namespace shim {
namespace {

void need(bool holds, const char* name, int lane) {
    if (!holds) fail("%s reads lane %d, which is not in the mask", name, lane);
}

void resolve_shuffle(WarpOperation* const lanes[32], unsigned mask, int kind) {
    for (int lane = 0; lane < 32; lane++) {
        if (!(mask >> lane & 1)) continue;
        WarpOperation& mine = *lanes[lane];
        const int width = mine.width;
        if (width <= 0 || width > 32 || (width & (width - 1))) fail("%s of width %d", mine.name, width);
        const int begin = lane / width * width;
        int source = lane;
        if (kind == 0) source = begin + (mine.argument & (width - 1));
        if (kind == 1) source = lane ^ mine.argument;
        if (kind == 2) source = lane + mine.argument;
        if (kind == 3) source = lane - mine.argument;
        // Outside of its part of the warp a lane reads itself; by xor it may read the parts before.
        if (source < 0 || source >= begin + width || (kind == 3 && source < begin)) source = lane;
        need(mask >> source & 1, mine.name, source);
        mine.result = lanes[source]->value;
    }
}

template <int KIND>
void resolve_shuffle_kind(WarpOperation* const lanes[32], unsigned mask) {
    resolve_shuffle(lanes, mask, KIND);
}

void resolve_ballot(WarpOperation* const lanes[32], unsigned mask) {
    unsigned set = 0;
    for (int lane = 0; lane < 32; lane++)
        if (mask >> lane & 1 && lanes[lane]->value) set |= 1u << lane;
    for (int lane = 0; lane < 32; lane++)
        if (mask >> lane & 1) lanes[lane]->result = set;
}

uint32_t reduce_pair(int kind, uint32_t a, uint32_t b) {
    const bool is_signed = kind >= 16;
    const bool less = is_signed ? static_cast<int32_t>(a) < static_cast<int32_t>(b) : a < b;
    switch (kind & 15) {
        case 0: return a + b;
        case 1: return less ? a : b;
        case 2: return less ? b : a;
        case 3: return a & b;
        case 4: return a | b;
        default: return a ^ b;
    }
}

void resolve_reduce(WarpOperation* const lanes[32], unsigned mask) {
    const int first = __builtin_ctz(mask);
    uint32_t all = static_cast<uint32_t>(lanes[first]->value);
    for (int lane = first + 1; lane < 32; lane++)
        if (mask >> lane & 1) all = reduce_pair(lanes[lane]->argument, all, static_cast<uint32_t>(lanes[lane]->value));
    for (int lane = 0; lane < 32; lane++)
        if (mask >> lane & 1) lanes[lane]->result = all;
}

struct MmaRegisters {
    int* d;
    const unsigned* a;
    const unsigned* b;
};

int byte_of(unsigned word, int i) { return static_cast<int8_t>(word >> (8 * i)); }

void resolve_mma_s8(WarpOperation* const lanes[32], unsigned) {
    int a[16][32], b[32][8];
    const MmaRegisters* registers[32];
    for (int lane = 0; lane < 32; lane++) {
        const MmaRegisters& mine = *(registers[lane] = static_cast<const MmaRegisters*>(lanes[lane]->in));
        const int group = lane / 4, t = lane % 4;
        for (int i = 0; i < 4; i++) {
            a[group][4 * t + i] = byte_of(mine.a[0], i);
            a[group + 8][4 * t + i] = byte_of(mine.a[1], i);
            a[group][16 + 4 * t + i] = byte_of(mine.a[2], i);
            a[group + 8][16 + 4 * t + i] = byte_of(mine.a[3], i);
            b[4 * t + i][group] = byte_of(mine.b[0], i);
            b[16 + 4 * t + i][group] = byte_of(mine.b[1], i);
        }
    }
    int product[16][8];
    for (int row = 0; row < 16; row++)
        for (int column = 0; column < 8; column++) {
            int sum = 0;
            for (int k = 0; k < 32; k++) sum += a[row][k] * b[k][column];
            product[row][column] = sum;
        }
    for (int lane = 0; lane < 32; lane++)
        for (int i = 0; i < 4; i++) {
            int& d = registers[lane]->d[i];
            d = static_cast<int>(static_cast<unsigned>(d) + static_cast<unsigned>(product[lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2]));
        }
}

void resolve_ldmatrix(WarpOperation* const lanes[32], unsigned) {
    const int matrices = lanes[0]->argument;
    const bool transposed = lanes[0]->width;
    for (int matrix = 0; matrix < matrices; matrix++) {
        uint16_t element[8][8];
        for (int row = 0; row < 8; row++) {
            const void* at = lanes[matrix * 8 + row]->in;
            if (reinterpret_cast<uintptr_t>(at) % 16) fail("ldmatrix: the row at %p is not on 16 bytes", at);
            check::read(at, 16);
            memcpy(element[row], at, 16);
        }
        for (int lane = 0; lane < 32; lane++) {
            const int group = lane / 4, t = lane % 4;
            const uint16_t low = transposed ? element[2 * t][group] : element[group][2 * t];
            const uint16_t high = transposed ? element[2 * t + 1][group] : element[group][2 * t + 1];
            static_cast<unsigned*>(lanes[lane]->out)[matrix] = low | static_cast<unsigned>(high) << 16;
        }
    }
}

}  // namespace

uint64_t shuffle(const char* name, int kind, unsigned mask, uint64_t value, int argument, int width, Place place) {
    WarpOperation operation{};
    operation.resolve = kind == 0   ? resolve_shuffle_kind<0>
                        : kind == 1 ? resolve_shuffle_kind<1>
                        : kind == 2 ? resolve_shuffle_kind<2>
                                    : resolve_shuffle_kind<3>;
    operation.name = name, operation.mask = mask, operation.place = place;
    operation.value = value, operation.argument = argument, operation.width = width;
    warp_operation(operation);
    return operation.result;
}

unsigned ballot(const char* name, unsigned mask, bool predicate, Place place) {
    WarpOperation operation{};
    operation.resolve = resolve_ballot, operation.name = name, operation.mask = mask, operation.place = place;
    operation.value = predicate;
    warp_operation(operation);
    return static_cast<unsigned>(operation.result);
}

uint64_t reduce(const char* name, int kind, unsigned mask, uint64_t value, Place place) {
    WarpOperation operation{};
    operation.resolve = resolve_reduce, operation.name = name, operation.mask = mask, operation.place = place;
    operation.value = value, operation.argument = kind;
    warp_operation(operation);
    return operation.result;
}

void mma_s8(int (&d)[4], const unsigned (&a)[4], const unsigned (&b)[2]) {
    const MmaRegisters registers{d, a, b};
    WarpOperation operation{};
    operation.resolve = resolve_mma_s8, operation.name = "mma.sync", operation.mask = 0xffffffffu;
    operation.place = {"mma.cuh", 0}, operation.in = &registers;
    warp_operation(operation);
}

void ldmatrix(unsigned* out, int matrices, const void* row, bool transposed) {
    WarpOperation operation{};
    operation.resolve = resolve_ldmatrix, operation.name = "ldmatrix", operation.mask = 0xffffffffu;
    operation.place = {"mma.cuh", 1}, operation.in = row, operation.out = out;
    operation.argument = matrices, operation.width = transposed;
    warp_operation(operation);
}

}  // namespace shim
