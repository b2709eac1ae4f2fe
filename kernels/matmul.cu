// Matrix products (A2): matmul_nt c = a b^T, matmul_nn c = a b, matmul_tn c = a^T b, all row-major.
//
// Each output is one chain of fma over ascending k, from +0 or from what c holds, in one register of one thread. Blocks and threads
// share out outputs, never k. A slab of k is copied to shared memory by cp.async while the slabs before it are multiplied. Rows and
// columns beyond the matrix are computed from its last ones again and not stored; k is never padded: fma(0, 0, -0) is +0.
//
// Grid: one block a tile, ceil(m / rows of the tile) * ceil(n / columns) of them, 128 threads; tiles, and their shared memory, at the
// end of this file. Which tile serves which product is the host's choice and changes no bit.
#include "tile.cuh"

// An operand whose k lies along its rows: 4-byte copies, turned on the way. A warp copies 4 rows of 8 elements at a time: whole
// sectors of memory, and 32 different banks.
template <int ROWS, int BK, int THREADS>
struct Along {
    static constexpr int LD = ROWS + 4;
    static constexpr int STEP = THREADS / 8;
    static constexpr int PASSES = ROWS / STEP;
    static_assert(THREADS % 32 == 0 && ROWS % STEP == 0 && BK % 8 == 0, "whole passes");
    const float* from[PASSES];
    int to, k;

    __device__ __forceinline__ Along(const float* data, int rows, int k_total, int first, int thread) {
        k = thread % 8;
        const int row = thread / 8;
        to = k * LD + row;
#pragma unroll
        for (int p = 0; p < PASSES; p++) {
            const int r = min(first + row + p * STEP, rows - 1);
            from[p] = data + static_cast<long long>(r) * k_total + k;
        }
    }
    // Copies the next slab; of its k only the first `steps` exist.
    template <bool WHOLE>
    __device__ __forceinline__ void copy(float* slab, int steps) {
#pragma unroll
        for (int p = 0; p < PASSES; p++) {
#pragma unroll
            for (int h = 0; h < BK; h += 8)
                if (WHOLE || k + h < steps) cp_async_4(slab + to + h * LD + p * STEP, from[p] + h);
            from[p] += BK;
        }
    }
};

// An operand whose k goes down its rows: it lies as the slab does.
template <int COLS, int BK, int THREADS, bool VECTOR>
struct Down {
    static constexpr int LD = COLS;
    static constexpr int WIDTH = VECTOR ? 4 : 1;
    static constexpr int ACROSS = COLS / WIDTH;  // copies for one k
    static constexpr int STEP = THREADS / ACROSS;
    static constexpr int PASSES = BK / STEP;
    static_assert(THREADS % ACROSS == 0 && BK % STEP == 0, "whole passes");
    const float* from;
    long long step, slab_step;
    int to, k;

    __device__ __forceinline__ Down(const float* data, int cols, int, int first, int thread) {
        k = thread / ACROSS;
        const int col = thread % ACROSS * WIDTH;
        to = k * LD + col;
        from = data + static_cast<long long>(k) * cols + min(first + col, cols - WIDTH);
        step = static_cast<long long>(STEP) * cols;
        slab_step = static_cast<long long>(BK) * cols;
    }
    template <bool WHOLE>
    __device__ __forceinline__ void copy(float* slab, int steps) {
#pragma unroll
        for (int p = 0; p < PASSES; p++)
            if (WHOLE || k + p * STEP < steps) {
                if constexpr (VECTOR)
                    cp_async_16(slab + to + p * STEP * LD, from + p * step);
                else
                    cp_async_4(slab + to + p * STEP * LD, from + p * step);
            }
        from += slab_step;
    }
};

// The tile of a block. Tiles that run at the same time lie close: 8 rows of tiles, column after column.
static __device__ __forceinline__ void place(int rows, int cols, int block, int& row, int& col) {
    const int across = 8 * cols;
    const int first = block / across * 8, high = min(8, rows - first);
    row = first + block % across % high;
    col = block % across / high;
}

template <int M, int N, int K, int ROWS, int COLS, int BUFFERS, int RESIDENT>
struct Tile {
    static constexpr int BM = M, BN = N;            // of c, by a block
    static constexpr int BK = K;                    // a slab's
    static constexpr int TM = ROWS, TN = COLS;      // of c, by a thread
    static constexpr int STAGES = BUFFERS;          // slabs in shared memory
    static constexpr int BLOCKS = RESIDENT;         // on a multiprocessor at a time
    static_assert(M * N == 128 * ROWS * COLS && M % (4 * ROWS) == 0 && N % (8 * COLS) == 0, "128 threads in whole warps");
};

// Floats of c between memory and registers: `FOUR` together where rows of c begin on 16 bytes.
template <bool FOUR, bool LOAD, int TM, int TN>
static __device__ __forceinline__ void move(float (&acc)[TM][TN], float* out, int ld, int rows, int cols) {
    using Cols = Spread<TN, 8>;
    constexpr int WIDTH = FOUR ? Cols::WIDTH : 1;
#pragma unroll
    for (int i = 0; i < TM; i++) {
        const int r = Spread<TM, 4>::at(i);
        if (r < rows) {
            float* const row = out + static_cast<long long>(r) * ld;
#pragma unroll
            for (int j = 0; j < TN; j += WIDTH) {
                if (Cols::at(j) >= cols) continue;
                if constexpr (LOAD)
                    load_vector<WIDTH>(&acc[i][j], row + Cols::at(j));
                else
                    store_vector<WIDTH>(row + Cols::at(j), &acc[i][j]);
            }
        }
    }
}

