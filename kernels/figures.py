"""Static figures of the kernels, from ptxas and nvdisasm: kernels/figures.tsv. With --check it is remade and compared, and a
spill, or a loop under its bar in figures.toml, fails. `figures.py NAME...` prints those files' figures and writes nothing;
--loop KERNEL ARCH prints the loop itself."""

import collections
import concurrent.futures
import os
import sys
import tomllib

import ptx
import sass

HERE = os.path.dirname(os.path.abspath(__file__))


class Machine:
    """Of one multiprocessor: warps and blocks at most, shared memory, cycles of a sub-partition's pipes for a warp's FFMA and IMMA
    (m16n8k32 of bytes), and the share of the matrix pipe that mma.sync reaches."""

    def __init__(self, name, warps, blocks, shared, ffma, imma, mma_sync=1.0):
        self.name, self.warps, self.blocks, self.shared = name, warps, blocks, shared
        self.ffma, self.imma, self.mma_sync = ffma, imma, mma_sync


MACHINES = {
    "sm_80": Machine("sm_80", 64, 32, 164 << 10, ffma=2, imma=8),
    "sm_89": Machine("sm_89", 48, 24, 100 << 10, ffma=1, imma=16),
    # mma.sync reaches 62.9 % of the peak that wgmma has (arXiv 2402.13499).
    "sm_90": Machine("sm_90", 64, 32, 228 << 10, ffma=1, imma=4, mma_sync=0.629),
}
# Cycles that a warp's access takes of the shared memory's 128 bytes a cycle, when all lanes read other words.
SHARED_CYCLES = {1: 1, 2: 1, 4: 1, 8: 2, 16: 4}
COLUMNS = ("kernel arch registers spilled static_shared dynamic_shared threads blocks_a_multiprocessor occupancy "
           "loop fma fma_share shared_bytes_a_fma global_bytes_a_fma conflicts bound").split()


