#include "../../rms_norm.cu"
#include "definitions.h"

namespace {

using Floats = std::vector<float>;

void check(const std::string& order, int sequences, int seq_len, int d, int plus_one, size_t shift, shim::Numbers& numbers) {
    const size_t rows = static_cast<size_t>(sequences * seq_len), n = rows * static_cast<size_t>(d);
    const Floats x = numbers_of_every_kind(numbers, n), dy = numbers_of_every_kind(numbers, n);
    const Floats weight = numbers_of_every_kind(numbers, d);
    Floats w = weight, y(n), rinv(rows), dx = numbers_of_every_kind(numbers, n), partial(sequences * d, 0.0f);
    if (plus_one)
        for (float& v : w) v = 1.0f + v;
    const Shifted gx(x, shift), gw(weight, shift), gdy(dy, 0), gdx(dx, shift), gy(n, 0), again(n, shift), gr(rows, 0);
    const Shifted gp(static_cast<size_t>(sequences * d), 0);
    for (size_t row = 0; row < rows; row++) {
        const float* xs = &x[row * d];
        const float r = 1.0f / sqrtf(definition::dot(xs, xs, d) / static_cast<float>(d) + 1e-5f);
        rinv[row] = r;
        Floats xhat(d), g(d);
        for (int i = 0; i < d; i++) {
            y[row * d + i] = (xs[i] * r) * w[i];
            xhat[i] = xs[i] * r, g[i] = dy[row * d + i] * w[i];
        }
        const float c = definition::dot(g.data(), xhat.data(), d) / static_cast<float>(d);
        for (int i = 0; i < d; i++) {
            dx[row * d + i] += fmaf(-xhat[i], c, g[i]) * r;
            float& chain = partial[row / seq_len * d + i];
            chain = fmaf(dy[row * d + i], xhat[i], chain);
        }
    }
    const dim3 grid((rows + 7) / 8);
    const long long count = static_cast<long long>(rows);
    LAUNCH(rms_norm, grid, ROW_THREADS, 0, (float*)gx, (float*)gw, plus_one, 1e-5f, (float*)gy, (float*)gr, d, count);
    expect_same("rms_norm y " + order, gy.host(), y);
    expect_same("rms_norm rinv " + order, gr.host(), rinv);
    LAUNCH(rms_scale, grid, ROW_THREADS, 0, (float*)gx, (float*)gw, plus_one, (float*)gr, (float*)again, d, count);
    expect_same("rms_scale " + order, again.host(), y);
    LAUNCH(rms_norm_backward, grid, ROW_THREADS, 0, (float*)gx, (float*)gw, plus_one, (float*)gr, (float*)gdy, (float*)gdx, d,
           count);
    expect_same("rms_norm_backward " + order, gdx.host(), dx);
    const dim3 strips(sequences * ((d + 31) / 32));
    LAUNCH(rms_norm_partial, strips, CHAIN_THREADS, 0, (float*)gx, (float*)gr, (float*)gdy, seq_len, sequences, d, (float*)gp);
    expect_same("rms_norm_partial " + order, gp.host(), partial);
}

}  // namespace

int main() {
    shim::in_all_orders([](const char* order) {
        shim::Numbers numbers(3);
        for (auto [sequences, seq_len] : {std::pair(1, 1), {3, 5}, {2, 64}, {2, 65}, {1, 200}})
            for (int d : {1, 31, 64, 100, 255, 256, 700, 1 + numbers.below(600)})
                check(order, sequences, seq_len, d, numbers.below(2), numbers.below(2), numbers);
    });
    puts("rms_norm: equal");
}
