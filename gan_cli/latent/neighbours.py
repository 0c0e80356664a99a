"""Samples beside the training images that are nearest to them: does the generator copy?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from gan_cli.errors import ConfigError, Incompatible
from gan_cli.latent import Mode, Subject
from gan_cli.latent.drawings import Drawing, Sheet, Sheets
from gan_cli.metrics.memory import nearest
from gan_cli.pictures import to_uint8
from gan_cli.types import PositiveInt

CHUNK = 4096  # real images at a time, so that a large data set is never whole in floating point


def nearest_images(images: Tensor, real: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """For each of `images` uint8 `[n, C, H, W]`, the k nearest of `real` by ‖x - y‖ over pixels: distances, indices.

    Returns:
        Distances float64 `[n, k]`, in grey levels over all pixels, and indices `[n, k]`, the nearest first.
    """
    rows = images.flatten(1).double()
    distances, indices = [], []
    for start in range(0, len(real), CHUNK):
        piece = real[start : start + CHUNK].flatten(1).double()
        squared, index = nearest(rows, piece, min(k, len(piece)))
        distances.append(squared)
        indices.append(index + start)
    squared, chosen = torch.cat(distances, 1).topk(k, largest=False)
    return squared.clamp_min(0).sqrt(), torch.cat(indices, 1).gather(1, chosen)


@dataclass(frozen=True)
class Neighbours(Mode):
    """Row i is sample i, then the `k` training images nearest to it in pixels."""

    name: ClassVar[str] = "neighbours"
    n: PositiveInt = 8
    k: PositiveInt = 5

    def draw(self, subject: Subject) -> Drawing:
        if subject.points:
            raise Incompatible("mode=neighbours compares pixels, and these are points\n  use mode=grid")
        return Sheets(self.sheets(subject))

    def sheets(self, subject: Subject) -> Iterator[Sheet]:
        data = subject.data()
        if self.k > len(data):
            raise ConfigError(f"mode.k={self.k}: there are {len(data)} training images\n  lower mode.k")
        real = data.quantised(len(data))
        samples = subject.draw(*subject.latents(self.n))
        distance, index = nearest_images(to_uint8(samples), real, self.k)
        beside = real[index].float() / 127.5 - 1
        yield Sheet(torch.cat([samples[:, None], beside], 1), kept={"distance": distance, "index": index})
