// Cross-entropy of softmax over the vocabulary (src/engine/cross_entropy.rs), a block a row.
//
// The maximum is found first, by all threads in any order: `max` of two is the greater, NaN is passed over, and a zero maximum is
// made +0 at the end. Then the sum of exp(z - m) in the order of A3: a lane's chain cannot be cut, so one warp keeps the 32 lanes,
// a lane a thread, and adds from shared memory while the other 31 warps put down the next exponentials. Last, every thread turns
// logits into gradients; it makes the exponentials again, because writing and reading them would cost as much as two sweeps more.
//
// A row of 151,936 logits is 608 KB: it fits no shared memory. The first and the last sweep go from the end to the beginning, so
// that each begins with what the one before it has just read, in the L2 cache; with a block a multiprocessor at a time some 80 MB
// are under way, of which a cache of 50 MB keeps a good half.
//
// Static figures (sm_90): 45 registers, nothing spilled, one block a multiprocessor. A tile's sum takes about 45 cycles for 256
// elements, so 700 a tile, while memory needs 1,060 for its 15.9 KB at an H100's 15 bytes a cycle and multiprocessor; 22
// instructions an exponential put down and 26 a gradient are under half of what could be issued in that time. So by the figures
// every sweep is bound by memory: 4 + 4 + 8 bytes a logit, less what the cache keeps. Not yet measured on a GPU.
#include "exp.cuh"
#include "few.cuh"
#include "lanes.cuh"

// The target of a token that has none.
#define NO_TARGET 0xffffffffu
#define CE_THREADS 1024
// All warps but the first make exponentials, four a thread and tile.
#define CE_WORKERS (CE_THREADS - 32)
#define CE_TILE (4 * CE_WORKERS)

// Four elements of a row for each of `threads` threads, from `base` on: neighbours where the row is aligned, else `threads` apart.
template <bool Aligned>
struct Part {
    int base, threads, thread, n;

    __device__ __forceinline__ int index(int k) const { return Aligned ? base + 4 * thread + k : base + thread + k * threads; }

    // Absent ones are `fill`.
    __device__ __forceinline__ Few<4> load(const float* z, float fill) const {
        if (Aligned && index(3) < n) return load_few<4>(z + index(0));
        Few<4> few;
#pragma unroll
        for (int k = 0; k < 4; k++) few.at[k] = index(k) < n ? z[index(k)] : fill;
        return few;
    }

    __device__ __forceinline__ void store(float* z, const Few<4>& few) const {
        if (Aligned && index(3) < n) {
            store_few<4>(z + index(0), few);
            return;
        }
#pragma unroll
        for (int k = 0; k < 4; k++) {
            if (index(k) < n) z[index(k)] = few.at[k];
        }
    }
};

// What the threads of a block share.
struct Row {
    float maxima[32];
    float sum;
    __align__(16) float exponentials[2][CE_TILE];
};

// NaN is passed over.
static __device__ __forceinline__ float greater(float x, float m) { return x > m ? x : m; }

// The greatest element, +0 for either zero, in every thread.
template <bool Aligned>
static __device__ __forceinline__ float row_max(const float* z, int n, Row& row) {
    float m = -POSITIVE_INFINITY;
    const int tile = 4 * CE_THREADS;
#pragma unroll 1
    for (int base = (n - 1) / tile * tile; base >= 0; base -= 2 * tile) {
        // Two parts under way; before the first tile there is none.
        const Part<Aligned> last{base, CE_THREADS, (int)threadIdx.x, n};
        const Part<Aligned> before{base - tile, CE_THREADS, (int)threadIdx.x, n};
        const Few<4> a = last.load(z, -POSITIVE_INFINITY);
        const Few<4> b = base < tile ? a : before.load(z, -POSITIVE_INFINITY);
#pragma unroll
        for (int k = 0; k < 4; k++) m = greater(b.at[k], greater(a.at[k], m));
    }
#pragma unroll
    for (int w = 16; w > 0; w >>= 1) m = greater(__shfl_xor_sync(WARP, m, w), m);
    if (lane_of_warp() == 0) row.maxima[threadIdx.x >> 5] = m;
    __syncthreads();
    m = row.maxima[lane_of_warp()];
#pragma unroll
    for (int w = 16; w > 0; w >>= 1) m = greater(__shfl_xor_sync(WARP, m, w), m);
    return __fadd_rn(m, 0.0f);
}

