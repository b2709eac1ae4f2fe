// Operands of `arithmetic = 2` as digits (docs/arithmetic-2.md; definition: src/engine/integer/definition.rs).
//
// A vector is what enters one element's sum: a row of a matrix, a column of it, or a column's part of one block of tokens. Its
// digits lie at digits[vector][block][plane][number], a byte each, planes as in digits.cuh, `depth` numbers in a plane: a multiple of
// 64, zeros after the last. A matrix of one block has no second index. Steps lie at steps[block][vector].
//
// Maxima and integer sums are exact in any order, so nothing here depends on the order of threads or blocks.
#include "cuda.cuh"
#include "digits.cuh"

#define THREADS 256
#define WARPS (THREADS / 32)

// The largest of all threads' values. `room` may be used again after the next barrier.
static __device__ __forceinline__ unsigned block_max(unsigned value, unsigned (&room)[WARPS]) {
    value = __reduce_max_sync(WARP, value);
    if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = value;
    __syncthreads();
    unsigned largest = room[0];
#pragma unroll
    for (int i = 1; i < WARPS; i++) largest = room[i] > largest ? room[i] : largest;
    return largest;
}

static __device__ __forceinline__ unsigned long long block_sum(unsigned long long value, unsigned long long (&room)[WARPS]) {
#pragma unroll
    for (int lanes = 16; lanes > 0; lanes /= 2) value += __shfl_xor_sync(WARP, value, lanes);
    if (threadIdx.x % 32 == 0) room[threadIdx.x / 32] = value;
    __syncthreads();
    unsigned long long sum = room[0];
#pragma unroll
    for (int i = 1; i < WARPS; i++) sum += room[i];
    return sum;
}

static __device__ __forceinline__ unsigned larger(unsigned largest, float x) {
    const unsigned magnitude = __float_as_uint(x) & MAGNITUDE;
    return magnitude > largest ? magnitude : largest;
}

// Four numbers of a row from `first` on, zeros beyond its end. `aligned`: the row is on 16 bytes and k a multiple of four.
static __device__ __forceinline__ void load_quad(const float* __restrict__ row, int k, int first, bool aligned, float (&x)[4]) {
    if (aligned) {
        const float4 quad = first < k ? *reinterpret_cast<const float4*>(row + first) : make_float4(0, 0, 0, 0);
        x[0] = quad.x, x[1] = quad.y, x[2] = quad.z, x[3] = quad.w;
    } else {
#pragma unroll
        for (int i = 0; i < 4; i++) x[i] = first + i < k ? row[first + i] : 0.0f;
    }
}

// Quads of a row that a thread holds; what is beyond them (k > 4096) is read three times.
#define HELD 4

