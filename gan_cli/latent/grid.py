"""Samples side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gan_cli import sampling
from gan_cli.drawings import Drawing, Stream
from gan_cli.latent import Mode, Subject
from gan_cli.types import PositiveInt


@dataclass(frozen=True)
class Grid(Mode):
    """Samples 0 ... n - 1."""

    name: ClassVar[str] = "sample"
    n: PositiveInt = 64

    @property
    def title(self) -> str:
        return f"{self.n} samples"

    def draw(self, subject: Subject) -> Drawing:
        pieces = sampling.blocks(subject.game, subject.generator, subject.draws, self.n)
        return Stream(pieces, self.n, subject.points)
