"""Every architecture exported: how far onnxruntime is from torch, how long it takes, how large the files are, and how
well the page in a browser repeats `gan sample`.

    python benchmarks/export.py >> benchmarks/results/export.jsonl

Small networks of all architectures after 60 steps or more, so that they draw something, and some of usual size after
a few. Pages of translators are given a picture of odd sides in colour and one in grey. Needs chromium and npm, unless
`--browser no`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import tempfile
import time
from pathlib import Path

import torch

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "browser")]

from chromium import Page, chromium  # noqa: E402
from common import report  # noqa: E402
from pages import compared, exported, made, picture  # noqa: E402
from translations import RUNS as TRANSLATORS  # noqa: E402
from translations import against_sample, drawn_from, told  # noqa: E402
from translations import made as made_translator  # noqa: E402

from conftest import SMALL, SMALL_TRANSLATORS  # noqa: E402
from gan_cli import sample  # noqa: E402
from gan_cli.export import convert, graph  # noqa: E402
from gan_cli.runs.restore import Manner, restore  # noqa: E402

OPSET = 18
LABELLED = "conditioning=projection"
USUAL = {
    "dcgan": ("model=dcgan", "dataset.resolution=32", "dataset.channels=3"),
    "sngan": ("model=sngan", "dataset.resolution=32", "dataset.channels=3"),
    "stylegan2": ("model=stylegan2", "model.channel_base=4096", "dataset.resolution=32", "dataset.channels=3"),
}

USUAL_TRANSLATORS = {
    "cyclegan": ("dataset=china2flower", "dataset.resolution=32", "model=cyclegan", "model.generator.blocks=6"),
}


def measured(run: Path) -> dict[str, object]:
    """The model of a run against torch."""
    restored = restore(str(run), Manner(), torch.device("cpu"))
    begun = time.perf_counter()
    drawn = graph.of(restored)
    model = convert.convert(drawn, OPSET, {})
    seconds = time.perf_counter() - begun
    return {
        "opset": OPSET,
        "weights": drawn.weights,
        "difference": convert.difference(drawn, model),
        "rounding": drawn.rounding(),
        "seconds": round(seconds, 2),
        "onnx_bytes": len(model),
    }


def in_browser(run: Path, window: Page | None) -> dict[str, object]:
    """The run's page against `gan sample`."""
    if window is None:
        return {}
    page = exported(run)
    sample(run, "n=16", "seed=1", "device=cpu", "out=expected.png")
    found = compared(picture(window, page, "seed=1&n=16"), Path("expected.png"))
    told = window.says("document.getElementById('told').textContent")
    return {"psnr": found.psnr, "contrast": found.contrast, "html_bytes": page.stat().st_size, "page": told}


def translating_in_browser(run: Path, window: Page | None) -> dict[str, object]:
    """The run's page against `gan sample source=`."""
    if window is None:
        return {}
    page, files = exported(run), drawn_from(Path())
    window.open(page)
    found, seconds = against_sample(window, run, files["rgb"]), told(window)
    grey = against_sample(window, run, files["grey"])
    colours = {"psnr": found.psnr, "contrast": found.contrast, "page": seconds}
    return {**colours, "psnr_grey": grey.psnr, "html_bytes": page.stat().st_size}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--browser", choices=("yes", "no"), default="yes")
    parser.add_argument("--only", default="", help="names of models, with commas")
    asked = parser.parse_args()
    only = [name for name in asked.only.split(",") if name]
    folder = tempfile.TemporaryDirectory()
    browser = chromium(Path(folder.name) / "profile") if asked.browser == "yes" else contextlib.nullcontext()
    with folder as place, browser as window:
        os.chdir(place)
        rows = [(name, "small", words) for name, words in SMALL.items()]
        rows += [(name, "usual", words) for name, words in USUAL.items()]
        for name, size, words in rows:
            if only and name not in only:
                continue
            with contextlib.redirect_stdout(io.StringIO()):
                run = made(f"{name}-{size}", (*words, LABELLED), 60 if size == "small" else 1)
                facts = {**measured(run), **in_browser(run, window)}
            report("export", model=name, size=size, **facts)
        translators = [(name, "small", TRANSLATORS[name], 100) for name in SMALL_TRANSLATORS]
        translators += [(name, "usual", words, 10) for name, words in USUAL_TRANSLATORS.items()]
        for name, size, words, steps in translators:
            if only and name not in only:
                continue
            with contextlib.redirect_stdout(io.StringIO()):
                run = made_translator(f"{name}-{size}", words, steps)
                facts = {**measured(run), **translating_in_browser(run, window)}
            report("export", model=name, size=size, **facts)


if __name__ == "__main__":
    main()
