"""Our train step beside PyTorch's and candle's: one thread each, one step each in turn, medians of what each made.

    python3 benches/compare.py [--shapes 5.3M,30M,135M] [--rounds 12,8,4] [--engines ours,integers,...]
                           [--avx2] [--shares]

The FMA peak is measured before and after each step, which is held against the two: other people's work slows both. Operations
are counted the same for all: 6 a weight and token for the matrices (an untied embedding is only looked up), and
12 * heads * head_dim * T (T + 1) / 2 a layer and sequence for causal attention.
PyTorch runs in the python that the variable PYTHON names, or else in this one. With --avx2 we, the peak and PyTorch's libraries
use no wider vectors than AVX2's and no VNNI, as on a processor that has none (candle has no such switch).
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).parent
PYTHON = os.environ.get("PYTHON") or sys.executable
AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
NAMES = {
    "ours": "l402, arithmetic 1",
    "integers": "l402, arithmetic 2",
    "torch": "PyTorch eager",
    "compile": "torch.compile",
    "bf16": "torch.compile, bf16",
    "candle": "candle",
}


def build():
    """The benchmark's executable."""
    command = ["cargo", "bench", "--bench", "train_step", "--no-run", "--message-format=json"]
    built = subprocess.run(command, cwd=HERE.parent, stdout=subprocess.PIPE, check=True, text=True)
    messages = [json.loads(line) for line in built.stdout.splitlines() if line.startswith("{")]
    return next(m["executable"] for m in messages if m.get("executable") and m["target"]["name"] == "train_step")


