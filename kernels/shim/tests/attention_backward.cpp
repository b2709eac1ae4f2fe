// Attention's backward kernels on the shim against the definition.
#include "../../attention_backward.cu"

#include "attention.h"

using shim::Buffer;

template <class P>
static unsigned blocks(const AttentionShape& p) {
    return static_cast<unsigned>(p.sequences * p.heads * ((p.seq_len + P::M - 1) / P::M));
}
template <class P>
static size_t of_queries() {
    return sizeof(float) * (P::SHARED_FLOATS + 2 * P::M);
}
template <class P>
static size_t of_keys() {
    return sizeof(float) * (P::SHARED_FLOATS + 2 * P::N + 1);
}

static void check(const AttentionShape& p, shim::Numbers& numbers) {
    auto t = attention::drawn(p, numbers);
    attention::define(t);
    const int group = p.heads / p.kv_heads, d = p.head_dim;
    const long long rows = static_cast<long long>(t.row_max.size());
    Buffer<float> q(t.q), k(t.k), v(t.v), out(t.out), d_out(t.d_out), row_max(t.row_max), row_sum(t.row_sum);
    Buffer<float> scaled(t.q.size()), deltas(t.row_max.size()), dq(t.q.size()), dk_heads(t.q.size()), dv_heads(t.q.size());
    Buffer<float> dk(t.k.size()), dv(t.k.size());
    LAUNCH(attention_scaled, static_cast<unsigned>((rows + 3) / 4), 128, 0, d_out, out, row_sum, scaled, deltas, d, rows);
#define BOTH(D)                                                                                                                   \
    LAUNCH(attention_dq_##D, blocks<Queries##D>(p), 128, of_queries<Queries##D>(), q, k, v, scaled, deltas, row_max, dq, p);      \
    LAUNCH(attention_dkv_##D, blocks<Keys##D>(p), 128, of_keys<Keys##D>(), q, k, v, scaled, deltas, row_max, dk_heads, dv_heads, p)
    if (d <= 64) {
        BOTH(64);
    }
    if (d <= 128 && (d > 64 || numbers.below(4) == 0)) {
        BOTH(128);
    }
    if (d > 128 || numbers.below(8) == 0) {
        BOTH(256);
    }
    const long long n = static_cast<long long>(t.k.size());
    LAUNCH(attention_heads, static_cast<unsigned>((n + 127) / 128), 128, 0, dk_heads, dv_heads, dk, dv, group, d, n);
    shim::expect_bits(attention::name(p) + ", dq", dq.host(), t.dq);
    shim::expect_bits(attention::name(p) + ", dk", dk.host(), t.dk);
    shim::expect_bits(attention::name(p) + ", dv", dv.host(), t.dv);
}

int main() {
    uint64_t seed = 1;
    shim::in_all_orders([&](const char* order) {
        shim::Numbers numbers(seed++);
        for (int round = 0; round < 30; round++) check(attention::drawn_shape(numbers, round % 5 == 4 ? 300 : 90), numbers);
        check({1, 1, 1, 1, 8, 0, 0.35f}, numbers);
        check({1, 260, 1, 1, 64, 0, 0.125f}, numbers);
        // Windows that pass by: with chains at -0, and without.
        for (int i = 0; i < 6; i++) check({1, 400, 2, 1, 8 + 8 * i, 3 + i, 0.125f}, numbers);
        check({1, 200, 1, 1, 128, 70, 0.1f}, numbers);
        printf("%s: equal\n", order);
    });
    printf("shared memory: %zu, %zu, %zu; %zu, %zu, %zu bytes\n", of_queries<Queries64>(), of_queries<Queries128>(),
           of_queries<Queries256>(), of_keys<Keys64>(), of_keys<Keys128>(), of_keys<Keys256>());
}
