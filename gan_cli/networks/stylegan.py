"""StyleGAN (Karras 2019, arXiv 1812.04948): a mapping network whose styles scale and shift every map, and noise.

Its discriminator is the one in `gan_cli.networks.pggan`, with filtered downsampling.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_cli.networks.conditioning import GeneratorConditioning
from gan_cli.networks.equalised import HE, Pyramid, equalised, pyramid
from gan_cli.networks.growth import GrowingImage, Growth
from gan_cli.networks.resampling import SameConvolution, UpConvolution
from gan_cli.networks.styles import Noise, StyleGenerator, Synthesis
from gan_cli.types import Fraction, Positive, PositiveInt


class AdaIN(nn.Module):
    """AdaIN(x, y) = y_s · (x - μ(x)) / σ(x) + y_b, with the style y = (y_s, y_b) = A(w) (equation 1).

    μ and σ are those of each sample's channel, σ² with `epsilon` added; y_s is 1 at first.
    """

    def __init__(self, channels: int, style_dim: int, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.style = equalised(nn.Linear(style_dim, 2 * channels))

    def forward(self, values: Tensor, w: Tensor) -> Tensor:
        scale, shift = self.style(w)[..., None, None].chunk(2, 1)
        return (1 + scale) * F.instance_norm(values, eps=self.epsilon) + shift


class Epilogue(nn.Module):
    """What follows each convolution: noise, bias, LeakyReLU 0.2, AdaIN (figure 1b)."""

    def __init__(self, channels: int, style_dim: int, epsilon: float) -> None:
        super().__init__()
        self.noise = Noise(channels)
        self.bias = nn.Parameter(torch.zeros(channels, 1, 1))
        self.adain = AdaIN(channels, style_dim, epsilon)

    def forward(self, values: Tensor, w: Tensor) -> Tensor:
        styled: Tensor = self.adain(F.leaky_relu(self.noise(values) + self.bias, 0.2), w)
        return styled


class AdaINLayer(nn.Module):
    """A 3x3 convolution (with `UpConvolution` it doubles the sides) and its epilogue."""

    def __init__(
        self, channels_in: int, channels_out: int, style_dim: int, epsilon: float, convolve: nn.Module
    ) -> None:
        super().__init__()
        self.kernel = equalised(nn.Conv2d(channels_in, channels_out, 3, bias=False), gain=HE)
        self.convolve = convolve
        self.epilogue = Epilogue(channels_out, style_dim, epsilon)

    def forward(self, values: Tensor, w: Tensor) -> Tensor:
        styled: Tensor = self.epilogue(self.convolve(values, self.kernel.weight), w)
        return styled


class GrowingSynthesis(Synthesis):
    """A learned 4x4 constant, two styled layers at every side, images of the stage that growth has reached."""

    def __init__(self, plan: Pyramid, channels: int, style_dim: int, growth: Growth, epsilon: float) -> None:
        super().__init__()
        widths = plan.widths
        self.layers = 2 * len(widths)
        self.constant = nn.Parameter(torch.ones(widths[0], *plan.base))
        self.first = Epilogue(widths[0], style_dim, epsilon)
        self.doubling = nn.ModuleList(
            AdaINLayer(wide_in, wide_out, style_dim, epsilon, UpConvolution())
            for wide_in, wide_out in itertools.pairwise(widths)
        )
        self.following = nn.ModuleList(AdaINLayer(wide, wide, style_dim, epsilon, SameConvolution()) for wide in widths)
        self.image = GrowingImage(growth, widths, channels)

    def active(self) -> int:
        return 2 * (self.image.stage().level + 1)

    def style_layers(self) -> Sequence[nn.Module]:
        """The affine layers A of the stage that growth has reached."""
        grown = self.image.stage().level
        layers = (*self.doubling[:grown], *self.following[: grown + 1])
        return [epilogue.adain.style for epilogue in (self.first, *(layer.epilogue for layer in layers))]

    def draw(self, styles: Tensor) -> Tensor:
        stage = self.image.stage()
        w = styles.unbind(1)
        values = self.first(self.constant.expand(len(styles), -1, -1, -1), w[0])
        lower = higher = self.following[0](values, w[1])
        for i, (double, follow) in enumerate(zip(self.doubling[: stage.level], self.following[1:], strict=False), 1):
            lower, higher = higher, follow(double(higher, w[2 * i]), w[2 * i + 1])
        images: Tensor = self.image(lower, higher, stage)
        return images


class Generator(StyleGenerator):
    """Latent -> mapping network -> styles -> images, not bounded by a tanh.

    Args:
        resolution: Side or [height, width]; the shorter a power of two from 8.
        style_dim: W.
        mapping_layers: Layers of the mapping network.
        channel_base, channel_max: A map of side s has min(channel_max, channel_base / s) channels.
        mixing: Probability of style mixing while training.
        growth: When the layers fade in.
        epsilon: Added to variances in AdaIN; the authors' 1e-8 matters to the first map, which hardly varies at first.
        conditioning: How labels enter; here always joined to the latent.
    """

    synthesis: GrowingSynthesis

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
        growth: Growth | None = None,
        epsilon: Positive = 1e-5,
        conditioning: GeneratorConditioning | None = None,
    ) -> None:
        plan = pyramid("stylegan", resolution, channel_base, channel_max)
        super().__init__(latent_dim, style_dim, mapping_layers, mixing, conditioning)
        self.synthesis = GrowingSynthesis(plan, channels, style_dim, growth or Growth(), epsilon)

    def matched(self, real: Tensor) -> Tensor:
        return self.synthesis.image.matched(real)

    def complete(self) -> int:
        return self.synthesis.image.complete()
