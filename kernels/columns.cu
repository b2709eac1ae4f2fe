// Columns of one matrix copied to columns of another (src/engine/columns.rs).
#include "rows.cuh"

// to[row][to_at + i] = from[row][from_at + i]: 256 threads, a grid of rows / 8 rounded up.
extern "C" __global__ void __launch_bounds__(ROW_THREADS)
copy_columns(const float* __restrict__ from, int from_width, int from_at, float* __restrict__ to, int to_width, int to_at,
             int width, long long rows) {
    const long long row = row_of_warp();
    if (row >= rows) return;
    const bool fours = (from_width | to_width | width) % 4 == 0 && aligned(from + from_at) && aligned(to + to_at);
    from += row * from_width + from_at;
    to += row * to_width + to_at;
    if (fours) {
        copy_row<4>(from, to, width);
    } else {
        copy_row<1>(from, to, width);
    }
}
KERNEL(copy_columns)
