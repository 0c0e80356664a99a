"""What every game keeps to."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from gan_cli.augment.base import Augment
from gan_cli.errors import Incompatible
from gan_cli.priors import Prior
from gan_cli.types import Batch, Local, Phase


class Least(NamedTuple):
    """The fewest samples that may come at once, and the part that asks for them."""

    samples: int
    part: str  # as the config names it; empty where none does


class Game(nn.Module, ABC):
    """The rules: who plays, in which order, for which objective; and what a trained generator draws."""

    prior: Prior  # what feeds the generator
    augments: nn.ModuleDict  # what stands between samples and the discriminator, by name, in order

    @abstractmethod
    def players(self) -> Mapping[str, nn.Module]:
        """`generator` and `discriminator`; where there are several of a kind, as one module."""

    @abstractmethod
    def phases(self) -> Sequence[Phase]:
        """What the next step consists of, in order."""

    @abstractmethod
    def sample(self, generator: nn.Module, batch: Batch) -> Tensor:
        """Samples of `generator` (often the averaged copy), one a row of a sampling batch."""

    @abstractmethod
    def targets(self) -> tuple[float, float] | None:
        """What D's scores of real samples and of fakes aim at; None where they have no bound."""

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

    def shared(self) -> Iterator[Tensor]:
        """The buffers that are the same in every process."""
        own = {id(buffer) for module in self.modules() if isinstance(module, Local) for buffer in module.buffers()}
        yield from (buffer for buffer in self.buffers() if id(buffer) not in own)

    def augmentations(self) -> Iterator[tuple[str, Augment]]:
        """The augmentations by name, in order."""
        yield from ((name, augment) for name, augment in self.augments.items() if isinstance(augment, Augment))

    def seen(self, samples: Tensor) -> Tensor:
        """What the discriminator sees of samples."""
        for _, augment in self.augmentations():
            samples = augment(samples)
        return samples

    def least(self) -> Least:
        """The fewest samples at once that its augmentations work with."""
        return max((Least(a.least, f"augment.{name}") for name, a in self.augmentations()), default=Least(1, ""))
