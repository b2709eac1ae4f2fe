"""Reads what ptxas and nvdisasm print: registers, spills, and the instructions of innermost loops."""

import os
import re
import subprocess
import sys
import tempfile


def tool(*parts):
    for path in sys.path:
        found = os.path.join(path, "nvidia", *parts)
        if os.path.exists(found):
            return found
    sys.exit(f"{parts[-1]} is not installed: pip install -r kernels/requirements.txt")


def ptxas():
    return tool("cuda_nvcc", "bin", "ptxas")


def nvdisasm():
    return tool("cu13", "bin", "nvdisasm")


class Kernel:
    def __init__(self, name):
        self.name = name
        self.registers = self.stack = self.spilled = self.static_shared = self.threads = 0
        self.dynamic = False  # asks for dynamic shared memory
        self.code = []  # (address, instruction)
        self.labels = {}


def run(command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{os.path.basename(command[0])}: {done.stderr or done.stdout}")
    return done.stdout + done.stderr


def assemble(ptx, architecture):
    """The kernels of a PTX text, assembled for sm_NN."""
    kernels = {}
    with tempfile.TemporaryDirectory() as folder:
        source, cubin = os.path.join(folder, "kernel.ptx"), os.path.join(folder, "kernel.cubin")
        with open(source, "w") as out:
            out.write(ptx)
        log = run([ptxas(), "-v", f"-arch={architecture}", source, "-o", cubin])
        sass = run([nvdisasm(), "-c", cubin])
    kernel = None
    for line in log.splitlines():
        if match := re.search(r"Compiling entry function '(\w+)'", line):
            kernel = kernels.setdefault(match[1], Kernel(match[1]))
        elif match := re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", line):
            kernel.stack, kernel.spilled = int(match[1]), int(match[2]) + int(match[3])
        elif match := re.search(r"Used (\d+) registers", line):
            kernel.registers = int(match[1])
            shared = re.search(r"(\d+) bytes smem", line)
            kernel.static_shared = int(shared[1]) if shared else 0
    for match in re.finditer(r"\.entry (\w+)\(.*?\)\s*(?:\.maxntid (\d+), (\d+), (\d+))?", ptx, re.S):
        if match[1] in kernels:
            kernels[match[1]].threads = int(match[2] or 0) * int(match[3] or 1) * int(match[4] or 1)
    for text in re.split(r"(?=\.entry )", ptx)[1:]:
        if (name := re.match(r"\.entry (\w+)", text)[1]) in kernels:
            kernels[name].dynamic = "l402_shared_bytes" in text
    kernel = None
    for line in sass.splitlines():
        if match := re.match(r"\s*\.section\s+\.text\.(\w+)", line):
            kernel = kernels.get(match[1])
        elif kernel is None:
            continue
        elif match := re.match(r"(\.L_x_\d+):", line):
            kernel.labels[match[1]] = len(kernel.code)
        elif match := re.match(r"\s*/\*([0-9a-f]{4,})\*/\s+(.*?)\s*;", line):
            kernel.code.append((int(match[1], 16), match[2].lstrip("{} ")))
    return kernels


def opcode(instruction):
    return re.sub(r"^@!?U?P\d+\s+", "", instruction).split()[0]


def innermost_loops(kernel):
    """The bodies of loops that hold no other loop."""
    loops = []
    for at, (_, instruction) in enumerate(kernel.code):
        target = re.search(r"\bBRA(?:\.\w+)*\b.*`\((\.L_x_\d+)\)", instruction)
        if target and kernel.labels[target[1]] <= at:
            loops.append((kernel.labels[target[1]], at))
    # A branch to itself ends each kernel.
    loops = [loop for loop in loops if loop[0] < loop[1]]
    inner = [a for a in loops if not any(b != a and a[0] <= b[0] and b[1] <= a[1] for b in loops)]
    return [[instruction for _, instruction in kernel.code[begin : end + 1]] for begin, end in inner]


def bytes_of(code):
    """What a thread loads or stores by one instruction."""
    if match := re.search(r"\.(32|64|128)\b", code):
        return int(match[1]) // 8
    if code.startswith("LDSM"):
        return {"4": 16, "2": 8}.get(code.rsplit(".", 1)[-1], 4)
    return {"U8": 1, "S8": 1, "U16": 2, "S16": 2}.get(code.rsplit(".", 1)[-1], 4)


def conflicts(body):
    """FFMAs that read three registers of one of the two banks: a cycle more each. What the instruction before marked for reuse in
    the same place isn't read again."""
    count, kept = 0, {}
    for instruction in body:
        operands = enumerate(instruction.split(",")[1:])
        registers = [(place, match[1], match[2]) for place, text in operands if (match := re.search(r"\bR(\d+)(\.reuse)?", text))]
        read = {int(number) for place, number, _ in registers if kept.get(place) != number}
        kept = {place: number for place, number, reuse in registers if reuse}
        if opcode(instruction).split(".")[0] == "FFMA" and len(read) == 3 and len({number % 2 for number in read}) == 1:
            count += 1
    return count
