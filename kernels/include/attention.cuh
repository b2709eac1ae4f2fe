// What the kernels of attention (A9, src/engine/attention/definition.rs) have in common.
//
// A block owns M rows (queries, or in the gradients of keys and values keys) of one head of one sequence and goes through the other
// side in tiles of N. Of a tile, scores are a small product whose chains run over the head dimension; what becomes of them lies in
// shared memory as [tile's column][row]; and outputs carry on their chains over the tile's columns in registers. Operands come by
// slabs of 16 steps, copied while the slab before is multiplied; where one product ends, its last step copies the next one's first slab.
#pragma once
#include "exp.cuh"
#include "tile.cuh"

// The compiler does not know that this is the same in every round of a loop: what follows from it is computed there and holds no registers.
static __device__ __forceinline__ int afresh(int x) {
#ifdef __CUDACC_RTC__
    asm volatile("" : "+r"(x));
#endif
    return x;
}

// The sizes, by value; `window` is 0 where a query sees all keys before it.
struct AttentionShape {
    int sequences, seq_len, heads, kv_heads, head_dim, window;
    float scale;

    // Keys before the first that query i sees.
    __device__ __forceinline__ int unseen(int i) const { return window > 0 ? max(i + 1 - window, 0) : 0; }
};

// The rows of one head of one sequence in a tensor of so many heads.
struct Head {
    const float* data;
    int stride;  // in bytes

    __device__ __forceinline__ Head(const float* x, const AttentionShape& shape, int heads, int sequence, int head)
        : data(x + (static_cast<long long>(sequence) * shape.seq_len * heads + head) * shape.head_dim),
          stride(4 * heads * shape.head_dim) {}
    // Column `col` of row t.
    __device__ __forceinline__ const float* at(int t, int col) const {
        return reinterpret_cast<const float*>(reinterpret_cast<const char*>(data + col) + static_cast<long long>(t) * stride);
    }
};

// Four warps, WARPS_M x WARPS_N of them; a thread has TM rows, TN columns of a tile, and TD of an output.
template <int WARPS_M, int WARPS_N, int TM_, int TN_, int TD_>
struct Plan {
    static_assert(WARPS_M * WARPS_N == 4, "four warps");
    static constexpr int TM = TM_, TN = TN_, TD = TD_, ACROSS = WARPS_N;
    using Rows = Spread<TM, 4>;
    using Cols = Spread<TN, 8>;
    using Outs = Spread<TD, 8>;
    static constexpr int M = WARPS_M * Rows::SPAN, N = WARPS_N * Cols::SPAN, D = WARPS_N * Outs::SPAN;
    static constexpr int K = 16;
    static constexpr int LD_M = M + 4, LD_N = N + 4;
    static constexpr int SLAB = K * (LD_M + LD_N) > K * D ? K * (LD_M + LD_N) : K * D;
    // Shared memory, in floats: two slabs, a tile.
    static constexpr int TILE = N * LD_M;
    static constexpr int SHARED_FLOATS = 2 * SLAB + TILE;
};

// Where a thread stands.
template <class P>
struct Stand {
    int thread, warp_row, warp_col, row, col, out;

    __device__ __forceinline__ Stand() {
        thread = afresh(threadIdx.x);
        const int lane = thread % 32, warp = thread / 32;
        warp_row = warp / P::ACROSS * P::Rows::SPAN;
        warp_col = warp % P::ACROSS * P::Cols::SPAN;
        row = warp_row + lane_row(lane) * P::Rows::WIDTH;
        col = warp_col + lane_col(lane) * P::Cols::WIDTH;
        out = warp % P::ACROSS * P::Outs::SPAN + lane_col(lane) * P::Outs::WIDTH;
    }
};

// 16 elements from the k-th of ROWS rows from `first`, turned to [k][row]. Rows beyond the last are the last again: dropped later.
template <int ROWS>
static __device__ __forceinline__ void copy_turned(float* slab, const Head& head, int first, int rows, int k, int k_end) {
    const int thread = afresh(threadIdx.x), step = thread % 8, row = thread / 8;
    float* const to = slab + step * (ROWS + 4) + row;
    const bool low = k + step < k_end, high = k + step + 8 < k_end;
#pragma unroll
    for (int p = 0; p < ROWS; p += 16) {
        const float* const from = head.at(min(first + row + p, rows - 1), k + step);
        if (low) cp_async_4(to + p, from);
        if (high) cp_async_4(to + p + 8 * (ROWS + 4), from + 8);
    }
}

