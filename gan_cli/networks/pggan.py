"""Progressive GAN (Karras 2018, arXiv 1710.10196): growing networks, equalised learning rate, pixel norm."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_cli.networks.base import BaseDiscriminator, BaseGenerator
from gan_cli.networks.blocks import choose
from gan_cli.networks.conditioning import DiscriminatorConditioning, GeneratorConditioning
from gan_cli.networks.equalised import HE, PixelNorm, equalised, pyramid
from gan_cli.networks.growth import GrowingImage, Growth, enlarged, reduced
from gan_cli.networks.minibatch import MAP_MINIBATCH
from gan_cli.networks.resampling import Downsample
from gan_cli.types import PositiveInt


def convolution(channels_in: int, channels_out: int) -> nn.Conv2d:
    """A 3x3 convolution with He's gain."""
    return equalised(nn.Conv2d(channels_in, channels_out, 3, padding=1), gain=HE)


class Layer(nn.Module):
    """A layer with weights, LeakyReLU 0.2, pixel norm."""

    def __init__(self, layer: nn.Module, width: int, conditioning: GeneratorConditioning) -> None:
        super().__init__()
        self.layer = layer
        self.norm = conditioning.norm(PixelNorm, width)

    def forward(self, values: Tensor, label: Tensor) -> Tensor:
        normed: Tensor = self.norm(F.leaky_relu(self.layer(values), 0.2), label)
        return normed


class Generator(BaseGenerator):
    """Latent -> 4x4 map -> doublings of two layers each -> images, not bounded by a tanh (table 2 of the paper).

    Args:
        resolution: Side or [height, width]; the shorter a power of two from 8.
        channel_base, channel_max: A map of side s has min(channel_max, channel_base / s) channels.
        growth: When the layers fade in.
    """

    def __init__(
        self,
        latent_dim: PositiveInt,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        channel_base: PositiveInt = 16384,
        channel_max: PositiveInt = 512,
        growth: Growth | None = None,
        conditioning: GeneratorConditioning | None = None,
    ) -> None:
        super().__init__(conditioning)
        base, widths = pyramid("pggan", resolution, channel_base, channel_max)
        self.latent, joined = self.conditioning.latent(latent_dim)
        self.normalise = PixelNorm()
        linear = equalised(nn.Linear(joined, widths[0] * base[0] * base[1]), gain=HE / 4)  # the authors' gain
        self.first = Layer(nn.Sequential(linear, nn.Unflatten(1, (widths[0], *base))), widths[0], self.conditioning)
        self.doubling = nn.ModuleList(
            Layer(convolution(wide_in, wide_out), wide_out, self.conditioning)
            for wide_in, wide_out in itertools.pairwise(widths)
        )
        self.following = nn.ModuleList(Layer(convolution(wide, wide), wide, self.conditioning) for wide in widths)
        self.image = GrowingImage(growth or Growth(), widths, channels)

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        stage = self.image.stage()
        lower = higher = self.following[0](self.first(self.normalise(self.latent(latent, label)), label), label)
        for double, follow in zip(self.doubling[: stage.level], self.following[1:], strict=False):
            lower, higher = higher, follow(double(enlarged(higher, 1), label), label)
        images: Tensor = self.image(lower, higher, stage)
        return images

    def matched(self, real: Tensor) -> Tensor:
        return self.image.matched(real)

    def complete(self) -> int:
        return self.image.complete()


# Average: the mean of each 2x2. Filtered: with StyleGAN's low-pass filter before it (arXiv 1812.04948, section 2).
DOWNSAMPLES: Mapping[str, Callable[[], nn.Module]] = {"average": lambda: nn.AvgPool2d(2), "filtered": Downsample}


class Halving(nn.Module):
    """Two layers, then half the sides."""

    def __init__(self, channels_in: int, channels_out: int, downsample: nn.Module) -> None:
        super().__init__()
        self.first = convolution(channels_in, channels_in)
        self.second = convolution(channels_in, channels_out)
        self.downsample = downsample

    def forward(self, values: Tensor) -> Tensor:
        values = F.leaky_relu(self.first(values), 0.2)
        halved: Tensor = self.downsample(F.leaky_relu(self.second(values), 0.2))
        return halved


class Discriminator(BaseDiscriminator):
    """Image -> halvings of two layers each -> 4x4 map, statistics of the batch -> one logit; grows as G does.

    Args:
        channels, resolution, channel_base, channel_max, growth: As for the generator, mirrored.
        downsample: average | filtered (StyleGAN).
        minibatch: none | stddev, at the 4x4 map.
        minibatch_group: Samples over which one standard deviation is taken.
    """

    def __init__(
        self,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        channel_base: PositiveInt = 16384,
        channel_max: PositiveInt = 512,
        downsample: str = "average",
        minibatch: str = "stddev",
        minibatch_group: PositiveInt = 4,
        growth: Growth | None = None,
        conditioning: DiscriminatorConditioning | None = None,
    ) -> None:
        super().__init__(channels, resolution, conditioning)
        base, widths = pyramid("pggan", resolution, channel_base, channel_max)
        self.growth = growth or Growth()
        self.from_image = nn.ModuleList(equalised(nn.Conv2d(self.entering, wide, 1), gain=HE) for wide in widths)
        make_downsample = choose(DOWNSAMPLES, "model.discriminator.downsample", downsample)
        self.halvings = nn.ModuleList(
            Halving(wide_in, wide_out, make_downsample()) for wide_out, wide_in in itertools.pairwise(widths)
        )
        wide = widths[0]
        self.minibatch = choose(MAP_MINIBATCH, "model.discriminator.minibatch", minibatch)(wide, minibatch_group)
        self.last = nn.Sequential(
            convolution(self.minibatch.features, wide),
            nn.LeakyReLU(0.2),
            nn.Flatten(),
            equalised(nn.Linear(wide * base[0] * base[1], wide), gain=HE),
            nn.LeakyReLU(0.2),
        )
        self.head = self.conditioning.head(wide, equalised)

    def seen(self, images: Tensor, level: int) -> Tensor:
        """The first map of a network that has grown to `level`."""
        last = len(self.halvings)
        return F.leaky_relu(self.from_image[level](reduced(images, last - level)), 0.2)

    def features(self, samples: Tensor) -> Sequence[Tensor]:
        stage = self.growth.stage(len(self.halvings))
        values = self.seen(samples, stage.level)
        features = [values]  # there may be no halvings yet
        for level in range(stage.level, 0, -1):
            values = self.halvings[level - 1](values)
            if level == stage.level and stage.alpha < 1:
                values = torch.lerp(self.seen(samples, level - 1), values, stage.alpha)
            features.append(values)
        return features

    def summary(self, features: Tensor) -> Tensor:
        vectors: Tensor = self.last(self.minibatch(features))
        return vectors
