"""Generators of pictures from pictures: CycleGAN's residual one (arXiv 1703.10593), pix2pix's U-Net (1611.07004)."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gan_cli.errors import Incompatible
from gan_cli.networks.blocks import UNSCALED_NORMS, choose, dcgan_init
from gan_cli.networks.borders import Reflect, Step, convolved, enlarged, extended, radius, transposed
from gan_cli.types import Fraction, NonNegativeInt, PositiveInt


class Translator(nn.Module, ABC):
    """A generator that is given pictures `[N, C', H, W]` in place of latents, and draws pictures `[N, C, s·H, s·W]`.

    Any H and W will do: where the network wants others, the picture is continued by mirroring and the result cut.
    Labels are not read.

    Args:
        source_channels: C', of what is given; 0 where the data give nothing, which is refused.
        channels: C, of what is drawn.

    Attributes:
        multiple: What the sides that `translate` takes are multiples of. A tile is drawn as in the whole picture only
            if it begins at a multiple of it.
        least: The shortest side that `translate` takes.
        scale: s.
        radius: How many pixels of the source around its own a drawn pixel depends on at most, in evaluation; None where
            it depends on all, as by instance norm.

    Raises:
        Incompatible: The data give no pictures, or others than the network was built for.
    """

    classes = 0
    multiple = 1
    least = 1
    scale = 1
    radius: int | None

    def __init__(self, source_channels: int, channels: int) -> None:
        super().__init__()
        if source_channels < 1:
            raise Incompatible(
                f"model.generator ({type(self).__name__}) translates pictures, and these data give it none "
                "(dataset.given.channels=0)\n"
                "  use dataset=unpaired_folder or paired_folder, or any images with given=smaller, grey or outline"
            )
        self.source_channels = source_channels
        self.channels = channels

    @abstractmethod
    def translate(self, source: Tensor) -> Tensor:
        """`forward` where H and W are multiples of `multiple`, and at least `least`."""

    def forward(self, source: Tensor, label: Tensor) -> Tensor:
        self.check(source)
        height, width = source.shape[2:]
        drawn = self.translate(extended(source, self.wanted(height), self.wanted(width)))
        return drawn[:, :, : self.scale * height, : self.scale * width]

    def wanted(self, side: int) -> int:
        """The next side that `translate` takes."""
        side = max(side, self.least)
        return side + -side % self.multiple

    def check(self, source: Tensor) -> None:
        """Raises Incompatible unless these are pictures of the kind that the network was built for."""
        name = f"model.generator ({type(self).__name__})"
        if source.ndim != 4:
            raise Incompatible(
                f"{name} translates pictures [N, C, H, W], and was given {list(source.shape)}\n"
                "  choose prior=source or prior=pair, which give it pictures in place of latents"
            )
        if source.shape[1] != self.source_channels:
            raise Incompatible(
                f"{name} translates pictures of {self.source_channels} channels, and was given "
                f"one of {source.shape[1]}\n"
                "  give it such pictures, or train anew with those: it is built for dataset.given.channels"
            )


class Doubling(NamedTuple):
    """A way to double the sides: a layer out of channels in and out, size of the kernel, bias; and what it reads."""

    layer: Callable[[int, int, int, bool], nn.Module]
    steps: Callable[[int], list[Step]]


def transposing(wide_in: int, wide_out: int, size: int, bias: bool) -> nn.Module:
    """A transposed convolution, as in the papers."""
    return nn.ConvTranspose2d(wide_in, wide_out, size, stride=2, padding=1, output_padding=size % 2, bias=bias)


def resizing(wide_in: int, wide_out: int, size: int, bias: bool) -> nn.Module:
    """Repetition, then a 3x3 convolution: no checkerboards (Odena 2016, Distill)."""
    return nn.Sequential(nn.Upsample(scale_factor=2), Reflect(1), nn.Conv2d(wide_in, wide_out, 3, bias=bias))


DOUBLINGS: Mapping[str, Doubling] = {
    "transposed": Doubling(transposing, lambda size: [transposed(size, 2)]),
    "resize": Doubling(resizing, lambda size: [convolved(3), enlarged(2)]),
}


class Block(nn.Module):
    """x + f(x): twice a 3x3 convolution and a norm, ReLU and dropout in between."""

    def __init__(self, width: int, norm: Callable[[int], nn.Module], bias: bool, dropout: float) -> None:
        super().__init__()

        def convolution() -> list[nn.Module]:
            return [Reflect(1), nn.Conv2d(width, width, 3, bias=bias), norm(width)]

        between = [nn.ReLU(inplace=True), *([nn.Dropout(dropout)] if dropout else [])]
        self.layers = nn.Sequential(*convolution(), *between, *convolution())

    def forward(self, values: Tensor) -> Tensor:
        output: Tensor = values + self.layers(values)
        return output


class Residual(Translator):
    """7x7 convolution, two halvings, residual blocks, two doublings, 7x7 convolution, tanh (arXiv 1703.10593, 7.2).

    Args:
        width: Channels of the largest maps; the blocks have 4 times as many.
        blocks: 9 from 256 px on and 6 below, in the paper.
        norm: instance | batch | none; instance norm has no gain and no bias.
        upsample: transposed | resize.
        dropout: Within each block, while training.
        skip: The source is added to what the layers draw, and the sum kept within [-1, 1]: what need not change, such
            as a white background, then costs nothing to learn (DeblurGAN, arXiv 1711.07064, section 3.2). Of a source
            with other channels, their mean is added.
    """

    multiple = 4
    least = 8  # instance norm and mirrored borders want more than one place in the smallest map

    def __init__(
        self,
        source_channels: NonNegativeInt,
        channels: PositiveInt,
        width: PositiveInt = 64,
        blocks: NonNegativeInt = 9,
        norm: str = "instance",
        upsample: str = "transposed",
        dropout: Fraction = 0.0,
        skip: bool = False,
    ) -> None:
        super().__init__(source_channels, channels)
        self.skip = skip
        make_norm = choose(UNSCALED_NORMS, "model.generator.norm", norm)
        doubling = choose(DOUBLINGS, "model.generator.upsample", upsample)
        bias = norm != "batch"  # which has its own
        widths = (width, 2 * width, 4 * width)

        def normed(layer: nn.Module, wide: int) -> list[nn.Module]:
            return [layer, make_norm(wide), nn.ReLU(inplace=True)]

        layers = [Reflect(3), *normed(nn.Conv2d(source_channels, width, 7, bias=bias), width)]
        for wide_in, wide_out in itertools.pairwise(widths):
            layers += normed(nn.Conv2d(wide_in, wide_out, 3, stride=2, padding=1, bias=bias), wide_out)
        layers += [Block(widths[-1], make_norm, bias, dropout) for _ in range(blocks)]
        for wide_in, wide_out in itertools.pairwise(reversed(widths)):
            layers += normed(doubling.layer(wide_in, wide_out, 3, bias), wide_out)
        self.layers = nn.Sequential(*layers, Reflect(3), nn.Conv2d(width, channels, 7), nn.Tanh())
        self.apply(dcgan_init)
        down = [convolved(3, 2)] * 2
        steps = [convolved(7), *2 * doubling.steps(3), *[convolved(3)] * (2 * blocks), *down, convolved(7)]
        self.radius = None if norm == "instance" else radius(steps, multiple=self.multiple)

    def translate(self, source: Tensor) -> Tensor:
        output: Tensor = self.layers(source)
        if not self.skip:
            return output
        kept = source if self.source_channels == self.channels else source.mean(1, keepdim=True)
        return (kept + output).clamp(-1.0, 1.0)


class UNet(Translator):
    """`depth` halvings and as many doublings, each after the first joined with the map of its size; tanh
    (arXiv 1611.07004, 6.1.1).

    Args:
        width: Channels of the largest maps; they double down to 8 times as many.
        depth: 8 leaves one place of 256 px.
        norm: batch | instance | none, but in the outermost halving and in the innermost; instance norm has no gain and
            no bias.
        dropout: Behind the doublings between two maps of 8 · `width` channels but the innermost, while training: three
            for a depth of 8, none up to 5.
        upsample: transposed | resize.
    """

    def __init__(
        self,
        source_channels: NonNegativeInt,
        channels: PositiveInt,
        width: PositiveInt = 64,
        depth: PositiveInt = 8,
        norm: str = "batch",
        dropout: Fraction = 0.5,
        upsample: str = "transposed",
    ) -> None:
        super().__init__(source_channels, channels)
        make_norm = choose(UNSCALED_NORMS, "model.generator.norm", norm)
        doubling = choose(DOUBLINGS, "model.generator.upsample", upsample)
        bias = norm != "batch"  # which has its own
        self.multiple = self.least = 1 << depth
        widths = [width << min(i, 3) for i in range(depth)]
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for i, wide in enumerate(widths):
            outermost, innermost = i == 0, i == depth - 1
            enters = source_channels if outermost else widths[i - 1]
            down: list[nn.Module] = [nn.Conv2d(enters, wide, 4, stride=2, padding=1, bias=bias)]
            if not outermost:
                # In place, and so in the skip as well: what reads that begins with ReLU, for which it is the same.
                down.insert(0, nn.LeakyReLU(0.2, inplace=True))
                if not innermost:
                    down.append(make_norm(wide))
            self.downs.append(nn.Sequential(*down))
            leaves = channels if outermost else widths[i - 1]
            up = doubling.layer(wide if innermost else 2 * wide, leaves, 4, bias or outermost)
            behind: list[nn.Module] = [nn.Tanh()] if outermost else [make_norm(leaves)]
            if dropout and 4 <= i < depth - 1:
                behind.append(nn.Dropout(dropout))
            self.ups.append(nn.Sequential(nn.ReLU(inplace=True), up, *behind))
        self.apply(dcgan_init)
        steps = [*depth * doubling.steps(4), *[convolved(4, 2)] * depth]
        self.radius = None if norm == "instance" else radius(steps, multiple=self.multiple)

    def translate(self, source: Tensor) -> Tensor:
        values, maps = source, []
        for down in self.downs:
            values = down(values)
            maps.append(values)
        values = self.ups[-1](maps.pop())
        for up in reversed(self.ups[:-1]):
            values = up(torch.cat([maps.pop(), values], 1))
        return values
