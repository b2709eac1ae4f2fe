"""What ptx.py and figures.py refuse, each planted once. Run by `.ci/ptx`."""

import os
import tempfile

import figures
import ptx
import sass

KERNEL = '#include "cuda.cuh"\nextern "C" __global__ void __launch_bounds__(%d) f(float* x, const float* y, int n) { %s }\n'
# What NVRTC is made to give, and the words that must be said of it.
REFUSED = {
    "x[0] = expf(x[0]);": "an approximation",
    "x[0] = __fdividef(x[0], y[0]);": "an approximation",
    "x[0] = __fadd_rz(x[0], y[0]);": "another rounding",
    "x[0] = fmaxf(x[0], y[0]);": "a maximum of floats",
    "atomicAdd(x, y[0]);": "a float atomic",
    "__shared__ float s[64]; s[threadIdx.x] = y[threadIdx.x]; __syncthreads(); "
    "reinterpret_cast<float4*>(x)[threadIdx.x] = reinterpret_cast<float4*>(s)[threadIdx.x / 2];": "write __align__(16)",
}
# Flags that the contract has, left out.
UNFUSED = "x[0] = x[1] * y[0] + x[2];"


def compile(body, threads=64, flags=ptx.FLAGS):
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "f.cu"), "w") as out:
            out.write(KERNEL % (threads, body))
        here, ptx.HERE = ptx.HERE, folder
        kept, ptx.FLAGS = ptx.FLAGS, flags
        try:
            os.symlink(os.path.join(here, "include"), os.path.join(folder, "include"))
            return ptx.compile("f")
        finally:
            ptx.HERE, ptx.FLAGS = here, kept


def measure(text, bars):
    kernel = sass.assemble(text, "sm_80")["f"]
    return list(figures.failures(figures.row(kernel, figures.MACHINES["sm_80"], bars), bars))


def main():
    for body, words in REFUSED.items():
        found = ptx.faults("f", compile(body))
        assert any(words in line for line in found), (body, found)
    assert not ptx.faults("f", compile(UNFUSED)), "with the contract's flags each operation is rounded"
    assert "fma.rn.f32" in compile(UNFUSED, flags=[]), "NVRTC contracts unless it is told not to"
    assert any("flushed" in line for line in ptx.faults("f", compile("x[0] = __fmul_rn(x[0], y[0]);", flags=["--ftz=true"])))

    chain = "float s[%d]; for (int j = 0; j < %d; j++) s[j] = y[j]; for (int i = 0; i < n; i++) { %s } for (int j = 0; j < %d; j++) x[j] = s[j];"
    dense = "float v = x[i]; for (int j = 0; j < 64; j++) s[j] = __fmaf_rn(v, s[j], v);"
    assert not measure(compile(chain % (64, 64, dense, 64)), {"fma": 0.85}), "64 FFMA for one load"
    wide = dense.replace("64", "200")
    assert any("local memory" in line for line in measure(compile(chain % (200, 200, wide, 200), threads=1024), {})), "200 sums in 64 registers"
    thin = "s[0] = __fmaf_rn(x[i], y[i], s[0]);"
    assert any("fma_share" in line for line in measure(compile(chain % (1, 1, thin, 1)), {"fma": 0.85})), "two loads for one FFMA"
    print(f"{len(REFUSED) + 6} planted faults of PTX and figures: caught")


if __name__ == "__main__":
    main()
