#include "../../blake3.cu"
#include "definitions.h"

#include <array>

namespace {

using Bytes = std::vector<unsigned char>;
using Words = std::array<uint32_t, 8>;

// BLAKE3 after its specification, recursively over whole byte strings.
const uint32_t IV[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
const int ORDER[16] = {2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8};

uint32_t rotate(uint32_t x, int by) { return x >> by | x << (32 - by); }

Words compress(const Words& cv, const unsigned char* block, size_t length, uint64_t counter, uint32_t flags) {
    unsigned char padded[64] = {};
    memcpy(padded, block, length);
    uint32_t m[16], v[16];
    for (int i = 0; i < 16; i++) memcpy(&m[i], padded + 4 * i, 4);
    for (int i = 0; i < 8; i++) v[i] = cv[i];
    for (int i = 0; i < 4; i++) v[8 + i] = IV[i];
    v[12] = static_cast<uint32_t>(counter), v[13] = static_cast<uint32_t>(counter >> 32), v[14] = static_cast<uint32_t>(length),
    v[15] = flags;
    for (int round = 0; round < 7; round++) {
        for (int g = 0; g < 8; g++) {
            const int turn = g / 4, i = g % 4;
            uint32_t &a = v[i], &b = v[4 + (i + turn) % 4], &c = v[8 + (i + 2 * turn) % 4], &d = v[12 + (i + 3 * turn) % 4];
            a += b + m[2 * g], d = rotate(d ^ a, 16), c += d, b = rotate(b ^ c, 12);
            a += b + m[2 * g + 1], d = rotate(d ^ a, 8), c += d, b = rotate(b ^ c, 7);
        }
        uint32_t next[16];
        for (int i = 0; i < 16; i++) next[i] = m[ORDER[i]];
        memcpy(m, next, sizeof m);
    }
    Words out;
    for (int i = 0; i < 8; i++) out[i] = v[i] ^ v[i + 8];
    return out;
}

Words tree(const Words& key, const unsigned char* at, size_t length, uint64_t chunk, uint32_t flags, uint32_t root) {
    if (length <= 1024) {
        Words cv = key;
        uint32_t start = 1;
        do {
            const size_t block = std::min<size_t>(64, length);
            cv = compress(cv, at, block, chunk, flags | start | (block == length ? 2 | root : 0));
            at += block, length -= block, start = 0;
        } while (length > 0);
        return cv;
    }
    size_t left = 1024;
    while (2 * left < length) left *= 2;
    const Words l = tree(key, at, left, chunk, flags, 0),
                r = tree(key, at + left, length - left, chunk + left / 1024, flags, 0);
    unsigned char both[64];
    memcpy(both, l.data(), 32), memcpy(both + 32, r.data(), 32);
    return compress(key, both, 64, 0, flags | 4 | root);
}

Words derived_key(const std::string& context) {
    Words iv;
    std::copy(IV, IV + 8, iv.begin());
    return tree(iv, reinterpret_cast<const unsigned char*>(context.data()), context.size(), 0, 32, 8);
}

Words leaf(const Bytes& content) {
    const Words key = derived_key("l402/merkle/leaf/1");
    return tree(key, content.data(), content.size(), 0, 64, 8);
}

Words node(const Words& left, const Words& right) {
    const Words key = derived_key("l402/merkle/node/1");
    unsigned char both[64];
    memcpy(both, left.data(), 32), memcpy(both + 32, right.data(), 32);
    return tree(key, both, 64, 0, 64, 8);
}

// From the `blake3` package, of the bytes i * 7 mod 251.
void check_reference() {
    const std::pair<size_t, const char*> known[] = {
        {0, "8cc0e1840e891896938f5496d19acfab4889e976a5195274c3c1a09c0635e313"},
        {1, "9b8ce53eaa1e9f505569edd33903bfe0992101b3ea5c2e7b1b05fb08b79be8aa"},
        {64, "6cd3b5c35ea30eee2ad4a3b68d595320216f3a8679da7e290b21641f8a15d9b2"},
        {65, "3f6742fef5cca58dbbd66ded13f0eba6e3f3806755dfe651b620eaeff319265b"},
        {1024, "ef288dc3f341594d077c3cf33d1744a85cc29348580512e6ebe3c08ab0c7adc0"},
        {1025, "41fdb508be5590e17a71b9813ff59f68ab8b441062b113922137340603e9abec"},
        {3000, "7ab23aa5dca35183f0b557b5466c3283d5828951ef22efc32c2e8351a7c3c82e"},
        {4096, "03a94fd5164f3c9bf9ba8bb3362af319398b467112dfdc09ff93523530638174"},
        {9217, "0bf1855d3eccf8268643ba82d561ffcbc3c0f612f15de9f5e541a6dfc81be97f"},
        {16384, "d8f6b8d4013e9a6eb68785db004f2519c910d28a03b8fa898d61b5c6d180a224"},
    };
    for (const auto& [length, hex] : known) {
        Bytes content(length);
        for (size_t i = 0; i < length; i++) content[i] = static_cast<unsigned char>(i * 7 % 251);
        const Words digest = leaf(content);
        std::string ours;
        for (uint32_t word : digest)
            for (int i = 0; i < 4; i++) {
                char two[3];
                snprintf(two, sizeof two, "%02x", word >> (8 * i) & 255);
                ours += two;
            }
        if (ours != hex) shim::fail("the reference gives %s for %zu bytes", ours.c_str(), length);
    }
}

struct Tensor {
    bool blocks;
    int rows, columns;
};

std::vector<Words> leaves_of(const Tensor& tensor, const float* values) {
    std::vector<Words> leaves;
    const int row_side = tensor.blocks ? 64 : 1, column_side = tensor.blocks ? 64 : 4096;
    for (int row = 0; row < tensor.rows; row += row_side) {
        for (int column = 0; column < tensor.columns; column += column_side) {
            Bytes content;
            for (int r = row; r < std::min(row + row_side, tensor.rows); r++)
                for (int c = column; c < std::min(column + column_side, tensor.columns); c++) {
                    const auto* byte =
                        reinterpret_cast<const unsigned char*>(&values[static_cast<size_t>(r) * tensor.columns + c]);
                    content.insert(content.end(), byte, byte + 4);
                }
            leaves.push_back(leaf(content));
        }
    }
    return leaves;
}

Words root_of(std::vector<Words> level) {
    while (level.size() > 1) {
        std::vector<Words> above;
        for (size_t i = 0; i < level.size(); i += 2)
            above.push_back(i + 1 < level.size() ? node(level[i], level[i + 1]) : level[i]);
        level = above;
    }
    return level[0];
}

Chaining chaining(const Words& words) {
    Chaining out;
    std::copy(words.begin(), words.end(), out.word);
    return out;
}

std::vector<unsigned> flattened(const std::vector<Words>& digests) {
    std::vector<unsigned> out;
    for (const Words& digest : digests) out.insert(out.end(), digest.begin(), digest.end());
    return out;
}

void check(const std::string& order, const std::vector<Tensor>& tensors, size_t shift, shim::Numbers& numbers) {
    std::vector<HashedTensor> table;
    std::vector<Words> leaves, roots;
    size_t total = 0;
    for (const Tensor& tensor : tensors) total += static_cast<size_t>(tensor.rows) * tensor.columns;
    const std::vector<float> values = numbers_of_every_kind(numbers, total, true);
    size_t offset = 0;
    std::vector<unsigned> empty;
    for (const Tensor& tensor : tensors) {
        table.push_back({static_cast<long long>(offset), static_cast<long long>(leaves.size()), tensor.columns, tensor.rows,
                         tensor.blocks ? 64 : 1});
        const auto own = leaves_of(tensor, values.data() + offset);
        empty.push_back(own.empty());
        leaves.insert(leaves.end(), own.begin(), own.end());
        roots.push_back(own.empty() ? Words{} : root_of(own));
        offset += static_cast<size_t>(tensor.rows) * tensor.columns;
    }
    table.push_back({0, static_cast<long long>(leaves.size()), 0, 0, 0});
    const Shifted flat(values, shift);
    const shim::Buffer<HashedTensor> gtable(table);
    const shim::Buffer<unsigned> digests(8 * leaves.size()), groots(8 * tensors.size());
    const int count = static_cast<int>(tensors.size());
    LAUNCH(leaf_digests, dim3((leaves.size() + 15) / 16), LEAF_THREADS, 0, reinterpret_cast<unsigned*>((float*)flat),
           (HashedTensor*)gtable, count, (long long)leaves.size(), chaining(derived_key("l402/merkle/leaf/1")),
           (unsigned*)digests);
    shim::expect_bits("leaves " + order, digests.host(), flattened(leaves));
    LAUNCH(merkle_roots, dim3(count), ROOT_THREADS, 0, (unsigned*)digests, (HashedTensor*)gtable, count,
           chaining(derived_key("l402/merkle/node/1")), (unsigned*)groots);
    auto got = groots.host();
    for (size_t i = 0; i < empty.size(); i++)
        if (empty[i]) std::fill_n(got.begin() + static_cast<long>(8 * i), 8, 0u);
    shim::expect_bits("roots " + order, got, flattened(roots));
}

}  // namespace

int main() {
    check_reference();
    shim::in_all_orders([](const char* order) {
        shim::Numbers numbers(17);
        // Lengths around those of blocks, chunks, leaves and levels.
        for (int length :
             {1, 15, 16, 17, 255, 256, 257, 511, 512, 513, 768, 769, 1280, 2816, 3840, 3841, 4095, 4096, 4097, 9000})
            check(order, {{false, 1, length}}, numbers.below(2), numbers);
        check(order, {{true, 64, 64}}, 0, numbers);
        check(order, {{true, 65, 66}}, 0, numbers);
        check(order, {{true, 70, 130}, {false, 1, 5000}, {true, 3, 3}, {false, 1, 0}, {false, 1, 1}, {true, 200, 256}}, 0,
              numbers);
        check(order, {{true, 1, 5}, {true, 1000, 37}, {false, 1, 0}, {true, 0, 5}}, 1, numbers);
        // More leaves than merkle_roots has threads for.
        check(order, {{true, 64 * 1100 + 3, 2}}, 0, numbers);
    });
    puts("blake3: equal");
}
