"""What the style-based generators share: a mapping network, noise, style mixing, truncation (arXiv 1812.04948)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from gan_cli.networks.base import BaseGenerator
from gan_cli.networks.conditioning import GeneratorConditioning
from gan_cli.networks.equalised import PixelNorm
from gan_cli.networks.mapping import MappingLayers
from gan_cli.types import Need

MEAN_STEP = 0.005  # weight of a batch in the moving average of w (the authors' code)


class MappingNetwork(nn.Module):
    """z `[N, Z]` and label `[N]` to w `[N, W]`: z is normalised, the label joined to it, then linear layers follow."""

    def __init__(self, latent_dim: int, style_dim: int, layers: int, conditioning: GeneratorConditioning) -> None:
        super().__init__()
        self.normalise = PixelNorm()
        self.latent, joined = conditioning.latent(latent_dim)
        self.context, first = conditioning.context(joined, latent_dim)
        self.layers = MappingLayers([first, *[style_dim] * layers])

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        w: Tensor = self.layers(self.context(self.latent(self.normalise(latent), label), label))
        return w


class Noise(nn.Module):
    """x + strength · n, n ~ N(0, 1) one number per position, drawn afresh each time; strengths start at 0.

    Args:
        strengths: C, one strength per channel (StyleGAN), or 1 for all channels (StyleGAN2).
    """

    def __init__(self, strengths: int = 1) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(strengths, 1, 1))

    def forward(self, values: Tensor) -> Tensor:
        n, _, height, width = values.shape
        noise = torch.randn(n, 1, height, width, device=values.device, dtype=values.dtype)
        return values + self.strength.to(values.dtype) * noise


class Synthesis(nn.Module, ABC):
    """Styles to images; `layers` is L, the number of styles read."""

    layers: int

    def forward(self, styles: Tensor) -> Tensor:
        """Images `[N, C, H, W]` from one style per sample, `[N, W]`, or from one for each layer, `[N, L, W]`."""
        return self.draw(styles if styles.ndim == 3 else styles.unsqueeze(1).expand(-1, self.layers, -1))

    def active(self) -> int:
        """The layers in use; fewer than L while a network grows."""
        return self.layers

    def style_layers(self) -> Sequence[nn.Module]:
        """The layers that read the styles; unless overridden, all linear layers."""
        return [layer for layer in self.modules() if isinstance(layer, nn.Linear)]

    @abstractmethod
    def draw(self, styles: Tensor) -> Tensor:
        """Images from the styles `[N, L, W]`."""


def crossed(first: Tensor, second: Tensor, crossover: Tensor, layers: int) -> Tensor:
    """Styles `[N, L, W]`: `first` in the layers below the sample's `crossover` `[N]`, `second` in the others."""
    below = torch.arange(layers, device=crossover.device) < crossover.unsqueeze(1)  # [N, L]
    return torch.where(below.unsqueeze(2), first.unsqueeze(1), second.unsqueeze(1))


class StyleGenerator(BaseGenerator):
    """images = synthesis(mapping(z, y)); both parts may be called on their own. An architecture builds its `synthesis`.

    Args:
        latent_dim: Z.
        style_dim: W.
        mapping_layers: Layers of the mapping network.
        mixing: Probability that a sample takes the styles of its later layers from a second latent, while training
            (arXiv 1812.04948, section 3.1).
        conditioning: How labels enter the mapping network.
    """

    provides = frozenset({Need.STYLES})
    w_mean: Tensor
    synthesis: Synthesis

    def __init__(
        self,
        latent_dim: int,
        style_dim: int,
        mapping_layers: int,
        mixing: float,
        conditioning: GeneratorConditioning | None,
    ) -> None:
        super().__init__(conditioning)
        self.mapping = MappingNetwork(latent_dim, style_dim, mapping_layers, self.conditioning)
        self.mixing = mixing
        self.register_buffer("w_mean", torch.zeros(style_dim))

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        w: Tensor = self.mapping(latent, label)
        if self.training:
            with torch.no_grad():
                self.w_mean.lerp_(w.float().mean(0), MEAN_STEP)
        if self.training and self.mixing > 0:
            w = self.mixed(w, latent, label)
        images: Tensor = self.synthesis(w)
        return images

    def mixed(self, w: Tensor, latent: Tensor, label: Tensor) -> Tensor:
        """Styles `[N, L, W]`; where they are mixed, the crossover is any layer except the first, all equally likely.

        The second latent is the neighbour's, whatever the prior; its gradient is cut, as it belongs to another sample.
        """
        n, layers = len(w), self.synthesis.layers
        second = self.mapping(latent.detach().roll(1, 0), label)
        crossover = torch.randint(1, self.synthesis.active(), (n,), device=w.device)
        mixes = torch.rand(n, device=w.device) < self.mixing
        return crossed(w, second, torch.where(mixes, crossover, layers), layers)

    def truncated(self, w: Tensor, psi: float | Tensor) -> Tensor:
        """w̄ + ψ(w - w̄): less variety for better images at ψ < 1 (arXiv 1812.04948, appendix B)."""
        return torch.lerp(self.w_mean.to(w.dtype), w, psi)
