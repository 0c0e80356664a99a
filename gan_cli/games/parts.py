"""What a game is made of."""

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
        prior: What feeds the generator.
        penalties: The discriminator's terms and projections, by name.
        auxiliaries: The generator's terms and weightings, by name.
        augments: What stands between samples and the discriminator, in order; real and fake samples pass alike.
    """

    generator: nn.Module
    discriminator: nn.Module
    loss: Loss
    prior: Prior
    penalties: Mapping[str, Term | Constraint] = field(default_factory=dict)
    auxiliaries: Mapping[str, Term | Weighting] = field(default_factory=dict)
    augments: Mapping[str, Augment] = field(default_factory=dict)

    def named(self) -> Iterator[tuple[str, Member]]:
        """All that can be chosen several at once, as the config names it."""
        groups = (("penalty", self.penalties), ("auxiliary", self.auxiliaries), ("augment", self.augments))
        for group, parts in groups:
            for name, part in parts.items():
                yield f"{group}.{name}", part
