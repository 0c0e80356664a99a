"""StyleGAN2 (Karras 2020, arXiv 1912.04958): modulated convolutions, a skip generator, a residual discriminator."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan_cli.networks.base import StagedDiscriminator
from gan_cli.networks.blocks import choose
from gan_cli.networks.conditioning import DiscriminatorConditioning, GeneratorConditioning
from gan_cli.networks.equalised import Pyramid, equalised, leaky, pyramid
from gan_cli.networks.minibatch import MAP_MINIBATCH
from gan_cli.networks.resampling import Downsample, Filter, SameConvolution, UpConvolution, Upsample
from gan_cli.networks.styles import Noise, StyleGenerator, Synthesis
from gan_cli.types import Fraction, PositiveInt


class ModulatedConvolution(nn.Module):
    """A convolution whose weights are scaled for each sample by a style s = A(w): w'_ijk = s_i · w_ijk (equation 1).

    With demodulation, w''_ijk = w'_ijk / √(Σ_ik w'_ijk² + ε) (equation 3): each output has unit variance when the input
    has. Here j is the output. The activations are scaled instead of the weights, by s before the convolution and by
    the root after it: the result is the same, and no per-sample weights are needed.

    Args:
        kernel: Side of the kernel.
        convolve: `(values, weight) -> values`, linear in both.
    """

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        style_dim: int,
        kernel: int = 3,
        demodulate: bool = True,
        convolve: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.style = equalised(nn.Linear(style_dim, channels_in))
        nn.init.ones_(self.style.bias)
        self.kernel = equalised(nn.Conv2d(channels_in, channels_out, kernel, bias=False))
        self.convolve = convolve or SameConvolution()
        self.demodulate = demodulate

    def forward(self, values: Tensor, w: Tensor) -> Tensor:
        weight, style = self.kernel.weight, self.style(w)  # [O, I, k, k], [N, I]
        output: Tensor = self.convolve(values * style[..., None, None].to(values.dtype), weight)
        if self.demodulate:
            output = output * demodulation(weight, style)[..., None, None].to(output.dtype)
        return output


def demodulation(weight: Tensor, style: Tensor) -> Tensor:
    """1 / √(Σ_ik (s_i · w_ijk)² + ε) for each sample and output, `[N, O]`; in float32, whatever the precision."""
    with torch.autocast(style.device.type, enabled=False):
        squares = weight.square().sum((2, 3))  # [O, I]
        return (style.to(weight.dtype).square() @ squares.T + 1e-8).rsqrt()


class ModulatedLayer(nn.Module):
    """Modulated convolution, noise, bias, LeakyReLU."""

    def __init__(self, channels_in: int, channels_out: int, style_dim: int, convolve: nn.Module | None = None) -> None:
        super().__init__()
        self.convolution = ModulatedConvolution(channels_in, channels_out, style_dim, convolve=convolve)
        self.noise = Noise()
        self.bias = nn.Parameter(torch.zeros(channels_out, 1, 1))

    def forward(self, values: Tensor, w: Tensor) -> Tensor:
        return leaky(self.noise(self.convolution(values, w)) + self.bias)


class ToImage(nn.Module):
    """A map's contribution to the image: a modulated 1x1 convolution without demodulation, and a bias."""

    def __init__(self, width: int, channels: int, style_dim: int) -> None:
        super().__init__()
        self.convolution = ModulatedConvolution(width, channels, style_dim, kernel=1, demodulate=False)
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))

    def forward(self, values: Tensor, w: Tensor) -> Tensor:
        image: Tensor = self.convolution(values, w) + self.bias
        return image


class SkipSynthesis(Synthesis):
    """A learned 4x4 constant, two layers at every side; the image is the sum of what each map adds (figure 7b)."""

    def __init__(self, plan: Pyramid, channels: int, style_dim: int) -> None:
        super().__init__()
        widths = plan.widths
        self.layers = 2 * len(widths)
        self.constant = nn.Parameter(torch.randn(widths[0], *plan.base))
        self.first = ModulatedLayer(widths[0], widths[0], style_dim)
        self.doubling = nn.ModuleList(
            ModulatedLayer(wide_in, wide_out, style_dim, UpConvolution())
            for wide_in, wide_out in itertools.pairwise(widths)
        )
        self.following = nn.ModuleList(ModulatedLayer(wide, wide, style_dim) for wide in widths[1:])
        self.to_image = nn.ModuleList(ToImage(wide, channels, style_dim) for wide in widths)
        self.upsample = Upsample()

    def draw(self, styles: Tensor) -> Tensor:
        first, *others = styles.unbind(1)
        values = self.first(self.constant.expand(len(styles), -1, -1, -1), first)
        image: Tensor = self.to_image[0](values, others[0])
        # A map's contribution to the image and the layer after it read the same style.
        for i, (double, follow, paint) in enumerate(zip(self.doubling, self.following, self.to_image[1:], strict=True)):
            values = follow(double(values, others[2 * i]), others[2 * i + 1])
            image = self.upsample(image) + paint(values, others[2 * i + 2])
        return image