// x [rows x k] -> digits [rows][3][depth], steps [rows]. Grid: a block of 256 threads a row.
extern "C" __global__ void __launch_bounds__(THREADS)
    integer_quantise_rows(const float* __restrict__ x, int k, int depth, int8_t* __restrict__ digits, float* __restrict__ steps) {
    __shared__ unsigned largest_of_warps[WARPS];
    __shared__ unsigned long long squares_of_warps[WARPS];
    const float* row = x + static_cast<size_t>(blockIdx.x) * k;
    const int t = threadIdx.x, quads = depth / 4;
    const bool aligned = k % 4 == 0 && reinterpret_cast<uintptr_t>(x) % 16 == 0;
    float held[HELD][4];
    unsigned largest = 0;
#pragma unroll
    for (int i = 0; i < HELD; i++) load_quad(row, k, (t + i * THREADS) * 4, aligned, held[i]);
#pragma unroll
    for (int i = 0; i < HELD * 4; i++) largest = larger(largest, held[i / 4][i % 4]);
    for (int quad = t + HELD * THREADS; quad < quads; quad += THREADS) {
        float more[4];
        load_quad(row, k, quad * 4, aligned, more);
#pragma unroll
        for (int i = 0; i < 4; i++) largest = larger(largest, more[i]);
    }
    largest = block_max(largest, largest_of_warps);
    int exponent = finest_exponent(largest);

    float up = up_of(exponent);
    unsigned long long squares = 0;
#pragma unroll
    for (int i = 0; i < HELD * 4; i++) add_square(squares, held[i / 4][i % 4], up);
    for (int quad = t + HELD * THREADS; quad < quads; quad += THREADS) {
        float more[4];
        load_quad(row, k, quad * 4, aligned, more);
#pragma unroll
        for (int i = 0; i < 4; i++) add_square(squares, more[i], up);
    }
    exponent += coarsening(block_sum(squares, squares_of_warps));
    up = up_of(exponent);

    if (t == 0) steps[blockIdx.x] = step_of(exponent, largest);
    // The planes as words of four digits.
    unsigned* const to = reinterpret_cast<unsigned*>(digits + static_cast<size_t>(blockIdx.x) * PLANES * depth);
    const auto store = [&](int quad, const float(&numbers)[4]) {
        unsigned planes[PLANES];
        split(numbers, up, planes);
#pragma unroll
        for (int i = 0; i < PLANES; i++) to[i * quads + quad] = planes[i];
    };
#pragma unroll
    for (int i = 0; i < HELD; i++) {
        if (t + i * THREADS < quads) store(t + i * THREADS, held[i]);
    }
    for (int quad = t + HELD * THREADS; quad < quads; quad += THREADS) {
        float more[4];
        load_quad(row, k, quad * 4, aligned, more);
        store(quad, more);
    }
}
KERNEL(integer_quantise_rows)

// A block of threads takes a strip of 32 columns, at most 256 rows of it: lane = column, 32 rows a warp, held in registers.
#define STRIP 32
#define ROWS 256
#define ROWS_OF_WARP (ROWS / WARPS)

// Rows from `begin` to `end` of the strip from column `first` on of x [.. x cols]; zeros beyond them.
static __device__ __forceinline__ void
load_strip(const float* __restrict__ x, int cols, int first, int begin, int end, float (&strip)[ROWS_OF_WARP]) {
    const int col = first + threadIdx.x % 32, row = begin + threadIdx.x / 32 * ROWS_OF_WARP;
#pragma unroll
    for (int i = 0; i < ROWS_OF_WARP; i++) {
        strip[i] = row + i < end && col < cols ? x[static_cast<size_t>(row + i) * cols + col] : 0.0f;
    }
}

// The largest of a column, of what its eight threads have.
static __device__ __forceinline__ unsigned column_max(unsigned value, unsigned (&room)[WARPS][STRIP]) {
    const int lane = threadIdx.x % 32;
    room[threadIdx.x / 32][lane] = value;
    __syncthreads();
    unsigned largest = room[0][lane];
#pragma unroll
    for (int i = 1; i < WARPS; i++) largest = room[i][lane] > largest ? room[i][lane] : largest;
    return largest;
}

static __device__ __forceinline__ unsigned long long
column_sum(unsigned long long value, unsigned long long (&room)[WARPS][STRIP]) {
    const int lane = threadIdx.x % 32;
    room[threadIdx.x / 32][lane] = value;
    __syncthreads();
    unsigned long long sum = room[0][lane];
#pragma unroll
    for (int i = 1; i < WARPS; i++) sum += room[i][lane];
    return sum;
}

static __device__ __forceinline__ unsigned largest_of(const float (&strip)[ROWS_OF_WARP]) {
    unsigned largest = 0;
#pragma unroll
    for (int i = 0; i < ROWS_OF_WARP; i++) largest = larger(largest, strip[i]);
    return largest;
}

static __device__ __forceinline__ unsigned long long squares_of(const float (&strip)[ROWS_OF_WARP], float up) {
    unsigned long long squares = 0;
#pragma unroll
    for (int i = 0; i < ROWS_OF_WARP; i++) add_square(squares, strip[i], up);
    return squares;
}

