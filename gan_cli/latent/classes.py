"""One latent, every class."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from gan_cli import sampling
from gan_cli.drawings import Drawing, Film, Sheet
from gan_cli.latent import Mode, Subject
from gan_cli.types import Incompatible, PositiveInt


@dataclass(frozen=True)
class Classes(Mode):
    """Row i is the latent of sample i with each class: what the latent means apart from the class."""

    name: ClassVar[str] = "classes"
    n: PositiveInt = 8

    def draw(self, subject: Subject) -> Drawing:
        if not sampling.on_demand(subject.generator):
            raise Incompatible(
                "mode=classes: this generator draws no classes on demand\n"
                "  train with conditioning=concat, projection or acgan on labelled data"
            )
        return Film(self.sheets(subject))

    def sheets(self, subject: Subject) -> Iterator[Sheet]:
        latent, _ = subject.latents(self.n)
        turn = sampling.in_turn(subject.generator, subject.classes).to(latent.device)
        rows = latent.unsqueeze(1).expand(-1, len(turn), -1)
        yield Sheet(subject.draw(rows, turn.expand(self.n, -1)))