class Generator(StyleGenerator):
    """Latent -> mapping network -> styles -> images, not bounded by a tanh.

    Args:
        resolution: Side or [height, width]; the shorter a power of two from 8.
        style_dim: W.
        mapping_layers: Layers of the mapping network; 8 in the paper, 2 for small data in StyleGAN2-ADA.
        channel_base, channel_max: A map of side s has min(channel_max, channel_base / s) channels.
        mixing: Probability of style mixing while training.
        conditioning: How labels enter; here always joined to the latent.
    """

    def __init__(
        self,
        latent_dim: PositiveInt,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        style_dim: PositiveInt = 512,
        mapping_layers: PositiveInt = 8,
        channel_base: PositiveInt = 16384,
        channel_max: PositiveInt = 512,
        mixing: Fraction = 0.9,
        conditioning: GeneratorConditioning | None = None,
    ) -> None:
        plan = pyramid("stylegan2", resolution, channel_base, channel_max)
        super().__init__(latent_dim, style_dim, mapping_layers, mixing, conditioning)
        self.synthesis = SkipSynthesis(plan, channels, style_dim)


class Activated(nn.Module):
    """A layer, then LeakyReLU."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, values: Tensor) -> Tensor:
        return leaky(self.layers(values))


def halving(channels_in: int, channels_out: int) -> nn.Sequential:
    """Halves the sides in two 3x3 convolutions, the second after the filter (figure 7a)."""
    return nn.Sequential(
        Activated(equalised(nn.Conv2d(channels_in, channels_in, 3, padding=1))),
        Activated(Filter(padding=2), equalised(nn.Conv2d(channels_in, channels_out, 3, stride=2))),
    )


class ResidualBlock(nn.Module):
    """Halves the sides: (two 3x3 convolutions + filtered shortcut) / √2 (figure 7c)."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.residual = halving(channels_in, channels_out)
        self.shortcut = nn.Sequential(Downsample(), equalised(nn.Conv2d(channels_in, channels_out, 1, bias=False)))

    def forward(self, values: Tensor) -> Tensor:
        both: Tensor = self.residual(values) + self.shortcut(values)
        return math.sqrt(0.5) * both


class Discriminator(StagedDiscriminator):
    """Image -> halvings -> 4x4 map, statistics of the batch -> one logit.

    Args:
        channels, resolution, channel_base, channel_max: As for the generator, mirrored.
        residual: Shortcuts around the halvings; without them, plain layers.
        minibatch: none | stddev, at the 4x4 map.
        minibatch_group: Samples over which one standard deviation is taken.
    """

    def __init__(
        self,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        channel_base: PositiveInt = 16384,
        channel_max: PositiveInt = 512,
        residual: bool = True,
        minibatch: str = "stddev",
        minibatch_group: PositiveInt = 4,
        conditioning: DiscriminatorConditioning | None = None,
    ) -> None:
        super().__init__(channels, resolution, conditioning)
        base, widths = pyramid("stylegan2", resolution, channel_base, channel_max)
        self.from_image = Activated(equalised(nn.Conv2d(self.entering, widths[-1], 1)))
        stage = ResidualBlock if residual else halving
        self.stages = nn.ModuleList(stage(wide_in, wide_out) for wide_in, wide_out in itertools.pairwise(widths[::-1]))
        wide = widths[0]
        self.minibatch = choose(MAP_MINIBATCH, "model.discriminator.minibatch", minibatch)(wide, minibatch_group)
        self.last = nn.Sequential(
            Activated(equalised(nn.Conv2d(self.minibatch.features, wide, 3, padding=1))),
            nn.Flatten(),
            Activated(equalised(nn.Linear(wide * base[0] * base[1], wide))),
        )
        self.head = self.conditioning.head(wide, equalised)

    def seen(self, samples: Tensor) -> Tensor:
        values: Tensor = self.from_image(samples)
        return values

    def summary(self, features: Tensor) -> Tensor:
        vectors: Tensor = self.last(self.minibatch(features))
        return vectors
