"""Round trips through several samples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from gan_cli.latent import Mode, Subject
from gan_cli.latent.drawings import Drawing, Film, Sheet
from gan_cli.latent.interpolate import between
from gan_cli.types import PositiveInt


def loop(stops: Tensor, steps: int, spherical: bool) -> Tensor:
    """Latents `[N, K * steps, Z]` from each of the `stops` `[N, K, Z]` to the next and from the last to the first."""
    n, count = stops.shape[:2]
    t = torch.arange(steps, device=stops.device) / steps  # without the end, where the next leg starts
    legs = between(stops.flatten(0, 1), stops.roll(-1, 1).flatten(0, 1), t, spherical)
    return legs.reshape(n, count * steps, -1)


@dataclass(frozen=True)
class Walk(Mode):
    """Row i begins at sample i, visits samples i + n, i + 2n, ... and comes back, with the label of sample i."""

    name: ClassVar[str] = "walk"
    n: PositiveInt = 4
    stops: Annotated[int, Ge(2)] = 4
    steps: PositiveInt = 8
    spherical: bool = True

    def draw(self, subject: Subject) -> Drawing:
        return Film(self.sheets(subject))

    def sheets(self, subject: Subject) -> Iterator[Sheet]:
        latent, label = subject.latents(self.n * self.stops)
        stops = latent.unflatten(0, (self.stops, self.n)).transpose(0, 1)
        way = loop(stops, self.steps, self.spherical)
        yield Sheet(subject.draw(way, label[: self.n, None].expand(-1, way.shape[1])))