def blocks_a_multiprocessor(kernel, machine, dynamic):
    threads = kernel.threads or 256
    warps = (threads + 31) // 32
    registers = (kernel.registers * 32 + 255) // 256 * 256 * warps
    shared = (kernel.static_shared + dynamic + 1024 + 127) // 128 * 128
    return min(machine.blocks, machine.warps // warps, 65536 // registers, machine.shared // shared)


def loop_figures(body, machine, bars):
    """Of one pass of a loop by one warp on each of the four sub-partitions: what each part of the machine takes."""
    count = collections.Counter(sass.opcode(i) for i in body)
    ffma = sum(n for code, n in count.items() if code.split(".")[0] == "FFMA")
    imma = sum(n for code, n in count.items() if code.split(".")[0] == "IMMA")
    fma = imma or ffma
    shared_bytes = global_bytes = shared_cycles = 0
    for code, n in count.items():
        name = code.split(".")[0]
        size = sass.bytes_of(code)
        if name in ("LDS", "LDSM"):
            shared_bytes += n * size
        if name in ("LDG", "LDGSTS"):
            global_bytes += n * size
        if name in ("LDS", "LDSM", "STS", "LDGSTS"):
            shared_cycles += n * bars.get("shared", {}).get(f"{name}.{8 * size}", SHARED_CYCLES[size])
    conflicts = sass.conflicts(body)
    pipe = imma * machine.imma if imma else ffma * machine.ffma
    issue = len(body) + (conflicts if machine.ffma == 1 else 0)
    bound = pipe / max(pipe, issue, 4 * shared_cycles) * (machine.mma_sync if imma else 1.0)
    return [len(body), fma, fma / len(body), shared_bytes / fma, global_bytes / fma, conflicts, bound]


def row(kernel, machine, bars):
    dynamic = bars.get("dynamic", 0)
    blocks = blocks_a_multiprocessor(kernel, machine, dynamic)
    threads = kernel.threads or 256
    out = [kernel.name, machine.name, kernel.registers, kernel.spilled or kernel.stack, kernel.static_shared, dynamic, threads, blocks,
           blocks * ((threads + 31) // 32) / machine.warps]
    body = hot_loop(kernel)
    hot = bars.get("fma") is not None
    if hot and not body:
        raise RuntimeError(f"{kernel.name}: no loop of FFMA or IMMA")
    return out + (loop_figures(body, machine, bars) if hot else ["-"] * 7)


def hot_loop(kernel):
    """The innermost loop with the most FFMA or IMMA."""
    def weight(body):
        return sum(sass.opcode(i).split(".")[0] in ("FFMA", "IMMA") for i in body)

    return max((body for body in sass.innermost_loops(kernel) if weight(body)), key=weight, default=None)


def failures(figures, bars):
    values = dict(zip(COLUMNS, figures))
    name = f"{values['kernel']} on {values['arch']}"
    if values["spilled"]:
        yield f"{name}: {values['spilled']} bytes of local memory"
    if not values["blocks_a_multiprocessor"]:
        yield f"{name}: no block fits"
    for bar, column in (("fma", "fma_share"), ("bound", "bound")):
        wanted = bars.get(bar)
        wanted = wanted.get(values["arch"]) if isinstance(wanted, dict) else wanted
        if wanted and values[column] < wanted:
            yield f"{name}: {column} is {values[column]:.3f}, under {wanted}"


def measure(name):
    """The kernels of a file on each machine."""
    text = ptx.compile(name)
    target = [line for line in text.splitlines() if line.startswith(".target ")][0].split()[1].rstrip(",")
    architectures = [target] if target.endswith("a") else sorted(MACHINES)
    out = []
    for architecture in architectures:
        for kernel in sass.assemble(text, architecture).values():
            out.append((kernel, MACHINES[architecture.rstrip("a")]))
    return out


def cell(value):
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def main():
    arguments = sys.argv[1:]
    if arguments[:1] == ["--loop"]:
        for name in ptx.names():
            if f".entry {arguments[1]}(" in (text := ptx.compile(name)):
                print("\n".join(hot_loop(sass.assemble(text, arguments[2])[arguments[1]]) or ["no loop of FFMA or IMMA"]))
        return
    check = "--check" in arguments
    only = [a for a in arguments if not a.startswith("-")]
    with open(os.path.join(HERE, "figures.toml"), "rb") as file:
        bars = tomllib.load(file)
    try:
        with concurrent.futures.ProcessPoolExecutor(max_workers=os.cpu_count()) as pool:
            measured = [pair for pairs in pool.map(measure, only or ptx.names()) for pair in pairs]
        measured = [(k, m) for k, m in measured if m.name in bars.get(k.name, {}).get("arch", MACHINES)]
        rows = sorted([row(k, m, bars.get(k.name, {})) for k, m in measured], key=lambda r: r[:2])
    except RuntimeError as error:
        sys.exit(str(error))
    wrong = [line for r in rows for line in failures(r, bars.get(r[0], {}))]
    wrong += [f"{k.name}: `dynamic` in figures.toml is for kernels with dynamic shared memory, and for all of them"
              for k in {k.name: k for k, _ in measured}.values() if k.dynamic != ("dynamic" in bars.get(k.name, {}))]
    if not only:
        known = {r[0] for r in rows}
        wrong += [f"figures.toml names {name}, which is no kernel" for name in bars if name not in known]
    text = "".join("\t".join(map(cell, r)) + "\n" for r in [COLUMNS, *rows])
    path = os.path.join(HERE, "figures.tsv")
    if only:
        print(text, end="")
    elif not check:
        with open(path, "w") as out:
            out.write(text)
    elif not os.path.exists(path) or open(path).read() != text:
        wrong.append("kernels/figures.tsv is not what the kernels give: just figures")
    for line in wrong:
        print(line, file=sys.stderr)
    if wrong:
        sys.exit(1)
    if not only:
        print(f"{len(rows)} rows of figures: {'as committed' if check else 'written'}")


if __name__ == "__main__":
    main()