// Adds a tile to this lane, ascending; the next eight are on their way from shared memory while eight are added.
static __device__ __forceinline__ float add_tile(const float* e, int count, float sum) {
    int i = lane_of_warp();
    const int whole = count & ~(32 * LANE_AHEAD - 1);
    if (whole > 0) {
        float now[LANE_AHEAD];
#pragma unroll
        for (int k = 0; k < LANE_AHEAD; k++) now[k] = e[i + 32 * k];
#pragma unroll 1
        for (i += 32 * LANE_AHEAD; i < whole; i += 32 * LANE_AHEAD) {
            float next[LANE_AHEAD];
#pragma unroll
            for (int k = 0; k < LANE_AHEAD; k++) next[k] = e[i + 32 * k];
#pragma unroll
            for (int k = 0; k < LANE_AHEAD; k++) {
                sum = __fadd_rn(sum, now[k]);
                now[k] = next[k];
            }
        }
#pragma unroll
        for (int k = 0; k < LANE_AHEAD; k++) sum = __fadd_rn(sum, now[k]);
    }
#pragma unroll 1
    for (; i < count; i += 32) sum = __fadd_rn(sum, e[i]);
    return sum;
}

// Puts down the exponentials of a worker's four elements.
template <bool Aligned>
static __device__ __forceinline__ void put_exponentials(float* tile, const Few<4>& z, float m, int worker) {
    Few<4> e;
#pragma unroll
    for (int k = 0; k < 4; k++) e.at[k] = exp_of(__fsub_rn(z.at[k], m));
    if (Aligned) {
        store_few<4>(tile + 4 * worker, e);
    } else {
#pragma unroll
        for (int k = 0; k < 4; k++) tile[worker + k * CE_WORKERS] = e.at[k];
    }
}

// The sum of exp(z - m), in the first warp.
template <bool Aligned>
static __device__ __forceinline__ float sum_exponentials(const float* z, int n, float m, Row& row) {
    const int worker = (int)threadIdx.x - 32, tiles = (n + CE_TILE - 1) / CE_TILE;
    const auto load = [&](int tile) { return Part<Aligned>{tile * CE_TILE, CE_WORKERS, worker, n}.load(z, 0.0f); };
    float sum = 0.0f;
    Few<4> ahead[2] = {};
    // A worker's elements of the next two tiles are on their way.
    if (worker >= 0) {
        ahead[0] = load(0);
        if (tiles > 1) ahead[1] = load(1);
    }
#pragma unroll 1
    for (int two = 0; two <= tiles; two += 2) {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int tile = two + half;
            if (worker >= 0) {
                if (tile < tiles) put_exponentials<Aligned>(row.exponentials[half], ahead[half], m, worker);
                if (tile + 2 < tiles) ahead[half] = load(tile + 2);
            } else if (tile > 0 && tile <= tiles) {
                const int base = (tile - 1) * CE_TILE;
                sum = add_tile(row.exponentials[1 - half], min(CE_TILE, n - base), sum);
            }
            // Tile `tile` is down, and the one before it is added.
            __syncthreads();
        }
    }
    return worker < 0 ? fold_lanes(sum) : 0.0f;
}

