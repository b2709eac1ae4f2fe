// Products of `arithmetic = 2` on the matrix cores (docs/arithmetic-2.md; definition: src/engine/integer/definition.rs).
//
// Operands are digits as integer_quantise.cu leaves them: of each vector, block after block, the planes q1, q1 + q0 and q0, one
// after the other. S = Σ a b is Karatsuba's 2^14 H + 2^7 (M - H - L) + L with H, M, L the sums of the three planes' products. That is
// an ordinary product of bytes over three times k: the accumulator runs through the planes of both operands, and between them it is
// multiplied by a constant. All is modulo 2^32, where 127 has an inverse:
//     S = -127 ( (127 H + M) 128 / -127 + L ).
// So there is one accumulator where three products would need three, and a tile of C may be three times as large. The matrix cores
// wrap around (PTX: without .satfinite). Integer sums are exact in any order; S fits 32 bits whatever the numbers are.
//
// An element is start + (float(S) * step of its row) * step of its column, block after block in ascending order (A4).
#include "cp_async.cuh"
#include "cuda.cuh"
#include "digits.cuh"
#include "mma.cuh"

// What the accumulator is multiplied by after each plane.
#define INVERSE 0x10204081u  // modulo 2^32, of -127
static_assert(INVERSE * (0u - 127u) == 1u, "the inverse of -127");

// Bytes of k in a stage.
#define DEPTH 64
// Rows of a warp's tile. It has 64 or 32 columns.
#define WARP_ROWS 64

// Where 16 bytes of a row of a stage lie. Rows of 64 bytes; the four pieces of a row are exchanged so that eight rows' pieces of one
// k, which one load of a matrix takes, are in 32 banks.
static __device__ __forceinline__ int place(int row, int piece) { return row * DEPTH + ((piece ^ (row >> 1 & 3)) << 4); }

// Tiles of a column of tiles that are done before the next column's: what they read of B is then in the cache.
#define GROUP 8

struct Tile {
    int row, col;
};

static __device__ __forceinline__ Tile tile_of(int index, int tiles_m, int tiles_n) {
    const int group = index / (GROUP * tiles_n), in_group = index - group * (GROUP * tiles_n);
    const int left = tiles_m - group * GROUP, height = left < GROUP ? left : GROUP;
    return Tile{group * GROUP + in_group % height, in_group / height};
}

// Gives a thread's elements of its warp's tile, two neighbours in a row at a time: at n-tile j in row h of two of m-tile i.
template <int MT, int NT, typename Element>
static __device__ __forceinline__ void each_pair(int row, int col, Element element) {
#pragma unroll
    for (int i = 0; i < MT; i++) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
#pragma unroll
            for (int j = 0; j < NT; j++) element(i, j, h, row + i * 16 + h * 8, col + j * 8);
        }
    }
}

