"""Generators of two modules: `mapping(latent, label) -> w`, `[N, W]` or `[N, L, W]`, and `synthesis(w) -> samples`.

The synthesis says in `layers` how many of them read a style, L.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

from gan_cli.games.base import Game
from gan_cli.networks.base import declared

MANY = 1024  # latents that tell how far apart they lie


class Styled(NamedTuple):
    """The two parts of a generator that has styles."""

    mapping: Callable[[Tensor, Tensor], Tensor]  # (latent, label) -> w
    synthesis: Any  # w -> samples; says in `layers` how many of them read a style, where that is asked

    def in_use(self) -> int:
        """Layers of the synthesis that read their style; fewer than L while a network grows."""
        return int(self.synthesis.active() if isinstance(self.synthesis, Growable) else self.synthesis.layers)

    def layered(self, w: Tensor) -> Tensor:
        """One w a layer of the synthesis, `[N, L, W]`."""
        return w if w.ndim == 3 else w.unsqueeze(1).expand(-1, self.synthesis.layers, -1)


@runtime_checkable
class InTwoParts(Protocol):
    """A generator that has them by these names: a `StyleGenerator`, or a user's own."""

    mapping: Callable[[Tensor, Tensor], Tensor]
    synthesis: Any


def styled(generator: nn.Module) -> Styled | None:
    """The two parts of a generator that has styles; None of any other."""
    return Styled(generator.mapping, generator.synthesis) if isinstance(generator, InTwoParts) else None


@runtime_checkable
class Growable(Protocol):
    """A synthesis of which not every layer need be in use."""

    def active(self) -> int:
        """The layers in use."""
        ...


@runtime_checkable
class Truncatable(Protocol):
    """A generator that knows the mean of its styles."""

    def truncated(self, w: Tensor, psi: float) -> Tensor:
        """w drawn towards the mean by `psi`."""
        ...


class Space(NamedTuple):
    """Where a generator's directions are straight: `w` where it has styles, else the latents themselves."""

    name: str
    encode: Callable[[Tensor, Tensor], Tensor]  # (latent, label) -> w
    decode: Callable[[Tensor, Tensor], Tensor]  # (w, label) -> samples


def space(generator: nn.Module) -> Space:
    """The space in which to move."""
    if parts := styled(generator):
        return Space("w", parts.mapping, lambda w, label: parts.synthesis(w))
    return Space("latent", lambda latent, label: latent, generator)


class TruncatedStyles(nn.Module):
    """A generator whose w are drawn towards their mean by `psi` (StyleGAN, arXiv 1812.04948, appendix B)."""

    def __init__(self, generator: Any, psi: float) -> None:
        super().__init__()
        self.generator = generator
        self.psi = psi
        self.classes = declared(generator).classes
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
    if styled(generator) and isinstance(generator, Truncatable):
        return TruncatedStyles(generator, amount).eval()
    game.prior = game.prior.truncated(amount)
    return generator
