// `arithmetic = 2` on the shim: digits and products beside src/engine/integer/definition.rs, transliterated.
#include "../../integer_product.cu"
#include "../../integer_quantise.cu"
#include "testing.h"

using shim::Buffer;
using shim::Numbers;
using Floats = std::vector<float>;

namespace {

// A vector's integers, and what one is worth.
struct Integers {
    std::vector<int64_t> q;
    float step;
};

Integers integers(const Floats& x) {
    uint32_t largest = 0;
    for (float v : x) largest = std::max(largest, __float_as_uint(v) & 0x7fffffffu);
    const int exponent = std::max(static_cast<int>((largest + 0x20400u) >> 23) - 127, -115);
    float up = std::ldexp(1.0f, 12 - exponent);
    float step = largest < 0x7f800000u ? 1.0f / up : std::nanf("");
    const auto make = [&] {
        std::vector<int64_t> q;
        for (float v : x) q.push_back(static_cast<int16_t>(__float_as_uint(v * up + 12582912.0f) & 0xffffu));
        return q;
    };
    uint64_t squares = 0;
    for (int64_t q : make()) squares += static_cast<uint64_t>(q * q);
    for (uint64_t bound = 15ull << 27; bound < squares; bound *= 4) up *= 0.5f, step *= 2.0f;
    return Integers{make(), step};
}

// Vectors of k numbers each, of which `at(i, p)` is number p of vector i.
template <typename At>
std::vector<Integers> all_integers(int vectors, int k, At at) {
    std::vector<Integers> out;
    for (int i = 0; i < vectors; i++) {
        Floats x(k);
        for (int p = 0; p < k; p++) x[p] = at(i, p);
        out.push_back(integers(x));
    }
    return out;
}

void add_product(const std::vector<Integers>& a, const std::vector<Integers>& b, Floats& c, bool accumulate) {
    for (size_t i = 0; i < a.size(); i++) {
        for (size_t j = 0; j < b.size(); j++) {
            int64_t sum = 0;
            for (size_t p = 0; p < a[i].q.size(); p++) sum += a[i].q[p] * b[j].q[p];
            if (std::isfinite(a[i].step) && std::isfinite(b[j].step) && sum != static_cast<int32_t>(sum)) shim::fail("a sum leaves 32 bits");
            float& to = c[i * b.size() + j];
            to = (accumulate ? to : 0.0f) + static_cast<float>(sum) * a[i].step * b[j].step;
        }
    }
}

// NaN is NaN, whatever its bits.
Floats canonical(Floats x) {
    for (float& v : x)
        if (std::isnan(v)) v = __uint_as_float(0x7fc00000u);
    return x;
}

// Operands with their ends at a page that faults.
struct Digits {
    int vectors, blocks, depth;
    Buffer<int8_t> digits;
    Buffer<float> steps;
    Digits(int vectors, int blocks, int k)
        : vectors(vectors), blocks(blocks), depth((k + 63) / 64 * 64), digits(static_cast<size_t>(vectors) * blocks * 3 * depth),
          steps(static_cast<size_t>(vectors) * blocks) {}

