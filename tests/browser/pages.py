"""Exported pages in headless Chromium: each draws what `gan sample` draws. Run by `make browser`.

    python tests/browser/pages.py [--screenshots FOLDER] [--runtime FOLDER]

Trains small networks of several kinds, exports each as a page, opens it from its file with no network, moves its
controls, and compares its picture with the PNG of `gan sample`, pixel by pixel. Exits with 1 where one differs.
"""

from __future__ import annotations

import argparse
import base64
import io
import math
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from driver import Browser, browser

from conftest import SMALL
from gan_cli import sample, train
from gan_cli.cli import main as gan

ENOUGH = 40.0  # dB
LARGEST = 200.0  # dB, for equal pictures
RUNS = {
    "dcgan": (*SMALL["dcgan"], "conditioning=concat"),
    "stylegan2": (*SMALL["stylegan2"], "conditioning=concat"),
    "stylegan": SMALL["stylegan"],
    "uniform": (*SMALL["mlp"], "prior=uniform"),
    "spherical": (*SMALL["mlp"], "prior=spherical"),
    "truncated": (*SMALL["mlp"], "prior=truncated"),
}
# The page's controls, as in its address, and the words of `gan sample` for the same.
CASES: dict[str, Sequence[tuple[str, tuple[str, ...]]]] = {
    "dcgan": [
        ("", ("n=16",)),
        ("seed=7&n=70&class=3&truncation=0.7", ("n=70", "seed=7", "classes=3", "truncation=0.7")),
        ("seed=9007199254740991&n=3", ("n=3", "seed=9007199254740991")),
    ],
    "stylegan2": [("", ("n=16",)), ("seed=1&n=66&truncation=0.5", ("n=66", "seed=1", "truncation=0.5"))],
    "stylegan": [("", ("n=16",))],
    "uniform": [("seed=2", ("n=16", "seed=2"))],
    "spherical": [("seed=3", ("n=16", "seed=3"))],
    "truncated": [("seed=4", ("n=16", "seed=4")), ("truncation=0.5", ("n=16", "truncation=0.5"))],
}


class Compared(NamedTuple):
    """Two pictures."""

    psnr: float  # in dB
    contrast: float  # standard deviation of the expected picture's values, of 255: a grey one would prove little


def made(name: str, words: Sequence[str], steps: int = 60) -> Path:
    """A run of seconds on digits, with weights that draw something."""
    settings = ("dataset.batch_size=16", f"trainer.max_steps={steps}", "trainer.device=cpu", "optimizer.lr=0.002")
    return train(*words, *settings, "callback=[history,checkpoints]", f"hydra.run.dir={name}").folder


def exported(run: Path, runtime: str | None = None) -> Path:
    """The run's page."""
    page = Path(f"{run.name}.html")
    words = [f"as.runtime={runtime}"] if runtime else []
    if gan(["export", str(run), "as=html", f"out={page}", *words]):
        raise SystemExit(f"{run} cannot be exported")
    return page


def picture(window: Browser, page: Path, controls: str) -> np.ndarray:
    """What the page shows: uint8 `[H, W, 3]`."""
    window.open(f"{page.resolve().as_uri()}#{controls}")
    window.until("document.body.dataset.drawn || document.body.dataset.failed")
    if errors := window.errors():
        raise SystemExit(f"{page}: {errors}")
    if window.run("return document.body.dataset.failed"):
        told = window.run("return document.getElementById('told').textContent")
        raise SystemExit(f"{page}: {told}")
    return shown(window)


def shown(window: Browser) -> np.ndarray:
    data = window.run("return document.getElementById('save').href").partition(",")[2]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))


def compared(found: np.ndarray, expected: Path) -> Compared:
    wanted = np.asarray(Image.open(expected).convert("RGB")).astype(float)
    if found.shape != wanted.shape:
        return Compared(-math.inf, float(wanted.std()))
    error = float(((found - wanted) ** 2).mean())
    return Compared(min(LARGEST, 10 * math.log10(255**2 / error)) if error else LARGEST, float(wanted.std()))


def controls_move(window: Browser, page: Path) -> list[str]:
    """What is wrong with the sliders: each must change the picture, and reset must bring it back."""
    before, wrong = picture(window, page, ""), []
    for name, value in (("between", 0.5), ("direction0", 2), ("seed", 5)):
        window.run(
            "const [name, value] = arguments, input = document.getElementById(name);"
            "delete document.body.dataset.drawn;"
            "input.value = value; input.dispatchEvent(new Event('input', {bubbles: true}));",
            *(name, value),
        )
        window.until("document.body.dataset.drawn")
        wrong += [f"{name} changes nothing"] if np.array_equal(shown(window), before) else []
    window.run("delete document.body.dataset.drawn; document.getElementById('reset').click()")
    window.until("document.body.dataset.drawn")
    return wrong + ([] if np.array_equal(shown(window), before) else ["reset does not bring the picture back"])


def screenshots(window: Browser, page: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in (("desktop", (1200, 900)), ("phone", (420, 900))):
        window.resize(*size)
        picture(window, page, "seed=1")
        window.screenshot(folder / f"{page.stem}-{name}.png")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--screenshots", type=Path, help="a folder for pictures of the pages")
    parser.add_argument("--runtime", help="a folder with onnxruntime-web, instead of npm's")
    asked = parser.parse_args()
    folder = asked.screenshots.resolve() if asked.screenshots else None
    failed = 0
    with tempfile.TemporaryDirectory() as place, browser() as window:
        os.chdir(place)
        for name, words in RUNS.items():
            run = made(name, words)
            page = exported(run, asked.runtime)
            for controls, settings in CASES[name]:
                sample(run, *settings, "device=cpu", "out=expected.png")
                found = compared(picture(window, page, controls), Path("expected.png"))
                failed += found.psnr < ENOUGH
                print(f"{name:<10} {' '.join(settings):<50} {found.psnr:6.1f} dB, contrast {found.contrast:.0f}")
            wrong = controls_move(window, page)
            failed += len(wrong)
            print(*(f"{name:<10} {problem}" for problem in wrong), sep="\n", end="\n" if wrong else "")
            if folder is not None:
                screenshots(window, page, folder)
    print(f"{failed} differ" if failed else "all pages draw what gan sample draws")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
