// A product of matrices as a kernel computes it, and what goes wrong when a fault is planted (the argument is its number): test.sh
// says by what each is caught.
#include "cp_async.cuh"
#include "testing.h"

enum Fault {
    NONE,
    NO_BARRIER_BEFORE,   // a tile is read that others still write
    NO_BARRIER_AFTER,    // a tile is overwritten that others still read
    RACE,                // two threads write one element
    WRONG_ORDER,         // k descending
    SPLIT_SUM,           // two sums over k, added at the end
    CONTRACTION,         // an fma in place of a product and a sum
    NO_CONTRACTION,      // a product and a sum in place of an fma
    NO_WAIT,             // an asynchronous copy that nobody waits for
    DIVERGENT_BARRIER,   // not all threads come
    LATE_BARRIER,        // an early return before a barrier
    BEYOND_SHARED,       // one row too many
    BEYOND_GLOBAL,       // the last tile is whole
    MISALIGNED,          // four floats at a time, from any address
    NOT_INITIALISED,     // shared memory is taken to be zero
    PART_OF_A_WARP,      // a shuffle names lanes that never come
    OTHER_BLOCKS,        // a block reads what another one writes
    UNSYNCED_WARP,       // lanes exchange by shared memory without __syncwarp
    HOST_MEMORY,         // a pointer to the host's memory
    PADDED_CHAIN,        // the chain runs on over zeros: +0 in place of -0
};

static int fault = NONE;
constexpr int TILE = 16;

// c[m x n] = factor (c + a[m x k] b[k x n]), each element one fma chain over ascending k. Grid: columns of tiles, rows of tiles; 16 x 16 threads.
extern "C" __global__ void __launch_bounds__(TILE* TILE)
    product(const float* __restrict__ a, const float* __restrict__ b, float* c, int m, int n, int k, float factor) {
    __shared__ __align__(16) float left[TILE][TILE];
    __shared__ __align__(16) float right[TILE][TILE];
    const int x = threadIdx.x, y = threadIdx.y, row = blockIdx.y * TILE + y, column = blockIdx.x * TILE + x;
    if (fault == LATE_BARRIER && row >= m) return;
    const bool inside = row < m && column < n;
    float sum = inside ? c[static_cast<long long>(row) * n + column] : 0.0f, second = 0.0f;
    const int tiles = (k + TILE - 1) / TILE;
    for (int step = 0; step < tiles; step++) {
        const int from = (fault == WRONG_ORDER ? tiles - 1 - step : step) * TILE;
        if (fault == NOT_INITIALISED) {
            if (row < m && from + x < k) left[y][x] = a[static_cast<long long>(row) * k + from + x];
        } else {
            cp_async_4(&left[y][x], row < m && from + x < k ? a + static_cast<long long>(row) * k + from + x : a, row < m && from + x < k ? 4 : 0);
            cp_async_commit();
        }
        const bool whole = fault == BEYOND_GLOBAL || (from + y < k && column < n);
        right[y + (fault == BEYOND_SHARED && x == 0)][x] = whole ? b[static_cast<long long>(from + y) * n + column] : 0.0f;
        if (fault != NO_WAIT) cp_async_wait<0>();
        if (fault == DIVERGENT_BARRIER) {
            if (x < 8) __syncthreads();
        } else if (fault != NO_BARRIER_BEFORE) {
            __syncthreads();
        }
        const int count = fault == NOT_INITIALISED || fault == PADDED_CHAIN || k - from > TILE ? TILE : k - from;
        for (int i = 0; i < count; i++) {
            const int at = fault == WRONG_ORDER ? count - 1 - i : i;
            float l = left[y][at];
            if (fault == MISALIGNED) l = reinterpret_cast<const float4*>(&left[y][at])[0].x;
            if (fault == NO_CONTRACTION) sum = __fadd_rn(sum, __fmul_rn(l, right[at][x]));
            else if (fault == SPLIT_SUM && step % 2) second = __fmaf_rn(l, right[at][x], second);
            else sum = __fmaf_rn(l, right[at][x], sum);
        }
        if (fault != NO_BARRIER_AFTER) __syncthreads();
    }
    if (fault == NO_WAIT) cp_async_wait<0>();
    if (fault == SPLIT_SUM) sum = __fadd_rn(sum, second);
    if (!inside) return;
    float* out = c + (fault == RACE ? static_cast<long long>(row) * n + column / 2 : static_cast<long long>(row) * n + column);
    *out = __fmul_rn(sum, factor);
}
KERNEL(product)

