// Matrix products on the shim against their definition: every tile, ragged shapes, both starts, all orders of threads and blocks.
#include "../../matmul.cu"

#include "testing.h"

#include <cmath>

using shim::Buffer;
using Kernel = void (*)(const float*, const float*, float*, int, int, int, int);

enum class Layout { nt, nn, tn };

struct Product {
    const char* name;
    Kernel kernel;
    Layout layout;
    int rows, cols;
    size_t shared;
    bool fours;  // its copies are of 16 bytes
};

#define OF(name, layout, T, A, B, fours) \
    {#name, name, Layout::layout, T::BM, T::BN, sizeof(float) * T::STAGES * T::BK * (A<T::BM, T::BK>::LD + B<T::BN, T::BK>::LD), fours}

static const Product PRODUCTS[] = {
    OF(matmul_nt_128x128, nt, Large, Turned, Turned, false),      OF(matmul_nt_128x64, nt, Tall, Turned, Turned, false),
    OF(matmul_nt_64x64, nt, Medium, Turned, Turned, false),       OF(matmul_nt_32x32, nt, Small, Turned, Turned, false),
    OF(matmul_nn_128x128, nn, Large, Turned, Straight, true),     OF(matmul_nn_128x64, nn, Tall, Turned, Straight, true),
    OF(matmul_nn_64x64, nn, Medium, Turned, Straight, true),      OF(matmul_nn_32x32, nn, Small, Turned, Straight, true),
    OF(matmul_nn_singly, nn, Medium, Turned, Singly, false),      OF(matmul_tn_128x128, tn, Large, Straight, Straight, true),
    OF(matmul_tn_128x64, tn, Tall, Straight, Straight, true),     OF(matmul_tn_64x64, tn, Medium, Straight, Straight, true),
    OF(matmul_tn_32x32, tn, Small, Straight, Straight, true),     OF(matmul_tn_singly, tn, Medium, Singly, Singly, false),
};

static void check(const Product& p, shim::Numbers& numbers, int m, int n, int k, bool accumulate) {
    // Zeros of both signs and subnormals: a step too many on a chain would show.
    auto drawn = [&](size_t size) {
        std::vector<float> x(size);
        const bool wide = numbers.below(2);
        for (float& x : x) x = wide ? numbers.wide() : numbers.uniform();
        return x;
    };
    const auto a = drawn(size_t(m) * k), b = drawn(size_t(n) * k);
    auto c = drawn(size_t(m) * n);
    for (float& c : c) c = numbers.below(4) ? c : -0.0f;
    auto want = c;
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            float acc = accumulate ? c[size_t(i) * n + j] : 0.0f;
            for (int q = 0; q < k; q++)
                acc = std::fmaf(p.layout == Layout::tn ? a[size_t(q) * m + i] : a[size_t(i) * k + q],
                                p.layout == Layout::nt ? b[size_t(j) * k + q] : b[size_t(q) * n + j], acc);
            want[size_t(i) * n + j] = acc;
        }
    Buffer<float> left(a), right(b), out(c);
    const unsigned blocks = unsigned((m + p.rows - 1) / p.rows) * unsigned((n + p.cols - 1) / p.cols);
    shim::launch(p.name, p.kernel, dim3(blocks), dim3(128), p.shared, static_cast<const float*>(left),
                 static_cast<const float*>(right), static_cast<float*>(out), m, n, k, int(accumulate));
    shim::expect_bits(std::string(p.name) + " of " + std::to_string(m) + " x " + std::to_string(n) + " x " + std::to_string(k) +
                          (accumulate ? ", carried on" : ""),
                      out.host(), want);
}

int main() {
    for (const Product& p : PRODUCTS) {
        uint64_t seed = 1;
        shim::in_all_orders([&](const char*) {
            shim::Numbers numbers(seed++);
            auto fit = [&](int size, bool four) { return four ? (size + 3) / 4 * 4 : size; };
            const bool m4 = p.fours && p.layout == Layout::tn, n4 = p.fours;
            for (int round = 0; round < 8; round++) {
                const int m = 1 + numbers.below(2 * p.rows + 9), n = 1 + numbers.below(2 * p.cols + 9), k = numbers.below(100);
                check(p, numbers, fit(m, m4), fit(n, n4), k, round & 1);
            }
            check(p, numbers, 4, 4, 0, true);
            check(p, numbers, 4, 4, 0, false);
            check(p, numbers, 4, 4, 1, true);
            // Whole tiles only, and so many that they go in several groups of rows.
            check(p, numbers, p.rows, p.cols, 64, false);
            check(p, numbers, p.rows * 9 - 4, p.cols + 4, 5, false);
        });
        printf("%s: equal, %zu bytes of shared memory\n", p.name, p.shared);
    }
}
