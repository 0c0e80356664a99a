"""From one sample to another."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from annotated_types import Ge
from torch import Tensor

from gan_cli.latent import Mode, Subject
from gan_cli.latent.drawings import Drawing, Film, Sheet
from gan_cli.sampling import slerp
from gan_cli.types import PositiveInt


def between(start: Tensor, end: Tensor, t: Tensor, spherical: bool) -> Tensor:
    """Latents `[N, T, Z]` on the paths from `start` to `end` `[N, Z]`, at the times `t` `[T]` in [0, 1].

    A straight line passes nearer to 0 than any latent that the generator has seen; the great circle keeps their length
    (White 2016, arXiv 1609.04468).
    """
    n, times = len(start), len(t)
    at = t.repeat(n).unsqueeze(1)
    starts, ends = start.repeat_interleave(times, 0), end.repeat_interleave(times, 0)
    way = slerp(starts, ends, at) if spherical else starts.lerp(ends, at)
    return way.unflatten(0, (n, times))


@dataclass(frozen=True)
class Interpolate(Mode):
    """Row i goes from sample i to the latent of sample n + i, with the label of sample i."""

    name: ClassVar[str] = "interpolate"
    n: PositiveInt = 8
    steps: Annotated[int, Ge(2)] = 8
    spherical: bool = True

    def draw(self, subject: Subject) -> Drawing:
        return Film(self.sheets(subject))

    def sheets(self, subject: Subject) -> Iterator[Sheet]:
        latent, label = subject.latents(2 * self.n)
        t = torch.linspace(0, 1, self.steps, device=latent.device)
        way = between(latent[: self.n], latent[self.n :], t, self.spherical)
        yield Sheet(subject.draw(way, label[: self.n, None].expand(-1, self.steps)))
