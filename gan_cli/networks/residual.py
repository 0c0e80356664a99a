"""The parts of residual networks: widths that follow from the sides of the images, initialisations, and blocks."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_cli.errors import Incompatible, two_lines
from gan_cli.networks.blocks import constraint
from gan_cli.networks.conditioning import Wrap
from gan_cli.networks.layers import by_layer
from gan_cli.types import sample_shape

SMALL = 32  # images up to this side keep one width throughout, as the CIFAR-10 networks of the papers do
WIDEST = 16  # times the width; larger images double it from block to block up to this limit


def doublings(resolution: int | Sequence[int]) -> tuple[int, tuple[int, int]]:
    """How often the smallest map, whose shorter side is 4 to 7, doubles to reach the image's sides, and that map.

    Raises:
        Incompatible: The data are not images, or their sides are not such a map's doubled twice or more.
    """
    shape = sample_shape(1, resolution)
    if len(shape) != 3:
        raise Incompatible(two_lines("residual networks draw images, and this data set has points", "use model=mlp"))
    height, width = shape[1:]
    count = max(0, (min(height, width) // 4).bit_length() - 1)
    if count < 2 or height % (1 << count) or width % (1 << count):
        what = f"residual networks double a map of 4 to 7 pixels a side at least twice, which {height} x {width} is not"
        remedy = "use dataset.resolution=16, 24, 28, 32, 48, 64, ... (the images are fitted to it), or model=mlp"
        raise Incompatible(two_lines(what, remedy))
    return count, (height >> count, width >> count)


def generator_widths(resolution: int | Sequence[int], width: int | Sequence[int]) -> list[int]:
    """Channels of the smallest map and after each doubling: 4-4-4-4 times the width at 32 px, 16-8-4-2-1 at 64.

    Miyato 2018 (arXiv 1802.05957, tables 4 to 6: 32, 48 and 128 px), whose width is 64. A list is the channels
    themselves.

    Raises:
        ConfigError: A list of another length.
    """
    count, _ = doublings(resolution)
    if not isinstance(width, int):
        return by_layer("model.generator.width", width, count + 1, "maps, from the smallest up")
    if min(sample_shape(1, resolution)[1:]) <= SMALL:
        return [4 * width] * (count + 1)
    return [width * min(WIDEST, 1 << i) for i in range(count, -1, -1)]


class Step(NamedTuple):
    """A block of a discriminator."""

    width: int  # output channels
    halves: bool  # the sides


def discriminator_steps(resolution: int | Sequence[int], width: int | Sequence[int]) -> list[Step]:
    """2-2-2-2 times the width up to 32 px, two blocks halving; 1-2-4-8-16 at 64 px, all but the last halving.

    Miyato 2018 (arXiv 1802.05957, tables 4 to 6), whose width is 64. The sides halve down to 4, or to 3, 5 or 7 where
    they cannot reach 4. A list is the channels themselves, those of the last block first.

    Raises:
        ConfigError: A list of another length.
    """
    doublings(resolution)
    height, wide = sample_shape(1, resolution)[1:]
    small = min(height, wide) <= SMALL
    count = 0
    while min(height, wide) >> count > 4 and not (height >> count) % 2 and not (wide >> count) % 2:
        count += 1
    halves = [True, True, False, False] if small else [i < count for i in range(count + 1)]
    if isinstance(width, int):
        widths = [width * (2 if small else min(WIDEST, 1 << i)) for i in range(len(halves))]
    else:
        widths = by_layer("model.discriminator.width", width, len(halves), "blocks, from the smallest map up")
        widths.reverse()
    return [Step(*step) for step in zip(widths, halves, strict=True)]


def attended(attention: Sequence[int] | None, resolution: int | Sequence[int]) -> Sequence[int]:
    """The sides asked for, or else half the images' side."""
    doublings(resolution)
    return [min(sample_shape(1, resolution)[1:]) // 2] if attention is None else attention


def _weigh(module: nn.Module, initialise: Callable[[Tensor], Tensor]) -> None:
    if isinstance(module, nn.Linear | nn.modules.conv._ConvNd):
        initialise(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def xavier(module: nn.Module, gain: float = 1.0) -> None:
    """Uniform with variance gain² · 2 / (inputs + outputs) (Glorot 2010); biases 0."""
    _weigh(module, partial(nn.init.xavier_uniform_, gain=gain))


def orthogonal(module: nn.Module) -> None:
    """W Wᵀ = I, or WᵀW = I for a tall matrix (Saxe 2014, arXiv 1312.6120); a row is an output channel. Biases 0."""
    _weigh(module, nn.init.orthogonal_)
    if isinstance(module, nn.Embedding):
        nn.init.orthogonal_(module.weight)


class Initialisation(NamedTuple):
    """What sets the weights of a layer."""

    residual: Callable[[nn.Module], None]  # of the 3 x 3 convolutions parallel to a shortcut, which follow ReLUs
    other: Callable[[nn.Module], None]


INITIALISATIONS: Mapping[str, Initialisation] = {
    "xavier": Initialisation(partial(xavier, gain=math.sqrt(2)), xavier),
    "orthogonal": Initialisation(orthogonal, orthogonal),
}


class Wraps(NamedTuple):
    """What is applied to the layers with weights."""

    residual: Wrap
    other: Wrap


def wraps(spectral: bool, init: Initialisation) -> Wraps:
    """Initialisation, then spectral norm if asked for."""
    return Wraps(constraint(spectral, init.residual), constraint(spectral, init.other))


def _doubled(values: Tensor, dim: int) -> Tensor:
    count = values.shape[dim]
    before = torch.cat([values.narrow(dim, 0, 1), values.narrow(dim, 0, count - 1)], dim)
    after = torch.cat([values.narrow(dim, 1, count - 1), values.narrow(dim, count - 1, 1)], dim)
    return torch.stack([0.75 * values + 0.25 * before, 0.75 * values + 0.25 * after], dim + 1).flatten(dim, dim + 1)


class BilinearUpsample(nn.Module):
    """Doubles the sides by bilinear interpolation, in operations whose gradient is the same on every run."""

    def forward(self, values: Tensor) -> Tensor:
        return _doubled(_doubled(values, 2), 3)


UPSAMPLES: Mapping[str, Callable[[], nn.Module]] = {
    "bilinear": BilinearUpsample,
    "nearest": partial(nn.Upsample, scale_factor=2),
}


class UpBlock(nn.Module):
    """x ↑ + f(x): twice norm, ReLU, 3x3 convolution, upsampled before the first; then attention if asked for.

    The shortcut is a 1x1 convolution. It commutes with the doubling, and costs a quarter before it.

    Args:
        norms: Called with `(values, condition)`.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        norm: Callable[[int], nn.Module],
        upsample: nn.Module,
        attention: nn.Module,
        wraps: Wraps,
    ) -> None:
        super().__init__()
        self.norm1 = norm(channels_in)
        self.norm2 = norm(channels_out)
        self.conv1 = wraps.residual(nn.Conv2d(channels_in, channels_out, 3, padding=1))
        self.conv2 = wraps.residual(nn.Conv2d(channels_out, channels_out, 3, padding=1))
        self.shortcut = wraps.other(nn.Conv2d(channels_in, channels_out, 1))
        self.upsample = upsample
        self.attention = attention

    def forward(self, values: Tensor, condition: Tensor) -> Tensor:
        hidden = self.conv1(self.upsample(F.relu(self.norm1(values, condition))))
        hidden = self.conv2(F.relu(self.norm2(hidden, condition)))
        output: Tensor = self.attention(hidden + self.upsample(self.shortcut(values)))
        return output


class DownBlock(nn.Module):
    """x ↓ + f(x): twice norm, ReLU, 3x3 convolution, then 2x2 average pooling where the block halves.

    The first block of a network convolves the image directly, without norm and ReLU before. The shortcut is a 1x1
    convolution, or the identity where the shape stays the same.

    Args:
        wide: Whether the channels between the convolutions are those that leave the block, rather than those that enter
            it. In the first block they are always those that leave, since an image has few.
        rectified: Whether the shortcut, too, begins with a ReLU, except in the first block.
    """

    def __init__(
        self,
        channels_in: int,
        step: Step,
        first: bool,
        wide: bool,
        norm: Callable[[int], nn.Module],
        wraps: Wraps,
        rectified: bool = False,
    ) -> None:
        super().__init__()
        self.entering = nn.ReLU() if rectified and not first else nn.Identity()
        inner = step.width if first or wide else channels_in
        pool = nn.AvgPool2d(2) if step.halves else nn.Identity()
        self.residual = nn.Sequential(
            *([] if first else [norm(channels_in), nn.ReLU()]),
            wraps.residual(nn.Conv2d(channels_in, inner, 3, padding=1)),
            norm(inner),
            nn.ReLU(),
            wraps.residual(nn.Conv2d(inner, step.width, 3, padding=1)),
            pool,
        )
        stays = not step.halves and channels_in == step.width
        self.shortcut = (
            nn.Identity() if stays else nn.Sequential(pool, wraps.other(nn.Conv2d(channels_in, step.width, 1)))
        )

    def forward(self, values: Tensor) -> Tensor:
        output: Tensor = self.residual(values) + self.shortcut(self.entering(values))
        return output
