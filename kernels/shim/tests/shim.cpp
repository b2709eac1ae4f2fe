// What the shim itself promises: barriers, warp operations, matrix products, asynchronous copies.
#include "cp_async.cuh"
#include "mma.cuh"
#include "testing.h"

extern "C" __global__ void reverse_block(const int* in, int* out, int n) {
    __shared__ int tile[256];
    tile[threadIdx.x] = threadIdx.x < static_cast<unsigned>(n) ? in[threadIdx.x] : 0;
    __syncthreads();
    if (threadIdx.x < static_cast<unsigned>(n)) out[threadIdx.x] = tile[n - 1 - threadIdx.x];
}
KERNEL(reverse_block)

extern "C" __global__ void warp_sum(const int* in, int* out, float* floats) {
    int x = in[threadIdx.x];
    const int all = __reduce_add_sync(WARP, x);
    for (int step = 16; step; step >>= 1) x += __shfl_xor_sync(WARP, x, step);
    if (x != all) out[0] = -1;
    const unsigned odd = __ballot_sync(WARP, x & 1);
    const float first = __shfl_sync(WARP, static_cast<float>(in[threadIdx.x]), 0);
    int down = in[threadIdx.x];
    if (threadIdx.x % 32 < 8) down = __shfl_down_sync(0xff, down, 1, 8);
    __syncwarp();
    if (__any_sync(WARP, x == 7) || !__all_sync(WARP, true)) out[0] = -2;
    out[threadIdx.x] = odd == WARP ? -x : x + down;
    floats[threadIdx.x] = first;
}
KERNEL(warp_sum)

// d[16 x 8] = a[16 x 32] b[8 x 32]^T, both by ldmatrix from dynamic shared memory, which asynchronous copies fill.
extern "C" __global__ void product(const int8_t* a, const int8_t* b, int* d) {
    SHARED(int8_t, shared);
    const int lane = threadIdx.x;
    cp_async_16(shared + 16 * lane, a + 16 * lane);
    cp_async_commit();
    cp_async_16(shared + 512 + 16 * lane, lane < 16 ? b + 16 * lane : b, lane < 16 ? 16 : 0);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    unsigned fa[4], fb[2];
    // Matrices: rows 0..8 and 8..16 of columns 0..16, then of columns 16..32.
    ldmatrix_x4(fa, shared + (lane % 16) * 32 + lane / 16 * 16);
    ldmatrix_x2(fb, shared + 512 + (lane % 8) * 32 + lane / 8 % 2 * 16);
    int sum[4] = {1, 1, 1, 1};
    mma_s8(sum, fa, fb);
    for (int i = 0; i < 4; i++) d[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = sum[i];
}
KERNEL(product)

extern "C" __global__ void transpose(const uint16_t* in, uint16_t* out) {
    __shared__ __align__(16) uint16_t tile[4 * 64];
    for (int i = threadIdx.x; i < 256; i += 32) tile[i] = in[i];
    __syncthreads();
    unsigned words[4];
    ldmatrix_x4_trans(words, tile + threadIdx.x * 8);
    for (int i = 0; i < 4; i++) {
        const int at = i * 64 + threadIdx.x / 4 * 8 + threadIdx.x % 4 * 2;
        out[at] = static_cast<uint16_t>(words[i]), out[at + 1] = static_cast<uint16_t>(words[i] >> 16);
    }
}
KERNEL(transpose)

extern "C" __global__ void count(unsigned* counter, int* most) {
    atomicAdd(counter, 1u);
    atomicMax(most, static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x));
}
KERNEL(count)

int main() {
    shim::in_all_orders([](const char* order) {
        const std::string with = std::string(" ") + order;
        shim::Numbers numbers(3);
        {
            std::vector<int> in(200), want(200);
            for (int i = 0; i < 200; i++) want[199 - i] = in[i] = numbers.below(1000);
            shim::Buffer<int> di(in), out(200);
            LAUNCH(reverse_block, 1, 256, 0, di, out, 200);
            shim::expect_bits("reverse_block" + with, out.host(), want);
        }
        {
            std::vector<int> in(64), want(64);
            std::vector<float> first(64);
            int sums[2] = {0, 0};
            for (int i = 0; i < 64; i++) sums[i / 32] += in[i] = numbers.below(1000);
            for (int i = 0; i < 64; i++) {
                const int lane = i % 32, down = lane < 7 ? in[i + 1] : in[i];
                want[i] = sums[i / 32] % 2 ? -sums[i / 32] : sums[i / 32] + down;
                first[i] = static_cast<float>(in[i / 32 * 32]);
            }
            shim::Buffer<int> di(in), out(64);
            shim::Buffer<float> floats(64);
            LAUNCH(warp_sum, 1, 64, 0, di, out, floats);
            shim::expect_bits("warp_sum" + with, out.host(), want);
            shim::expect_bits("warp_sum's broadcast" + with, floats.host(), first);
        }
        {
            std::vector<int8_t> a(16 * 32), b(8 * 32);
            for (int8_t& x : a) x = static_cast<int8_t>(numbers.below(256) - 128);
            for (int8_t& x : b) x = static_cast<int8_t>(numbers.below(256) - 128);
            std::vector<int> want(16 * 8, 1);
            for (int i = 0; i < 16; i++)
                for (int j = 0; j < 8; j++)
                    for (int k = 0; k < 32; k++) want[i * 8 + j] += a[i * 32 + k] * b[j * 32 + k];
            shim::Buffer<int8_t> da(a), db(b);
            shim::Buffer<int> out(16 * 8);
            LAUNCH(product, 1, 32, 1024, da, db, out);
            shim::expect_bits("product" + with, out.host(), want);
        }
        {
            std::vector<uint16_t> in(256), want(256);
            for (uint16_t& x : in) x = static_cast<uint16_t>(numbers.next());
            for (int i = 0; i < 256; i++) want[i / 64 * 64 + i % 8 * 8 + i / 8 % 8] = in[i];
            shim::Buffer<uint16_t> di(in), out(256);
            LAUNCH(transpose, 1, 32, 0, di, out);
            shim::expect_bits("transpose" + with, out.host(), want);
        }
        {
            shim::Buffer<unsigned> counter(std::vector<unsigned>{5});
            shim::Buffer<int> most(std::vector<int>{-1});
            LAUNCH(count, 10, 100, 0, counter, most);
            shim::expect_bits("count" + with, counter.host(), {1005u});
            shim::expect_bits("most" + with, most.host(), {999});
        }
    });
    if (!shim::find("product", 7) || shim::find("produc", 6)) shim::fail("kernels are found by name");
    puts("shim: as promised");
}
