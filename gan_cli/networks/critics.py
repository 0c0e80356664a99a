"""Discriminators of translated and enlarged pictures: patches (pix2pix), a VGG (SRGAN), a U-Net (Real-ESRGAN)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from gan_cli.errors import Incompatible
from gan_cli.networks.base import StagedDiscriminator
from gan_cli.networks.blocks import MAP_NORMS, UNSCALED_NORMS, choose, constraint, dcgan_init
from gan_cli.networks.borders import extended
from gan_cli.networks.conditioning import DiscriminatorConditioning
from gan_cli.networks.sides import halvings
from gan_cli.networks.spectral import spectral_norm as spectrally
from gan_cli.types import DiscriminatorOutput, Need, NonNegativeInt, PositiveInt, sample_shape


class Patches(nn.Module):
    """A logit for each of many overlapping patches, `[N, 1, h, w]` (arXiv 1611.07004, 6.1.2). Labels are not read.

    Args:
        channels: Of what is judged, a source beside it counted in.
        width: Channels behind the first layer; they double up to 8 times as many.
        layers: Halvings: 1, 2, 3, 4 and 5 see patches of 16, 34, 70, 142 and 286 pixels; 0 sees single pixels.
        norm: instance | batch | layer | none, but in the first layer; instance norm has no gain and no bias.
        spectral_norm: Spectral normalisation of every layer.
        resolution: Side or [height, width], where one is settled: too small a one is refused at once.

    Raises:
        Incompatible: An image is too small for so many layers.
    """

    provides = frozenset({Need.FEATURES, Need.IMAGES})
    reads_labels = False

    def __init__(
        self,
        channels: PositiveInt,
        width: PositiveInt = 64,
        layers: NonNegativeInt = 3,
        norm: str = "instance",
        spectral_norm: bool = False,
        resolution: PositiveInt | Sequence[PositiveInt] | None = None,
    ) -> None:
        super().__init__()
        self.layers = layers
        if resolution is not None:
            self.check(sample_shape(channels, resolution)[1:])
        make_norm = choose({**UNSCALED_NORMS, "layer": MAP_NORMS["layer"]}, "model.discriminator.norm", norm)
        initialised = constraint(spectral_norm, dcgan_init)
        bias = norm not in ("batch", "layer")  # which have their own
        size, padding = (4, 1) if layers else (1, 0)
        widths = [width << min(i, 3) for i in range(max(layers, 1) + 1)]

        def stage(wide_in: int, wide_out: int, stride: int, first: bool = False) -> nn.Module:
            convolution = nn.Conv2d(wide_in, wide_out, size, stride, padding, bias=bias or first)
            normed = nn.Identity() if first else make_norm(wide_out)
            normed.apply(dcgan_init)
            return nn.Sequential(initialised(convolution), normed, nn.LeakyReLU(0.2, inplace=True))

        strides = [2] * layers + [1] * (len(widths) - layers)
        self.stages = nn.ModuleList([stage(channels, width, strides[0], first=True)])
        for (wide_in, wide_out), stride in zip(itertools.pairwise(widths), strides[1:], strict=True):
            self.stages.append(stage(wide_in, wide_out, stride))
        self.head = initialised(nn.Conv2d(widths[-1], 1, size, 1, padding))

    def check(self, sides: Sequence[int]) -> None:
        """Raises Incompatible where nothing would be left of an image."""
        least = 3 << self.layers if self.layers else 2  # instance norm wants two places
        if len(sides) != 2 or min(sides) < least:
            raise Incompatible(
                f"model.discriminator.layers={self.layers} wants images of {least} x {least} pixels at least, "
                f"and these have {' x '.join(map(str, sides)) or 'none: they are points'}\n"
                "  choose fewer layers (each halves the sides), or a larger dataset.resolution"
            )

    def forward(self, samples: Tensor, label: Tensor) -> DiscriminatorOutput:
        self.check(samples.shape[2:])
        values, features = samples, []
        for stage in self.stages:
            values = stage(values)
            features.append(values)
        return DiscriminatorOutput(self.head(values), features=tuple(features))


class VGGStyle(StagedDiscriminator):
    """Two convolutions a stage, the second of which halves, down to a side of 4; then two linear layers
    (arXiv 1609.04802, 2.1.1; BasicSR's VGGStyleDiscriminator).

    Args:
        resolution: Side or [height, width]; the shorter a power of two from 16.
        width: Channels of the first stage; they double up to 8 times as many.
        norm: batch | instance | layer | none, but behind the first convolution.
    """

    HIDDEN = 100  # between the two linear layers

    def __init__(
        self,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        width: PositiveInt = 64,
        norm: str = "batch",
        conditioning: DiscriminatorConditioning | None = None,
    ) -> None:
        super().__init__(channels, resolution, conditioning)
        make_norm = choose(MAP_NORMS, "model.discriminator.norm", norm)
        bias = norm == "none"  # a norm brings its own
        count, base = halvings("srgan", resolution, otherwise="esrgan")
        widths = [self.entering, *(width << min(i, 3) for i in range(count))]
        self.stages = nn.ModuleList()
        for i, (wide_in, wide_out) in enumerate(itertools.pairwise(widths)):
            self.stages.append(
                nn.Sequential(
                    nn.Conv2d(wide_in, wide_out, 3, padding=1, bias=bias or i == 0),
                    make_norm(wide_out) if i > 0 else nn.Identity(),
                    nn.LeakyReLU(0.2, inplace=True),
                    nn.Conv2d(wide_out, wide_out, 4, stride=2, padding=1, bias=bias),
                    make_norm(wide_out),
                    nn.LeakyReLU(0.2, inplace=True),
                )
            )
        self.hidden = nn.Sequential(nn.Linear(widths[-1] * base[0] * base[1], self.HIDDEN), nn.LeakyReLU(0.2))
        self.head = self.conditioning.head(self.HIDDEN, constraint(False))

    def summary(self, features: Tensor) -> Tensor:
        summary: Tensor = self.hidden(features.flatten(1))
        return summary


class UNetCritic(nn.Module):
    """A logit a pixel, `[N, 1, H, W]`: three halvings and three bilinear doublings, each added to the map of its size;
    all layers but the first and the last spectrally normalised (arXiv 2107.10833, 3.3; BasicSR's UNetDiscriminatorSN).

    Images whose sides 8 does not divide are continued by mirroring, and the logits cut. Labels are not read.

    Args:
        channels: Of what is judged, a source beside it counted in.
        width: Channels of the largest maps; the smallest has 8 times as many.
    """

    provides = frozenset({Need.FEATURES, Need.IMAGES})
    reads_labels = False

    def __init__(self, channels: PositiveInt, width: PositiveInt = 64) -> None:
        super().__init__()
        widths = [width << i for i in range(4)]

        def bounded(wide_in: int, wide_out: int, size: int = 3, stride: int = 1) -> nn.Module:
            return spectrally(nn.Conv2d(wide_in, wide_out, size, stride, padding=1, bias=False))

        def activation() -> nn.Module:
            return nn.LeakyReLU(0.2, inplace=True)

        self.first = nn.Sequential(nn.Conv2d(channels, width, 3, padding=1), activation())
        pairs = list(itertools.pairwise(widths))
        self.downs = nn.ModuleList(nn.Sequential(bounded(a, b, 4, 2), activation()) for a, b in pairs)
        self.ups = nn.ModuleList(nn.Sequential(bounded(b, a), activation()) for a, b in reversed(pairs))
        inner = [layer for _ in range(2) for layer in (bounded(width, width), activation())]
        self.head = nn.Sequential(*inner, nn.Conv2d(width, 1, 3, padding=1))

    def forward(self, samples: Tensor, label: Tensor) -> DiscriminatorOutput:
        height, width = samples.shape[2:]
        values = self.first(extended(samples, height + -height % 8, width + -width % 8))
        features = [values]
        for down in self.downs:
            values = down(values)
            features.append(values)
        for up, skip in zip(self.ups, features[-2::-1], strict=True):
            values = up(F.interpolate(values, scale_factor=2.0, mode="bilinear", align_corners=False)) + skip
            features.append(values)
        return DiscriminatorOutput(self.head(values)[:, :, :height, :width], features=tuple(features))
