"""make demo: train on real handwritten digits, measure, and show the result."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from gan_cli import evaluate, pictures, sample, train
from gan_cli.config import build, compose, trust
from gan_cli.errors import Interrupted, Refused, RunFailed

SIDE, WHITE = 8, 16  # of scikit-learn's digits
TRUNCATION = "truncation=1"  # for the samples shown, not for those measured


def shrink(images: Tensor) -> Tensor:
    """Grey images uint8 `[N, 1, H, W]` in the size and range of the original digits: `[N, 64]` in [0, 16]."""
    return F.adaptive_avg_pool2d(images.float(), SIDE).flatten(1) * (WHITE / 255)


def read(images: Tensor) -> Tensor:
    """The digits that a support vector machine, trained on the real ones, reads in grey images uint8 `[N, 1, H, W]`."""
    from sklearn.datasets import load_digits
    from sklearn.svm import SVC

    digits = load_digits()
    machine = SVC(gamma=0.001).fit(digits.data, digits.target)  # the settings of scikit-learn's own example
    return torch.from_numpy(machine.predict(shrink(images).numpy()))


def pace(*words: str, seconds: float = 2.0) -> tuple[int, float]:
    """How many steps `gan train *words` takes, and how many per second this machine makes, measured for `seconds`."""
    checked = build.check(compose.compose("train", words).config, trust.for_runs())
    trainer = build.trainer(checked)
    trainer.place()
    for _ in range(4):  # the first steps are slower
        trainer.step()
    began, first, spent = time.perf_counter(), trainer.clock.step, 0.0
    while spent == 0 or spent < seconds:
        trainer.step()
        spent = time.perf_counter() - began
    return checked.config["trainer"]["max_steps"], (trainer.clock.step - first) / spent


def duration(seconds: float) -> str:
    """`45 s`, `3 min`: rounded up, as befits an estimate."""
    return f"{5 * -(-seconds // 5):.0f} s" if seconds <= 100 else f"{-(-seconds // 60):.0f} min"


def as_text(images: Tensor, columns: int) -> str:
    """Grey images uint8 `[N, 1, H, W]` as lines of half blocks, two pixels per character."""
    rows = [torch.cat(list(row), dim=-1)[0] for row in images.split(columns)]
    lines = []
    for top, bottom in torch.cat(rows).view(-1, 2, rows[0].shape[1]):
        pairs = zip(top.tolist(), bottom.tolist(), strict=True)
        lines.append("".join(" ▄▀█"[2 * (upper > 110) + (lower > 110)] for upper, lower in pairs))
    return "\n".join(lines)


def show(digits: Tensor) -> None:
    """Prints digits `[N, 1, H, W]` whose classes are 0 ... 9 in turn, one row per class, if the terminal can."""
    if not (sys.stdout.encoding or "").lower().startswith("utf"):
        return
    columns = max(2, min(8, shutil.get_terminal_size().columns // digits.shape[-1]))
    for k in range(10):
        print("\n" + as_text(digits[k::10][:columns], columns))


def main(*more: str) -> None:
    """The whole demo; `more` are further words for its training."""
    # For networks this small, as fast as several threads, and never slowed by waiting for a core; same results.
    torch.set_num_threads(1)
    words = ("experiment=demo", *more)
    steps, speed = pace(*words)
    print(f"{steps} steps take about {duration(steps / speed)} on this machine ({speed:.0f} steps/s)", flush=True)
    run = train(*words)
    distance = evaluate(run.folder, "detector=pixels", "metrics=[fid]", n=1797).fd_pixels
    grid = run.folder / "samples" / "demo.png"
    show(pictures.to_uint8(sample(run.folder, "n=100", TRUNCATION, f"out={grid}")))
    print(f"\nfd_pixels = {distance.value:.2f} ({distance.n_fake} samples against {distance.n_real} digits)")
    right = int((read(pictures.to_uint8(sample(run.folder, "n=1000"))) == torch.arange(1000) % 10).sum())
    print(f"{right} of 1000 samples are the digit that was asked for, according to an SVM trained on the real ones")
    print(f"100 digits that nobody wrote, drawn with {TRUNCATION}: {grid}")
    print(f"the run folder: {run.folder}")
    gan, folder = shlex.quote(str(executable())), shlex.quote(str(run.folder))
    print("\nTry next:")
    print(f"  {gan} sample {folder} classes=7 n=64 seed=7")
    print(f"  {gan} sample {folder} n=100 {TRUNCATION} seed=1")
    print(f"  {gan} sample {folder} mode=classes")
    print(f"  {gan} train resume={folder} trainer.max_steps={2 * run.step}")
    print(f"  {gan} train -m model=mlp dataset=ring loss=nonsaturating,wgan_gp trainer.max_steps=2000")


def executable() -> Path:
    """This environment's `gan`, by the shortest path from here."""
    gan = Path(sys.executable).parent / "gan"
    return gan.relative_to(Path.cwd()) if gan.is_relative_to(Path.cwd()) else gan


def run() -> int:
    """The demo as a process: prints in a line or two what ended it early, and returns the exit code."""
    try:
        main()
    except (Refused, RunFailed, Interrupted) as error:
        print(f"\nmake demo: {error}", file=sys.stderr)
        return 130 if isinstance(error, Interrupted) else 1
    except KeyboardInterrupt:
        print("\nmake demo: interrupted", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(run())
