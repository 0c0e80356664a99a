"""Sample grids as embedded pictures: decoded within bounds and encoded anew, so that only pixels get into a page."""

from __future__ import annotations

import io
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from gan_cli.pages import data_uri
from gan_cli.store.disk import peek

LARGEST = 2**25  # bytes of a file that are read
WIDEST = 8192  # pixels of a side that are decoded,
SHOWN = 1280  # and that are shown
STEP = re.compile(r"step-(\d{1,16})\.png")
LISTED = 100_000  # files that are looked at
QUALITIES = (90, 70, 45)  # of a lossy picture, tried in turn


@dataclass(frozen=True)
class Grid:
    """A picture of samples."""

    step: int
    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Film:
    """The sample grids of a run, some evenly chosen ones of them."""

    grids: tuple[Grid, ...]
    real: Grid | None
    there: int  # how many there are
    unreadable: int  # of those chosen


def film(folder: Path, most: int, budget: int) -> Film:
    """The grids of a run's `samples` folder.

    Args:
        most: As many are chosen, evenly, with the first and the last.
        budget: Bytes for all of them.
    """
    share = budget // (most + 1)
    named = sorted(_steps(folder))
    chosen = [named[i] for i in evenly(len(named), most)]
    read = [_picture(path, step, share) for step, path in chosen]
    grids = tuple(grid for grid in read if grid is not None)
    return Film(grids, _picture(folder / "real.png", 0, share), len(named), len(read) - len(grids))


def evenly(n: int, most: int) -> list[int]:
    """At most `most` (from 2 on) of 0 ... n - 1, evenly spaced, with the first and the last."""
    return list(range(n)) if n <= most else np.linspace(0, n - 1, most).round().astype(int).tolist()


def _steps(folder: Path) -> list[tuple[int, Path]]:
    if folder.is_symlink() or not folder.is_dir():
        return []
    names = (path for path, _ in zip(folder.iterdir(), range(LISTED), strict=False))
    return [(int(match[1]), path) for path in names if (match := STEP.fullmatch(path.name))]


def _picture(path: Path, step: int, share: int) -> Grid | None:
    """A PNG of the program's, encoded anew in at most `share` bytes; None for anything else."""
    content = peek(path, LARGEST)
    if not content:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(content), formats=("PNG",))
            if max(picture.size) > WIDEST:
                return None
            pixels = picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        return None
    pixels.thumbnail((SHOWN, SHOWN))
    return Grid(step, data_uri("webp", encoded(pixels, share)), *pixels.size)


def encoded(picture: Image.Image, most: int) -> bytes:
    """The picture as WebP, lossless if that takes no more than `most` bytes; else lossy, and smaller until it fits."""
    content = _webp(picture, lossless=True, quality=20, method=1)
    for quality in QUALITIES:
        if len(content) <= most:
            return content
        content = _webp(picture, lossless=False, quality=quality, method=2)
    if len(content) <= most or min(picture.size) < 32:
        return content
    return encoded(picture.resize((picture.width // 2, picture.height // 2)), most)


def _webp(picture: Image.Image, lossless: bool, quality: int, method: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, "WEBP", lossless=lossless, quality=quality, method=method)
    return file.getvalue()
