"""A folder such as people have: 300 photographs of unequal sizes in three formats, and 30 others, out of built-in ones.

python benchmarks/translation/photographs.py FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data
from sklearn.datasets import load_sample_images

FORMATS = ("jpg", "png", "webp")


def cut(pictures: Sequence[np.ndarray], count: int, folder: Path, seed: int) -> None:
    """Writes parts of the pictures, 96 to 319 pixels wide and 96 to 259 high."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(seed)
    for i in range(count):
        whole = pictures[i % len(pictures)]
        height, width = int(draw.integers(96, 260)), int(draw.integers(96, 320))
        top, left = (int(draw.integers(0, s - part + 1)) for s, part in zip(whole.shape, (height, width), strict=False))
        part = Image.fromarray(whole[top : top + height, left : left + width])
        part.save(folder / f"IMG_{i:04d}.{FORMATS[i % 3]}", quality=92)


def main(folder: str) -> None:
    known = [data.coffee(), data.chelsea(), data.rocket(), *load_sample_images().images]
    cut(known, 300, Path(folder) / "photos", 0)
    cut([data.astronaut(), data.immunohistochemistry(), data.hubble_deep_field()], 30, Path(folder) / "others", 1)


if __name__ == "__main__":
    main(sys.argv[1])
