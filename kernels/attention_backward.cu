// Attention's backward pass (A9): scores are computed again from the row maxima, and nothing of a row's length is stored.
//
// attention_scaled: do' = d_out / row_sum and D = do' . out (A3: lane = column mod 32), a warp a row.
// attention_dq_64, _128, _256 (head_dim up to that): ds = e (do' . v - D), dq = (chain of ds k over ascending keys) * scale.
// attention_dkv_64, _128, _256: for each query head dk = (chain of ds q over ascending queries) * scale, dv = chain of e do'.
// attention_heads: dk and dv, the heads of a group added in ascending order; not needed where a group has one head.
//
// Keys after the query are left out of dq's chains. In dk's and dv's they come first, as e = +0 and ds = +0 or -0, and leave the
// chain's +0 as it is. Queries whose window has passed the key come last in dk's and dv's chains, with e = +0: they change nothing
// but -0, which may become +0. So a block ends behind the window only if none of its chains stands at -0.
//
// Grids: attention_scaled rows / 4 rounded up; attention_dq sequences * heads * ceil(seq_len / M), M = 128, 64, 64; attention_dkv
// the same, M = 64, 64, 32; attention_heads elements / 128 rounded up. 128 threads each.
#include "attention.cuh"

using Queries64 = Plan<4, 1, 8, 8, 8>;
using Queries128 = Plan<2, 2, 8, 8, 8>;
using Queries256 = Plan<2, 2, 8, 4, 16>;
using Keys64 = Plan<2, 2, 8, 8, 4>;
using Keys128 = Plan<2, 2, 8, 4, 8>;
using Keys256 = Plan<2, 2, 4, 4, 16>;

extern "C" __global__ void __launch_bounds__(128)
    attention_scaled(const float* d_out, const float* __restrict__ out, const float* __restrict__ row_sum, float* scaled,
                     float* __restrict__ deltas, int head_dim, long long rows) {
    const long long row = static_cast<long long>(blockIdx.x) * 4 + threadIdx.x / 32;
    if (row >= rows) return;
    const float l = row_sum[row];
    const long long first = row * head_dim;
    float lane = 0.0f;
    for (int c = threadIdx.x % 32; c < head_dim; c += 32) {
        const float x = __fdiv_rn(d_out[first + c], l);
        scaled[first + c] = x;
        lane = __fmaf_rn(x, out[first + c], lane);
    }
#pragma unroll
    for (int w = 16; w > 0; w >>= 1) lane = __fadd_rn(lane, __shfl_xor_sync(WARP, lane, w));
    if (threadIdx.x % 32 == 0) deltas[row] = lane;
}
KERNEL(attention_scaled)

extern "C" __global__ void __launch_bounds__(128)
    attention_heads(const float* __restrict__ dk_heads, const float* __restrict__ dv_heads, float* __restrict__ dk,
                    float* __restrict__ dv, int group, int head_dim, long long n) {
    const long long i = static_cast<long long>(blockIdx.x) * 128 + threadIdx.x;
    if (i >= n) return;
    const long long from = i / head_dim * group * head_dim + i % head_dim;
    float k = dk_heads[from], v = dv_heads[from];
    for (int head = 1; head < group; head++) {
        k = __fadd_rn(k, dk_heads[from + static_cast<long long>(head) * head_dim]);
        v = __fadd_rn(v, dv_heads[from + static_cast<long long>(head) * head_dim]);
    }
    dk[i] = k;
    dv[i] = v;
}
KERNEL(attention_heads)

template <class P>
static __device__ __forceinline__ void zero(float (&acc)[P::TM][P::TD]) {
#pragma unroll
    for (int i = 0; i < P::TM; i++)
#pragma unroll
        for (int j = 0; j < P::TD; j++) acc[i][j] = 0.0f;
}

