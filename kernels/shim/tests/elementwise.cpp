#include "../../elementwise.cu"
#include "testing.h"

int main() {
    shim::in_all_orders([](const char* order) {
        shim::Numbers numbers(7);
        for (long long n : {1, 31, 255, 256, 257, 1000}) {
            std::vector<float> x(n), y(n), sum(n), scaled(n);
            for (long long i = 0; i < n; i++) x[i] = numbers.wide(), y[i] = numbers.wide();
            for (long long i = 0; i < n; i++) sum[i] = x[i] + y[i], scaled[i] = x[i] * 0.3f;
            shim::Buffer<float> dx(x), dy(y), out(n);
            const dim3 grid((n + 255) / 256);
            LAUNCH(add, grid, 256, 0, dx, dy, out, n);
            shim::expect_bits(std::string("add ") + order, out.host(), sum);
            LAUNCH(add_into, grid, 256, 0, dy, dx, n);
            shim::expect_bits(std::string("add_into ") + order, dy.host(), sum);
            LAUNCH(scale, grid, 256, 0, dx, 0.3f, n);
            shim::expect_bits(std::string("scale ") + order, dx.host(), scaled);
        }
    });
    puts("elementwise: equal");
}
