"""Compiles kernels/*.cu to PTX in kernels/ptx, and lists it in src/device/cuda/kernels.rs; with --check compares instead, and
changes nothing.

Every PTX is looked through for what would break the arithmetic: see `faults`. Run by `.ci/ptx`, which installs NVRTC."""

import concurrent.futures
import ctypes
import os
import re
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
FLAGS = ["--fmad=false", "--ftz=false", "--prec-div=true", "--prec-sqrt=true", "--std=c++17"]
ARCHITECTURE = "compute_80"


def library():
    for path in sys.path:
        found = os.path.join(path, "nvidia", "cuda_nvrtc", "lib", "libnvrtc.so.12")
        if os.path.exists(found):
            # NVRTC finds its built-in headers' library by itself, beside it.
            return ctypes.CDLL(found)
    sys.exit("NVRTC is not installed: pip install -r kernels/requirements.txt")


def compile(name):
    """The PTX of kernels/NAME.cu, or raises with NVRTC's own words. A file may ask for another architecture than compute_80."""
    source = open(os.path.join(HERE, name + ".cu"), "rb").read()
    asked = re.search(rb"^// Architecture: (compute_\w+)$", source, re.M)
    architecture = asked.group(1).decode() if asked else ARCHITECTURE
    nvrtc = library()
    program = ctypes.c_void_p()
    options = [f"--gpu-architecture={architecture}", "--include-path=" + os.path.join(HERE, "include"), *FLAGS]
    array = (ctypes.c_char_p * len(options))(*[option.encode() for option in options])
    if nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, (name + ".cu").encode(), 0, None, None):
        raise RuntimeError(f"{name}.cu: NVRTC takes no program")
    result = nvrtc.nvrtcCompileProgram(program, len(options), array)

    def text(what):
        size = ctypes.c_size_t()
        getattr(nvrtc, f"nvrtcGet{what}Size")(program, ctypes.byref(size))
        buffer = ctypes.create_string_buffer(size.value)
        getattr(nvrtc, f"nvrtcGet{what}")(program, buffer)
        return buffer.raw.rstrip(b"\0").decode()

    log = text("ProgramLog")
    if result:
        raise RuntimeError(f"{name}.cu:\n{log}")
    if log.strip():
        print(f"{name}.cu: {log}", file=sys.stderr)
    # NVRTC's own constants, which no kernel uses.
    return re.sub(r"^\.global .*2nv6target.*\n", "", text("PTX"), flags=re.M)


def allowed(name):
    """What a file's comment `// Allowed in PTX: max.f32` names: it says beside it why that is exact."""
    path = os.path.join(HERE, name + ".cu")
    return set(re.findall(r"^// Allowed in PTX: (\S+?)[.,:;]?(?:\s.*)?$", open(path).read(), re.M)) if os.path.exists(path) else set()


def faults(name, ptx):
    """What would let two machines differ, or is no part of the contract (docs/gpu.md)."""
    found, exempt = [], allowed(name)
    code = re.sub(r"//.*", "", ptx)
    for what, pattern in [
        ("an approximation", r"\w+(?:\.\w+)*\.approx\b\S*"),
        ("subnormals flushed to zero", r"\w+(?:\.\w+)*\.ftz\b\S*"),
        ("a float operation that may be contracted", r"\b(?:add|sub|mul|mad)\.f(?:16|32|64)\b"),
        ("another rounding than to nearest", r"\b(?:add|sub|mul|fma|div|sqrt|rcp)\.r[zmp]\.\S+"),
        ("a maximum of floats by an instruction", r"\b(?:min|max)(?:\.NaN)?\.f\d+\b"),
        ("a float atomic", r"\b(?:atom|red)\.\S*\.(?:f|bf)\d+\S*"),
        ("a call", r"\bcall(?:\.uni)?\b"),
    ]:
        for match in sorted({m.group(0) for m in re.finditer(pattern, code)} - exempt):
            found.append(f"{name}: {what}: {match}")
    # `.entry name(` begins a kernel; a vector load needs shared arrays on 16 bytes.
    for kernel in re.split(r"(?=\.entry )", code)[1:]:
        if re.search(r"\b(?:ld|st)(?:\.volatile)?\.shared\.v4\b|\bcp\.async\.cg\b|\bldmatrix\b", kernel):
            for align, array in re.findall(r"\.shared \.align (\d+) \.b8 (\S+)\[", kernel):
                if int(align) < 16:
                    found.append(f"{name}: {array} is on {align} bytes, and vectors are read: write __align__(16)")
    if re.search(r"(?:/home|/root|/tmp|/usr|/work)/", ptx):
        found.append(f"{name}: holds a path")
    return found


def names():
    return sorted(file[:-3] for file in os.listdir(HERE) if file.endswith(".cu"))


def compile_all(wanted):
    with concurrent.futures.ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
        return dict(zip(wanted, pool.map(compile, wanted)))


LISTED = os.path.join(HERE, "..", "src", "device", "cuda", "kernels.rs")


def rust(listed):
    """The source file that embeds the PTX."""
    lines = "".join(f'    ("{name}", include_str!("../../../kernels/ptx/{name}.ptx")),\n' for name in listed)
    return (
        "//! The kernels, as PTX: made from `kernels/*.cu` by `just ptx`, and checked against them.\n\n"
        "/// One text a file of kernels.\n"
        "#[rustfmt::skip]\n"
        f"pub(super) const PTX: &[(&str, &str)] = &[\n{lines}];\n"
    )


def main():
    check = "--check" in sys.argv[1:]
    wanted = [a for a in sys.argv[1:] if not a.startswith("-")] or names()
    folder = os.path.join(HERE, "ptx")
    os.makedirs(folder, exist_ok=True)
    wrong = []
    try:
        made = compile_all(wanted)
    except RuntimeError as error:
        sys.exit(str(error))
    for name, ptx in made.items():
        wrong += faults(name, ptx)
        path = os.path.join(folder, name + ".ptx")
        if not check:
            with open(path, "w") as out:
                out.write(ptx)
        elif not os.path.exists(path) or open(path).read() != ptx:
            wrong.append(f"kernels/ptx/{name}.ptx is not what kernels/{name}.cu gives: just ptx")
    if not check:
        with open(LISTED, "w") as out:
            out.write(rust(names()))
    elif open(LISTED).read() != rust(names()):
        wrong.append("src/device/cuda/kernels.rs doesn't list the PTX: just ptx")
    if check:
        known = set(names())
        wrong += [f"kernels/ptx/{file} has no source" for file in sorted(os.listdir(folder)) if file[:-4] not in known]
    for line in wrong:
        print(line, file=sys.stderr)
    if wrong:
        sys.exit(1)
    print(f"{len(made)} files of kernels: {'the committed PTX is theirs' if check else 'compiled'}")


if __name__ == "__main__":
    main()