    // Holds one block's digits and steps against the definition's integers.
    void check(const std::string& what, int block, const std::vector<Integers>& want) const {
        const std::vector<int8_t> digits = this->digits.host();
        const Floats steps = canonical(this->steps.host());
        for (int i = 0; i < vectors; i++) {
            if (__float_as_uint(steps[static_cast<size_t>(block) * vectors + i]) != __float_as_uint(canonical({want[i].step})[0]))
                shim::fail("%s: step of vector %d", what.c_str(), i);
            if (!std::isfinite(want[i].step)) continue;
            for (int p = 0; p < depth; p++) {
                const int8_t* at = &digits[(static_cast<size_t>(i) * blocks + block) * 3 * depth + p];
                const int high = at[0], sum = at[depth], low = at[2 * depth];
                const int64_t q = p < static_cast<int>(want[i].q.size()) ? want[i].q[p] : 0;
                if (128 * high + low != q || high + low != sum || high < -64 || high > 63 || low < -64 || low > 63)
                    shim::fail("%s: number %d of vector %d", what.c_str(), p, i);
            }
        }
    }
};

void quantise_rows(const float* x, int k, const Digits& to) {
    LAUNCH(integer_quantise_rows, to.vectors, 256, 0, x, k, to.depth, to.digits, to.steps);
}

void quantise_columns(const float* x, int k, const Digits& to) {
    const int pieces = (to.depth + 255) / 256;
    Buffer<unsigned> largest(static_cast<size_t>(pieces) * to.vectors);
    Buffer<unsigned long long> squares(static_cast<size_t>(pieces) * to.vectors);
    const dim3 grid((to.vectors + 31) / 32, pieces);
    LAUNCH(integer_column_largest, grid, 256, 0, x, to.vectors, k, largest);
    LAUNCH(integer_column_squares, grid, 256, 0, x, to.vectors, k, largest, squares);
    LAUNCH(integer_column_digits, grid, 256, 0, x, to.vectors, k, largest, squares, to.depth, to.digits, to.steps);
}

void quantise_blocks(const float* x, int tokens, int seq_len, int skipped, const Digits& to) {
    LAUNCH(integer_quantise_blocks, dim3((to.vectors + 31) / 32, to.blocks), 256, 0, x, to.vectors, tokens, seq_len, skipped, to.depth,
           to.digits, to.steps);
}

int tiles(int of, int tile) { return (of + tile - 1) / tile; }

enum class Tiles { wide, small };

void multiply(const Digits& a, const Digits& b, float* c, bool accumulate, Tiles kind) {
    const int m = a.vectors, n = b.vectors;
    if (kind == Tiles::small)
        LAUNCH(integer_product_small, tiles(m, 128) * tiles(n, 128), 128, 48 << 10, a.digits, a.steps, b.digits, b.steps, c, m, n, a.depth, accumulate);
    else
        LAUNCH(integer_product, tiles(m, 256) * tiles(n, 128), 256, 96 << 10, a.digits, a.steps, b.digits, b.steps, c, m, n, a.depth, accumulate);
}

// What inputs are made of.
float number(Numbers& numbers, int kind, size_t i) {
    switch (kind) {
        case 0: return numbers.uniform();
        case 1: return numbers.wide();
        case 2: return 8127.0f;
        case 3: return numbers.below(2) ? 8127.0f : -8127.0f;
        case 4: return i % 37 == 5 ? 3.4028235e38f : numbers.uniform();
        case 5: return __uint_as_float(static_cast<unsigned>(numbers.next()) & 0x807fffffu);
        case 6: return numbers.below(2) ? 0.0f : -0.0f;
        case 7: return numbers.below(90) ? numbers.uniform() : numbers.below(2) ? __uint_as_float(0xff800000u) : __uint_as_float(0x7fc12345u);
        case 8: return numbers.uniform() * 1e37f * 3.0f;
        case 9: return 8127.5f - static_cast<float>(numbers.below(3)) / 2048.0f;
        default: return std::ldexp(static_cast<float>(numbers.below(16255) - 8127) + 0.5f, -3);
    }
}
constexpr int KINDS = 11;

// Of one kind, or of one that is drawn.
Floats drawn(Numbers& numbers, size_t n, int kind) {
    if (kind < 0) kind = numbers.below(KINDS);
    Floats x(n);
    for (size_t i = 0; i < n; i++) x[i] = number(numbers, kind, i);
    return x;
}

void product_of(Numbers& numbers, const std::string& with, int m, int n, int k, Tiles tiles, int kind = -1) {
    const std::string what = std::to_string(m) + " x " + std::to_string(n) + " x " + std::to_string(k) + with;
    const Floats a = drawn(numbers, static_cast<size_t>(m) * k, kind), b = drawn(numbers, static_cast<size_t>(n) * k, kind);
    const Floats c = drawn(numbers, static_cast<size_t>(m) * n, -1);
    // The left operand begins at any element.
    const size_t from = numbers.below(3);
    Floats before(from);
    before.insert(before.end(), a.begin(), a.end());
    Buffer<float> da(before), db(b);
    const auto rows = all_integers(m, k, [&](int i, int p) { return a[static_cast<size_t>(i) * k + p]; });
    Digits left(m, 1, k);
    quantise_rows(da + from, k, left);
    left.check("rows of " + what, 0, rows);
    for (bool down : {false, true}) {
        const auto columns = all_integers(n, k, [&](int j, int p) { return down ? b[static_cast<size_t>(p) * n + j] : b[static_cast<size_t>(j) * k + p]; });
        Digits right(n, 1, k);
        if (down)
            quantise_columns(db, k, right);
        else
            quantise_rows(db, k, right);
        right.check((down ? "columns of " : "right rows of ") + what, 0, columns);
        const bool accumulate = down;
        Floats want = c;
        add_product(rows, columns, want, accumulate);
        Buffer<float> dc(c);
        multiply(left, right, dc, accumulate, tiles);
        shim::expect_bits((down ? "nn of " : "nt of ") + what, canonical(dc.host()), canonical(want));
    }
}

// Of `tokens` from token `skipped` of a sequence on: 0 or another multiple of 256.
void gradient_of(Numbers& numbers, const std::string& with, int m, int n, int tokens, int seq_len, int skipped, int kind = -1) {
    std::vector<int> begins{0};
    for (int token = 1; token < tokens; token++)
        if ((token + skipped) % seq_len % 256 == 0) begins.push_back(token);
    begins.push_back(tokens);
    const int blocks = static_cast<int>(begins.size()) - 1;
    const std::string what = std::to_string(m) + " x " + std::to_string(n) + " x " + std::to_string(tokens) + " of " + std::to_string(seq_len) + with;
    const Floats dy = drawn(numbers, static_cast<size_t>(tokens) * m, kind), x = drawn(numbers, static_cast<size_t>(tokens) * n, kind);
    const Floats c = drawn(numbers, static_cast<size_t>(m) * n, -1);
    Buffer<float> ddy(dy), dx(x), dc(c);
    const int longest = std::min(256, seq_len);
    Digits left(m, blocks, longest), right(n, blocks, longest);
    quantise_blocks(ddy, tokens, seq_len, skipped, left);
    quantise_blocks(dx, tokens, seq_len, skipped, right);
    Floats want = c;
    for (int block = 0; block < blocks; block++) {
        const int first = begins[block], k = begins[block + 1] - first;
        const auto rows = all_integers(m, k, [&](int i, int p) { return dy[static_cast<size_t>(first + p) * m + i]; });
        const auto columns = all_integers(n, k, [&](int j, int p) { return x[static_cast<size_t>(first + p) * n + j]; });
        left.check("left columns of a block of " + what, block, rows);
        right.check("right columns of a block of " + what, block, columns);
        add_product(rows, columns, want, true);
    }
    LAUNCH(integer_gradient, tiles(m, 128) * tiles(n, 192), 256, (80 << 10) + 1280, left.digits, left.steps, right.digits, right.steps, dc, m, n, blocks, left.depth);
    shim::expect_bits("gradient of " + what, canonical(dc.host()), canonical(want));
}

// What races, orders of threads and edges of tiles may spoil.
void edges(Numbers& numbers, const std::string& with) {
    product_of(numbers, with, 257, 129, 70, Tiles::wide);
    product_of(numbers, with, 129, 6, 130, Tiles::small);
    gradient_of(numbers, with, 130, 5, 70, 35, 0);
    gradient_of(numbers, with, 6, 193, 300 + 44, 300, 256);
}

// What numbers may spoil.
void numbers_of_all_kinds(Numbers& numbers, const std::string& with) {
    for (int kind = 0; kind < KINDS; kind++) {
        product_of(numbers, with, 5, 18, 3 + 63 * numbers.below(3), Tiles::small, kind);
        gradient_of(numbers, with, 6, 19, 38, 19, 0, kind);
    }
    // More than a thread of a row holds.
    product_of(numbers, with, 3, 2, 4100 + numbers.below(100), Tiles::small, 3);
}

}  // namespace

int main(int count, char** arguments) {
    // With a number: so many rounds of drawn shapes, in all orders.
    const int rounds = count > 1 ? atoi(arguments[1]) : 0;
    Numbers numbers(1);
    numbers_of_all_kinds(numbers, " forward");
    shim::in_all_orders([&](const char* order) {
        Numbers numbers(2);
        const std::string with = std::string(" ") + order;
        edges(numbers, with);
        for (int i = 0; i < rounds; i++) {
            product_of(numbers, with, 1 + numbers.below(300), 1 + numbers.below(300), 1 + numbers.below(400), numbers.below(2) ? Tiles::wide : Tiles::small);
            const int seq_len = 1 + numbers.below(400), skipped = numbers.below((seq_len + 255) / 256) * 256;
            const int tokens = seq_len - skipped + numbers.below(3) * seq_len;
            gradient_of(numbers, with, 1 + numbers.below(200), 1 + numbers.below(200), tokens, seq_len, skipped);
        }
    });
    puts("integer: equal");
}