template <class P>
static __device__ __forceinline__ void queries(
    const float* q, const float* k, const float* v, const float* scaled, const float* deltas, const float* row_max, float* dq,
    const AttentionShape& shape) {
    SHARED(float, dynamic);
    float* const shared = pinned(dynamic);
    float *const tile = shared + 2 * P::SLAB, *const maxima = tile + P::TILE, *const row_deltas = maxima + P::M;
    const Stand<P> at;
    const Block block(shape, P::M, true);
    const int kv_head = block.head / (shape.heads / shape.kv_heads);
    const Head own(q, shape, shape.heads, block.sequence, block.head), own_d(scaled, shape, shape.heads, block.sequence, block.head);
    const Head keys(k, shape, shape.kv_heads, block.sequence, kv_head), values(v, shape, shape.kv_heads, block.sequence, kv_head);
    const int rows = shape.seq_len, d = shape.head_dim, last = min(block.first + P::M, rows) - 1;
    const bool four = in_fours(d, k, dq);
    if (at.thread < P::M) {
        const long long row = block.row(shape, min(at.thread, rows - 1 - block.first));
        maxima[at.thread] = row_max[row];
        row_deltas[at.thread] = deltas[row];
    }
    Slabs<P> slabs(shared);
    auto copy = [&](float* slab, const Head& a, const Head& b, int j, int k) {
        copy_turned<P::M>(slab, a, block.first, rows, k, d);
        copy_turned<P::N>(slab + P::K * P::LD_M, b, j, rows, k, d);
    };
    float out[P::TM][P::TD];
    zero<P>(out);
    int j0 = shape.unseen(block.first) / P::N * P::N;
    copy(slabs.room(), own, keys, j0, 0);
    cp_async_commit();
#pragma unroll 1
    for (; j0 <= last; j0 += P::N) {
        float s[P::TM][P::TN];
        const int warp_first = block.first + at.warp_row - j0;  // this warp's first query, as a column of the tile
        const bool needed = at.warp_col <= warp_first + P::Rows::SPAN - 1;
        scores<P>(
            s, slabs, at, d, needed, [&](float* slab, int k) { copy(slab, own, keys, j0, k); },
            [&](float* slab) { copy(slab, own_d, values, j0, 0); });
        put<P>(tile, at, s);
        {
            float m[P::TM];
            P::Rows::load(m, maxima + at.row);
            change<P>(tile, at, [&](int i, int col, float s) {
                const int query = block.first + at.row + P::Rows::at(i), key = j0 + col;
                const float e = exp_of(__fsub_rn(__fmul_rn(s, shape.scale), m[i]));
                return key <= query && key >= shape.unseen(query) ? e : 0.0f;
            });
        }
        scores<P>(
            s, slabs, at, d, needed, [&](float* slab, int k) { copy(slab, own_d, values, j0, k); },
            [&](float* slab) { copy_straight<P::D>(slab, keys, j0, rows, d, four); });
        float delta[P::TM];
        P::Rows::load(delta, row_deltas + at.row);
        join<P>(tile, at, s, [&](int i, int, float e, float dp) { return __fmul_rn(e, __fsub_rn(dp, delta[i])); });
        outputs<P>(
            out, tile, slabs, at, min(P::N, last + 1 - j0), block.first + at.row - j0,
            [&](float* slab, int k) { copy_straight<P::D>(slab, keys, j0 + k, rows, d, four); },
            [&](float* slab) {
                if (j0 + P::N <= last) copy(slab, own, keys, j0 + P::N, 0);
            },
            [&](int k) {
                return k + P::K - 1 <= warp_first ? Part::all : k > warp_first + P::Rows::SPAN - 1 ? Part::none : Part::up_to_own;
            });
    }
    store_rows<P>(
        out, at, dq + block.row(shape, 0) * d, shape.heads * d, rows - block.first, d, four,
        [&](int, float x) { return __fmul_rn(x, shape.scale); });
}

// Whether any chain of the block stands at -0.
template <class P>
static __device__ __forceinline__ bool any_negative_zero(
    const float (&a)[P::TM][P::TD], const float (&b)[P::TM][P::TD], int thread, int* flag) {
    bool any = false;
#pragma unroll
    for (int i = 0; i < P::TM; i++)
#pragma unroll
        for (int j = 0; j < P::TD; j++)
            any = any || __float_as_uint(a[i][j]) == 0x80000000u || __float_as_uint(b[i][j]) == 0x80000000u;
    if (thread == 0) *flag = 0;
    __syncthreads();
    if (any) atomicOr(flag, 1);
    __syncthreads();
    const bool found = *flag != 0;
    __syncthreads();
    return found;
}

