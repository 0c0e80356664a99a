"""Generators of two modules: `mapping(latent, label) -> w`, `[N, W]` or `[N, L, W]`, and `synthesis(w) -> samples`.

The synthesis says in `layers` how many of them read a style, L.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor, nn

from gan_cli.types import Game

MANY = 1024  # latents that tell how far apart they lie


def is_styled(generator: nn.Module) -> bool:
    return hasattr(generator, "mapping") and hasattr(generator, "synthesis")


class Space(NamedTuple):
    """Where a generator's directions are straight: `w` where it has styles, else the latents themselves."""

    name: str
    encode: Callable[[Tensor, Tensor], Tensor]  # (latent, label) -> w
    decode: Callable[[Tensor, Tensor], Tensor]  # (w, label) -> samples


def space(generator: Any) -> Space:
    """The space in which to move."""
    if is_styled(generator):
        return Space("w", generator.mapping, lambda w, label: generator.synthesis(w))
    return Space("latent", lambda latent, label: latent, generator)


class TruncatedStyles(nn.Module):
    """A generator whose w are drawn towards their mean by `psi` (StyleGAN, arXiv 1812.04948, appendix B)."""

    def __init__(self, generator: Any, psi: float) -> None:
        super().__init__()
        self.generator = generator
        self.psi = psi
        self.classes = int(getattr(generator, "classes", 0))
        self.synthesis = generator.synthesis

    def mapping(self, latent: Tensor, label: Tensor) -> Tensor:
        w: Tensor = self.generator.truncated(self.generator.mapping(latent, label), self.psi)
        return w

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        samples: Tensor = self.synthesis(self.mapping(latent, label))
        return samples


def truncate(game: Game, generator: nn.Module, amount: float) -> nn.Module:
    """The generator with truncated styles, or else as it is while the game's prior loses its tails.

    Where there are styles `amount` is ψ, the share of w's way from its mean that is left; elsewhere it is the bound of
    every coordinate of the latent (BigGAN, arXiv 1809.11096, section 3.1).

    Raises:
        Incompatible: The prior has no tails.
    """
    if is_styled(generator) and hasattr(generator, "truncated"):
        return TruncatedStyles(generator, amount).eval()
    game.prior = game.prior.truncated(amount)
    return generator


def in_use(generator: Any) -> int:
    """Layers of the synthesis that read their style; fewer than L while a network grows."""
    active = getattr(generator.synthesis, "active", None)
    return int(active() if active else generator.synthesis.layers)


def layered(generator: Any, w: Tensor) -> Tensor:
    """One w a layer of the synthesis, `[N, L, W]`."""
    return w if w.ndim == 3 else w.unsqueeze(1).expand(-1, generator.synthesis.layers, -1)
