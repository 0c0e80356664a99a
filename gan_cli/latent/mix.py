"""Style mixing: the coarse styles of one sample, the fine ones of another (StyleGAN, arXiv 1812.04948, figure 3)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from gan_cli.errors import Incompatible
from gan_cli.latent import Mode, Subject
from gan_cli.latent.drawings import Drawing, Sheet, Sheets
from gan_cli.latent.styling import Styled, styled
from gan_cli.sampling import in_blocks
from gan_cli.types import Fraction, PositiveInt


def crossed(coarse: Tensor, fine: Tensor, layers: int) -> Tensor:
    """`[N, M, L, W]`: the first `layers` styles of each of `coarse` `[N, L, W]`, the others of each of `fine`."""
    n, m, count = len(coarse), len(fine), coarse.shape[1]
    first = torch.arange(count, device=coarse.device).view(1, 1, -1, 1) < layers
    return torch.where(first, coarse.unsqueeze(1).expand(-1, m, -1, -1), fine.unsqueeze(0).expand(n, -1, -1, -1))


def mixable(generator: nn.Module) -> Styled:
    """The parts of a generator that has styles. Raises Incompatible for any other."""
    parts = styled(generator)
    if parts is None:
        raise Incompatible(
            "mode=mix: this generator has no styles to mix\n  train a model that has: one of the StyleGAN family"
        )
    return parts


@dataclass(frozen=True)
class Mix(Mode):
    """Samples along the top and the left; each cell has the coarse styles of the left one and the fine of the top one.

    Samples 0 ... n - 1 are on the left, n ... 2n - 1 on top; the share `coarse` of the layers in use, the first ones,
    takes its styles from the left.
    """

    name: ClassVar[str] = "mix"
    n: PositiveInt = 6
    coarse: Fraction = 0.5

    def draw(self, subject: Subject) -> Drawing:
        mixable(subject.generator)  # refused before anything is drawn
        return Sheets(self.sheets(subject))

    def sheets(self, subject: Subject) -> Iterator[Sheet]:
        parts = mixable(subject.generator)
        with torch.no_grad():
            w = parts.layered(parts.mapping(*subject.latents(2 * self.n)))
        left, above = w.split(self.n)
        mixed = crossed(left, above, round(self.coarse * parts.in_use()))
        inside = in_blocks(parts.synthesis, mixed.flatten(0, 1)).unflatten(0, (self.n, self.n))
        edges = in_blocks(parts.synthesis, w)
        corner = torch.ones_like(edges[:1])  # white
        head = torch.cat([corner, edges[self.n :]])
        yield Sheet(torch.cat([head[None], torch.cat([edges[: self.n, None], inside], 1)]))
