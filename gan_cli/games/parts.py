"""The parts of a game."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from torch import nn

from gan_cli.augment.base import Augment
from gan_cli.auxiliaries import Weighting
from gan_cli.losses import Loss
from gan_cli.penalties import Constraint
from gan_cli.priors import Prior
from gan_cli.types import Term

Member = Term | Constraint | Weighting | Augment


@dataclass(frozen=True)
class Parts:
    """The players and everything that they play with.

    Attributes:
        generator: `(latent [N, Z], label [N]) -> samples`.
        discriminator: `(samples, label [N]) -> DiscriminatorOutput`.
        loss: What both players minimise.
        prior: The generator's input.
        penalties: The discriminator's terms and constraints, by name.
        auxiliaries: The generator's terms and weightings, by name.
        augments: Applied in order to real and fake samples before the discriminator.
    """

    generator: nn.Module
    discriminator: nn.Module
    loss: Loss
    prior: Prior
    penalties: Mapping[str, Term | Constraint] = field(default_factory=dict)
    auxiliaries: Mapping[str, Term | Weighting] = field(default_factory=dict)
    augments: Mapping[str, Augment] = field(default_factory=dict)

    def named(self) -> Iterator[tuple[str, Member]]:
        """The parts of which several can be chosen, as the config names them."""
        groups = (("penalty", self.penalties), ("auxiliary", self.auxiliaries), ("augment", self.augments))
        for group, parts in groups:
            for name, part in parts.items():
                yield f"{group}.{name}", part
