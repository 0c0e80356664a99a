"""From samples to pictures: quantised by rounding, laid out in grids, points as scatter plots."""

from __future__ import annotations

import functools
import gc
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, ParamSpec, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from gan_cli.store.disk import naming, replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")
R = TypeVar("R")

MIN_TILE = 48  # pixels; smaller images are enlarged by integer factors, to be visible


def to_uint8(images: Tensor) -> Tensor:
    """Float [-1, 1] to uint8 0 ... 255, rounded, never truncated."""
    return images.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)


def to_rgb(images: Tensor) -> Tensor:
    """uint8 `[N, 1 or 3, H, W]` to `[N, 3, H, W]`."""
    return images.expand(-1, 3, -1, -1)


def grid(images: Tensor, columns: int | None = None, gap: int = 2) -> Tensor:
    """uint8 `[N, 1 or 3, H, W]` as one picture `[3, H', W']`, row by row; roughly square unless told otherwise.

    Small images are enlarged by pixel repetition; the pixels themselves are kept.
    """
    factor = -(-MIN_TILE // min(images.shape[-2:]))
    tiles = to_rgb(images).repeat_interleave(factor, -1).repeat_interleave(factor, -2)
    columns = columns or math.ceil(math.sqrt(len(tiles)))
    rows = math.ceil(len(tiles) / columns)
    height, width = tiles.shape[-2:]
    canvas = torch.full((3, rows * (height + gap) + gap, columns * (width + gap) + gap), 255, dtype=torch.uint8)
    for i, tile in enumerate(tiles):
        top, left = gap + i // columns * (height + gap), gap + i % columns * (width + gap)
        canvas[:, top : top + height, left : left + width] = tile
    return canvas


def side_by_side(columns: Sequence[Tensor], across: int = 2) -> Tensor:
    """Images `[N, C, h, w]` in [-1, 1], one column after the other, `across` rows of N beside each other, as uint8
    `[3, H', W']`. Smaller ones are enlarged by repetition; a column that is shorter is white where it ends."""
    rows, size = len(columns[0]), max(tuple(column.shape[-2:]) for column in columns)
    white = torch.full((1, 3, *size), 255, dtype=torch.uint8)
    tiles = []
    for column in columns:
        pixels = to_rgb(to_uint8(F.interpolate(column.cpu().float(), size)))
        tiles.append(torch.cat([pixels[:rows], white.expand(max(0, rows - len(pixels)), -1, -1, -1)]))
    across = min(across, rows)
    laid = torch.stack(tiles, 1).flatten(0, 1)
    return grid(laid, across * len(columns))


def rows_of_classes(images: Tensor, label: Tensor) -> tuple[Tensor, int | None]:
    """uint8 images ordered so that a grid has one row per class, padded with white; and the number of columns.

    Images of one class stay as they are, and the grid chooses its columns.
    """
    classes = label.unique()
    if len(classes) < 2:
        return images, None
    rows = [images[label == k] for k in classes]
    columns = max(len(row) for row in rows)
    white = torch.full_like(images[:1], 255)
    return torch.cat([torch.cat([row, white.expand(columns - len(row), -1, -1, -1)]) for row in rows]), columns


def new_figure(width: float, height: float, dpi: int = 110) -> Figure:
    """A figure of so many inches, which needs no screen."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def freed(draw: Callable[P, R]) -> Callable[P, R]:
    """`draw`, whose figures are freed when it returns.

    The parts of a figure refer to each other. Python finds such garbage when it looks through all that is alive, which
    is seldom; a run that draws often would grow by a hundred megabytes until then.
    """

    @functools.wraps(draw)
    def drawing(*args: P.args, **kwargs: P.kwargs) -> R:
        collecting = gc.isenabled()
        gc.disable()  # so that all that is made here is still young
        try:
            return draw(*args, **kwargs)
        finally:
            gc.collect(0)
            if collecting:
                gc.enable()

    return drawing


@freed
def scatter(points: Tensor, real: Tensor | None = None) -> Tensor:
    """Points `[N, 2]` as a picture uint8 `[3, H, W]`, over real ones in grey if given; `[N, 1]` as a histogram."""
    figure = new_figure(5, 5, dpi=100)
    shown = [(points, "tab:blue", "samples")]
    if real is not None:
        shown.insert(0, (real, "0.75", "real"))
    limit = 1.4 * float(shown[0][0].abs().max())
    if points.shape[1] == 1:
        axes = figure.add_subplot(ylabel="density")
        bins = torch.linspace(-limit, limit, 101).tolist() if limit > 0 else 100
        for values, color, name in shown:
            axes.hist(values[:, 0].numpy(), bins, density=True, alpha=0.7, color=color, label=name)
    else:
        axes = figure.add_subplot(aspect="equal")
        if real is not None:
            axes.set(xlim=(-limit, limit), ylim=(-limit, limit))
        for values, color, name in shown:
            axes.scatter(values[:, 0].numpy(), values[:, 1].numpy(), s=3, color=color, label=name, linewidths=0)
    axes.legend(loc="upper right", markerscale=4, fontsize="small")
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]  # type: ignore[attr-defined]
    return torch.from_numpy(pixels.copy()).permute(2, 0, 1)


def draw(samples: Tensor, label: Tensor | None = None, real: Tensor | None = None) -> Tensor:
    """Samples as a picture: a grid of images, with one row per class if there are several, or a scatter plot of points
    over real ones."""
    samples = samples.cpu()
    if samples.ndim != 4:
        return scatter(samples, real)
    one = torch.zeros(len(samples), dtype=torch.int64)
    return grid(*rows_of_classes(to_uint8(samples), one if label is None else label.cpu()))


def _kind(ending: str) -> str:
    """The format of files with this extension. Raises ValueError for an unknown one."""
    Image.init()
    if ending.lower() not in Image.EXTENSION:
        raise ValueError(f"unknown file extension: {ending}")
    return Image.EXTENSION[ending.lower()]


def _image(pixels: Tensor) -> Image.Image:
    array = pixels.permute(1, 2, 0).contiguous().numpy()
    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)


def write(pixels: Tensor, file: BinaryIO, ending: str) -> None:
    """uint8 `[3 or 1, H, W]` into an open file, in the format of the extension; lossless for PNG."""
    _image(pixels).save(file, _kind(ending))


def write_film(frames: Sequence[Tensor], file: BinaryIO, ending: str, milliseconds: int = 80) -> None:
    """uint8 pictures `[3, H, W]` of one size as an animated WebP (lossless) or GIF that repeats for ever."""
    first, *rest = map(_image, frames)
    first.save(file, _kind(ending), save_all=True, append_images=rest, duration=milliseconds, loop=0, lossless=True)


def save(pixels: Tensor, path: Path) -> Path:
    """Writes uint8 `[3 or 1, H, W]` in the format of the path's extension, completely or not at all. It does not wait
    for the disk, since there may be thousands of files. Raises NotWritten."""
    with naming(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, durable=False) as file:
        write(pixels, file, path.suffix)
    return path


def save_figure(figure: Figure, path: Path) -> Path:
    """Writes a matplotlib figure as PNG. Raises NotWritten."""
    with naming(path):
        path.parent.mkdir(exist_ok=True)
    with replacing(path, durable=False) as file:
        figure.savefig(file, format="png")
    return path
