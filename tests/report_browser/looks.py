"""Looks at a report in Chromium: its words with scripts off, its width, and whether anything is drawn.

    looks.py FOLDER      report.html and report.json are in it; screenshots are left there too
"""

import json
import pathlib
import re
import subprocess
import sys

folder = pathlib.Path(sys.argv[1])
report = (folder / "report.html").resolve()
CHROMIUM = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-dev-shm-usage"]
CHROMIUM += [f"--user-data-dir={folder / 'profile'}"]


def chromium(*arguments):
    done = subprocess.run([*CHROMIUM, *arguments], capture_output=True, timeout=60, check=True)
    return done.stdout.decode()


def fail(why):
    sys.exit(f"report: {why}")


# The words, as the browser has them with scripts off: in a frame that may run none. The page around it reads them.
frame = folder / "frame.html"
frame.write_text(f"""<!doctype html><iframe sandbox="allow-same-origin" src="{report.name}"
onload="let d = this.contentDocument; let p = document.createElement('pre');
let walk = d.createTreeWalker(d.body, NodeFilter.SHOW_TEXT); while (walk.nextNode()) p.append(walk.currentNode.data + ' ');
document.body.replaceChildren(p); document.body.dataset.foreign = d.querySelectorAll('script,[src],[href],[onload]').length"></iframe>""")
dom = chromium("--allow-file-access-from-files", "--dump-dom", frame.as_uri())
if 'data-foreign="0"' not in dom:
    fail("the page could not be read, something in it comes from elsewhere, or it has a script")
words = re.sub(r"<[^>]*>", " ", dom.split("<body", 1)[1]).replace("\u202f", "").split()
numbers = json.loads((folder / "report.json").read_text())
for which, fields in [
    ("rounds", ["round", "assigned", "updates", "counting", "bytes", "entitled_msat", "paid_msat", "locked_msat"]),
    ("workers", ["worker", "updates", "counting", "bytes", "entitled_msat", "paid_msat"]),
]:
    for record in numbers[which]:
        for field in fields:
            if str(record[field]) not in words:
                fail(f"{which}: {field} {record[field]} is not on the page")
for record in numbers["rounds"]:
    if record["loss"] is not None and f"{record['loss']:.4f}" not in words:
        fail(f"loss {record['loss']} is not on the page")
# A window of this program is never narrower than 500, so the page stands in a frame. The frame's own script-free page is measured
# and drawn by the one around it.
FRAME = """<!doctype html><style>body{{margin:0}}iframe{{border:0;display:block;width:{width}px;height:{height}px}}</style>
<iframe sandbox="allow-same-origin" src="{page}" onload="let d = this.contentDocument; let w = d.documentElement;
let wide = [...d.querySelectorAll('svg,figure,dl,h1,p')].filter(e => e.getBoundingClientRect().right > {width} + 0.5).length;
let flat = [...d.querySelectorAll('svg')].filter(e => e.getBoundingClientRect().height < 60).length;
document.body.dataset.seen = [w.scrollWidth, wide, flat, d.querySelectorAll('svg').length].join(' ')"></iframe>"""
for width in [390, 820, 1440]:
    frame = folder / f"frame-{width}.html"
    frame.write_text(FRAME.format(width=width, height=1600, page=report.name))
    local = ["--allow-file-access-from-files", f"--window-size={max(width, 500)},1600"]
    seen = re.search(r'data-seen="([\d ]+)"', chromium(*local, "--dump-dom", frame.as_uri()))
    if not seen:
        fail(f"at {width}: the page could not be measured")
    scroll, wide, flat, plots = map(int, seen.group(1).split())
    if scroll > width or wide:
        fail(f"at {width}: the page is {scroll} wide, and {wide} parts of it are wider than the window")
    if flat or not plots:
        fail(f"at {width}: {flat} of {plots} plots have no height")
    sizes = []
    for mode, dark in [("light", []), ("dark", ["--blink-settings=preferredColorScheme=0"])]:
        shot = folder / f"{width}-{mode}.png"
        chromium(*local, *dark, f"--screenshot={shot}", frame.as_uri())
        image = shot.read_bytes()
        found = int.from_bytes(image[16:20], "big")
        if found != max(width, 500):
            fail(f"at {width}: expected a screenshot {max(width, 500)} wide, found {found}")
        # A blank one takes a few kilobytes.
        if len(image) < 20_000:
            fail(f"at {width}, {mode}: {len(image)} bytes of a picture: it is blank")
        sizes.append(image)
    if sizes[0] == sizes[1]:
        fail(f"at {width}: light and dark look alike")

print(f"report: {len(words)} words, {len(numbers['rounds'])} rounds: all numbers are there without scripts, at 390, 820 and 1440")
