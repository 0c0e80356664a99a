"""The contract of games."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from gan_cli.augment.base import Augment
from gan_cli.errors import Incompatible
from gan_cli.priors import Prior
from gan_cli.types import Alike, Batch, Phase


class Least(NamedTuple):
    """The fewest samples allowed at once, and the part that requires them."""

    samples: int
    part: str  # as the config names it; empty if no part does


class Game(nn.Module, ABC):
    """The rules: who plays, in which order, for which objective; and how a trained generator is sampled."""

    prior: Prior  # the generator's input
    augments: nn.ModuleDict  # applied to samples before the discriminator, by name, in order

    @abstractmethod
    def players(self) -> Mapping[str, nn.Module]:
        """`generator` and, in a game with an adversary, `discriminator`; several of a kind form one module."""

    @abstractmethod
    def phases(self) -> Sequence[Phase]:
        """The phases of the next step, in order."""

    def sample(self, generator: nn.Module, batch: Batch) -> Tensor:
        """Samples of `generator` (often the averaged copy), one per row of a sampling batch."""
        samples: Tensor = generator(self.prior.sample(batch), batch.label)
        return samples

    @abstractmethod
    def targets(self) -> tuple[float, float] | None:
        """The targets of D's scores for real samples and fakes; None where scores are unbounded."""

    @abstractmethod
    def asks(self) -> frozenset[str]:
        """What it needs of the data: `Need.GIVEN`, `Need.PAIRS`."""

    @abstractmethod
    def rehearse(self, real: Batch, part: int) -> None:
        """Tries the players on samples like those of `real`, at most `part` at once, and changes nothing.

        Raises:
            Incompatible: Something does not fit.
        """

    def turned(self) -> Game:
        """The game of the way back. Raises Incompatible where there is none."""
        raise Incompatible("direction=b2a: this model has no way back\n  leave it out, or train with game=cycle")

    def parted(self) -> Iterator[Tensor]:
        """The buffers that a step leaves different in processes that share its batch: running statistics."""
        alike = {id(buffer) for module in self.modules() if isinstance(module, Alike) for buffer in module.buffers()}
        yield from (buffer for buffer in self.buffers() if id(buffer) not in alike)

    def augmentations(self) -> Iterator[tuple[str, Augment]]:
        """The augmentations by name, in order."""
        yield from ((name, augment) for name, augment in self.augments.items() if isinstance(augment, Augment))

    def seen(self, samples: Tensor, batch: Batch) -> Tensor:
        """The samples as the discriminator sees them: joined to what was given with the batch, then augmented."""
        shown = self.prior.beside(samples, batch)
        own, beside = samples.shape[1], shown.shape[1] - samples.shape[1]
        for _, augment in self.augmentations():
            shown = augment.joined(shown, (own, beside)) if beside else augment(shown)
        return shown

    def least(self) -> Least:
        """The fewest samples at once that its augmentations need."""
        return max((Least(a.least, f"augment.{name}") for name, a in self.augmentations()), default=Least(1, ""))
