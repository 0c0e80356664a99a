"""Samples side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from gan_cli import sampling
from gan_cli.data.class_names import folders_for
from gan_cli.latent import Mode, Subject
from gan_cli.latent.drawings import Drawing, Stream
from gan_cli.types import PositiveInt


@dataclass(frozen=True)
class Grid(Mode):
    """Samples 0 ... n - 1; in a folder, those of several classes go to a folder each."""

    name: ClassVar[str] = "sample"
    n: PositiveInt = 64

    @property
    def title(self) -> str:
        return f"{self.n} samples"

    def draw(self, subject: Subject) -> Drawing:
        pieces = sampling.blocks(subject.game, subject.generator, subject.draws, self.n)
        return Stream(pieces, self.n, subject.points, _folders(subject, self.n))


def _folders(subject: Subject, n: int) -> Sequence[str]:
    """The folders of samples 0 ... n - 1 in turn, one for each class, in the order of the labels."""
    turn = subject.draws.labels[:n].tolist()
    if len(set(turn)) == 1:
        return (".",)
    folders = folders_for(turn, subject.class_names)
    return [folders[label] for label in turn]
