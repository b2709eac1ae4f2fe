#include "../../adamw.cu"
#include "definitions.h"

namespace {

const AdamwStep STEP = {0.7f, 0.9f, 0.1f, 0.95f, 0.05f, 3.69f, 2.65f, 1e-8f, 1e-3f, 0.9999f};

void element(const AdamwStep& step, float& p, float g, float& m, float& v) {
    g = g * step.clip;
    m = fmaf(step.beta1, m, step.one_minus_beta1 * g);
    v = fmaf(step.beta2, v, step.one_minus_beta2 * (g * g));
    if (fabsf(m) < 0x1p-100f) m = 0.0f;
    if (v < 0x1p-100f) v = 0.0f;
    const float update = (m * step.bias1) / fmaf(sqrtf(v), step.bias2_rsqrt, step.eps);
    p = fmaf(-step.lr, update, p * step.decay);
}

// The tensors one after the other, a gap before each.
void check(const std::string& order, const std::vector<size_t>& lengths, size_t gap, int ugly, shim::Numbers& numbers) {
    std::vector<SteppedTensor> table;
    size_t n = 0;
    long long blocks = 0;
    for (size_t length : lengths) {
        n += gap;
        AdamwStep step = STEP;
        if (table.size() % 2) step.decay = 1.0f, step.lr = 2e-3f;
        table.push_back({static_cast<long long>(n), static_cast<long long>(length), blocks, step});
        n += length, blocks += static_cast<long long>((length + 4095) / 4096);
    }
    auto p = numbers_of_every_kind(numbers, n), m = numbers_of_every_kind(numbers, n), v = numbers_of_every_kind(numbers, n);
    auto g = numbers_of_every_kind(numbers, n);
    for (float& x : v) x = fabsf(x);
    m[n / 2] = 0x1p-100f, v[n / 3] = 0x1.fffffep-101f;
    for (int k = 0; k < ugly; k++) g[static_cast<size_t>(numbers.below(static_cast<int>(n)))] = k % 2 ? NAN : INFINITY;
    const Shifted dp(p, 0), dg(g, 0), dm(m, 0), dv(v, 0);
    const shim::Buffer<unsigned> flag(std::vector<unsigned>{~0u});
    const shim::Buffer<SteppedTensor> gt(table);
    LAUNCH(adamw, dim3(blocks), SLICE_THREADS, 0, (float*)dp, (float*)dg, (float*)dm, (float*)dv, (SteppedTensor*)gt,
           (int)table.size(), (unsigned*)flag);
    unsigned first = ~0u;
    for (size_t t = table.size(); t-- > 0;) {
        for (size_t i = table[t].begin; i < static_cast<size_t>(table[t].begin + table[t].length); i++) {
            element(table[t].step, p[i], g[i], m[i], v[i]);
            if (!(std::isfinite(p[i]) && std::isfinite(m[i]) && std::isfinite(v[i]))) first = static_cast<unsigned>(t);
        }
    }
    expect_same("adamw p " + order, dp.host(), p);
    expect_same("adamw m " + order, dm.host(), m);
    expect_same("adamw v " + order, dv.host(), v);
    if (flag.host()[0] != first) shim::fail("adamw: the first tensor is %u, not %u", first, flag.host()[0]);
}

}  // namespace

int main() {
    shim::in_all_orders([](const char* order) {
        shim::Numbers numbers(5);
        for (size_t n : {1, 7, 1023, 1024, 1025, 4096, 4097, 9000})
            for (int ugly : {0, 1}) check(order, {n}, n % 2, ugly, numbers);
        for (int ugly : {0, 1, 2, 3}) check(order, {4, 5000, 1, 8192, 3}, static_cast<size_t>(4 - ugly), ugly, numbers);
    });
    puts("adamw: equal");
}