// 16 rows as they lie, in room for D columns of which `width` exist.
template <int D>
static __device__ __forceinline__ void copy_straight(float* slab, const Head& head, int first, int rows, int width, bool four) {
    if (four) {
        constexpr int ACROSS = D / 4, STEP = 128 / ACROSS;
        const int row = threadIdx.x / ACROSS, col = threadIdx.x % ACROSS * 4;
        if (col < width) {
#pragma unroll
            for (int p = 0; p < 16; p += STEP) cp_async_16(slab + (row + p) * D + col, head.at(min(first + row + p, rows - 1), col));
        }
    } else {
#pragma unroll 1
        for (int e = threadIdx.x; e < 16 * D; e += 128) {
            const int row = e / D, col = e % D;
            if (col < width) cp_async_4(slab + e, head.at(min(first + row, rows - 1), col));
        }
    }
}

// The two slabs in turn: one is read while the other is copied.
template <class P>
struct Slabs {
    float* slabs;
    int turn;

    __device__ __forceinline__ explicit Slabs(float* shared) : slabs(shared), turn(0) {}
    __device__ __forceinline__ float* room() const { return slabs + turn * P::SLAB; }

    // Waits for the slab under way, has the next copied, and gives the first.
    template <class Copy>
    __device__ __forceinline__ const float* advance(const Copy& copy) {
        cp_async_wait<0>();
        __syncthreads();
        const float* const slab = room();
        turn ^= 1;
        copy(room());
        cp_async_commit();
        return slab;
    }
};

// acc = the chains of a tile over the head dimension. `copy(slab, k)` copies both operands' slab from step k, `next(slab)` what
// comes after them. A warp that does not need its part only helps to copy.
template <class P, class Copy, class Next>
static __device__ __forceinline__ void scores(
    float (&acc)[P::TM][P::TN], Slabs<P>& slabs, const Stand<P>& at, int head_dim, bool needed, const Copy& copy, const Next& next) {
#pragma unroll
    for (int i = 0; i < P::TM; i++)
#pragma unroll
        for (int j = 0; j < P::TN; j++) acc[i][j] = 0.0f;
#pragma unroll 1
    for (int k = 0; k < head_dim; k += P::K) {
        const float* const slab = slabs.advance([&](float* room) {
            if (k + P::K < head_dim)
                copy(room, k + P::K);
            else
                next(room);
        });
        const float *const a = slab + at.row, *const b = slab + P::K * P::LD_M + at.col;
        if (!needed) continue;
        if (k + P::K <= head_dim)
            multiply_in_parts<P::K, 8, P::TM, P::TN, P::LD_M, P::LD_N>(acc, a, b);
        else
            multiply_some<P::TM, P::TN, P::LD_M, P::LD_N>(acc, a, b, head_dim - k);
    }
}

// Carries on the chains of an output over `steps` columns of a tile. `copy(slab, k)` copies the rows of the other operand from the
// tile's column k. `part(k)` says which of 16 columns from k this warp's rows take: all, none, or those up to their own (`own` of
// the thread's first row).
enum class Part { all, none, up_to_own };

template <class P, class Copy, class Next, class Which>
static __device__ __forceinline__ void outputs(
    float (&acc)[P::TM][P::TD], const float* tile, Slabs<P>& slabs, const Stand<P>& at, int steps, int own, const Copy& copy,
    const Next& next, const Which& part) {
#pragma unroll 1
    for (int k = 0; k < steps; k += P::K) {
        const float* const slab = slabs.advance([&](float* room) {
            if (k + P::K < steps)
                copy(room, k + P::K);
            else
                next(room);
        });
        const float *const a = tile + k * P::LD_M + at.row, *const b = slab + at.out;
        const Part which = part(k);
        if (which == Part::all && k + P::K <= steps) {
            multiply_in_parts<P::K, 8, P::TM, P::TD, P::LD_M, P::D>(acc, a, b);
        } else if (which == Part::all) {
            multiply_some<P::TM, P::TD, P::LD_M, P::D>(acc, a, b, steps - k);
        } else if (which == Part::up_to_own) {
            // A column after a row's own is left out, not multiplied by zero: fma(0, x, -0) may be +0.
            const int last = min(P::K, steps - k);
#pragma unroll 1
            for (int step = 0; step < last; step++) {
                float x[P::TM], y[P::TD];
                P::Rows::load(x, a + step * P::LD_M);
                P::Outs::load(y, b + step * P::D);
#pragma unroll
                for (int i = 0; i < P::TM; i++)
                    if (k + step <= own + P::Rows::at(i)) {
#pragma unroll
                        for (int j = 0; j < P::TD; j++) acc[i][j] = __fmaf_rn(x[i], y[j], acc[i][j]);
                    }
            }
        }
    }
}

