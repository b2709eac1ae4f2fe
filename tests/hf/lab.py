"""recipes/arithmetic-lab.py for a few steps: its table, and how far each arithmetic is from float32."""

import math
import pathlib
import subprocess
import sys
import tempfile

LAB = pathlib.Path(__file__).parents[2] / "recipes/arithmetic-lab.py"
STEPS, MODES = 3, ["float32", "float32-nudged", "bf16", "int14", "int8"]
SMALL = ["--seeds", "1", "--steps", str(STEPS), "--eval-sequences", "8"]


def lab(folder, *words):
    return subprocess.run([sys.executable, LAB, *words], cwd=folder, check=True, text=True, stdout=subprocess.PIPE).stdout


def cells(text):
    """The rows of a Markdown table, but for its head."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")][1:]


def percent(cell):
    return float(cell.removesuffix(" %"))


with tempfile.TemporaryDirectory() as folder:
    said = lab(folder, "--modes", ",".join(MODES), *SMALL)
    rows = [line.split("\t") for line in (pathlib.Path(folder) / "arithmetic-lab.tsv").read_text().splitlines()]
    assert rows[0] == "size lr mode head seed steps tokens loss seconds_a_step".split(), rows[0]
    assert [row[2] for row in rows[1:]] == MODES and said == "".join("\t".join(row) + "\n" for row in rows[1:]), said
    losses = {row[2]: float(row[7]) for row in rows[1:]}
    assert all(int(row[6]) == STEPS * 8 * 128 and float(row[8]) > 0 for row in rows[1:]), rows
    # Of 257 bytes that are alike likely, a little learnt; no arithmetic is far from float32, and each is another.
    assert all(2 < loss < math.log(257) for loss in losses.values()), losses
    assert all(abs(loss / losses["float32"] - 1) < 0.01 for loss in losses.values()), losses
    assert abs(losses["int14"] - losses["float32"]) < abs(losses["int8"] - losses["float32"]), losses
    # What is there is not done again.
    assert lab(folder, "--modes", ",".join(MODES), *SMALL) == ""
    table = cells(lab(folder, "--table", "arithmetic-lab.tsv"))
    assert [row[0] for row in table] == MODES, table
    for mode, _, seeds, loss, *beside in table:
        assert seeds == "1" and abs(float(loss) - losses[mode]) < 1e-4, table
        if mode != "float32":
            assert all(abs(percent(x) - 100 * (losses[mode] / losses["float32"] - 1)) < 1e-3 for x in beside), table
    swapped = {row[0]: [percent(x) for x in row[2:]] for row in cells(lab(folder, "--modes", ",".join(MODES[2:]), "--swap", *SMALL))}
    assert list(swapped) == ["float32", *MODES[2:]] and swapped["float32"] == [0, 0], swapped
    # The gradient of weights in place: 14 bits lose least, 8 bits most.
    assert 0 < swapped["int14"][1] < swapped["bf16"][1] < swapped["int8"][1] < 10, swapped
    print("recipes/arithmetic-lab.py: every mode ends, and 14 bits are nearest to float32")
