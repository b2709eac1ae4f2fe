// Merkle roots of tensors where they lie (src/artifact/roots.rs, src/artifact/merkle.rs): 32 bytes a tensor leave the device.
//
// A leaf is the BLAKE3 hash, in the leaves' domain, of at most 4096 float32, which are 16 chunks of BLAKE3: a thread hashes a
// chunk, and BLAKE3's own tree over them is folded in shared memory. A second kernel folds each tensor's leaves to its root. All
// of it is integer arithmetic; which thread does what changes no bit.
//
// Static figures (sm_90): 56 registers, nothing spilled, four blocks of 256 threads a multiprocessor. A block of 64 bytes takes 695
// instructions, 572 of them on the integer pipe at half rate: 7.2 bytes a cycle and multiprocessor, on an H100 some 1.6 TB/s,
// against 3.3 of its memory and 0.05 of a PCIe bus. BLAKE3's parents add a sixteenth. Not yet measured on a GPU.
#include "blake3.cuh"
#include "tensors.cuh"

// A tensor's place among the float32 of a part, and how it is cut into leaves (src/artifact/chunks.rs): blocks of 64 x 64 for two
// dimensions (`row_side` 64), else runs of 4096 (`row_side` and `rows` 1). `first` is the number of its first leaf among all. The
// table ends with an entry that has `first` alone: how many there are.
struct HashedTensor {
    long long begin, first, columns;
    int rows, row_side;
};

#define LEAF_FLOATS 4096
#define CHUNK_FLOATS 256
#define LEAF_CHUNKS 16
#define LEAVES_A_BLOCK 16
#define LEAF_THREADS (LEAF_CHUNKS * LEAVES_A_BLOCK)

// A leaf's elements: a block of rows, `stride` apart.
struct Leaf {
    const unsigned* at;
    long long stride;
    int rows, columns;

    __device__ __forceinline__ int size() const { return rows * columns; }
    __device__ __forceinline__ int chunks() const { return (size() + CHUNK_FLOATS - 1) / CHUNK_FLOATS; }

    // The 16 elements from `first` on, zeros after the last.
    __device__ __forceinline__ void block(int first, unsigned (&m)[16]) const {
        int row = first / columns, column = first - row * columns;
        const unsigned* from = at + row * stride + column;
        if (column + 16 <= columns && ((uintptr_t)from & 15) == 0) {
#pragma unroll
            for (int k = 0; k < 4; k++) {
                const uint4 four = reinterpret_cast<const uint4*>(from)[k];
                m[4 * k] = four.x, m[4 * k + 1] = four.y, m[4 * k + 2] = four.z, m[4 * k + 3] = four.w;
            }
            return;
        }
#pragma unroll
        for (int k = 0; k < 16; k++) {
            m[k] = row < rows ? at[row * stride + column] : 0u;
            if (++column == columns) column = 0, row++;
        }
    }
};

// The leaf with this number among all of the table's `count` tensors.
static __device__ __forceinline__ Leaf find_leaf(const unsigned* flat, const HashedTensor* tensors, int count, long long leaf) {
    const HashedTensor tensor = tensors[entry_of(tensors, count, leaf)];
    const int column_side = LEAF_FLOATS / tensor.row_side;
    const long long strips = (tensor.columns + column_side - 1) / column_side, number = leaf - tensor.first;
    const long long row = number / strips * tensor.row_side, column = number % strips * column_side;
    return Leaf{flat + tensor.begin + row * tensor.columns + column, tensor.columns,
                (int)min((long long)tensor.row_side, tensor.rows - row), (int)min((long long)column_side, tensor.columns - column)};
}

