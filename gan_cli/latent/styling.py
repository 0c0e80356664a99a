"""Generators in two modules: `mapping(latent, label) -> w`, `[N, W]` or `[N, L, W]`, and `synthesis(w) -> samples`.

The synthesis says in `layers` how many of them read a style, L.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

from gan_cli.games.base import Game
from gan_cli.networks.base import declared, has

MANY = 1024  # latents to estimate their spread from


class Styled(NamedTuple):
    """The two parts of a generator that has styles."""

    mapping: Callable[[Tensor, Tensor], Tensor]  # (latent, label) -> w
    synthesis: Any  # w -> samples; says in `layers` how many layers read a style, if that is needed

    def in_use(self) -> int:
        """How many layers of the synthesis are in use; fewer than L while a network grows."""
        return int(self.synthesis.active() if isinstance(self.synthesis, Growable) else self.synthesis.layers)

    def layered(self, w: Tensor) -> Tensor:
        """One w per layer of the synthesis, `[N, L, W]`."""
        return w if w.ndim == 3 else w.unsqueeze(1).expand(-1, self.synthesis.layers, -1)


class InTwoParts(Protocol):
    """A generator with two parts of these names: a `StyleGenerator`, or a user's own."""

    mapping: Callable[[Tensor, Tensor], Tensor]
    synthesis: Any


def styled(generator: nn.Module) -> Styled | None:
    """The two parts of a generator that has styles; None for any other."""
    return Styled(generator.mapping, generator.synthesis) if has(generator, InTwoParts) else None


@runtime_checkable
class Growable(Protocol):
    """A synthesis whose layers need not all be in use."""

    def active(self) -> int:
        """How many layers are in use."""
        ...


@runtime_checkable
class Truncatable(Protocol):
    """A generator that knows the mean of its styles."""

    def truncated(self, w: Tensor, psi: float | Tensor) -> Tensor:
        """w pulled towards the mean by `psi`."""
        ...


class Space(NamedTuple):
    """The space where a generator's directions are straight: `w` if it has styles, else the latents themselves."""

    name: str
    encode: Callable[[Tensor, Tensor], Tensor]  # (latent, label) -> w
    decode: Callable[[Tensor, Tensor], Tensor]  # (w, label) -> samples


def space(generator: nn.Module) -> Space:
    """The space in which to move."""
    if parts := styled(generator):
        return Space("w", parts.mapping, lambda w, label: parts.synthesis(w))
    return Space("latent", lambda latent, label: latent, generator)


class TruncatedStyles(nn.Module):
    """A generator whose w are pulled towards their mean by `psi` (StyleGAN, arXiv 1812.04948, appendix B)."""

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
    """The generator with truncated styles; without styles, the same generator, and the game's prior loses its tails.

    With styles, `amount` is ψ, the fraction of w's distance from its mean that is left; without, it is the bound on
    every coordinate of the latent (BigGAN, arXiv 1809.11096, section 3.1).

    Raises:
        Incompatible: The prior has no tails.
    """
    if styled(generator) and isinstance(generator, Truncatable):
        return TruncatedStyles(generator, amount).eval()
    game.prior = game.prior.truncated(amount)
    return generator
