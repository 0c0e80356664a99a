"""How far a translator of golden into red apples has come: hue, shape and round trips of the split test.

    gan train experiment=cyclegan_small dataset=unpaired_folder dataset.resolution=64 dataset.root=APPLES
    python benchmarks/translation/apples.py RUN APPLES

APPLES holds trainA, trainB (red), testA (golden) and testB of photographs on white. The hue of an apple is the circular
mean over its pixels; its shape is what is not white.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from gan_cli.cli import main as gan

WHITE = 235  # of 255: darker in any channel belongs to the apple


def pictures(folder: Path, side: int) -> list[np.ndarray]:
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".png", ".jpg"))
    opened = [Image.open(path).convert("RGB").resize((side, side), Image.Resampling.LANCZOS) for path in paths]
    return [np.asarray(image, dtype=np.float64) for image in opened]


def shape(picture: np.ndarray) -> np.ndarray:
    return picture.min(-1) < WHITE


def hue(picture: np.ndarray) -> float:
    """In degrees, the mean over the apple's pixels, weighted by how coloured they are."""
    red, green, blue = (picture[shape(picture)] / 255).T
    x, y = red - (green + blue) / 2, np.sqrt(3) / 2 * (green - blue)
    return float(np.degrees(np.arctan2(y.sum(), x.sum())))


def chroma(picture: np.ndarray) -> float:
    """How far the channels of the background, the four corners of 3 x 3 pixels, lie apart: 0 is grey, more a tint."""
    corners = np.stack(
        [picture[rows, columns] for rows in (slice(3), slice(-3, None)) for columns in (slice(3), slice(-3, None))]
    )
    means = corners.mean((0, 1, 2))
    return float(means.max() - means.min())


def checkered(picture: np.ndarray) -> float:
    """The energy at the Nyquist frequency, in rows and in columns: of what changes its sign from pixel to pixel."""
    height, width = picture.shape[:2]
    down = (picture * (-1.0) ** np.arange(height)[:, None, None]).mean(0)
    across = (picture * (-1.0) ** np.arange(width)[None, :, None]).mean(1)
    return float(np.square(down).mean() + np.square(across).mean())


def within(values: Sequence[float], others: Sequence[float]) -> float:
    """The share that lies between the least and the largest of the others."""
    return float(np.mean([min(others) <= value <= max(others) for value in values]))


def told(name: str, values: Sequence[float]) -> None:
    print(f"{name:28s} {np.mean(values):7.2f} ± {np.std(values) / max(1, len(values) - 1) ** 0.5:.2f}")


def main(run: str, apples: str, side: int = 64) -> None:
    with tempfile.TemporaryDirectory() as folder:
        gan(["sample", run, f"source={apples}/testA", f"out={folder}/there"])
        gan(["sample", run, "direction=b2a", f"source={apples}/testB", f"out={folder}/back"])
        gan(["sample", run, "direction=b2a", f"source={folder}/there", f"out={folder}/again"])
        golden, red = pictures(Path(apples) / "testA", side), pictures(Path(apples) / "testB", side)
        there, back, again = (pictures(Path(folder) / name, side) for name in ("there", "back", "again"))
    hues = {name: [hue(p) for p in ps] for name, ps in {"golden": golden, "red": red, "golden -> red": there}.items()}
    for name, values in hues.items():
        told(f"hue {name}", values)
    means = {name: float(np.mean(values)) for name, values in hues.items()}
    way = (means["golden"] - means["golden -> red"]) / (means["golden"] - means["red"])
    inside = within(hues["golden -> red"], hues["red"])
    learnt = within(hues["golden -> red"], [hue(p) for p in pictures(Path(apples) / "trainB", side)])
    told("hue red -> golden", [hue(p) for p in back])
    overlap = [(shape(a) & shape(b)).sum() / (shape(a) | shape(b)).sum() for a, b in zip(golden, there, strict=True)]
    told("shape: overlap (IoU)", overlap)
    cycle = [np.abs(a - b).mean() for a, b in zip(golden, again, strict=True)]
    told("cycle error, of 255", cycle)
    corner = [p[:3, :3].mean() for p in there]
    told("background, of 255", corner)
    for name, shown in (("golden", golden), ("golden -> red", there), ("round trip", again)):
        told(f"tint {name}, of 255", [chroma(p) for p in shown])
    checks = np.sum([checkered(p) for p in there]) / np.sum([checkered(p) for p in golden])
    print(f"checkerboard, of the sources' {checks:7.2f}")
    print(f"{100 * way:.0f} % of the way, {abs(means['golden -> red'] - means['red']):.1f} degrees from red, ", end="")
    print(f"{100 * inside:.0f} % within red's range, {100 * learnt:.0f} % within that of the reds of the training")
    found = {"way": way, "inside": inside, "learnt": learnt, "iou": np.mean(overlap), "cycle": np.mean(cycle)}
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:3])
