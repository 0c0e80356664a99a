"""What a place of a map sees beyond itself: mirrored borders, and how far receptive fields reach."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


class Reflect(nn.Module):
    """Every border continued by `width` mirrored places, as by nn.ReflectionPad2d, whose gradient on a GPU is not the
    same every time; this one's is, and takes as long."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, values: Tensor) -> Tensor:
        for dim in (3, 2):
            before = values.narrow(dim, 1, self.width).flip(dim)
            after = values.narrow(dim, values.shape[dim] - self.width - 1, self.width).flip(dim)
            values = torch.cat([before, values, after], dim)
        return values


def extended(images: Tensor, height: int, width: int) -> Tensor:
    """Images `[N, C, h, w]` continued on the right and below to `[N, C, height, width]`.

    They are mirrored as often as it takes, so any size will do; a side of 1 is repeated.
    """
    for dim, side in ((2, height), (3, width)):
        if side != images.shape[dim]:
            period = max(1, 2 * (images.shape[dim] - 1))
            place = torch.arange(side, device=images.device) % period
            images = images.index_select(dim, torch.minimum(place, period - place))
    return images


# A run of places of a layer's output, first and last, and those of its input that it reads.
Span = tuple[int, int]
Step = Callable[[Span], Span]


def convolved(size: int, stride: int = 1) -> Step:
    """A convolution with a padding of (size - 1) // 2."""
    before = (size - 1) // 2
    return lambda span: (span[0] * stride - before, span[1] * stride - before + size - 1)


def transposed(size: int, stride: int) -> Step:
    """The transpose of `convolved`."""
    before = (size - 1) // 2
    return lambda span: (-((size - 1 - before - span[0]) // stride), (span[1] + before) // stride)


def enlarged(factor: int) -> Step:
    """Repetition, or a shuffle of channels into places."""
    return lambda span: (span[0] // factor, span[1] // factor)


def unshuffled(factor: int) -> Step:
    """Places into channels."""
    return lambda span: (span[0] * factor, span[1] * factor + factor - 1)


def radius(steps: Sequence[Step], scale: int = 1, multiple: int = 1) -> int:
    """How many pixels of its source, in each direction, an output pixel reads at most beyond the one that it lies in.

    Args:
        steps: Of the longest path, from the output to the source.
        scale: Sides of the output, in sides of the source.
        multiple: After how many pixels of the source the pattern of places repeats.
    """
    farthest = 0
    for place in range(scale * multiple):
        span = (place, place)
        for step in steps:
            span = step(span)
        farthest = max(farthest, place // scale - span[0], span[1] - place // scale)
    return farthest
