// Attention's forward kernels on the shim against the definition.
#include "../../attention_forward.cu"

#include "attention.h"

using shim::Buffer;

template <class P>
static unsigned blocks(const AttentionShape& p) {
    return static_cast<unsigned>(p.sequences * p.heads * ((p.seq_len + P::M - 1) / P::M));
}

template <class P>
static size_t shared() {
    return sizeof(float) * (P::SHARED_FLOATS + 33 * P::M);
}

static void check(const AttentionShape& p, shim::Numbers& numbers) {
    auto t = attention::drawn(p, numbers);
    attention::define(t);
    Buffer<float> q(t.q), k(t.k), v(t.v), out(t.out.size()), row_max(t.row_max.size()), row_sum(t.row_sum.size());
    LAUNCH(attention_max, blocks<Maxima>(p), 128, sizeof(float) * 2 * Maxima::SLAB, q, k, row_max, p);
    shim::expect_bits(attention::name(p) + ", row maxima", row_max.host(), t.row_max);
    if (p.head_dim <= 64)
        LAUNCH(attention_64, blocks<Forward64>(p), 128, shared<Forward64>(), q, k, v, row_max, out, row_sum, p);
    if (p.head_dim <= 128 && (p.head_dim > 64 || numbers.below(4) == 0))
        LAUNCH(attention_128, blocks<Forward128>(p), 128, shared<Forward128>(), q, k, v, row_max, out, row_sum, p);
    if (p.head_dim > 128 || numbers.below(8) == 0)
        LAUNCH(attention_256, blocks<Forward256>(p), 128, shared<Forward256>(), q, k, v, row_max, out, row_sum, p);
    shim::expect_bits(attention::name(p) + ", row sums", row_sum.host(), t.row_sum);
    shim::expect_bits(attention::name(p) + ", out", out.host(), t.out);
}

int main() {
    uint64_t seed = 1;
    shim::in_all_orders([&](const char* order) {
        shim::Numbers numbers(seed++);
        for (int round = 0; round < 30; round++) check(attention::drawn_shape(numbers, round % 5 == 4 ? 300 : 90), numbers);
        check({1, 1, 1, 1, 8, 0, 0.35f}, numbers);
        check({1, 260, 1, 1, 64, 0, 0.125f}, numbers);
        check({1, 260, 2, 1, 64, 3, 0.125f}, numbers);
        check({1, 128, 1, 1, 128, 70, 0.1f}, numbers);
        printf("%s: equal\n", order);
    });
    printf("shared memory: %zu, %zu, %zu, %zu bytes\n", sizeof(float) * 2 * Maxima::SLAB, shared<Forward64>(), shared<Forward128>(),
           shared<Forward256>());
}
