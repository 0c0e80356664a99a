"""Generators of larger or better pictures, without any norm: SRResNet (arXiv 1609.04802), ESRGAN's RRDB (1809.00219).

The layers are those of BasicSR. What they draw is not bounded: they start from the picture itself, or end in a plain
convolution, so a range of [-1, 1] in place of BasicSR's [0, 1] changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_cli.errors import Incompatible
from gan_cli.networks.borders import Step, convolved, enlarged, radius, unshuffled
from gan_cli.networks.translator import Translator
from gan_cli.types import NonNegativeInt, PositiveInt


def small(module: nn.Module) -> None:
    """A convolution's weights N(0, 0.01 · 2 / inputs), a tenth of He's (arXiv 1502.01852), and biases 0."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight)
        with torch.no_grad():
            module.weight.mul_(0.1)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def same(wide_in: int, wide_out: int) -> nn.Conv2d:
    """The 3x3 convolution that all of these networks are made of."""
    return nn.Conv2d(wide_in, wide_out, 3, padding=1)


class Enhancer(Translator):
    """A translator that enlarges by one of certain factors.

    Args:
        scale: Of the target's sides to the source's.
        scales: The factors that the network knows.

    Raises:
        Incompatible: `scale` is none of them.
    """

    def __init__(self, source_channels: int, channels: int, scale: int, scales: Collection[int]) -> None:
        super().__init__(source_channels, channels)
        if scale not in scales:
            raise Incompatible(
                f"model.generator ({type(self).__name__}) cannot enlarge {scale} times\n  choose model.generator.scale,"
                f" which follows dataset.given.scale, among {', '.join(map(str, sorted(scales)))}"
            )
        self.scale = scale


class Plain(nn.Module):
    """x + conv(ReLU(conv(x)))."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(same(width, width), nn.ReLU(inplace=True), same(width, width))

    def forward(self, values: Tensor) -> Tensor:
        output: Tensor = values + self.layers(values)
        return output


class SRResNet(Enhancer):
    """Residual blocks at the size of the source, pixel shuffles, and the bilinearly enlarged source added to what comes
    out (arXiv 1609.04802, 2.1.1; without batch norm, with the skip: BasicSR's MSRResNet).

    Where source and target have other channels, the source's mean is added to each.

    Args:
        scale: 1 | 2 | 3 | 4 | 8. 4 and 8 are two and three shuffles by 2; 1, for grey pictures or noisy ones, has none.
    """

    SHUFFLES: Mapping[int, tuple[int, ...]] = {1: (), 2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}

    def __init__(
        self,
        source_channels: NonNegativeInt,
        channels: PositiveInt,
        scale: PositiveInt = 4,
        width: PositiveInt = 64,
        blocks: NonNegativeInt = 16,
    ) -> None:
        super().__init__(source_channels, channels, scale, self.SHUFFLES)
        layers: list[nn.Module] = [same(source_channels, width), nn.LeakyReLU(0.1, inplace=True)]
        layers += [Plain(width) for _ in range(blocks)]
        steps: list[Step] = [convolved(3), convolved(3)]
        for factor in self.SHUFFLES[scale]:
            layers += [same(width, factor**2 * width), nn.PixelShuffle(factor), nn.LeakyReLU(0.1, inplace=True)]
            steps += [enlarged(factor), convolved(3)]
        layers += [same(width, width), nn.LeakyReLU(0.1, inplace=True), same(width, channels)]
        self.layers = nn.Sequential(*layers)
        self.apply(small)
        self.radius = radius([*steps, *[convolved(3)] * (2 * blocks + 1)], scale)

    def skip(self, source: Tensor) -> Tensor:
        """The source with the size and the channels of the target."""
        if self.channels != self.source_channels:
            source = source.mean(1, keepdim=True).expand(-1, self.channels, -1, -1)
        if self.scale == 1:
            return source
        return F.interpolate(source, scale_factor=float(self.scale), mode="bilinear", align_corners=False)

    def translate(self, source: Tensor) -> Tensor:
        output: Tensor = self.layers(source) + self.skip(source)
        return output


class Dense(nn.Module):
    """x + 0.2 f(x): five convolutions, each of which reads x and what those before it gave (arXiv 1809.00219, 3.1).

    LeakyReLU follows all but the last.
    """

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.grow = nn.ModuleList(same(width + i * growth, growth) for i in range(4))
        self.join = same(width + 4 * growth, width)
        self.apply(small)

    def forward(self, values: Tensor) -> Tensor:
        known = values
        for layer in self.grow:
            known = torch.cat([known, F.leaky_relu(layer(known), 0.2, inplace=True)], 1)
        return torch.add(values, self.join(known), alpha=0.2)


class Nested(nn.Module):
    """x + 0.2 f(x), f three dense blocks: a residual in residual dense block (arXiv 1809.00219, 3.1)."""

    def __init__(self, width: int, growth: int) -> None:
        super().__init__()
        self.blocks = nn.Sequential(*(Dense(width, growth) for _ in range(3)))

    def forward(self, values: Tensor) -> Tensor:
        return torch.add(values, self.blocks(values), alpha=0.2)


class RRDB(Enhancer):
    """Residual in residual dense blocks on a small map, doubled twice by repetition (arXiv 1809.00219, 3.1; BasicSR's
    RRDBNet).

    Args:
        scale: 1 | 2 | 4. The map has a quarter of the target's sides: for 1 and 2 the source is unshuffled to it, 4 x 4
            or 2 x 2 pixels into the channels of one place.
        growth: Channels that each convolution adds within a dense block.
    """

    UNSHUFFLES: Mapping[int, int] = {1: 4, 2: 2, 4: 1}

    def __init__(
        self,
        source_channels: NonNegativeInt,
        channels: PositiveInt,
        scale: PositiveInt = 4,
        width: PositiveInt = 64,
        growth: PositiveInt = 32,
        blocks: NonNegativeInt = 23,
    ) -> None:
        super().__init__(source_channels, channels, scale, self.UNSHUFFLES)
        self.multiple = self.least = self.UNSHUFFLES[scale]
        self.first = same(source_channels * self.multiple**2, width)
        self.body = nn.Sequential(*(Nested(width, growth) for _ in range(blocks)), same(width, width))
        self.doublings = nn.ModuleList(same(width, width) for _ in range(2))
        self.last = nn.Sequential(same(width, width), nn.LeakyReLU(0.2, inplace=True), same(width, channels))
        doubling = [convolved(3), enlarged(2)]
        small_map = [convolved(3)] * (1 + 15 * blocks + 1)
        steps = [convolved(3), convolved(3), *2 * doubling, *small_map, unshuffled(self.multiple)]
        self.radius = radius(steps, scale, self.multiple)

    def translate(self, source: Tensor) -> Tensor:
        values = self.first(F.pixel_unshuffle(source, self.multiple))
        values = values + self.body(values)
        for layer in self.doublings:
            values = F.leaky_relu(layer(F.interpolate(values, scale_factor=2.0)), 0.2, inplace=True)
        output: Tensor = self.last(values)
        return output
