"""The digits of `make demo` against the CPU time that they take: what an SVM trained on the real digits reads in them.

    python benchmarks/demo.py [NAME ...] [--seeds 0 1 2] [--lengths 0.25 0.5 1 2] [--pictures FOLDER]
        >> benchmarks/results/demo.jsonl
    python benchmarks/demo.py --draw benchmarks/results/demo.jsonl  # the curve, beside the file

Each line is one whole `gan train` in a process of its own with one thread, and its user and system time, imports and
callbacks included; `lengths` are fractions of the steps of its configuration, whose schedule ends with them. Then 1000
samples, 100 per class: `read` is the share that an SVM reads as the digit that was asked for, `confidence` the mean of
its largest probability (noise has 0.45, means of two real digits 0.64), `spread` the standard deviation within a class
against that of the real digits. The SVM learns from every other real digit; the line `real` is about the others.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from common import report
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.multiclass import OneVsOneClassifier
from sklearn.svm import SVC
from torch import Tensor

from gan_cli import pictures, sample
from gan_cli.config import compose
from gan_cli.demo import shrink

COMMON = ("dataset=digits", "penalty=[r1]", "penalty.r1.weight=0.2")
CONFIGURATIONS: dict[str, tuple[str, ...]] = {
    "demo": ("experiment=demo",),
    "first_try": (  # by steps and with labels, before anything was tuned
        *(*COMMON, "dataset.batch_size=16", "model=dcgan", "model.width=16", "model.discriminator.norm=none"),
        *("conditioning=projection", "penalty.r1.interval=8", "trainer.ema_half_life=2000", "trainer.max_steps=2178"),
    ),
    "without_labels": (  # the demo before that, without its limit of 3.2 minutes, which a busy machine would hit first
        *(*COMMON, "model=mlp", "model.latent_dim=64", "model.generator.norm=batch", "trainer.max_steps=4200"),
        *("schedule=linear", "schedule.start=0.5", "schedule.final=0.1"),
    ),
}


class Judge:
    """An SVM with probabilities: one for each pair of digits, calibrated (Platt), coupled (Price 1995).

    Attributes:
        pixels, label: All real digits `[1797, 64]` in [0, 16], and their labels.
        unseen: The ones that it did not learn from, bool `[1797]`.
    """

    def __init__(self) -> None:
        digits = load_digits()
        self.pixels, self.label = torch.from_numpy(digits.data).float(), torch.from_numpy(digits.target).long()
        self.unseen = torch.arange(len(self.label)) % 2 == 1
        self.pairs = OneVsOneClassifier(CalibratedClassifierCV(SVC(gamma=0.001), ensemble=False))
        self.pairs.fit(self.pixels[~self.unseen].numpy(), self.label[~self.unseen].numpy())

    def __call__(self, pixels: Tensor) -> Tensor:
        """Probabilities `[N, 10]` of what digits `[N, 64]` show: 1 / p_i = sum over j of 1 / r_ij - (10 - 2)."""
        inverse = torch.zeros(len(pixels), 10, dtype=torch.float64)
        for (i, j), machine in zip(itertools.combinations(range(10), 2), self.pairs.estimators_, strict=True):
            of_j = torch.from_numpy(machine.predict_proba(pixels.numpy())[:, 1]).clamp(1e-7, 1 - 1e-7)
            inverse[:, i] += 1 / (1 - of_j)
            inverse[:, j] += 1 / of_j
        chances = 1 / (inverse - (10 - 2))
        return chances / chances.sum(1, keepdim=True)


def train_apart(words: tuple[str, ...], folder: Path) -> float:
    """CPU seconds of a `gan train` in a process of its own."""

    def spent() -> float:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        return children.ru_utime + children.ru_stime

    before = spent()
    command = [sys.executable, "-m", "gan_cli", "train", *words, f"hydra.run.dir={folder}"]
    subprocess.run(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, check=True)
    return spent() - before


def enlarge(pixels: Tensor) -> Tensor:
    """Real digits `[N, 64]` in [0, 16] as the runs are shown them: uint8 `[N, 1, 16, 16]`."""
    images = (pixels * (255 / 16)).round().view(-1, 1, 8, 8)
    return F.interpolate(images, (16, 16), mode="bicubic", antialias=True).round().clamp(0, 255).to(torch.uint8)


def judged(judge: Judge, pixels: Tensor, label: Tensor) -> dict[str, Any]:
    """What the judge says about digits `[N, 64]` that should be `label`."""
    real = shrink(enlarge(judge.pixels))
    chances = judge(pixels)
    right = (chances.argmax(1) == label).float()
    variances = [pixels[label == k].var(0).sum() / real[judge.label == k].var(0).sum() for k in range(10)]
    return {
        "confidence": round(float(chances.amax(1).mean()), 4),
        "read": round(float(right.mean()), 4),
        "by_digit": [round(float(right[label == k].mean()), 2) for k in range(10)],
        "spread": round(float(torch.stack(variances).sqrt().mean()), 3),
    }


def measure(name: str, seed: int, length: float, judge: Judge, folder: str | None) -> None:
    words = CONFIGURATIONS[name]
    config = compose.compose("train", words).config
    steps = round(config["trainer"]["max_steps"] * length)
    with tempfile.TemporaryDirectory() as scratch:
        run = Path(scratch) / "run"
        seconds = train_apart((*words, f"seed={seed}", f"trainer.max_steps={steps}"), run)
        pixels = shrink(pictures.to_uint8(sample(run, "n=1000")))
        if folder:
            sample(run, "n=160", f"out={folder}/{name}-{seed}-{steps}.png")
    facts = judged(judge, pixels, torch.arange(1000) % 10)
    if "classes" not in config["conditioning"]["generator"]:  # nothing was asked for
        facts = {"confidence": facts["confidence"]}
    report(name, seed=seed, steps=steps, cpu_seconds=seconds, **facts)


def draw(results: Path) -> None:
    """Confidence and share read as asked over CPU seconds: means over the seeds, and the range of the seeds."""
    from matplotlib.figure import Figure

    rows = [json.loads(line) for line in results.read_text().splitlines()]
    figure = Figure(figsize=(9, 3.6), dpi=100, layout="constrained")
    panels = figure.subplots(1, 2)
    for axes, key, title in zip(panels, ("confidence", "read"), ("mean confidence", "read as asked"), strict=True):
        for name in CONFIGURATIONS:
            steps = sorted({row["steps"] for row in rows if row["benchmark"] == name and key in row})
            groups = [[row for row in rows if row["benchmark"] == name and row["steps"] == s] for s in steps]
            if not groups:
                continue
            seconds = [sum(row["cpu_seconds"] for row in group) / len(group) for group in groups]
            values = [[row[key] for row in group] for group in groups]
            (line,) = axes.plot(seconds, [sum(v) / len(v) for v in values], marker="o", markersize=4, label=name)
            low, high = [min(v) for v in values], [max(v) for v in values]
            axes.fill_between(seconds, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
        real = next(row for row in rows if row["benchmark"] == "real")
        axes.axhline(real[key], color="0.4", linestyle="--", linewidth=1, label="real digits, unseen")
        axes.set(xlim=(0, None), xlabel="CPU seconds of one core", title=title)
        axes.grid(color="0.9")
    panels[0].legend(fontsize="small", loc="lower right")
    figure.savefig(results.with_suffix(".png"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=("demo",), help=", ".join(CONFIGURATIONS))
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    parser.add_argument("--lengths", type=float, nargs="+", default=(0.25, 0.5, 1, 2))
    parser.add_argument("--pictures", help="folder for a grid of each run, one row per digit")
    parser.add_argument("--draw", type=Path, help="draw the curve of these results instead")
    arguments = parser.parse_args()
    if arguments.draw:
        draw(arguments.draw)
        return
    judge = Judge()
    unseen = shrink(enlarge(judge.pixels[judge.unseen]))
    report("real", **judged(judge, unseen, judge.label[judge.unseen]))
    for name in arguments.names:
        for length in arguments.lengths:
            for seed in arguments.seeds:
                measure(name, seed, length, judge, arguments.pictures)


if __name__ == "__main__":
    main()
