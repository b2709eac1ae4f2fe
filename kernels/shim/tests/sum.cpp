#include "../../sum.cu"
#include "definitions.h"

namespace {

using Floats = std::vector<float>;

void check_blocks(const std::string& order, size_t n, size_t shift, shim::Numbers& numbers) {
    const Floats x = n == 40 ? Floats(n, -0.0f) : numbers_of_every_kind(numbers, n);
    const size_t blocks = (n + 4095) / 4096;
    Floats sums, squares;
    for (size_t at = 0; at < n; at += 4096) {
        const size_t length = std::min<size_t>(4096, n - at);
        sums.push_back(definition::sum(&x[at], length)), squares.push_back(definition::dot(&x[at], &x[at], length));
    }
    const Shifted gx(x, shift), out(blocks, 0);
    LAUNCH(block_sums, dim3((blocks + 7) / 8), ROW_THREADS, 0, (float*)gx, (long long)n, (float*)out);
    expect_same("block_sums " + order, out.host(), sums);
    LAUNCH(block_sum_squares, dim3((blocks + 7) / 8), ROW_THREADS, 0, (float*)gx, (long long)n, (float*)out);
    expect_same("block_sum_squares " + order, out.host(), squares);
}

void check_sequences(const std::string& order, int sequences, int width, shim::Numbers& numbers) {
    const Floats partial = numbers_of_every_kind(numbers, static_cast<size_t>(sequences) * width);
    Floats acc = numbers_of_every_kind(numbers, width);
    const Shifted gp(partial, 0), ga(acc, 0);
    for (int s = 0; s < sequences; s++)
        for (int i = 0; i < width; i++) acc[i] += partial[s * width + i];
    LAUNCH(add_sequences, dim3((width + 255) / 256), 256, 0, (float*)gp, sequences, width, (float*)ga);
    expect_same("add_sequences " + order, ga.host(), acc);
}

}  // namespace

int main() {
    shim::in_all_orders([](const char* order) {
        shim::Numbers numbers(2);
        for (int n : {1, 31, 32, 33, 40, 255, 256, 257, 4095, 4096, 4097, 40000, 1 + numbers.below(100000)})
            check_blocks(order, n, numbers.below(2), numbers);
        for (int sequences : {1, 2, 19})
            for (int width : {1, 256, 300}) check_sequences(order, sequences, width, numbers);
    });
    puts("sum: equal");
}