// z becomes exp(z - m) * factor, minus the scale at the target; from the end to the beginning, two parts under way.
template <bool Aligned>
static __device__ __forceinline__ void turn_to_gradient(float* z, int n, float m, float factor, int target, float scale) {
    const int tile = 4 * CE_THREADS;
#pragma unroll 1
    for (int base = (n - 1) / tile * tile; base >= 0; base -= 2 * tile) {
        const Part<Aligned> parts[2] = {
            {base, CE_THREADS, (int)threadIdx.x, n}, {base - tile, CE_THREADS, (int)threadIdx.x, n}};
        Few<4> values[2] = {};
#pragma unroll
        for (int p = 0; p < 2; p++) {
            if (parts[p].base >= 0) values[p] = parts[p].load(z, 0.0f);
        }
#pragma unroll
        for (int p = 0; p < 2; p++) {
#pragma unroll
            for (int k = 0; k < 4; k++) {
                const float share = __fmul_rn(exp_of(__fsub_rn(values[p].at[k], m)), factor);
                values[p].at[k] = parts[p].index(k) == target ? __fsub_rn(share, scale) : share;
            }
            if (parts[p].base >= 0) parts[p].store(z, values[p]);
        }
    }
}

// The loss of a row in the first thread, and m and l in every one.
struct Softmax {
    float m, l, loss;
};

template <bool Aligned>
static __device__ __forceinline__ Softmax softmax_of_row(const float* z, int n, unsigned target, Row& row) {
    Softmax softmax;
    softmax.m = row_max<Aligned>(z, n, row);
    const float sum = sum_exponentials<Aligned>(z, n, softmax.m, row);
    softmax.loss = 0.0f;
    if (threadIdx.x == 0) {
        row.sum = sum;
        softmax.loss = __fsub_rn(log_of(sum), __fsub_rn(z[target], softmax.m));
    }
    __syncthreads();
    softmax.l = row.sum;
    return softmax;
}

template <bool Aligned>
static __device__ __forceinline__ void cross_entropy_row(float* z, int n, unsigned target, float scale, float* loss, Row& row) {
    const Softmax softmax = softmax_of_row<Aligned>(z, n, target, row);
    if (threadIdx.x == 0) *loss = softmax.loss;
    turn_to_gradient<Aligned>(z, n, softmax.m, __fdiv_rn(scale, softmax.l), (int)target, scale);
}

// Losses, and gradients in place of the logits. 1024 threads, a grid of `rows`.
extern "C" __global__ void __launch_bounds__(CE_THREADS)
cross_entropy(float* logits, int vocabulary, const unsigned* targets, float scale, float* losses, int rows) {
    __shared__ Row row;
    const unsigned r = blockIdx.x;
    if (r >= (unsigned)rows) return;
    float* z = logits + (size_t)r * vocabulary;
    const unsigned target = targets[r];
    if (target == NO_TARGET) {
        for (int i = (int)threadIdx.x; i < vocabulary; i += CE_THREADS) z[i] = 0.0f;
        if (threadIdx.x == 0) losses[r] = 0.0f;
    } else if (aligned(z)) {
        cross_entropy_row<true>(z, vocabulary, target, scale, losses + r, row);
    } else {
        cross_entropy_row<false>(z, vocabulary, target, scale, losses + r, row);
    }
}
KERNEL(cross_entropy)

// Losses alone; the logits stay. 1024 threads, a grid of `rows`.
extern "C" __global__ void __launch_bounds__(CE_THREADS)
cross_entropy_loss(const float* logits, int vocabulary, const unsigned* targets, float* losses, int rows) {
    __shared__ Row row;
    const unsigned r = blockIdx.x;
    if (r >= (unsigned)rows) return;
    const float* z = logits + (size_t)r * vocabulary;
    const unsigned target = targets[r];
    float loss = 0.0f;
    if (target != NO_TARGET) {
        loss = aligned(z) ? softmax_of_row<true>(z, vocabulary, target, row).loss
                          : softmax_of_row<false>(z, vocabulary, target, row).loss;
    }
    if (threadIdx.x == 0) losses[r] = loss;
}
KERNEL(cross_entropy_loss)
