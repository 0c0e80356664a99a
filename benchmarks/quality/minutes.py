"""Quality for the minute: what a recipe reaches in so many CPU minutes of one core, over seeds.

    OMP_NUM_THREADS=1 python benchmarks/quality/minutes.py EXPERIMENT [WORD ...] --root DIR [--minutes 1 2 5]
        [--seeds 0 1 2] [--eval WORD ...] [--pictures DIR]
    python benchmarks/quality/minutes.py --draw RESULTS --value fd_classifier  # the curves, beside the file

Each point is a run of its own, as long as fits into the minutes, so that its learning rates fall within them. How many
steps fit is told by the CPU time of a first stretch, without start, saving and measuring; CPU minutes, unlike
those of a clock, do not depend on what else the machine does. On a GPU, the minutes are those of the clock. One line a
run, and one a point: mean and standard error.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import report

from gan_cli import evaluate, sample, train
from gan_cli.config import build, trust
from gan_cli.config.compose import compose
from gan_cli.training.runtime import clock_of

WARM, STRETCH = 5, 20.0  # steps before the clock starts; seconds that are measured


def steps_a_minute(*words: str) -> float:
    """Steps in a minute of one thread of a CPU, or of a GPU, by the trainer alone."""
    trainer = build.trainer(build.check(compose("train", words).config, trust.for_files()))
    trainer.place()
    for _ in range(WARM):
        trainer.step()
    clock = clock_of(trainer.runtime.device, torch.get_num_threads())
    begun, count = clock(), 0
    while clock() - begun < STRETCH:
        trainer.step()
        count += 1
    return 60 * count / (clock() - begun)


def error_bar(values: list[float]) -> dict[str, float]:
    """Mean and standard error of the mean."""
    bar = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
    return {"mean": float(np.mean(values)), "standard_error": bar}


def shown(words: Sequence[str]) -> str:
    """A recipe without where its data lie."""
    return " ".join(word for word in words if not word.startswith("dataset.root="))


def curve(
    words: Sequence[str], minutes: Sequence[float], seeds: Sequence[int], judge: Sequence[str], pictures: str | None
) -> None:
    """Reports what the runs of `words` reach in each number of minutes, by `judge`, the words for `gan eval`."""
    pace = steps_a_minute(*words)
    for length in minutes:
        fits = max(1, round(length * pace))
        found: list[dict[str, Any]] = []
        for seed in seeds:
            mine = (*words, f"trainer.max_steps={fits}", f"seed={seed}")
            # What the commands tell goes with the errors, and the results alone to the output.
            with tempfile.TemporaryDirectory() as scratch, redirect_stdout(sys.stderr):
                before, wall = time.process_time(), time.perf_counter()
                run = train(*mine, "callback=[history,checkpoints]", f"hydra.run.dir={scratch}/run")
                spent, wall = (time.process_time() - before) / 60, (time.perf_counter() - wall) / 60
                measured = evaluate(run.folder, *judge)
                if pictures:
                    name = words[0].partition("=")[2]
                    sample(run.folder, "n=64", f"out={pictures}/{name}-{length:g}-{seed}.png")
            found.append({name: value.value for name, value in measured.items()})
            facts = {"cpu_minutes": spent, "wall_minutes": wall, "images": run.images}
            report("minutes", command=f"gan train {shown(mine)}", minutes=length, **facts, **found[-1])
        if len(found) > 1:
            bars = {name: error_bar([one[name] for one in found]) for name in found[0]}
            report("minutes", recipe=shown(words), minutes=length, steps=fits, **bars)


def draw(results: Path, value: str) -> None:
    """The value over CPU minutes, a line for each recipe: means and standard errors over the seeds."""
    from matplotlib.figure import Figure

    rows = [json.loads(line) for line in results.read_text().splitlines()]
    means = [row for row in rows if "recipe" in row and value in row]
    figure = Figure(figsize=(6, 4.2), dpi=100, layout="constrained")
    axes = figure.subplots()
    for recipe in dict.fromkeys(row["recipe"] for row in means):
        mine = sorted(
            (row["minutes"], row[value]["mean"], row[value]["standard_error"])
            for row in means
            if row["recipe"] == recipe
        )
        minutes, middle, bars = zip(*mine, strict=True)
        axes.errorbar(minutes, middle, bars, marker="o", markersize=4, capsize=3, label=recipe)
    axes.set(xlim=(0, None), yscale="log", xlabel="CPU minutes of one core", ylabel=value)
    axes.grid(color="0.9")
    figure.legend(loc="outside upper left", fontsize="small")
    figure.savefig(results.with_suffix(".png"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment", nargs="?")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--draw", type=Path, help="draw the curves of these results instead")
    parser.add_argument("--value", default="fd_classifier", help="what they show")
    parser.add_argument("--root")
    parser.add_argument("--minutes", type=float, nargs="+", default=(1.0, 2.0, 5.0))
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    parser.add_argument("--eval", nargs="+", default=("metrics=[fid]", "n=10000"), help="words for gan eval")
    parser.add_argument("--pictures", help="folder for a grid of each")
    asked = parser.parse_args()
    if asked.draw:
        draw(asked.draw, asked.value)
        return
    if not (asked.experiment and asked.root):
        parser.error("name an experiment and --root")
    torch.set_num_threads(1)
    words = (f"experiment={asked.experiment}", f"dataset.root={asked.root}", *asked.words)
    curve(words, asked.minutes, asked.seeds, (*asked.eval, f"root={asked.root}"), asked.pictures)


if __name__ == "__main__":
    main()