class Engine:
    """A process that makes a step whenever it is told to."""

    def __init__(self, command):
        self.errors = tempfile.TemporaryFile("w+")
        env = os.environ | {name: "1" for name in ("RAYON_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self.errors, text=True, env=env)
        self.steps, self.failure = [], None
        self.about = self.answer() or {}

    def answer(self):
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        self.process.wait()
        self.errors.seek(0)
        lines = [line.strip() for line in self.errors if line.strip()]
        code = self.process.returncode
        self.failure = f"killed by signal {-code}" if code < 0 else lines[-1] if lines else f"exit status {code}"
        return None

    def step(self):
        if self.failure:
            return None
        try:
            print(file=self.process.stdin, flush=True)
        except BrokenPipeError:
            pass
        return self.answer()

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def compare(binary, shape, rounds, engines, avx2):
    torch = [PYTHON, str(HERE / "peers/torch_llama.py"), "--drive", "--shape", shape]
    rust = [binary, "--drive", "--shape", shape] + ["--avx2"] * avx2
    commands = {
        "ours": [*rust, "--engine", "ours"],
        "integers": [*rust, "--engine", "ours", "--arithmetic", "2"],
        "torch": torch,
        "compile": [*torch, "--compile"],
        "bf16": [*torch, "--compile", "--bf16"],
        "candle": [*rust, "--engine", "candle"],
    }
    peak = Engine([binary, "--peak", "--drive"] + ["--avx2"] * avx2)
    if peak.failure:
        sys.exit(f"the benchmark does not run: {peak.failure}")
    running = {name: Engine(commands[name]) for name in engines}
    for turn in range(rounds + 1):
        for engine in running.values():
            before, step, after = peak.step(), engine.step(), peak.step()
            if turn and step:
                engine.steps.append(step | {"peak": (before["gflops"] + after["gflops"]) / 2})
        print(f"{shape}: round {turn} of {rounds}", file=sys.stderr, flush=True)
    for engine in [peak, *running.values()]:
        engine.end()
    table(shape, rounds, running, peak.about["isa"], peak.about["machine"])


def table(shape, rounds, running, isa, machine):
    about = next(e.about for e in running.values() if "flops" in e.about)
    tokens, flops = about["tokens"], about["flops"]
    peak = statistics.median(s["peak"] for e in running.values() for s in e.steps)
    print(f"\n{shape}: {about['parameters'] / 1e6:.1f}M parameters, {about['batch']} x {about['seq_len']} tokens a step, "
          f"{flops / tokens / 1e6:.1f} MFLOP a token; FMA peak {peak:.1f} GFLOP/s ({isa}); {rounds} rounds; {machine}\n")
    print("| engine | tokens/s | to PyTorch eager | to arithmetic 1 | of the FMA peak | peak RSS |")
    print("|---|---:|---:|---:|---:|---:|")
    eager = [s["seconds"] for s in running["torch"].steps] if "torch" in running else []
    own = [s["seconds"] for s in running["ours"].steps] if "ours" in running else []
    for name, engine in running.items():
        if not engine.steps:
            print(f"| {NAMES[name]} | failed: {engine.failure} | | | | |")
            continue
        seconds = [s["seconds"] for s in engine.steps]
        median = statistics.median(seconds)
        ratio, to_own = (f"{statistics.median(e / s for e, s in zip(other, seconds)):.2f}x" if other else "-"
                         for other in (eager, own))
        share = f"{statistics.median(100 * flops / s['seconds'] / 1e9 / s['peak'] for s in engine.steps):.0f} %"
        rss = f"{engine.steps[-1]['peak_rss_mib']} MiB"
        print(f"| {NAMES[name]} | {tokens / median:.0f} | {ratio} | {to_own} | {share} | {rss} |", flush=True)


def shares(binary, shape, avx2):
    """What each operator takes: the same step by both arithmetics, operator by operator."""
    def of(arithmetic):
        command = [binary, "--shares", "--shape", shape, "--arithmetic", str(arithmetic)] + ["--avx2"] * avx2
        lines = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
        return {line["operator"]: line for line in map(json.loads, lines)}

    floats, integers = of(1), of(2)
    print(f"\n{shape}, a sequence at a time:\n")
    print("| operator | arithmetic 1 | | arithmetic 2 | | |\n|---|---:|---:|---:|---:|---:|")
    for name, line in floats.items():
        other = integers[name]
        if line["percent"] >= 0.5:
            ratio = line["seconds"] / other["seconds"]
            print(f"| {name} | {line['seconds']:.3f} s | {line['percent']:.0f} % "
                  f"| {other['seconds']:.3f} s | {other['percent']:.0f} % | {ratio:.2f}x |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default="5.3M,30M,135M")
    parser.add_argument("--rounds", default="12,8,4", help="one number for each shape, or one for all")
    parser.add_argument("--engines", default=",".join(NAMES))
    parser.add_argument("--avx2", action="store_true", help="nothing wider than AVX2")
    parser.add_argument("--shares", action="store_true", help="each operator's share of our step, by both arithmetics")
    parser.add_argument("--binary", help="the benchmark's executable, where it is built already")
    args = parser.parse_args()
    if args.avx2:
        os.environ.update(AVX2)
        # What was compiled for other vectors ends in a crash here, and the reverse.
        cache = pathlib.Path(tempfile.gettempdir(), f"torchinductor-avx2-{os.getuid()}")
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache))
    shapes, engines = args.shapes.split(","), args.engines.split(",")
    rounds = [int(n) for n in args.rounds.split(",")]
    rounds += rounds[-1:] * (len(shapes) - len(rounds))
    wants_torch = {"torch", "compile", "bf16"} & set(engines)
    if wants_torch and subprocess.run([PYTHON, "-c", "import torch"], stderr=subprocess.DEVNULL).returncode:
        print(f"{PYTHON} has no torch: no comparison with PyTorch (set PYTHON to one that has)", file=sys.stderr)
        engines = [name for name in engines if name not in wants_torch]
    binary = args.binary or build()
    for shape, count in zip(shapes, rounds):
        compare(binary, shape, count, engines, args.avx2)
        if args.shares:
            shares(binary, shape, args.avx2)


main()