// Words of four rows of a column, and one more, so that lanes of a warp meet 32 banks along columns and along rows.
#define STRIP_PITCH (ROWS / 4 + 1)

// Turns a strip's digits around: `width` numbers (a multiple of 64, at most 256) of each column's planes, which begin at
// to + column * vector + plane * depth.
static __device__ __forceinline__ void store_strip(
    const float (&strip)[ROWS_OF_WARP], float up, unsigned (&room)[PLANES][STRIP][STRIP_PITCH], int8_t* __restrict__ to,
    size_t vector, size_t depth, int cols, int width) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
    for (int i = 0; i < ROWS_OF_WARP / 4; i++) {
        const float numbers[4] = {strip[4 * i], strip[4 * i + 1], strip[4 * i + 2], strip[4 * i + 3]};
        unsigned planes[PLANES];
        split(numbers, up, planes);
#pragma unroll
        for (int p = 0; p < PLANES; p++) room[p][lane][warp * (ROWS_OF_WARP / 4) + i] = planes[p];
    }
    __syncthreads();
    for (int i = warp; i < PLANES * STRIP; i += WARPS) {
        const int col = i / PLANES, p = i % PLANES;
        if (col >= cols) continue;
        unsigned* const words = reinterpret_cast<unsigned*>(to + col * vector + p * depth);
        for (int word = lane; word < width / 4; word += 32) words[word] = room[p][col][word];
    }
}

// Columns of blocks of tokens: x [tokens x cols] -> digits [cols][blocks][3][depth], steps [blocks][cols]. A sequence of `seq_len` is cut
// into blocks of 256 from its first token on, and x begins `skipped` tokens after that, with a block; blocks are as many as that gives.
// Grid: (cols / 32, blocks), 256 threads.
extern "C" __global__ void __launch_bounds__(THREADS) integer_quantise_blocks(
    const float* __restrict__ x, int cols, int tokens, int seq_len, int skipped, int depth, int8_t* __restrict__ digits,
    float* __restrict__ steps) {
    __shared__ unsigned largest_of_warps[WARPS][STRIP];
    __shared__ unsigned long long squares_of_warps[WARPS][STRIP];
    __shared__ unsigned room[PLANES][STRIP][STRIP_PITCH];
    const int first = blockIdx.x * STRIP, block = blockIdx.y, blocks = gridDim.y;
    const int of_sequence = (seq_len + ROWS - 1) / ROWS, number = skipped / ROWS + block;
    const int sequence = number / of_sequence, in_sequence = number % of_sequence * ROWS;
    const int begin = sequence * seq_len + in_sequence - skipped;
    const int left = seq_len - in_sequence < tokens - begin ? seq_len - in_sequence : tokens - begin;
    float strip[ROWS_OF_WARP];
    load_strip(x, cols, first, begin, begin + (left < ROWS ? left : ROWS), strip);
    const unsigned largest = column_max(largest_of(strip), largest_of_warps);
    int exponent = finest_exponent(largest);
    exponent += coarsening(column_sum(squares_of(strip, up_of(exponent)), squares_of_warps));

    const int col = first + threadIdx.x;
    if (threadIdx.x < STRIP && col < cols) steps[static_cast<size_t>(block) * cols + col] = step_of(exponent, largest);
    const size_t of_block = static_cast<size_t>(PLANES) * depth, vector = of_block * blocks;
    store_strip(strip, up_of(exponent), room, digits + first * vector + block * of_block, vector, depth, cols - first, depth);
}
KERNEL(integer_quantise_blocks)

// Columns of any length, in three launches over pieces of 256 rows, (cols / 32, pieces) blocks of 256 threads each: what one has
// found in a piece, the next reads of all pieces.

