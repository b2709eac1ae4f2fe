// Attention's forward pass (A9): the true maxima of the rows of scores first, then exponentials, their sums, and outputs.
//
// attention_max: row_max. attention_64, _128, _256 (for head_dim up to that): row_sum and out; each element of out is one chain of
// fma over ascending keys from +0 in one register, divided by the row sum once; row sums are A3, lane = key mod 32, each lane in one
// register of one thread, over ascending keys. Scores are computed twice and never stored in memory.
// Keys before the window have the exponential +0: of the tiles that hold none but such, chains and lanes, still +0, would stay +0
// (fma(+0, v, +0) and +0 + +0 for finite v), so these tiles are passed over. Keys after the query are left out.
//
// Grid: sequences * heads * ceil(seq_len / M) blocks of 128 threads, M = 128, 128, 64, 64 in the order above; the longest rows first.
#include "attention.cuh"

using Maxima = Plan<4, 1, 8, 8, 4>;
using Forward64 = Plan<4, 1, 8, 8, 8>;
using Forward128 = Plan<2, 2, 8, 8, 8>;
using Forward256 = Plan<2, 2, 8, 4, 16>;

extern "C" __global__ void __launch_bounds__(128, 2)
    attention_max(const float* __restrict__ q, const float* __restrict__ k, float* __restrict__ row_max, AttentionShape shape) {
    using P = Maxima;
    SHARED(float, dynamic);
    float* const shared = pinned(dynamic);
    const Stand<P> at;
    const Block block(shape, P::M, true);
    const Head queries(q, shape, shape.heads, block.sequence, block.head);
    const Head keys(k, shape, shape.kv_heads, block.sequence, block.head / (shape.heads / shape.kv_heads));
    const int rows = shape.seq_len, d = shape.head_dim, last = min(block.first + P::M, rows) - 1;
    Slabs<P> slabs(shared);
    auto copy = [&](float* slab, int j, int k) {
        copy_turned<P::M>(slab, queries, block.first, rows, k, d);
        copy_turned<P::N>(slab + P::K * P::LD_M, keys, j, rows, k, d);
    };
    float most[P::TM], s[P::TM][P::TN];
#pragma unroll
    for (int i = 0; i < P::TM; i++) most[i] = __int_as_float(0xff800000);
    int j0 = shape.unseen(block.first) / P::N * P::N;
    copy(slabs.room(), j0, 0);
    cp_async_commit();
#pragma unroll 1
    for (; j0 <= last; j0 += P::N) {
        const bool needed = j0 + at.warp_col <= block.first + at.warp_row + P::Rows::SPAN - 1;
        scores<P>(
            s, slabs, at, d, needed, [&](float* slab, int k) { copy(slab, j0, k); },
            [&](float* slab) {
                if (j0 + P::N <= last) copy(slab, j0 + P::N, 0);
            });
        if (!needed) continue;
#pragma unroll
        for (int i = 0; i < P::TM; i++) {
            const int query = block.first + at.row + P::Rows::at(i), unseen = shape.unseen(query);
#pragma unroll
            for (int j = 0; j < P::TN; j++) {
                const int key = j0 + at.col + P::Cols::at(j);
                const float score = __fmul_rn(s[i][j], shape.scale);
                if (key >= unseen && key <= query && score > most[i]) most[i] = score;
            }
        }
    }
    // The eight lanes of a row: bits 0, 2 and 3.
#pragma unroll
    for (int i = 0; i < P::TM; i++) {
#pragma unroll
        for (int bit = 1; bit <= 8; bit *= bit == 1 ? 4 : 2) {
            const float other = __shfl_xor_sync(WARP, most[i], bit);
            most[i] = other > most[i] ? other : most[i];
        }
        const int query = block.first + at.row + P::Rows::at(i);
        // A zero maximum is +0.
        if (at.col == 0 && query < rows)
            row_max[block.row(shape, at.row + P::Rows::at(i))] = __fadd_rn(most[i], 0.0f);
    }
}
KERNEL(attention_max)

// lane[i] += lane[i + w] for w = 16, 8, 4, 2, 1.
template <int W>
static __device__ __forceinline__ void fold(float (&lane)[32]) {
#pragma unroll
    for (int i = 0; i < W; i++) lane[i] = __fadd_rn(lane[i], lane[i + W]);
    if constexpr (W > 1) fold<W / 2>(lane);
}

