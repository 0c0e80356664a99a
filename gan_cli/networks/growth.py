"""Progressive growing (Karras 2018, arXiv 1710.10196): training begins at a small side, and layers fade in.

Images always have the full size: a generator repeats the pixels of a smaller image, and a discriminator averages them
again, so that everything between the two sees one shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_cli.errors import ConfigError, two_lines
from gan_cli.networks.equalised import equalised
from gan_cli.types import Clock, PositiveInt


class Stage(NamedTuple):
    """How far a network has grown."""

    level: int  # of its largest map; 0 is the map of side 4
    alpha: float  # weight of that map; the map before it has the rest


class Growth(nn.Module):
    """The stage as a function of the images shown (arXiv 1710.10196, figure 2 and appendix A.1).

    `stable_images` at the first side; then, for each doubling, its layers fade in during `fade_images` and train on for
    `stable_images`.

    The images shown are kept in a buffer: an averaged copy of a network, or one from a checkpoint, has the same stage.

    Args:
        start: Side of the first images.
        fade_images, stable_images: 800,000 each in the paper, 600,000 in the authors' code.
    """

    images: Tensor

    def __init__(
        self, start: PositiveInt = 4, fade_images: PositiveInt = 600_000, stable_images: PositiveInt = 600_000
    ) -> None:
        super().__init__()
        if start < 4 or start & (start - 1):
            raise ConfigError(two_lines(f"model.growth.start={start} is not a side to begin with", "use 4, 8, 16, ..."))
        self.first = (start // 4).bit_length() - 1
        self.fade_images = fade_images
        self.stable_images = stable_images
        self.register_buffer("images", torch.zeros((), dtype=torch.int64))

    def advance(self, clock: Clock) -> None:
        self.images.fill_(clock.images)

    def stage(self, last: int) -> Stage:
        """The current stage of a network whose last stage is `last`."""
        since = int(self.images) - self.stable_images  # images since the first doubling
        if since < 0:
            return Stage(min(self.first, last), 1.0)
        doublings, images = divmod(since, self.fade_images + self.stable_images)
        level = self.first + 1 + doublings
        return Stage(level, min(1.0, images / self.fade_images)) if level <= last else Stage(last, 1.0)

    def complete(self, last: int) -> int:
        """Images shown by the time the stage `last` has faded in."""
        doublings = last - self.first
        return doublings * (self.stable_images + self.fade_images) if doublings > 0 else 0


def enlarged(images: Tensor, doublings: int) -> Tensor:
    """Each pixel repeated to a square of side 2^doublings."""
    return images.repeat_interleave(1 << doublings, 2).repeat_interleave(1 << doublings, 3) if doublings else images


def reduced(images: Tensor, halvings: int) -> Tensor:
    """The mean of each square of side 2^halvings."""
    return F.avg_pool2d(images, 1 << halvings) if halvings else images


class GrowingImage(nn.Module):
    """A generator's maps so far to images of the full size: (1 - α) · enlarged lower map + α · higher map.

    Args:
        growth: Decides the stage.
        widths: Channels of the maps, the smallest first.
        channels: C of the images.
    """

    def __init__(self, growth: Growth, widths: Sequence[int], channels: int) -> None:
        super().__init__()
        self.growth = growth
        self.last = len(widths) - 1
        self.to_image = nn.ModuleList(equalised(nn.Conv2d(wide, channels, 1)) for wide in widths)

    def stage(self) -> Stage:
        return self.growth.stage(self.last)

    def complete(self) -> int:
        """Images shown by the time the full size has faded in."""
        return self.growth.complete(self.last)

    def matched(self, real: Tensor) -> Tensor:
        """Real images with no more detail than the generator draws, faded in likewise (figure 2 of the paper)."""
        level, alpha = self.stage()
        halvings = self.last - level
        sharp = enlarged(reduced(real, halvings), halvings)
        if alpha == 1:
            return sharp
        return torch.lerp(enlarged(reduced(real, halvings + 1), halvings + 1), sharp, alpha)

    def forward(self, lower: Tensor, higher: Tensor, stage: Stage) -> Tensor:
        """Images of the map of `stage` and of the map before it (not read at the first stage or when α = 1)."""
        image: Tensor = self.to_image[stage.level](higher)
        if stage.alpha < 1:
            image = torch.lerp(enlarged(self.to_image[stage.level - 1](lower), 1), image, stage.alpha)
        return enlarged(image, self.last - stage.level)
