#include "../../include/exp.cuh"
#include "definitions.h"

// Every 1021st of all floats, and those around the borders.
int main() {
    const auto check = [](uint32_t word) {
        const float x = shim::from_bits<float>(word);
        expect_same("exp", {exp_of(x)}, {definition::exp(x)});
        expect_same("sigmoid", {sigmoid_of(x)}, {definition::sigmoid(x)});
        expect_same("log", {log_of(x)}, {definition::log(x)});
    };
    for (uint64_t word = 0; word < 1ull << 32; word += 1021) check(static_cast<uint32_t>(word));
    for (float border : {-87.33654f, 88.72283f, 0.0f, 1.0f, 0x1p-126f, 0.70710678f, 1.41421356f, INFINITY, NAN}) {
        for (int k = -2; k <= 2; k++) {
            const uint32_t word = definition::word_of(border) + static_cast<uint32_t>(k);
            check(word), check(word ^ 0x80000000u);
        }
    }
    // What the tables of mathematics say.
    if (std::fabs(exp_of(1.0f) - 2.7182818f) > 3e-7f || std::fabs(log_of(10.0f) - 2.3025851f) > 3e-7f ||
        sigmoid_of(0.0f) != 0.5f)
        shim::fail("exp, log or sigmoid is something else");
    puts("exp: equal");
}