// One tile of C by WARPS_M x WARPS_N warps. BLOCKS: C's tile is held as float while block after block is added, or there is one block.
template <int WARPS_M, int WARPS_N, int WARP_COLS, int STAGES, bool BLOCKS>
static __device__ __forceinline__ void product(
    const int8_t* __restrict__ a, const float* __restrict__ a_steps, const int8_t* __restrict__ b, const float* __restrict__ b_steps,
    float* __restrict__ c, int m, int n, int blocks, int depth, bool accumulate) {
    constexpr int THREADS = WARPS_M * WARPS_N * 32, TILE_M = WARPS_M * WARP_ROWS, TILE_N = WARPS_N * WARP_COLS;
    constexpr int MT = WARP_ROWS / 16, NT = WARP_COLS / 8;
    constexpr int STAGE = (TILE_M + TILE_N) * DEPTH;
    // Rows that all threads copy at a time: four threads a row.
    constexpr int COPIED = THREADS / 4, COPIES_A = TILE_M / COPIED, COPIES_B = TILE_N / COPIED;
    SHARED(unsigned char, shared);

    const int tiles_m = (m + TILE_M - 1) / TILE_M, tiles_n = (n + TILE_N - 1) / TILE_N;
    const Tile tile = tile_of(blockIdx.x, tiles_m, tiles_n);
    const int first_row = tile.row * TILE_M, first_col = tile.col * TILE_N;
    const int t = threadIdx.x, lane = t % 32, warp = t / 32;
    const int warp_row = warp / WARPS_N * WARP_ROWS, warp_col = warp % WARPS_N * WARP_COLS;

    // What a thread copies. Beyond the last row it is the last row once more, of which nothing is stored.
    const size_t vector = static_cast<size_t>(blocks) * PLANES * depth;
    const int copied = t / 4, piece = t % 4;
    const int8_t* from[COPIES_A + COPIES_B];
#pragma unroll
    for (int i = 0; i < COPIES_A; i++) {
        const int row = first_row + copied + i * COPIED;
        from[i] = a + (row < m ? row : m - 1) * vector + piece * 16;
    }
#pragma unroll
    for (int i = 0; i < COPIES_B; i++) {
        const int row = first_col + copied + i * COPIED;
        from[COPIES_A + i] = b + (row < n ? row : n - 1) * vector + piece * 16;
    }
    unsigned char* const copy_to = shared + place(copied, piece);
    // A and B lie one below the other, so one loop copies both.
    const auto copy = [&](int stage) {
#pragma unroll
        for (int i = 0; i < COPIES_A + COPIES_B; i++) {
            cp_async_16(copy_to + stage * STAGE + i * (COPIED * DEPTH), from[i]);
            from[i] += DEPTH;
        }
    };

    // Where a lane's rows of matrices lie: of a[] the four are (rows 0-7, 8-15) of k 0-15, then of k 16-31; of b[] k first, two n-tiles.
    const int matrix = lane / 8, in_matrix = lane % 8;
    const unsigned char* const a_at = shared + place(warp_row + matrix % 2 * 8 + in_matrix, matrix / 2);
    const unsigned char* const b_at = shared + TILE_M * DEPTH + place(warp_col + matrix / 2 * 8 + in_matrix, matrix % 2);
    // Of the two halves of a stage's k: they differ in one bit of the piece.
    const int other_a = place(in_matrix, matrix / 2 ^ 2) - place(in_matrix, matrix / 2);
    const int other_b = place(in_matrix, matrix % 2 ^ 2) - place(in_matrix, matrix % 2);

    unsigned fa[2][MT][4], fb[2][NT / 2][4];
    const auto load = [&](int half, int stage) {
#pragma unroll
        for (int i = 0; i < MT; i++) ldmatrix_x4(fa[half][i], a_at + (half ? other_a : 0) + stage * STAGE + i * (16 * DEPTH));
#pragma unroll
        for (int j = 0; j < NT / 2; j++) ldmatrix_x4(fb[half][j], b_at + (half ? other_b : 0) + stage * STAGE + j * (16 * DEPTH));
    };
    int sums[MT][NT][4];
    const auto multiply = [&](int half) {
#pragma unroll
        for (int i = 0; i < MT; i++) {
#pragma unroll
            for (int j = 0; j < NT; j++) {
                const unsigned right[2] = {fb[half][j / 2][j % 2 * 2], fb[half][j / 2][j % 2 * 2 + 1]};
                mma_s8(sums[i][j], fa[half][i], right);
            }
        }
    };

    // A thread's elements of the warp's tile: rows group + 8 h of each 16, columns 2 (lane % 4) + {0, 1} of each 8.
    const int row = first_row + warp_row + lane / 4, col = first_col + warp_col + lane % 4 * 2;
    const bool pairs = n % 2 == 0;
    float values[BLOCKS ? MT : 1][BLOCKS ? NT : 1][4];

    // From here on stage after stage: `stages` of them, the next one to copy, and where it goes.
    const int steps_of_plane = depth / DEPTH, stages = blocks * PLANES * steps_of_plane;
    int copied_stages = 0;
    const auto copy_next = [&](int stage) {
        if (copied_stages < stages) copy(stage);
        copied_stages++;
        cp_async_commit();
    };
#pragma unroll
    for (int i = 0; i < STAGES - 1; i++) copy_next(i);

    // C's elements begin as they are while the first copies are under way.
    if constexpr (BLOCKS) {
        each_pair<MT, NT>(row, col, [&](int i, int j, int h, int r, int s) {
            float* const at = c + static_cast<size_t>(r) * n + s;
            float2 start = make_float2(0, 0);
            if (accumulate && r < m) {
                if (pairs && s < n) {
                    start = *reinterpret_cast<const float2*>(at);
                } else {
                    if (s < n) start.x = at[0];
                    if (s + 1 < n) start.y = at[1];
                }
            }
            values[i][j][2 * h] = start.x, values[i][j][2 * h + 1] = start.y;
        });
    }

    int stage = 0, to = STAGES - 1;
    cp_async_wait<STAGES - 2>();
    __syncthreads();
    load(0, 0);
    for (int block = 0; block < blocks; block++) {
#pragma unroll
        for (int i = 0; i < MT * NT * 4; i++) sums[i / (NT * 4)][i / 4 % NT][i % 4] = 0;
        for (int plane = 0; plane < PLANES; plane++) {
            for (int step = 0; step < steps_of_plane; step++) {
                // The second half's matrices are on their way while the first is multiplied, the next stage's first half while
                // the second is. The stage that is overwritten was read before the last barrier.
                load(1, stage);
                copy_next(to);
                multiply(0);
                to = stage;
                stage = stage + 1 == STAGES ? 0 : stage + 1;
                cp_async_wait<STAGES - 2>();
                __syncthreads();
                load(0, stage);
                multiply(1);
            }
            const unsigned factor = plane == 0 ? 127u : plane == 1 ? 128u * INVERSE : 0u - 127u;
#pragma unroll
            for (int i = 0; i < MT * NT * 4; i++) {
                int& sum = sums[i / (NT * 4)][i / 4 % NT][i % 4];
                sum = static_cast<int>(static_cast<unsigned>(sum) * factor);
            }
        }
        if constexpr (BLOCKS) {
            const float *const rows_at = a_steps + static_cast<size_t>(block) * m, *const cols_at = b_steps + static_cast<size_t>(block) * n;
            each_pair<MT, NT>(row, col, [&](int i, int j, int h, int r, int s) {
                const float row_step = rows_at[r < m ? r : m - 1];
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    const float col_step = cols_at[s + e < n ? s + e : n - 1];
                    const float value = __fmul_rn(__fmul_rn(__int2float_rn(sums[i][j][2 * h + e]), row_step), col_step);
                    values[i][j][2 * h + e] = __fadd_rn(values[i][j][2 * h + e], value);
                }
            });
        }
    }

    each_pair<MT, NT>(row, col, [&](int i, int j, int h, int r, int s) {
        if (r >= m || s >= n) return;
        float* const at = c + static_cast<size_t>(r) * n + s;
        const bool two = s + 1 < n;
        float2 value;
        if constexpr (BLOCKS) {
            value = make_float2(values[i][j][2 * h], values[i][j][2 * h + 1]);
        } else {
            const float row_step = a_steps[r];
            float2 start = make_float2(0, 0);
            if (accumulate) start = pairs ? *reinterpret_cast<const float2*>(at) : make_float2(at[0], two ? at[1] : 0.0f);
            value.x = __fmul_rn(__fmul_rn(__int2float_rn(sums[i][j][2 * h]), row_step), b_steps[s]);
            value.y = __fmul_rn(__fmul_rn(__int2float_rn(sums[i][j][2 * h + 1]), row_step), b_steps[two ? s + 1 : s]);
            value = make_float2(__fadd_rn(start.x, value.x), __fadd_rn(start.y, value.y));
        }
        if (pairs) {
            *reinterpret_cast<float2*>(at) = value;
        } else {
            at[0] = value.x;
            if (two) at[1] = value.y;
        }
    });
}