// A thread's part of the tile in shared memory, four rows of a column at a time.
template <class P>
static __device__ __forceinline__ void put(float* tile, const Stand<P>& at, const float (&acc)[P::TM][P::TN]) {
#pragma unroll
    for (int j = 0; j < P::TN; j++)
#pragma unroll
        for (int i = 0; i < P::TM; i += 4)
            *reinterpret_cast<float4*>(tile + (at.col + P::Cols::at(j)) * P::LD_M + at.row + P::Rows::at(i)) =
                make_float4(acc[i][j], acc[i + 1][j], acc[i + 2][j], acc[i + 3][j]);
}

// Makes `each(i, column, value)` of the same part, for row i of the thread and a column of the tile. A loop: the exponentials of
// all columns at a time would not fit the registers.
template <class P, class Each>
static __device__ __forceinline__ void change(float* tile, const Stand<P>& at, const Each& each) {
#pragma unroll 1
    for (int j = 0; j < P::TN; j++) {
        const int col = at.col + P::Cols::at(j);
#pragma unroll
        for (int i = 0; i < P::TM; i += 4) {
            float* const four = tile + col * P::LD_M + at.row + P::Rows::at(i);
            float x[4];
            load_vector<4>(x, four);
#pragma unroll
            for (int n = 0; n < 4; n++) x[n] = each(i + n, col, x[n]);
            store_vector<4>(four, x);
        }
    }
}

// What lies there with what is in registers, as `each(i, column, value, register)`.
template <class P, class Each>
static __device__ __forceinline__ void join(float* tile, const Stand<P>& at, const float (&acc)[P::TM][P::TN], const Each& each) {
#pragma unroll
    for (int j = 0; j < P::TN; j++)
#pragma unroll
        for (int i = 0; i < P::TM; i += 4) {
            const int col = at.col + P::Cols::at(j);
            float* const four = tile + col * P::LD_M + at.row + P::Rows::at(i);
            float x[4];
            load_vector<4>(x, four);
#pragma unroll
            for (int n = 0; n < 4; n++) x[n] = each(i + n, col, x[n], acc[i + n][j]);
            store_vector<4>(four, x);
        }
}

// A thread's part of an output, through `each(i, value, old)` for row i.
template <class P, class Each>
static __device__ __forceinline__ void store_rows(
    const float (&acc)[P::TM][P::TD], const Stand<P>& at, float* out, int stride, int rows, int width, bool four, const Each& each) {
#pragma unroll
    for (int i = 0; i < P::TM; i++) {
        const int r = at.row + P::Rows::at(i);
        if (r >= rows) continue;
        float* const to = out + static_cast<long long>(r) * stride + at.out;
#pragma unroll
        for (int j = 0; j < P::TD; j += 4) {
            if (four) {
                if (at.out + P::Outs::at(j) < width)
                    *reinterpret_cast<float4*>(to + P::Outs::at(j)) = make_float4(
                        each(i, acc[i][j]), each(i, acc[i][j + 1]), each(i, acc[i][j + 2]), each(i, acc[i][j + 3]));
            } else {
#pragma unroll
                for (int q = 0; q < 4; q++)
                    if (at.out + P::Outs::at(j) + q < width) to[P::Outs::at(j) + q] = each(i, acc[i][j + q]);
            }
        }
    }
}

// Rows of these tensors can be copied and stored 16 bytes at a time.
template <class... Tensors>
static __device__ __forceinline__ bool in_fours(int head_dim, const Tensors*... tensors) {
    return head_dim % 4 == 0 && ((reinterpret_cast<uintptr_t>(tensors) | ...) & 15) == 0;
}

// The tile of rows, the head and the sequence of a block: long rows of the triangle first where `last_first`.
struct Block {
    int sequence, head, first;

    __device__ __forceinline__ Block(const AttentionShape& shape, int m, bool last_first) {
        const int tiles = (shape.seq_len + m - 1) / m, heads = shape.sequences * shape.heads;
        const int block = afresh(blockIdx.x), tile = block / heads, rest = block % heads;
        first = (last_first ? tiles - 1 - tile : tile) * m;
        sequence = rest / shape.heads;
        head = rest % shape.heads;
    }
    // Where row r of the tile lies among the rows of all heads.
    __device__ __forceinline__ long long row(const AttentionShape& shape, int r) const {
        return (static_cast<long long>(sequence) * shape.seq_len + first + r) * shape.heads + head;
    }
};
