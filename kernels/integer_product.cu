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
//
// Static figures (kernels/figures.tsv), and what follows from them; none of it has been measured. A stage of k is 64 numbers of one
// plane. Cycles of a multiprocessor, all its warps together:
//
//                            matrix cores      instructions issued   shared memory, 128 bytes     bytes from L2
//                            sm_80 sm_89 sm_90 (a sub-partition)     read, written                a cycle of sm_80
//   integer_product           1024  2048   814         242           512 + 192 = 69 % of sm_80       24 (of 47)
//   integer_product_small     1024  2048   814         254           512 + 256 = 75 %                32
//   integer_gradient           768  1536   610         200           448 + 160 = 79 %                27
//
// (IMMA takes 8, 16 cycles of a sub-partition, on sm_90 4 of which mma.sync reaches 62.9 %, arXiv 2402.13499.) So on sm_80 and sm_89
// the matrix cores are what is waited for. On sm_90 shared memory is 86 % busy at their pace and L2 must give 30 bytes a cycle, which
// is about all that it has: wgmma with tiles that a cluster shares is what would go beyond. Spills none, 1 block (small: 2) of 8 warps.
//
// Between planes a sum is multiplied (IMAD), after a block it becomes a float (IMAD, I2F, FMUL, FMUL, FADD): of 256 tokens these take
// up to 2300 cycles beside the 9216 of sm_80's matrix cores, as far as the two warps of a sub-partition do not hide them in each other.
// In products it is a hundredth at k = 4864, a twentieth at 896.
#include "cp_async.cuh"
#include "cuda.cuh"
#include "digits.cuh"
#include "mma.cuh"

// What the accumulator is multiplied by after each plane.
#define INVERSE 0x10204081u  // modulo 2^32, of -127
static_assert(INVERSE * (0u - 127u) == 1u, "the inverse of -127");

// Bytes of k in a stage.
#define DEPTH 64
// Rows of a warp's tile. It has 64 or 48 columns.
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