// sums[i]: of row i of c, each element times 0.7 and rounded, by a warp: A3. before[i] is the sum of the row before. One warp a block.
extern "C" __global__ void __launch_bounds__(32) row_sums(const float* c, int n, float* sums, float* before) {
    __shared__ float lanes[32];
    const int lane = threadIdx.x, row = blockIdx.x;
    float sum = 0.0f;
    for (int i = lane; i < n; i += 32) {
        const float x = c[static_cast<long long>(row) * n + i];
        sum = fault == CONTRACTION ? __fmaf_rn(x, 0.7f, sum) : __fadd_rn(sum, __fmul_rn(x, 0.7f));
    }
    if (fault == PART_OF_A_WARP && lane >= 20) return;
    for (int half = 16; half > 0; half >>= 1) {
        lanes[lane] = sum;
        if (fault != UNSYNCED_WARP) __syncwarp();
        if (lane < half) sum = __fadd_rn(sum, lanes[lane + half]);
        __syncwarp();
    }
    sum = __shfl_sync(WARP, sum, 0);
    if (lane == 0) sums[row] = sum;
    if (fault == OTHER_BLOCKS && lane == 0) before[row] = row ? sums[row - 1] : 0.0f;
    if (fault != OTHER_BLOCKS && lane == 0) before[row] = 0.0f;
}
KERNEL(row_sums)

int main(int, char** arguments) {
    fault = arguments[1] ? std::atoi(arguments[1]) : NONE;
    const int m = 21, n = 37, k = 45;
    shim::Numbers numbers(5);
    std::vector<float> a = numbers.vector(m * k), b = numbers.vector(k * n), c = numbers.vector(m * n), want = c, sums(m);
    // A column whose chain ends at -0: a step too many over zeros makes it +0.
    for (float& x : a) x = std::fabs(x);
    for (int i = 0; i < k; i++) b[i * n] = -0.0f;
    for (int i = 0; i < m; i++) c[i * n] = want[i * n] = -0.0f;
    for (int i = 0; i < m; i++)
        for (int j = 0; j < n; j++) {
            float sum = want[i * n + j];
            for (int l = 0; l < k; l++) sum = std::fma(a[i * k + l], b[l * n + j], sum);
            want[i * n + j] = sum * 0.3f;
        }
    for (int i = 0; i < m; i++) {
        float lanes[32] = {};
        for (int j = 0; j < n; j++) lanes[j % 32] += want[i * n + j] * 0.7f;
        for (int half = 16; half > 0; half /= 2)
            for (int lane = 0; lane < half; lane++) lanes[lane] += lanes[lane + half];
        sums[i] = lanes[0];
    }
    shim::in_all_orders([&](const char* order) {
        shim::Buffer<float> da(a), db(b), dc(c), dsums(m), dbefore(m);
        const float* left = fault == HOST_MEMORY ? a.data() : static_cast<float*>(da);
        LAUNCH(product, dim3((n + TILE - 1) / TILE, (m + TILE - 1) / TILE), dim3(TILE, TILE), 0, left, db, dc, m, n, k, 0.3f);
        shim::expect_bits(std::string("product ") + order, dc.host(), want);
        LAUNCH(row_sums, m, 32, 0, dc, n, dsums, dbefore);
        shim::expect_bits(std::string("row_sums ") + order, dsums.host(), sums);
        if (fault == OTHER_BLOCKS) {
            std::vector<float> before(sums.begin(), sums.end() - 1);
            before.insert(before.begin(), 0.0f);
            shim::expect_bits(std::string("before ") + order, dbefore.host(), before);
        }
    });
    puts("equal");
}