// x [rows x cols] -> largest [pieces][cols]
extern "C" __global__ void __launch_bounds__(THREADS)
    integer_column_largest(const float* __restrict__ x, int cols, int rows, unsigned* __restrict__ largest) {
    __shared__ unsigned largest_of_warps[WARPS][STRIP];
    const int first = blockIdx.x * STRIP, piece = blockIdx.y;
    float strip[ROWS_OF_WARP];
    load_strip(x, cols, first, piece * ROWS, rows, strip);
    const unsigned found = column_max(largest_of(strip), largest_of_warps);
    const int col = first + threadIdx.x;
    if (threadIdx.x < STRIP && col < cols) largest[static_cast<size_t>(piece) * cols + col] = found;
}
KERNEL(integer_column_largest)

// The largest of a thread's column in all pieces.
static __device__ __forceinline__ unsigned
largest_of_pieces(const unsigned* __restrict__ largest, int cols, int first, unsigned (&room)[WARPS][STRIP]) {
    const int col = first + threadIdx.x % 32;
    unsigned found = 0;
    for (int piece = threadIdx.x / 32; piece < static_cast<int>(gridDim.y) && col < cols; piece += WARPS) {
        const unsigned of_piece = largest[static_cast<size_t>(piece) * cols + col];
        found = of_piece > found ? of_piece : found;
    }
    return column_max(found, room);
}

// x [rows x cols], largest [pieces][cols] -> squares [pieces][cols]
extern "C" __global__ void __launch_bounds__(THREADS) integer_column_squares(
    const float* __restrict__ x, int cols, int rows, const unsigned* __restrict__ largest, unsigned long long* __restrict__ squares) {
    __shared__ unsigned largest_of_warps[WARPS][STRIP];
    __shared__ unsigned long long squares_of_warps[WARPS][STRIP];
    const int first = blockIdx.x * STRIP, piece = blockIdx.y;
    float strip[ROWS_OF_WARP];
    load_strip(x, cols, first, piece * ROWS, rows, strip);
    const float up = up_of(finest_exponent(largest_of_pieces(largest, cols, first, largest_of_warps)));
    const unsigned long long found = column_sum(squares_of(strip, up), squares_of_warps);
    const int col = first + threadIdx.x;
    if (threadIdx.x < STRIP && col < cols) squares[static_cast<size_t>(piece) * cols + col] = found;
}
KERNEL(integer_column_squares)

// x [rows x cols], largest and squares [pieces][cols] -> digits [cols][3][depth], steps [cols]
extern "C" __global__ void __launch_bounds__(THREADS, 4) integer_column_digits(
    const float* __restrict__ x, int cols, int rows, const unsigned* __restrict__ largest,
    const unsigned long long* __restrict__ squares, int depth, int8_t* __restrict__ digits, float* __restrict__ steps) {
    __shared__ unsigned largest_of_warps[WARPS][STRIP];
    __shared__ unsigned long long squares_of_warps[WARPS][STRIP];
    __shared__ unsigned room[PLANES][STRIP][STRIP_PITCH];
    const int first = blockIdx.x * STRIP, piece = blockIdx.y, lane = threadIdx.x % 32;
    float strip[ROWS_OF_WARP];
    load_strip(x, cols, first, piece * ROWS, rows, strip);
    const unsigned whole = largest_of_pieces(largest, cols, first, largest_of_warps);
    unsigned long long found = 0;
    for (int i = threadIdx.x / 32; i < static_cast<int>(gridDim.y) && first + lane < cols; i += WARPS) {
        found += squares[static_cast<size_t>(i) * cols + first + lane];
    }
    const int exponent = finest_exponent(whole) + coarsening(column_sum(found, squares_of_warps));

    if (piece == 0 && threadIdx.x < STRIP && first + lane < cols) steps[first + lane] = step_of(exponent, whole);
    const size_t vector = static_cast<size_t>(PLANES) * depth;
    const int width = depth - piece * ROWS < ROWS ? depth - piece * ROWS : ROWS;
    store_strip(strip, up_of(exponent), room, digits + first * vector + piece * ROWS, vector, depth, cols - first, width);
}
KERNEL(integer_column_digits)
