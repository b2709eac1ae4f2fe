#include "../../geglu.cu"
#include "../../swiglu.cu"
#include "definitions.h"

namespace {

using Three = std::array<float, 3>;

Three swiglu_of(float g, float u, float dh) {
    const float s = definition::sigmoid(g), silu = g * s, slope = fmaf(silu, 1.0f - s, s);
    return {(dh * u) * slope, dh * silu, silu * u};
}

Three geglu_of(float g, float u, float dh) {
    const float linear = 1.595769f, cubic = 0.071354814f, steep = 0.21406445f;
    const float s = definition::sigmoid(g * fmaf(cubic, g * g, linear)), gelu = g * s;
    const float slope = fmaf(gelu * (1.0f - s), fmaf(steep, g * g, linear), s);
    return {(dh * u) * slope, dh * gelu, gelu * u};
}

template <typename Forward, typename Backward>
void check(const std::string& what, Forward forward, Backward backward, Three (*element)(float, float, float)) {
    shim::Numbers numbers(11);
    for (size_t n : {1, 3, 255, 1023, 1024, 1025, 4096, 5000}) {
        for (size_t shift : {0, 1}) {
            const auto gate = numbers_of_every_kind(numbers, n, true), up = numbers_of_every_kind(numbers, n, true);
            const auto dh = numbers_of_every_kind(numbers, n, true);
            std::vector<float> d_gate(n), d_up(n), hidden(n);
            for (size_t i = 0; i < n; i++) {
                const Three three = element(gate[i], up[i], dh[i]);
                d_gate[i] = three[0], d_up[i] = three[1], hidden[i] = three[2];
            }
            const Shifted g(gate, shift), u(up, 0), h(dh, 0), out(n, shift);
            const dim3 grid((n + 1023) / 1024);
            shim::launch(what.c_str(), forward, grid, SLICE_THREADS, 0, (float*)g, (float*)u, (float*)out, (long long)n);
            expect_same(what, out.host(), hidden);
            shim::launch(what.c_str(), backward, grid, SLICE_THREADS, 0, (float*)g, (float*)u, (float*)h, (long long)n);
            expect_same(what + " gate", g.host(), d_gate);
            expect_same(what + " up", u.host(), d_up);
            expect_same(what + " hidden", h.host(), hidden);
        }
    }
}

}  // namespace

int main() {
    shim::in_all_orders([](const char* order) {
        check(std::string("swiglu ") + order, swiglu, swiglu_backward, swiglu_of);
        check(std::string("geglu ") + order, geglu, geglu_backward, geglu_of);
    });
    puts("gated: equal");
}
