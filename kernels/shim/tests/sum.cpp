#include "../../sum.cu"
#include "definitions.h"

namespace {

using Floats = std::vector<float>;

Floats block_sums_of(const Floats& x, bool squares) {
    Floats sums;
    for (size_t at = 0; at < x.size(); at += 4096) {
        const size_t length = std::min<size_t>(4096, x.size() - at);
        sums.push_back(squares ? definition::dot(&x[at], &x[at], length) : definition::sum(&x[at], length));
    }
    return sums;
}

void check_blocks(const std::string& order, const std::vector<int>& lengths, shim::Numbers& numbers) {
    for (bool squares : {false, true}) {
        Floats flat, want;
        std::vector<SummedTensor> table;
        for (int length : lengths) {
            flat.push_back(NAN);  // between tensors
            table.push_back({static_cast<long long>(flat.size()), length, static_cast<long long>(want.size())});
            const Floats x = length == 40 ? Floats(40, -0.0f) : numbers_of_every_kind(numbers, static_cast<size_t>(length));
            flat.insert(flat.end(), x.begin(), x.end());
            const Floats sums = block_sums_of(x, squares);
            want.insert(want.end(), sums.begin(), sums.end());
        }
        const long long blocks = static_cast<long long>(want.size());
        const Shifted gx(flat, 0), out(want.size(), 0);
        const shim::Buffer<SummedTensor> gt(table);
        LAUNCH(block_sums, dim3((blocks + 7) / 8), ROW_THREADS, 0, (float*)gx, (SummedTensor*)gt, (int)table.size(), blocks,
               (int)squares, (float*)out);
        expect_same("block_sums " + order, out.host(), want);
    }
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
        for (int n : {1, 31, 32, 33, 40, 255, 256, 257, 4095, 4096, 4097, 1 + numbers.below(100000)})
            check_blocks(order, {n}, numbers);
        check_blocks(order, {5, 40, 9000, 1, 4096, 8192, 12289, 33}, numbers);
        for (int sequences : {1, 2, 19})
            for (int width : {1, 256, 300}) check_sequences(order, sequences, width, numbers);
    });
    puts("sum: equal");
}