// The digests of `leaves` leaves, eight words each. `key` is that of the leaves' domain. 256 threads, a grid of leaves / 16 rounded
// up.
extern "C" __global__ void __launch_bounds__(LEAF_THREADS, 3)
leaf_digests(const unsigned* __restrict__ flat, const HashedTensor* __restrict__ tensors, int count, long long leaves,
             Chaining key, unsigned* __restrict__ digests) {
    // Word w of node i of leaf l stands at nodes[w][16 l + i].
    __shared__ unsigned nodes[8][LEAF_THREADS];
    __shared__ int chunks_of[LEAVES_A_BLOCK];
    const int thread = (int)threadIdx.x, chunk = thread % LEAF_CHUNKS;
    const long long first = (long long)blockIdx.x * LEAVES_A_BLOCK, leaf = first + thread / LEAF_CHUNKS;
    int chunks = 0;
    if (leaf < leaves) {
        const Leaf found = find_leaf(flat, tensors, count, leaf);
        chunks = found.chunks();
        if (chunk < chunks) {
            const int begin = chunk * CHUNK_FLOATS, end = min(begin + CHUNK_FLOATS, found.size());
            const unsigned root = chunks == 1 ? BLAKE3_ROOT : 0u;
            Chaining cv = key;
#pragma unroll 1
            for (int at = begin; at < end; at += 16) {
                unsigned m[16], flags = BLAKE3_DERIVE_KEY_MATERIAL;
                found.block(at, m);
                if (at == begin) flags |= BLAKE3_CHUNK_START;
                if (at + 16 >= end) flags |= BLAKE3_CHUNK_END | root;
                blake3_compress(cv, m, (unsigned)chunk, 4u * (unsigned)min(16, end - at), flags);
            }
#pragma unroll
            for (int w = 0; w < 8; w++) nodes[w][thread] = cv.word[w];
        }
    }
    if (chunk == 0) chunks_of[thread / LEAF_CHUNKS] = chunks;
    __syncthreads();
    // Neighbours are paired level by level, and one left over moves up: BLAKE3's tree. The threads of a level are packed.
#pragma unroll 1
    for (int level = 0, pairs = LEAF_CHUNKS / 2; pairs > 0; level++, pairs /= 2) {
        const int of = thread / pairs, pair = thread % pairs;
        // How many nodes this level has below it.
        const int below = of < LEAVES_A_BLOCK ? (chunks_of[of] + (1 << level) - 1) >> level : 0;
        const int left = of * LEAF_CHUNKS + 2 * pair;
        Chaining cv = key;
        if (2 * pair + 1 < below) {
            unsigned m[16];
#pragma unroll
            for (int w = 0; w < 8; w++) m[w] = nodes[w][left], m[8 + w] = nodes[w][left + 1];
            const unsigned root = below == 2 ? BLAKE3_ROOT : 0u;
            blake3_compress(cv, m, 0u, 64u, BLAKE3_DERIVE_KEY_MATERIAL | BLAKE3_PARENT | root);
        } else if (2 * pair < below) {
#pragma unroll
            for (int w = 0; w < 8; w++) cv.word[w] = nodes[w][left];
        }
        // All have read this level.
        __syncthreads();
        if (2 * pair < below) {
#pragma unroll
            for (int w = 0; w < 8; w++) nodes[w][of * LEAF_CHUNKS + pair] = cv.word[w];
        }
        // All have written the next.
        __syncthreads();
    }
    if (thread < 8 * LEAVES_A_BLOCK && first + thread / 8 < leaves) {
        digests[8 * first + thread] = nodes[thread % 8][thread / 8 * LEAF_CHUNKS];
    }
}
KERNEL(leaf_digests)

#define ROOT_THREADS 512

static __device__ __forceinline__ void load_digest(const unsigned* from, unsigned* to) {
    const uint4 low = reinterpret_cast<const uint4*>(from)[0], high = reinterpret_cast<const uint4*>(from)[1];
    to[0] = low.x, to[1] = low.y, to[2] = low.z, to[3] = low.w;
    to[4] = high.x, to[5] = high.y, to[6] = high.z, to[7] = high.w;
}

static __device__ __forceinline__ void store_digest(unsigned* to, const unsigned* from) {
    reinterpret_cast<uint4*>(to)[0] = make_uint4(from[0], from[1], from[2], from[3]);
    reinterpret_cast<uint4*>(to)[1] = make_uint4(from[4], from[5], from[6], from[7]);
}

// The root over each tensor's leaves; their digests are used up. `key` is that of the nodes' domain: a node is the hash of 64
// bytes, one chunk of one block. 512 threads, a grid of `count`.
extern "C" __global__ void __launch_bounds__(ROOT_THREADS)
merkle_roots(unsigned* digests, const HashedTensor* tensors, int count, Chaining key, unsigned* roots) {
    const unsigned flags = BLAKE3_DERIVE_KEY_MATERIAL | BLAKE3_CHUNK_START | BLAKE3_CHUNK_END | BLAKE3_ROOT;
    const int tensor = (int)blockIdx.x;
    if (tensor >= count) return;
    unsigned* level = digests + 8 * tensors[tensor].first;
    long long below = tensors[tensor + 1].first - tensors[tensor].first;
    // A tensor without elements has no leaves, and its root is not made here.
    if (below == 0) return;
    while (below > 1) {
        const long long nodes = (below + 1) / 2;
        for (long long base = 0; base < nodes; base += ROOT_THREADS) {
            const long long node = base + threadIdx.x;
            unsigned m[16];
            Chaining cv = key;
            if (node < nodes) {
                load_digest(level + 16 * node, m);
                if (2 * node + 1 < below) {
                    load_digest(level + 16 * node + 8, m + 8);
                    blake3_compress(cv, m, 0u, 64u, flags);
                } else {
#pragma unroll
                    for (int w = 0; w < 8; w++) cv.word[w] = m[w];
                }
            }
            // A node stands at or before its children: those of these nodes have been read, and of later ones none is written.
            __syncthreads();
            if (node < nodes) store_digest(level + 8 * node, cv.word);
        }
        __syncthreads();
        below = nodes;
    }
    if (threadIdx.x < 8) roots[8 * tensor + threadIdx.x] = level[threadIdx.x];
}
KERNEL(merkle_roots)
