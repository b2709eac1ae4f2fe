#include "../../cross_entropy.cu"
#include "definitions.h"

namespace {

using Floats = std::vector<float>;

float row(float* z, size_t n, unsigned target, float scale) {
    if (target == NO_TARGET) {
        std::fill(z, z + n, 0.0f);
        return 0.0f;
    }
    float m = -INFINITY;
    for (size_t i = 0; i < n; i++) m = z[i] > m ? z[i] : m;
    m = m + 0.0f;
    Floats e(n);
    for (size_t i = 0; i < n; i++) e[i] = definition::exp(z[i] - m);
    const float l = definition::sum(e.data(), n), loss = definition::log(l) - (z[target] - m), factor = scale / l;
    for (size_t i = 0; i < n; i++) z[i] = e[i] * factor;
    z[target] -= scale;
    return loss;
}

void check(const std::string& order, int rows, int vocabulary, size_t shift, shim::Numbers& numbers) {
    Floats z = numbers_of_every_kind(numbers, static_cast<size_t>(rows) * vocabulary, numbers.below(4) == 0);
    std::vector<unsigned> targets(rows);
    for (unsigned& target : targets) target = numbers.below(5) ? static_cast<unsigned>(numbers.below(vocabulary)) : NO_TARGET;
    // A row whose maximum is a zero of either sign, and one without a number.
    if (rows > 1)
        for (int i = 0; i < vocabulary; i++) z[i] = i % 3 ? -0.0f : -1.0f, z[vocabulary + i] = NAN;
    const Shifted gz(z, shift), losses(static_cast<size_t>(rows), 0), alone(static_cast<size_t>(rows), 0);
    const shim::Buffer<unsigned> gt(targets);
    Floats want(rows);
    LAUNCH(cross_entropy_loss, dim3(rows), CE_THREADS, 0, (float*)gz, vocabulary, (unsigned*)gt, (float*)alone, rows);
    expect_same("the logits stay " + order, gz.host(), z);
    for (int r = 0; r < rows; r++) want[r] = row(&z[static_cast<size_t>(r) * vocabulary], vocabulary, targets[r], 0.01f);
    expect_same("losses alone " + order, alone.host(), want);
    LAUNCH(cross_entropy, dim3(rows), CE_THREADS, 0, (float*)gz, vocabulary, (unsigned*)gt, 0.01f, (float*)losses, rows);
    expect_same("losses " + order, losses.host(), want);
    expect_same("gradients " + order, gz.host(), z);
}

}  // namespace

int main() {
    shim::in_all_orders([](const char* order) {
        shim::Numbers numbers(13);
        for (int vocabulary :
             {1, 2, 31, 33, 257, 1000, 3967, 3968, 3969, 4096, 7936, 8000, 8193, 12289, 1 + numbers.below(30000)})
            for (size_t shift : {0, 1}) check(order, 1 + numbers.below(4), vocabulary, shift, numbers);
        check(order, 1, 151936, 0, numbers);
    });
    puts("cross_entropy: equal");
}
