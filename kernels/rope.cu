// Rotary position embedding and its transpose (src/engine/rope.rs). Pair by pair, no order to keep.
#include "rows.cuh"

// Rotates N pairs at once; the negations are exact.
template <int N>
static __device__ __forceinline__ void rope_row(
    const float* __restrict__ cos, const float* __restrict__ sin, int half, int width, float* __restrict__ x, bool back) {
    // Pairs are counted through the heads: pair p is element p % half of head p / half.
    for (int p = first_column<N>(); p < width / 2; p += COLUMNS_A_WARP(N)) {
        const int head = p / half, i = p - head * half;
        float* at = x + 2 * head * half + i;
        Few<N> low = load_few<N>(at), high = load_few<N>(at + half);
        const Few<N> c = load_few<N>(cos + i), s = load_few<N>(sin + i);
#pragma unroll
        for (int k = 0; k < N; k++) {
            const float from_high = __fmul_rn(high.at[k], s.at[k]), from_low = __fmul_rn(low.at[k], s.at[k]);
            low.at[k] = __fmaf_rn(low.at[k], c.at[k], back ? from_high : -from_high);
            high.at[k] = __fmaf_rn(high.at[k], c.at[k], back ? -from_low : from_low);
        }
        store_few<N>(at, low);
        store_few<N>(at + half, high);
    }
}

// In place; a row's position is its number modulo seq_len. 256 threads, a grid of rows / 8 rounded up.
extern "C" __global__ void __launch_bounds__(ROW_THREADS)
rope(const float* __restrict__ cos, const float* __restrict__ sin, int seq_len, int head_dim, int width, float* __restrict__ x,
     long long rows, int back) {
    const long long row = row_of_warp();
    if (row >= rows) return;
    const int half = head_dim / 2;
    const size_t angles = (size_t)(row % seq_len) * half;
    if (half % 4 == 0 && aligned(cos) && aligned(sin) && aligned(x)) {
        rope_row<4>(cos + angles, sin + angles, half, width, x + row * width, back != 0);
    } else {
        rope_row<1>(cos + angles, sin + angles, half, width, x + row * width, back != 0);
    }
}
KERNEL(rope)
