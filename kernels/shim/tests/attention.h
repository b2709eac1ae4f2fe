// The definition of attention (src/engine/attention/definition.rs) in C++, and inputs for it.
#pragma once
#include "attention.cuh"
#include "testing.h"

#include <cmath>

namespace attention {

struct Tensors {
    AttentionShape shape;
    std::vector<float> q, k, v, d_out, out, row_max, row_sum, dq, dk, dv;
};

static float chain(const float* x, int x_step, const float* y, int y_step, int n) {
    float acc = 0.0f;
    for (int i = 0; i < n; i++) acc = std::fmaf(x[i * x_step], y[i * y_step], acc);
    return acc;
}

static float fold_all(float (&lane)[32]) {
    for (int w = 16; w > 0; w >>= 1)
        for (int i = 0; i < w; i++) lane[i] += lane[i + w];
    return lane[0];
}

static Tensors drawn(const AttentionShape& shape, shim::Numbers& numbers) {
    Tensors t{};
    t.shape = shape;
    const size_t tokens = size_t(shape.sequences) * shape.seq_len, d = shape.head_dim;
    // Now and then numbers so small that chains underflow to zeros of either sign.
    const int kind = numbers.below(4);
    auto draw = [&](size_t n, bool tiny) {
        std::vector<float> x(n);
        for (float& x : x) {
            x = 2 * numbers.uniform();
            if (tiny && kind == 0) x = std::ldexp(x, -20 - numbers.below(120));
            if (tiny && kind == 1) x = std::ldexp(static_cast<float>(numbers.below(5) - 2), -149);
            if (numbers.below(9) == 0) x = -0.0f;
        }
        return x;
    };
    t.q = draw(tokens * shape.heads * d, false), t.k = draw(tokens * shape.kv_heads * d, numbers.below(2));
    t.v = draw(tokens * shape.kv_heads * d, true), t.d_out = draw(tokens * shape.heads * d, true);
    // Chains that reach -0 before their windows pass, and would become +0 long after.
    if (kind == 1)
        for (size_t i = 0; i < t.d_out.size(); i++)
            t.d_out[i] = std::copysign(t.d_out[i], i / (shape.heads * d) % shape.seq_len < 256 ? -1.0f : 1.0f);
    t.out.resize(t.q.size()), t.dq.resize(t.q.size()), t.dk.resize(t.k.size()), t.dv.resize(t.k.size());
    t.row_max.resize(tokens * shape.heads), t.row_sum.resize(tokens * shape.heads);
    return t;
}

static void define(Tensors& t) {
    const AttentionShape& p = t.shape;
    const int T = p.seq_len, d = p.head_dim, group = p.heads / p.kv_heads, ks = p.kv_heads * d;
    std::vector<float> e(T), ds(T), scaled(d), dk(size_t(T) * d), dv(size_t(T) * d);
    for (int s = 0; s < p.sequences; s++)
        for (int head = 0; head < p.heads; head++) {
            const int kv = head / group;
            const float* const k = &t.k[(size_t(s) * T * p.kv_heads + kv) * d];
            const float* const v = &t.v[(size_t(s) * T * p.kv_heads + kv) * d];
            dk.assign(dk.size(), 0.0f), dv.assign(dv.size(), 0.0f);
            for (int i = 0; i < T; i++) {
                const size_t row = (size_t(s) * T + i) * p.heads + head;
                const float* const q = &t.q[row * d];
                const int unseen = p.window > 0 && i + 1 > p.window ? i + 1 - p.window : 0;
                float m = -INFINITY;
                for (int j = 0; j <= i; j++) {
                    e[j] = j < unseen ? -INFINITY : chain(q, 1, k + size_t(j) * ks, 1, d) * p.scale;
                    m = e[j] > m ? e[j] : m;
                }
                m += 0.0f;
                float lane[32] = {};
                for (int j = 0; j <= i; j++) e[j] = exp_of(e[j] - m), lane[j % 32] += e[j];
                const float l = fold_all(lane);
                t.row_max[row] = m, t.row_sum[row] = l;
                for (int c = 0; c < d; c++) t.out[row * d + c] = chain(e.data(), 1, v + c, ks, i + 1) / l;
                float delta[32] = {};
                for (int c = 0; c < d; c++) {
                    scaled[c] = t.d_out[row * d + c] / l;
                    delta[c % 32] = std::fmaf(scaled[c], t.out[row * d + c], delta[c % 32]);
                }
                const float dd = fold_all(delta);
                for (int j = 0; j <= i; j++) ds[j] = e[j] * (chain(scaled.data(), 1, v + size_t(j) * ks, 1, d) - dd);
                for (int c = 0; c < d; c++) t.dq[row * d + c] = chain(ds.data(), 1, k + c, ks, i + 1) * p.scale;
                for (int j = 0; j <= i; j++)
                    for (int c = 0; c < d; c++) {
                        dk[size_t(j) * d + c] = std::fmaf(ds[j], q[c], dk[size_t(j) * d + c]);
                        dv[size_t(j) * d + c] = std::fmaf(e[j], scaled[c], dv[size_t(j) * d + c]);
                    }
            }
            for (int j = 0; j < T; j++)
                for (int c = 0; c < d; c++) {
                    const size_t to = (size_t(s) * T + j) * ks + kv * d + c;
                    const float k_head = dk[size_t(j) * d + c] * p.scale, v_head = dv[size_t(j) * d + c];
                    t.dk[to] = head % group == 0 ? k_head : t.dk[to] + k_head;
                    t.dv[to] = head % group == 0 ? v_head : t.dv[to] + v_head;
                }
        }
}

static std::string name(const AttentionShape& p) {
    char text[160];
    snprintf(text, sizeof text, "attention of %d x %d tokens, %d heads, %d of keys, of %d, window %d", p.sequences, p.seq_len, p.heads,
             p.kv_heads, p.head_dim, p.window);
    return text;
}

static AttentionShape drawn_shape(shim::Numbers& numbers, int most_tokens) {
    const int dims[] = {8, 16, 24, 64, 96, 128, 40, 7, 192, 256};
    AttentionShape p;
    p.sequences = 1 + numbers.below(2), p.seq_len = 1 + numbers.below(most_tokens);
    p.kv_heads = 1 + numbers.below(2), p.heads = p.kv_heads * (1 + numbers.below(3));
    p.head_dim = dims[numbers.below(10)], p.window = numbers.below(3) ? 0 : 1 + numbers.below(p.seq_len);
    p.scale = 1.0f / std::sqrt(static_cast<float>(p.head_dim));
    return p;
}

}  // namespace attention
