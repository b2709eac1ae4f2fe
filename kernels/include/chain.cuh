// Chains down the columns of a sequence's rows: for each column the terms of rows 0, 1, 2, ... one after the other, from +0. Blocks
// have 9 warps and take 32 columns of one sequence: a grid of sequences * (width / 32 rounded up). Eight warps load tiles of 64
// rows into shared memory, the ninth keeps the chains, a lane a column, one tile behind them.
#pragma once
#include "rows.cuh"

#define CHAIN_LOADERS 8
#define CHAIN_THREADS (32 * (CHAIN_LOADERS + 1))
#define CHAIN_ROWS 64
#define CHAIN_COLUMNS 32
// Two tiles of terms of so many values.
#define CHAIN_FLOATS(values) (2 * (values) * CHAIN_ROWS * CHAIN_COLUMNS)

// `Term`: `load(row, column, values)` gives a term's VALUES numbers, and `add(values, chain)` the chain with it.
template <typename Term>
static __device__ __forceinline__ void chain_columns(
    const Term& term, float* tiles, int rows_of_sequence, int width, float* partial) {
    constexpr int V = Term::VALUES, OWN = CHAIN_ROWS / CHAIN_LOADERS, TILE = V * CHAIN_ROWS * CHAIN_COLUMNS;
    const int strips = (width + CHAIN_COLUMNS - 1) / CHAIN_COLUMNS;
    const int sequence = (int)(blockIdx.x / (unsigned)strips), lane = lane_of_warp(), warp = (int)(threadIdx.x >> 5);
    const int column = (int)(blockIdx.x % (unsigned)strips) * CHAIN_COLUMNS + lane;
    const long long first = (long long)sequence * rows_of_sequence;
    const int tiles_of_sequence = (rows_of_sequence + CHAIN_ROWS - 1) / CHAIN_ROWS;
    float values[OWN][V] = {}, chain = 0.0f;

    // A loader's rows of a tile: warp, warp + 8, ...; they are on their way while the tile before is put down.
    const auto load = [&](int tile) {
#pragma unroll
        for (int k = 0; k < OWN; k++) {
            const int row = tile * CHAIN_ROWS + warp + k * CHAIN_LOADERS;
            if (row < rows_of_sequence && column < width) term.load(first + row, column, values[k]);
        }
    };
    if (warp < CHAIN_LOADERS) load(0);
    for (int tile = 0; tile <= tiles_of_sequence; tile++) {
        if (warp < CHAIN_LOADERS) {
            if (tile < tiles_of_sequence) {
                float* to = tiles + (tile & 1) * TILE;
#pragma unroll
                for (int k = 0; k < OWN; k++) {
#pragma unroll
                    for (int v = 0; v < V; v++) {
                        to[((warp + k * CHAIN_LOADERS) * V + v) * CHAIN_COLUMNS + lane] = values[k][v];
                    }
                }
                load(tile + 1);
            }
        } else if (tile > 0) {
            const float* from = tiles + ((tile - 1) & 1) * TILE + lane;
            const int count = min(CHAIN_ROWS, rows_of_sequence - (tile - 1) * CHAIN_ROWS);
#pragma unroll 8
            for (int row = 0; row < count; row++) {
                float terms[V];
#pragma unroll
                for (int v = 0; v < V; v++) terms[v] = from[(row * V + v) * CHAIN_COLUMNS];
                chain = Term::add(terms, chain);
            }
        }
        // Tile `tile` is down, and the one before it is summed.
        __syncthreads();
    }
    if (warp == CHAIN_LOADERS && column < width) partial[(size_t)sequence * width + column] = chain;
}
