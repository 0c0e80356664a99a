"""A trained generator by itself: what is left of a game when only its samples are wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import nn

from gan_cli.errors import Incompatible
from gan_cli.games.base import Game
from gan_cli.priors import Prior
from gan_cli.types import Batch, Phase


class Solo(Game):
    """A generator and what it is fed with; nobody plays against it, and it is not trained."""

    def __init__(self, generator: nn.Module, prior: Prior) -> None:
        super().__init__()
        self.generator, self.prior = generator, prior
        self.nobody = nn.Identity()
        self.augments = nn.ModuleDict()

    def players(self) -> Mapping[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.nobody}

    def phases(self) -> Sequence[Phase]:
        return ()

    def targets(self) -> tuple[float, float] | None:
        return None

    def asks(self) -> frozenset[str]:
        return self.prior.needs

    def rehearse(self, real: Batch, part: int) -> None:
        raise Incompatible("this is a generator without its game\n  train from the run that it came from")