template <class T, class A, class B>
static __device__ __forceinline__ void product(const float* a, const float* b, float* c, int m, int n, int k, bool accumulate) {
    constexpr int BM = T::BM, BN = T::BN, BK = T::BK, TM = T::TM, TN = T::TN, STAGES = T::STAGES;
    constexpr int WARPS_N = BN / (8 * TN), STAGE = BK * (A::LD + B::LD);
    using Rows = Spread<TM, 4>;
    using Cols = Spread<TN, 8>;
    SHARED(float, dynamic);
    float* const shared = pinned(dynamic);
    int tile_row, tile_col;
    place((m + BM - 1) / BM, (n + BN - 1) / BN, blockIdx.x, tile_row, tile_col);
    const int thread = threadIdx.x, lane = thread % 32, warp = thread / 32;
    const int row = warp / WARPS_N * Rows::SPAN + lane_row(lane) * Rows::WIDTH;
    const int col = warp % WARPS_N * Cols::SPAN + lane_col(lane) * Cols::WIDTH;

    A left(a, m, k, tile_row * BM, thread);
    B right(b, n, k, tile_col * BN, thread);
    const int slabs = k / BK, rest = k % BK;
    auto fetch = [&](int s) {
        if (s < slabs) {
            float* const slab = shared + s % STAGES * STAGE;
            left.template copy<true>(slab, BK);
            right.template copy<true>(slab + BK * A::LD, BK);
        }
        cp_async_commit();
    };
#pragma unroll
    for (int s = 0; s < STAGES - 1; s++) fetch(s);

    float acc[TM][TN];
#pragma unroll
    for (int i = 0; i < TM; i++)
#pragma unroll
        for (int j = 0; j < TN; j++) acc[i][j] = 0.0f;
    float* const out = c + static_cast<long long>(tile_row * BM + row) * n + tile_col * BN + col;
    const int rows = m - tile_row * BM - row, cols = n - tile_col * BN - col;
    const bool four = n % Cols::WIDTH == 0 && reinterpret_cast<uintptr_t>(c) % (4 * Cols::WIDTH) == 0;
    if (accumulate && four) move<true, true>(acc, out, n, rows, cols);
    if (accumulate && !four) move<false, true>(acc, out, n, rows, cols);

#pragma unroll 1
    for (int s = 0; s < slabs; s++) {
        cp_async_wait<STAGES - 2>();
        __syncthreads();
        // All have read the slab before this one: its room takes the next copy.
        fetch(s + STAGES - 1);
        const float* const slab = shared + s % STAGES * STAGE;
        constexpr int PART = TM * TN * BK > 1024 ? 1024 / (TM * TN) : BK;
        multiply_in_parts<BK, PART, TM, TN, A::LD, B::LD>(acc, slab + row, slab + BK * A::LD + col);
    }
    if (rest > 0) {
        float* const slab = shared + slabs % STAGES * STAGE;
        left.template copy<false>(slab, rest);
        right.template copy<false>(slab + BK * A::LD, rest);
        cp_async_commit();
        cp_async_wait<0>();
        __syncthreads();
        multiply_some<TM, TN, A::LD, B::LD>(acc, slab + row, slab + BK * A::LD + col, rest);
    }

    if (four)
        move<true, false>(acc, out, n, rows, cols);
    else
        move<false, false>(acc, out, n, rows, cols);
}

#define PRODUCT(name, T, A, B)                                                                                               \
    extern "C" __global__ void __launch_bounds__(128, T::BLOCKS) name(const float* __restrict__ a, const float* __restrict__ b, \
                                                                      float* __restrict__ c, int m, int n, int k,            \
                                                                      int accumulate) {                                      \
        product<T, A<T::BM, T::BK>, B<T::BN, T::BK>>(a, b, c, m, n, k, accumulate != 0);                                      \
    }                                                                                                                        \
    KERNEL(name)

template <int LENGTH, int BK>
using Turned = Along<LENGTH, BK, 128>;
template <int LENGTH, int BK>
using Straight = Down<LENGTH, BK, 128, true>;
// Where rows do not begin on 16 bytes.
template <int LENGTH, int BK>
using Singly = Down<LENGTH, BK, 128, false>;

using Large = Tile<128, 128, 16, 16, 8, 2, 2>;
using Tall = Tile<128, 64, 16, 8, 8, 2, 3>;
using Medium = Tile<64, 64, 16, 8, 4, 3, 4>;
using Small = Tile<32, 32, 32, 4, 2, 4, 4>;

PRODUCT(matmul_nt_128x128, Large, Turned, Turned)
PRODUCT(matmul_nt_128x64, Tall, Turned, Turned)
PRODUCT(matmul_nt_64x64, Medium, Turned, Turned)
PRODUCT(matmul_nt_32x32, Small, Turned, Turned)
PRODUCT(matmul_nn_128x128, Large, Turned, Straight)
PRODUCT(matmul_nn_128x64, Tall, Turned, Straight)
PRODUCT(matmul_nn_64x64, Medium, Turned, Straight)
PRODUCT(matmul_nn_32x32, Small, Turned, Straight)
PRODUCT(matmul_nn_singly, Medium, Turned, Singly)
PRODUCT(matmul_tn_128x128, Large, Straight, Straight)
PRODUCT(matmul_tn_128x64, Tall, Straight, Straight)
PRODUCT(matmul_tn_64x64, Medium, Straight, Straight)
PRODUCT(matmul_tn_32x32, Small, Straight, Straight)
PRODUCT(matmul_tn_singly, Medium, Singly, Singly)
