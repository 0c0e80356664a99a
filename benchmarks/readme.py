"""Every `gan` command of the README, in its order, as a newcomer would type it: exit code, seconds, last line.

    python benchmarks/readme.py [--limit 120] [--sections Sweeps ...] >> benchmarks/results/readme.jsonl
    python benchmarks/readme.py --table            # the last such run, as the table of benchmarks/README.md

It works in a folder of its own. What the README leaves open is filled in: `<run>` is the last run of the same section,
else the demo's; `photos` and `face.png` are embedded digits as files. A command that is not done after `--limit`
seconds gets Ctrl-C, and its line has the forecast that it printed. Commands that need what is not here (MNIST,
CIFAR-10, somebody's snapshot, a network of one's own) are run too: their line says how they are refused.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from common import report
from PIL import Image
from sklearn.datasets import load_digits

README = Path(__file__).resolve().parents[1] / "README.md"
RESULTS = Path(__file__).with_name("results") / "readme.jsonl"
GAN = str(Path(sys.executable).with_name("gan"))
FIRST = "One minute"  # the section whose run the others use
FORECAST = re.compile(r"about .* left on this machine.*")


def commands() -> Iterator[tuple[str, str]]:
    """(section, command) of every command line, without its comment."""
    section = ""
    for line in README.read_text().splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ")
        elif found := re.match(r"    (?:\$ )?(gan\b.*)", line):
            yield section, re.sub(r"\s+#.*", "", found[1])


def make_pictures(folder: Path) -> None:
    """What a newcomer has: a folder of photos, by class, and a picture of a face. Here all are digits."""
    digits = load_digits()
    for name, number in (("cat", 3), ("dog", 7), ("bird", 0)):
        (folder / "photos" / name).mkdir(parents=True)
        for i, pixels in enumerate(digits.images[digits.target == number]):
            Image.fromarray((pixels * 15.9).astype("uint8")).resize((64, 64)).save(folder / f"photos/{name}/{i}.png")
    Image.fromarray((digits.images[0] * 15.9).astype("uint8")).save(folder / "face.png")


def timed(words: list[str], folder: Path, limit: float) -> dict[str, Any]:
    """One command, ended by Ctrl-C if it takes longer."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    process = subprocess.Popen(
        [GAN, *words[1:]], cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        said, _ = process.communicate(timeout=limit)
        cut = False
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate()
        cut = True
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    forecast = FORECAST.search(said)
    lines = [line for line in said.splitlines() if line.strip()]
    return {
        "code": process.returncode,
        "wall_s": round(time.perf_counter() - start, 1),
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "interrupted": cut,
        "forecast": forecast[0] if forecast else None,
        "last": lines[-1][:200] if lines else "",
    }


def table() -> Iterator[str]:
    """The last result of each command, in the README's order."""
    found = {row["command"]: row for row in map(json.loads, RESULTS.read_text().splitlines())}
    yield "| command | seconds | seconds of CPU | |"
    yield "|---|---|---|---|"
    for row in (found[command] for _, command in commands() if command in found):
        ended = row["forecast"] if row["interrupted"] else "" if row["code"] == 0 else f"refused: {row['last']}"
        seconds = f"stopped after {row['wall_s']:.0f}" if row["interrupted"] else f"{row['wall_s']:.1f}"
        yield f"| `{row['command']}` | {seconds} | {row['cpu_s']:.1f} | {ended or ''} |"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--limit", type=float, default=120)
    parser.add_argument("--sections", nargs="+", help="only these, after the first, whose run they use")
    parser.add_argument("--table", action="store_true")
    asked = parser.parse_args()
    if asked.table:
        print(*table(), sep="\n")
        return
    limit = asked.limit
    with tempfile.TemporaryDirectory() as here:
        folder = Path(here)
        make_pictures(folder)
        runs: dict[str, list[str]] = {}
        demo = ""
        for section, command in commands():
            if asked.sections and section not in (FIRST, *asked.sections):
                continue
            mine = [*reversed(runs.get(section, [])), demo, demo]
            typed = re.sub(r"outputs/train/\d{8}-\S+-demo", demo, command)
            typed = typed.replace("outputs/train/<run>", mine[0]).replace("outputs/train/<other>", mine[1])
            sweeps = sorted(folder.glob("outputs/sweeps/*"))
            typed = typed.replace("outputs/sweeps/<sweep>", str(sweeps[-1].relative_to(folder)) if sweeps else "none")
            known = set(folder.glob("outputs/train/*"))
            found = timed(shlex.split(typed), folder, limit)
            for new in sorted(set(folder.glob("outputs/train/*")) - known):
                runs.setdefault(section, []).append(str(new.relative_to(folder)))
            demo = demo or next(iter(runs.get(FIRST, [])), "")
            report("readme", section=section, command=command, **found)


if __name__ == "__main__":
    main()
