"""Quality for the minute: what a recipe reaches in so many CPU minutes of one core, over seeds.

    OMP_NUM_THREADS=1 python benchmarks/quality/minutes.py EXPERIMENT [WORD ...] --root DIR [--minutes 1 2 5]
        [--seeds 0 1 2] [--eval WORD ...] [--pictures DIR]

Each point is a run of its own, as long as fits into the minutes, so that its learning rates fall within them. How many
steps fit is told by the CPU time of a first stretch, without start, saving and measuring; CPU minutes, unlike
those of a clock, do not depend on what else the machine does. One line a run, and one a point: mean and standard error.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import report

from gan_cli import evaluate, sample, train
from gan_cli.config import build, trust
from gan_cli.config.compose import compose

WARM, STRETCH = 5, 20.0  # steps before the clock starts; CPU seconds that are measured


def steps_a_minute(*words: str) -> float:
    """Steps in a CPU minute, by the trainer alone."""
    trainer = build.trainer(build.check(compose("train", words).config, trust.for_files()))
    trainer.place()
    for _ in range(WARM):
        trainer.step()
    begun, count = time.process_time(), 0
    while time.process_time() - begun < STRETCH:
        trainer.step()
        count += 1
    return 60 * count / (time.process_time() - begun)


def error_bar(values: list[float]) -> dict[str, float]:
    """Mean and standard error of the mean."""
    bar = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")
    return {"mean": float(np.mean(values)), "standard_error": bar}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiment")
    parser.add_argument("words", nargs="*")
    parser.add_argument("--root", required=True)
    parser.add_argument("--minutes", type=float, nargs="+", default=(1.0, 2.0, 5.0))
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    parser.add_argument("--eval", nargs="+", default=("metrics=[fid]", "n=10000"), help="words for gan eval")
    parser.add_argument("--pictures", help="folder for a grid of each")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    words = (f"experiment={asked.experiment}", f"dataset.root={asked.root}", *asked.words)
    pace = steps_a_minute(*words)
    for minutes in asked.minutes:
        fits = round(minutes * pace)
        found: list[dict[str, Any]] = []
        for seed in asked.seeds:
            with tempfile.TemporaryDirectory() as scratch:
                mine = (*words, f"trainer.max_steps={fits}", f"seed={seed}")
                before = time.process_time()
                run = train(*mine, "callback=[history,checkpoints]", f"hydra.run.dir={scratch}/run")
                spent = (time.process_time() - before) / 60
                measured = evaluate(run.folder, *asked.eval, f"root={asked.root}")
                if asked.pictures:
                    sample(run.folder, "n=64", f"out={asked.pictures}/{asked.experiment}-{minutes:g}-{seed}.png")
            found.append({name: value.value for name, value in measured.items()})
            command = f"gan train {' '.join(mine)}"
            report("minutes", command=command, minutes=minutes, cpu_minutes=spent, images=run.images, **found[-1])
        if len(found) > 1:
            bars = {name: error_bar([one[name] for one in found]) for name in found[0]}
            report("minutes", experiment=asked.experiment, words=asked.words, minutes=minutes, steps=fits, **bars)


if __name__ == "__main__":
    main()