template <class P>
static __device__ __forceinline__ void forward(
    const float* q, const float* k, const float* v, const float* row_max, float* out, float* row_sum, const AttentionShape& shape) {
    SHARED(float, dynamic);
    float* const shared = pinned(dynamic);
    float* const tile = shared + 2 * P::SLAB;
    const Stand<P> at;
    const Block block(shape, P::M, true);
    const int kv_head = block.head / (shape.heads / shape.kv_heads);
    const Head queries(q, shape, shape.heads, block.sequence, block.head);
    const Head keys(k, shape, shape.kv_heads, block.sequence, kv_head);
    const Head values(v, shape, shape.kv_heads, block.sequence, kv_head);
    const int rows = shape.seq_len, d = shape.head_dim, last = min(block.first + P::M, rows) - 1;
    const bool four = in_fours(d, v, out);
    Slabs<P> slabs(shared);
    auto copy = [&](float* slab, int j, int k) {
        copy_turned<P::M>(slab, queries, block.first, rows, k, d);
        copy_turned<P::N>(slab + P::K * P::LD_M, keys, j, rows, k, d);
    };

    float o[P::TM][P::TD];
#pragma unroll
    for (int i = 0; i < P::TM; i++)
#pragma unroll
        for (int j = 0; j < P::TD; j++) o[i][j] = 0.0f;
    // Lanes of row sums, as [lane][row]: a thread has four rows, and LANES of the 32 lanes, to itself.
    constexpr int LANES = P::M / 16;
    const int sum_row = at.thread % (P::M / 4) * 4, sum_lane = at.thread / (P::M / 4) * LANES;
    float *const sums = tile + P::TILE, *const maxima = sums + 32 * P::M;
    if (at.thread < P::M)
        maxima[at.thread] = row_max[block.row(shape, min(at.thread, rows - 1 - block.first))];
#pragma unroll
    for (int n = 0; n < LANES; n++) *reinterpret_cast<float4*>(sums + (sum_lane + n) * P::M + sum_row) = make_float4(0, 0, 0, 0);

    int j0 = shape.unseen(block.first) / P::N * P::N;
    copy(slabs.room(), j0, 0);
    cp_async_commit();
#pragma unroll 1
    for (; j0 <= last; j0 += P::N) {
        float s[P::TM][P::TN];
        const int warp_first = block.first + at.warp_row - j0;  // this warp's first query, as a column of the tile
        scores<P>(
            s, slabs, at, d, at.warp_col <= warp_first + P::Rows::SPAN - 1, [&](float* slab, int k) { copy(slab, j0, k); },
            [&](float* slab) { copy_straight<P::D>(slab, values, j0, rows, d, four); });
        put<P>(tile, at, s);
        float m[P::TM];
        P::Rows::load(m, maxima + at.row);
        const bool whole = j0 + P::N - 1 <= block.first && shape.unseen(last) <= j0;
        change<P>(tile, at, [&](int i, int col, float s) {
            const int query = block.first + at.row + P::Rows::at(i), key = j0 + col;
            const float e = exp_of(__fsub_rn(__fmul_rn(s, shape.scale), m[i]));
            return whole || (key <= query && key >= shape.unseen(query)) ? e : 0.0f;
        });
        outputs<P>(
            o, tile, slabs, at, min(P::N, last + 1 - j0), block.first + at.row - j0,
            [&](float* slab, int k) { copy_straight<P::D>(slab, values, j0 + k, rows, d, four); },
            [&](float* slab) {
                if (j0 + P::N <= last) copy(slab, j0 + P::N, 0);
            },
            [&](int k) {
                return k + P::K - 1 <= warp_first ? Part::all : k > warp_first + P::Rows::SPAN - 1 ? Part::none : Part::up_to_own;
            });
        // Exponentials that are left out are +0 here, and lanes never -0.
#pragma unroll
        for (int n = 0; n < LANES; n++) {
            float* const lane = sums + (sum_lane + n) * P::M + sum_row;
            float sum[4];
            load_vector<4>(sum, lane);
#pragma unroll
            for (int key = 0; key < P::N; key += 32) {
                float e[4];
                load_vector<4>(e, tile + (key + sum_lane + n) * P::LD_M + sum_row);
#pragma unroll
                for (int i = 0; i < 4; i++) sum[i] = __fadd_rn(sum[i], e[i]);
            }
            store_vector<4>(lane, sum);
        }
    }

    __syncthreads();
    if (at.thread < P::M) {
        float lane[32];
#pragma unroll
        for (int n = 0; n < 32; n++) lane[n] = sums[n * P::M + at.thread];
        fold<16>(lane);
        sums[at.thread] = lane[0];
        if (block.first + at.thread < rows) row_sum[block.row(shape, at.thread)] = lane[0];
    }
    __syncthreads();
    float l[P::TM];
    P::Rows::load(l, sums + at.row);
    store_rows<P>(
        o, at, out + block.row(shape, 0) * d, shape.heads * d, rows - block.first, d, four, [&](int i, float x) { return __fdiv_rn(x, l[i]); });
}

#define FORWARD(name, P)                                                                                                      \
    extern "C" __global__ void __launch_bounds__(128, 2)                                                                      \
        name(const float* __restrict__ q, const float* __restrict__ k, const float* __restrict__ v,                           \
             const float* __restrict__ row_max, float* __restrict__ out, float* __restrict__ row_sum, AttentionShape shape) { \
        forward<P>(q, k, v, row_max, out, row_sum, shape);                                                                    \
    }                                                                                                                         \
    KERNEL(name)

FORWARD(attention_64, Forward64)
FORWARD(attention_128, Forward128)
FORWARD(attention_256, Forward256)
