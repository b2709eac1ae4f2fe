"""Takes each barrier, warp barrier and wait out of the kernels, one at a time, and runs the tests that include the file, checked:
one of them must fail. What survives is a barrier that no test needs, or that nothing needs.

mutate.py [FILE...]    FILE: matmul.cu, include/tile.cuh, ..."""

import concurrent.futures
import os
import re
import shutil
import subprocess
import sys
import tempfile

KERNELS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ORDERING = re.compile(r"__syncthreads\(\);|__syncwarp\([^)]*\);|cp_async_wait<[^>]*>\(\);")


def included(path, seen=None):
    """The files that a test includes, directly or not."""
    seen = set() if seen is None else seen
    for name in re.findall(r'#include "([^"]+)"', open(path).read()):
        for folder in (os.path.dirname(path), os.path.join(KERNELS, "include")):
            found = os.path.normpath(os.path.join(folder, name))
            if os.path.exists(found) and found not in seen and os.sep + "shim" + os.sep not in found[len(KERNELS):]:
                seen.add(found)
                included(found, seen)
    return seen


def mutants(file):
    """(line, what is taken out, the text without it)"""
    text = open(os.path.join(KERNELS, file)).read()
    for match in ORDERING.finditer(text):
        begin = text.rfind("\n", 0, match.start()) + 1
        if "//" in text[begin : match.start()] or "#define" in text[begin : match.start()]:
            continue
        yield text.count("\n", 0, match.start()) + 1, match[0], text[: match.start()] + ";" + text[match.end():]


def survives(file, text, tests, objects):
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, "kernels")
        shutil.copytree(KERNELS, copy, ignore=shutil.ignore_patterns("ptx", "__pycache__"))
        with open(os.path.join(copy, file), "w") as out:
            out.write(text)
        for test in tests:
            program = os.path.join(folder, test)
            build = [os.path.join(copy, "shim", "cc"), "--checked", os.path.join(copy, "shim", "tests", test + ".cpp"), "-o", program]
            subprocess.run(build, check=True, env={**os.environ, "SHIM_OBJECTS": objects}, capture_output=True)
            try:
                if subprocess.run([program], capture_output=True, timeout=600).returncode:
                    return False
            except subprocess.TimeoutExpired:
                return False
        return True


def main():
    folder = os.path.join(KERNELS, "shim", "tests")
    tests = {test[:-4]: included(os.path.join(folder, test)) for test in sorted(os.listdir(folder)) if test.endswith(".cpp")}
    files = sys.argv[1:] or sorted({os.path.relpath(file, KERNELS) for files in tests.values() for file in files})
    survivors = count = 0
    with tempfile.TemporaryDirectory() as objects, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = []
        for file in files:
            mine = [test for test, files in tests.items() if os.path.join(KERNELS, file) in files]
            for line, what, text in mutants(file):
                jobs.append((file, line, what, pool.submit(survives, file, text, mine, objects)))
        for file, line, what, job in jobs:
            count += 1
            if job.result():
                survivors += 1
                print(f"{file}:{line}: without {what} every test passes", flush=True)
    print(f"{count - survivors} of {count} mutants caught")
    sys.exit(survivors > 0)


if __name__ == "__main__":
    main()
