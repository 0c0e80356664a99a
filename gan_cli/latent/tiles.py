"""Large pictures in tiles, equal to the whole where a network looks no further than its receptive field."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def tiled(
    draw: Callable[[Tensor], Tensor], source: Tensor, tile: int, multiple: int = 1, radius: int | None = None
) -> Tensor:
    """`draw(source)` of a picture `[1, C', h, w]`, computed in tiles of side `tile` and joined.

    Each tile is drawn with `radius` more pixels around it, which are cut off: what lies outside no pixel depends on,
    so that the tiles are equal to the whole. Where a network depends on the whole picture (radius None, instance norm)
    they are not; a quarter of a tile is drawn around, and neighbours fade into each other.

    Args:
        draw: `[1, C', h, w]` to `[1, C, s·h, s·w]`.
        multiple: Tiles begin at multiples of it.
    """
    height, width = source.shape[-2:]
    step = max(multiple, tile - tile % multiple)
    if step >= height and step >= width:
        return draw(source)
    around = step // 4 if radius is None else radius
    around += -around % multiple
    total: Tensor | None = None
    weight = torch.zeros(())
    for top in range(0, height, step):
        for left in range(0, width, step):
            y0, x0 = max(0, top - around), max(0, left - around)
            y1, x1 = min(height, top + step + around), min(width, left + step + around)
            drawn = draw(source[..., y0:y1, x0:x1])
            scale = drawn.shape[-1] // (x1 - x0)
            if total is None:
                total = drawn.new_zeros(1, drawn.shape[1], scale * height, scale * width)
                weight = drawn.new_zeros(1, 1, scale * height, scale * width)
            mask = _mask(y0, y1, top, step, height, radius is None).view(-1, 1) * _mask(
                x0, x1, left, step, width, radius is None
            ).view(1, -1)
            mask = mask.repeat_interleave(scale, 0).repeat_interleave(scale, 1)
            place = (..., slice(scale * y0, scale * y1), slice(scale * x0, scale * x1))
            total[place] += mask * drawn
            weight[place] += mask
    assert total is not None
    return total / weight


def _mask(begin: int, end: int, start: int, step: int, length: int, fades: bool) -> Tensor:
    """How much the rows `begin` ... `end` of a tile count: 1 within it, and outside 0, or less with the distance."""
    rows = torch.arange(begin, end)
    stop = min(start + step, length)
    if not fades:
        return ((rows >= start) & (rows < stop)).float()
    before, after = start - begin, end - stop
    up = (rows - begin + 1) / (before + 1) if before else torch.ones(len(rows))
    down = (end - rows) / (after + 1) if after else torch.ones(len(rows))
    return torch.minimum(up, down).clamp(max=1.0)