// C [m x n] = A Bᵀ, or += where `accumulate`: a [m][3][depth], b [n][3][depth]. Grid: tiles of 256 x 128 of C, 256 threads, 96 KiB of
// shared memory.
extern "C" __global__ void __launch_bounds__(256, 1) integer_product(
    const int8_t* a, const float* a_steps, const int8_t* b, const float* b_steps, float* c, int m, int n, int depth, int accumulate) {
    product<4, 2, 64, 4, false>(a, a_steps, b, b_steps, c, m, n, 1, depth, accumulate != 0);
}
KERNEL(integer_product)

// The same by tiles of 128 x 128, two of which a multiprocessor holds: for a C of few tiles. 128 threads, 48 KiB.
extern "C" __global__ void __launch_bounds__(128, 2) integer_product_small(
    const int8_t* a, const float* a_steps, const int8_t* b, const float* b_steps, float* c, int m, int n, int depth, int accumulate) {
    product<2, 2, 64, 3, false>(a, a_steps, b, b_steps, c, m, n, 1, depth, accumulate != 0);
}
KERNEL(integer_product_small)

// C [m x n] += the products of blocks in ascending order: a [m][blocks][3][depth], b [n][blocks][3][depth], steps [blocks][..]. Grid: tiles
// of 128 x 128, 256 threads, 64 KiB of shared memory.
extern "C" __global__ void __launch_bounds__(256, 1) integer_gradient(
    const int8_t* a, const float* a_steps, const int8_t* b, const float* b_steps, float* c, int m, int n, int blocks, int depth) {
    product<2, 4, 32, 4, true>(a, a_steps, b, b_steps, c, m, n, blocks, depth, true);
}
KERNEL(integer_gradient)
