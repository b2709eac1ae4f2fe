#include "../../adamw.cu"
#include "definitions.h"

namespace {

const AdamwStep STEP = {0.7f, 0.9f, 0.1f, 0.95f, 0.05f, 3.69f, 2.65f, 1e-8f, 1e-3f, 0.9999f};

void element(float& p, float g, float& m, float& v) {
    g = g * STEP.clip;
    m = fmaf(STEP.beta1, m, STEP.one_minus_beta1 * g);
    v = fmaf(STEP.beta2, v, STEP.one_minus_beta2 * (g * g));
    if (fabsf(m) < 0x1p-100f) m = 0.0f;
    if (v < 0x1p-100f) v = 0.0f;
    const float update = (m * STEP.bias1) / fmaf(sqrtf(v), STEP.bias2_rsqrt, STEP.eps);
    p = fmaf(-STEP.lr, update, p * STEP.decay);
}

void check(const char* order, size_t n, size_t shift, bool ugly, shim::Numbers& numbers) {
    auto p = numbers_of_every_kind(numbers, n), m = numbers_of_every_kind(numbers, n), v = numbers_of_every_kind(numbers, n);
    const auto g = numbers_of_every_kind(numbers, n, ugly);
    for (float& x : v) x = fabsf(x);
    m[n / 2] = 0x1p-100f, v[n / 3] = 0x1.fffffep-101f;
    const Shifted dp(p, shift), dg(g, shift), dm(m, 0), dv(v, shift);
    const shim::Buffer<unsigned> flag(std::vector<unsigned>{0});
    LAUNCH(adamw, dim3((n + 1023) / 1024), SLICE_THREADS, 0, (float*)dp, (float*)dg, (float*)dm, (float*)dv, (long long)n, STEP,
           (unsigned*)flag);
    bool finite = true;
    for (size_t i = 0; i < n; i++) {
        element(p[i], g[i], m[i], v[i]);
        finite = finite && std::isfinite(p[i]) && std::isfinite(m[i]) && std::isfinite(v[i]);
    }
    expect_same(std::string("adamw p ") + order, dp.host(), p);
    expect_same(std::string("adamw m ") + order, dm.host(), m);
    expect_same(std::string("adamw v ") + order, dv.host(), v);
    if (flag.host()[0] != !finite) shim::fail("adamw: finite %d, but the flag is %u", finite, flag.host()[0]);
}

}  // namespace

int main() {
    shim::in_all_orders([](const char* order) {
        shim::Numbers numbers(5);
        for (size_t n : {1, 7, 1023, 1024, 1025, 6000})
            for (size_t shift : {0, 1, 3})
                for (bool ugly : {false, true}) check(order, n, shift, ugly, numbers);
    });
    puts("adamw: equal");
}
