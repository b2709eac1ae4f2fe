// bias.cu, columns.cu, embedding.cu and rope.cu
#include "../../bias.cu"
#include "../../columns.cu"
#include "../../embedding.cu"
#include "../../rope.cu"
#include "definitions.h"

#include <algorithm>
#include <map>

namespace {

using Floats = std::vector<float>;
const auto kinds = [](shim::Numbers& numbers, size_t n) { return numbers_of_every_kind(numbers, n, true, 1e37f); };

void check_bias(const std::string& order, int sequences, int seq_len, int width, size_t shift, shim::Numbers& numbers) {
    const size_t rows = static_cast<size_t>(sequences * seq_len), n = rows * width;
    Floats x = kinds(numbers, n), sums(sequences * width, 0.0f);
    const Floats b = kinds(numbers, width), dy = numbers_of_every_kind(numbers, n);
    const Shifted gx(x, shift), gb(b, shift), gdy(dy, 0), gp(sums.size(), 0);
    for (size_t i = 0; i < n; i++) {
        x[i] += b[i % width];
        sums[i / width / seq_len * width + i % width] += dy[i];
    }
    LAUNCH(bias, dim3((rows + 7) / 8), ROW_THREADS, 0, (float*)gb, (float*)gx, width, (long long)rows);
    expect_same("bias " + order, gx.host(), x);
    LAUNCH(bias_partial, dim3(sequences * ((width + 31) / 32)), CHAIN_THREADS, 0, (float*)gdy, seq_len, sequences, width,
           (float*)gp);
    expect_same("bias_partial " + order, gp.host(), sums);
}

void check_columns(const std::string& order, int rows, int quarter, size_t shift, shim::Numbers& numbers) {
    const auto size = [&] { return quarter ? 4 * numbers.below(40) : numbers.below(160); };
    const int width = 1 + size() + (quarter ? 3 : 0), before = size(), after = size(), to_before = size(), to_after = size();
    const int from_width = before + width + after, to_width = to_before + width + to_after;
    const Floats from = kinds(numbers, static_cast<size_t>(rows) * from_width);
    Floats to = kinds(numbers, static_cast<size_t>(rows) * to_width);
    const Shifted gf(from, 0), gt(to, shift);
    for (int r = 0; r < rows; r++)
        for (int i = 0; i < width; i++) to[r * to_width + to_before + i] = from[r * from_width + before + i];
    LAUNCH(copy_columns, dim3((rows + 7) / 8), ROW_THREADS, 0, (float*)gf, from_width, before, (float*)gt, to_width, to_before,
           width, (long long)rows);
    expect_same("copy_columns " + order, gt.host(), to);
}

void check_embedding(const std::string& order, int n, int vocabulary, int width, size_t shift, shim::Numbers& numbers) {
    const Floats table = kinds(numbers, static_cast<size_t>(vocabulary) * width),
                 dx = kinds(numbers, static_cast<size_t>(n) * width);
    Floats x(static_cast<size_t>(n) * width), d_table = table;
    std::vector<unsigned> tokens(n);
    // A third of them are one token.
    for (unsigned& token : tokens) token = numbers.below(3) ? static_cast<unsigned>(numbers.below(vocabulary)) : 0;
    for (int t = 0; t < n; t++) {
        for (int i = 0; i < width; i++) {
            x[t * width + i] = table[tokens[t] * width + i];
            d_table[tokens[t] * width + i] += dx[t * width + i];
        }
    }
    std::map<unsigned, std::vector<unsigned>> of_token;
    for (int t = 0; t < n; t++) of_token[tokens[t]].push_back(static_cast<unsigned>(t));
    std::vector<unsigned> positions, begins{0}, rows;
    for (const auto& [token, at] : of_token) {
        positions.insert(positions.end(), at.begin(), at.end());
        rows.push_back(token), begins.push_back(static_cast<unsigned>(positions.size()));
    }
    const Shifted gt(table, shift), gdx(dx, shift), gx(x.size(), 0), gd(table, 0);
    const shim::Buffer<unsigned> gtokens(tokens), gp(positions), gb(begins), gr(rows);
    LAUNCH(embedding, dim3((n + 7) / 8), ROW_THREADS, 0, (float*)gt, width, (unsigned*)gtokens, (float*)gx, n);
    expect_same("embedding " + order, gx.host(), x);
    LAUNCH(embedding_backward, dim3(rows.size()), SCATTER_THREADS, 0, (float*)gdx, width, (unsigned*)gp, (unsigned*)gb,
           (unsigned*)gr, (int)rows.size(), (float*)gd);
    expect_same("embedding_backward " + order, gd.host(), d_table);
}

void check_rope(const std::string& order, int rows, int seq_len, int heads, int half, size_t shift, int back,
                shim::Numbers& numbers) {
    const int width = heads * 2 * half;
    Floats x = kinds(numbers, static_cast<size_t>(rows) * width);
    const Floats cos = numbers.vector(static_cast<size_t>(seq_len) * half), sin = numbers.vector(cos.size());
    const Shifted gx(x, shift), gc(cos, 0), gs(sin, 0);
    for (int row = 0; row < rows; row++) {
        for (int head = 0; head < heads; head++) {
            for (int i = 0; i < half; i++) {
                float &low = x[row * width + head * 2 * half + i], &high = (&low)[half];
                const float c = cos[row % seq_len * half + i], s = sin[row % seq_len * half + i], a = low, b = high;
                low = back ? fmaf(a, c, b * s) : fmaf(a, c, -(b * s));
                high = back ? fmaf(b, c, -(a * s)) : fmaf(b, c, a * s);
            }
        }
    }
    LAUNCH(rope, dim3((rows + 7) / 8), ROW_THREADS, 0, (float*)gc, (float*)gs, seq_len, 2 * half, width, (float*)gx,
           (long long)rows, back);
    expect_same("rope " + order, gx.host(), x);
}

}  // namespace

int main() {
    shim::in_all_orders([](const char* order) {
        shim::Numbers numbers(9);
        for (int round = 0; round < 12; round++) {
            const size_t shift = round % 3 == 2;
            check_bias(order, 1 + numbers.below(3), 1 + numbers.below(150), (round % 2 ? 4 : 1) * (1 + numbers.below(60)),
                       shift, numbers);
            check_columns(order, 1 + numbers.below(50), round % 2, shift, numbers);
            check_embedding(order, 1 + numbers.below(200), 1 + numbers.below(30),
                            (round % 2 ? 4 : 1) * (1 + numbers.below(160)), shift, numbers);
            check_rope(order, 1 + numbers.below(40), 1 + numbers.below(20), 1 + numbers.below(5),
                       (round % 2 ? 4 : 1) * (1 + numbers.below(20)), shift, round / 2 % 2, numbers);
        }
    });
    puts("rows: equal");
}