template <class P>
static __device__ __forceinline__ void keys(
    const float* q, const float* k, const float* v, const float* scaled, const float* deltas, const float* row_max, float* dk_heads,
    float* dv_heads, const AttentionShape& shape) {
    SHARED(float, dynamic);
    float* const shared = pinned(dynamic);
    float *const tile = shared + 2 * P::SLAB, *const maxima = tile + P::TILE, *const col_deltas = maxima + P::N;
    int* const flag = reinterpret_cast<int*>(col_deltas + P::N);
    const Stand<P> at;
    const Block block(shape, P::M, false);
    const int kv_head = block.head / (shape.heads / shape.kv_heads);
    const Head queries(q, shape, shape.heads, block.sequence, block.head), d_outs(scaled, shape, shape.heads, block.sequence, block.head);
    const Head own(k, shape, shape.kv_heads, block.sequence, kv_head), own_v(v, shape, shape.kv_heads, block.sequence, kv_head);
    const int rows = shape.seq_len, d = shape.head_dim, last = min(block.first + P::M, rows) - 1;
    const bool four = in_fours(d, q, scaled, dk_heads, dv_heads);
    Slabs<P> slabs(shared);
    auto copy = [&](float* slab, const Head& a, const Head& b, int i, int k) {
        copy_turned<P::M>(slab, a, block.first, rows, k, d);
        copy_turned<P::N>(slab + P::K * P::LD_M, b, i, rows, k, d);
    };
    float dk[P::TM][P::TD], dv[P::TM][P::TD];
    zero<P>(dk);
    zero<P>(dv);
    int i0 = block.first / P::N * P::N;
    copy(slabs.room(), own, queries, i0, 0);
    cp_async_commit();
#pragma unroll 1
    for (; i0 < rows; i0 += P::N) {
        if (at.thread < P::N) {
            const long long row = block.row(shape, min(i0 + at.thread, rows - 1) - block.first);
            maxima[at.thread] = row_max[row];
            col_deltas[at.thread] = deltas[row];
        }
        float s[P::TM][P::TN];
        const int warp_first = block.first + at.warp_row - i0;  // this warp's first key, as a column of the tile
        const bool needed = at.warp_col + P::Cols::SPAN - 1 >= warp_first;
        const int steps = min(P::N, rows - i0);
        auto part = [&](int k) { return k + P::K - 1 < warp_first ? Part::none : Part::all; };
        scores<P>(
            s, slabs, at, d, needed, [&](float* slab, int k) { copy(slab, own, queries, i0, k); },
            [&](float* slab) { copy_straight<P::D>(slab, d_outs, i0, rows, d, four); });
        put<P>(tile, at, s);
        change<P>(tile, at, [&](int i, int col, float s) {
            const int key = block.first + at.row + P::Rows::at(i), query = i0 + col;
            const float e = exp_of(__fsub_rn(__fmul_rn(s, shape.scale), maxima[col]));
            return key <= query && key >= shape.unseen(query) && query < rows ? e : 0.0f;
        });
        outputs<P>(
            dv, tile, slabs, at, steps, 0, [&](float* slab, int k) { copy_straight<P::D>(slab, d_outs, i0 + k, rows, d, four); },
            [&](float* slab) { copy(slab, own_v, d_outs, i0, 0); }, part);
        scores<P>(
            s, slabs, at, d, needed, [&](float* slab, int k) { copy(slab, own_v, d_outs, i0, k); },
            [&](float* slab) { copy_straight<P::D>(slab, queries, i0, rows, d, four); });
        join<P>(tile, at, s, [&](int, int col, float e, float dp) { return __fmul_rn(e, __fsub_rn(dp, col_deltas[col])); });
        outputs<P>(
            dk, tile, slabs, at, steps, 0, [&](float* slab, int k) { copy_straight<P::D>(slab, queries, i0 + k, rows, d, four); },
            [&](float* slab) {
                if (i0 + P::N < rows) copy(slab, own, queries, i0 + P::N, 0);
            },
            part);
        const int next = i0 + P::N;
        if (shape.window > 0 && next < rows && next - last >= shape.window && !any_negative_zero<P>(dk, dv, at.thread, flag)) {
            cp_async_wait<0>();
            break;
        }
    }
    const long long to = block.row(shape, 0) * d;
    store_rows<P>(
        dk, at, dk_heads + to, shape.heads * d, rows - block.first, d, four, [&](int, float x) { return __fmul_rn(x, shape.scale); });
    store_rows<P>(dv, at, dv_heads + to, shape.heads * d, rows - block.first, d, four, [&](int, float x) { return x; });
}

#define QUERIES(name, P)                                                                                                   \
    extern "C" __global__ void __launch_bounds__(128, 2) name(                                                             \
        const float* __restrict__ q, const float* __restrict__ k, const float* __restrict__ v,                             \
        const float* __restrict__ scaled, const float* __restrict__ deltas, const float* __restrict__ row_max,             \
        float* __restrict__ dq, AttentionShape shape) {                                                                    \
        queries<P>(q, k, v, scaled, deltas, row_max, dq, shape);                                                           \
    }                                                                                                                      \
    KERNEL(name)

#define KEYS(name, P)                                                                                                      \
    extern "C" __global__ void __launch_bounds__(128, 2) name(                                                             \
        const float* __restrict__ q, const float* __restrict__ k, const float* __restrict__ v,                             \
        const float* __restrict__ scaled, const float* __restrict__ deltas, const float* __restrict__ row_max,             \
        float* __restrict__ dk_heads, float* __restrict__ dv_heads, AttentionShape shape) {                                \
        keys<P>(q, k, v, scaled, deltas, row_max, dk_heads, dv_heads, shape);                                              \
    }                                                                                                                      \
    KERNEL(name)

QUERIES(attention_dq_64, Queries64)
QUERIES(attention_dq_128, Queries128)
QUERIES(attention_dq_256, Queries256)
KEYS(attention_dkv_64, Keys64)
KEYS(attention_dkv_128, Keys128)
KEYS(attention_dkv_256, Keys256)