// Between a warp's registers and C lies a slab of shared memory, so that a warp meets whole rows of C: part i of it are rows 16 i to
// 16 i + 15 of each warp's tile. Calls word(row, column, the slab's word) for what of part i is within C.
template <int WARPS_M, int WARPS_N, int TILE_N, int PITCH, typename Word>
static __device__ __forceinline__ void each_word(int* slab, int i, int first_row, int first_col, int m, int n, Word word) {
    const int lane = threadIdx.x % 32;
#pragma unroll 1
    for (int r = threadIdx.x / 32; r < WARPS_M * 16; r += WARPS_M * WARPS_N) {
        const int row = first_row + r / 16 * WARP_ROWS + i * 16 + r % 16;
        if (row >= m) continue;
#pragma unroll
        for (int e = 0; e < TILE_N; e += 32) {
            const int col = first_col + e + lane;
            if (col < n) word(row, col, slab[r * PITCH + e + lane]);
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

    // What a thread copies, in bytes from its tile's first row on. Beyond the last row it is the last row once more, of which nothing is
    // stored.
    const unsigned vector = blocks * PLANES * depth;
    const int copied = t / 4, piece = t % 4;
    unsigned from[COPIES_A + COPIES_B];
#pragma unroll
    for (int i = 0; i < COPIES_A; i++) {
        const int row = copied + i * COPIED, last = m - 1 - first_row;
        from[i] = (row < last ? row : last) * vector + piece * 16;
    }
#pragma unroll
    for (int i = 0; i < COPIES_B; i++) {
        const int row = copied + i * COPIED, last = n - 1 - first_col;
        from[COPIES_A + i] = (row < last ? row : last) * vector + piece * 16;
    }
    a += static_cast<size_t>(first_row) * vector;
    b += static_cast<size_t>(first_col) * vector;
    unsigned char* const copy_to = shared + place(copied, piece);
    // A and B lie one below the other.
    const auto copy = [&](int stage) {
#pragma unroll
        for (int i = 0; i < COPIES_A + COPIES_B; i++) {
            cp_async_16(copy_to + stage * STAGE + i * (COPIED * DEPTH), (i < COPIES_A ? a : b) + from[i]);
        }
        a += DEPTH;
        b += DEPTH;
    };

    // Where a lane's rows of matrices lie: of a[] the four are (rows 0-7, 8-15) of k 0-15, then of k 16-31; of b[] k first, two n-tiles.
    const int matrix = lane / 8, in_matrix = lane % 8;
    const unsigned char* const a_at = shared + place(warp_row + matrix % 2 * 8 + in_matrix, matrix / 2);
    const unsigned char* const b_at = shared + TILE_M * DEPTH + place(warp_col + matrix / 2 * 8 + in_matrix, matrix % 2);
    // Of the two halves of a stage's k: they differ in one bit of the piece.
    const int other_a = place(in_matrix, matrix / 2 ^ 2) - place(in_matrix, matrix / 2);
    const int other_b = place(in_matrix, matrix % 2 ^ 2) - place(in_matrix, matrix % 2);

    unsigned fa[MT][4], fb[NT / 2][4];
    const auto load = [&](int half, int stage) {
#pragma unroll
        for (int i = 0; i < MT; i++) ldmatrix_x4(fa[i], a_at + (half ? other_a : 0) + stage * STAGE + i * (16 * DEPTH));
#pragma unroll
        for (int j = 0; j < NT / 2; j++) ldmatrix_x4(fb[j], b_at + (half ? other_b : 0) + stage * STAGE + j * (16 * DEPTH));
    };
    int sums[MT][NT][4];
    const auto multiply = [&] {
#pragma unroll
        for (int i = 0; i < MT; i++) {
#pragma unroll
            for (int j = 0; j < NT; j++) {
                const unsigned right[2] = {fb[j / 2][j % 2 * 2], fb[j / 2][j % 2 * 2 + 1]};
                mma_s8(sums[i][j], fa[i], right);
            }
        }
    };

    // Between registers and C: the slab. A thread's elements are those of rows lane / 4 + 8 h, columns 2 (lane % 4) + {0, 1} of each 8. Two words more than a multiple of
    // 32 for each pair of lanes: a half warp's eight bytes are in 32 banks.
    constexpr int SLAB_ROWS = WARPS_M * 16, PITCH = TILE_N + 8;
    static_assert(SLAB_ROWS * PITCH * 4 <= STAGE * STAGES && PITCH % 32 == 8, "a slab lies in the stages");
    int* const slab = reinterpret_cast<int*>(shared);
    int* const slab_at = slab + (warp / WARPS_N * 16 + lane / 4) * PITCH + warp_col + lane % 4 * 2;
    float values[BLOCKS ? MT : 1][BLOCKS ? NT : 1][4];
    if constexpr (BLOCKS) {
#pragma unroll
        for (int i = 0; i < MT; i++) {
            each_word<WARPS_M, WARPS_N, TILE_N, PITCH>(slab, i, first_row, first_col, m, n, [&](int row, int col, int& word) { word = __float_as_int(c[static_cast<size_t>(row) * n + col]); });
            __syncthreads();
#pragma unroll
            for (int j = 0; j < NT * 2; j++) {
                const int2 start = *reinterpret_cast<const int2*>(slab_at + j % 2 * 8 * PITCH + j / 2 * 8);
                values[i][j / 2][j % 2 * 2] = __int_as_float(start.x);
                values[i][j / 2][j % 2 * 2 + 1] = __int_as_float(start.y);
            }
            __syncthreads();
        }
    }

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

    int stage = 0, to = STAGES - 1;
    cp_async_wait<STAGES - 2>();
    __syncthreads();
    load(0, 0);
    for (int block = 0; block < blocks; block++) {
#pragma unroll
        for (int i = 0; i < MT * NT * 4; i++) sums[i / (NT * 4)][i / 4 % NT][i % 4] = 0;
        for (int plane = 0; plane < PLANES; plane++) {
            for (int step = 0; step < steps_of_plane; step++) {
                // The compiler loads a matrix of the next half as soon as the last product with its registers is on its way: the
                // order of IMMA and LDSM is one after the other here and mixed in SASS. The stage that is overwritten was read
                // before the last barrier.
                multiply();
                load(1, stage);
                copy_next(to);
                to = stage;
                stage = stage + 1 == STAGES ? 0 : stage + 1;
                cp_async_wait<STAGES - 2>();
                __syncthreads();
                multiply();
                load(0, stage);
            }
            const unsigned factor = plane == 0 ? 127u : plane == 1 ? 128u * INVERSE : 0u - 127u;
#pragma unroll
            for (int i = 0; i < MT * NT * 4; i++) {
                int& sum = sums[i / (NT * 4)][i / 4 % NT][i % 4];
                sum = static_cast<int>(static_cast<unsigned>(sum) * factor);
            }
        }
        if constexpr (BLOCKS) {
            // The block's steps of the tile, beyond the stages. What was read of the last block's was before other barriers.
            float* const steps = reinterpret_cast<float*>(shared + STAGE * STAGES);
#pragma unroll 1
            for (int i = t; i < TILE_M + TILE_N; i += THREADS) {
                const int row = first_row + i, col = first_col + i - TILE_M;
                steps[i] = i < TILE_M ? a_steps[static_cast<size_t>(block) * m + (row < m ? row : m - 1)]
                                      : b_steps[static_cast<size_t>(block) * n + (col < n ? col : n - 1)];
            }
            __syncthreads();
            const float *const row_steps = steps + warp_row + lane / 4, *const col_steps = steps + TILE_M + warp_col + lane % 4 * 2;
#pragma unroll
            for (int i = 0; i < MT * NT * 4; i++) {
                const int mt = i / (NT * 4), nt = i / 4 % NT, h = i / 2 % 2, e = i % 2;
                const float value = __fmul_rn(__int2float_rn(sums[mt][nt][2 * h + e]), row_steps[mt * 16 + h * 8]);
                values[mt][nt][2 * h + e] = __fadd_rn(values[mt][nt][2 * h + e], __fmul_rn(value, col_steps[nt * 8 + e]));
            }
            // Once more, so that its registers are free above.
            load(0, stage);
        }
    }

    __syncthreads();
#pragma unroll
    for (int i = 0; i < MT; i++) {
#pragma unroll
        for (int j = 0; j < NT * 2; j++) {
            int2 two;
            if constexpr (BLOCKS) {
                two = make_int2(__float_as_int(values[i][j / 2][j % 2 * 2]), __float_as_int(values[i][j / 2][j % 2 * 2 + 1]));
            } else {
                two = make_int2(sums[i][j / 2][j % 2 * 2], sums[i][j / 2][j % 2 * 2 + 1]);
            }
            *reinterpret_cast<int2*>(slab_at + j % 2 * 8 * PITCH + j / 2 * 8) = two;
        }
        __syncthreads();
        each_word<WARPS_M, WARPS_N, TILE_N, PITCH>(slab, i, first_row, first_col, m, n, [&](int row, int col, int& word) {
            float& to = c[static_cast<size_t>(row) * n + col];
            if constexpr (BLOCKS) {
                to = __int_as_float(word);
            } else {
                const float value = __fmul_rn(__fmul_rn(__int2float_rn(word), a_steps[row]), b_steps[col]);
                to = __fadd_rn(accumulate ? to : 0.0f, value);
            }
        });
        __syncthreads();
    }
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
// of 128 x 192, 256 threads, 80 KiB of shared memory and 1280 bytes.
extern "C" __global__ void __launch_bounds__(256, 1) integer_gradient(
    const int8_t* a, const float* a_steps, const int8_t* b, const float* b_steps, float* c, int m, int n, int blocks, int depth) {
    product<2, 4, 48, 4, true>(a, a_steps, b, b_steps, c, m, n, blocks, depth, true);
}
KERNEL(integer_gradient)
