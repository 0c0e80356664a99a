"""PacGAN (Lin 2018, arXiv 1712.04086): the discriminator judges several samples of one kind at once."""

from __future__ import annotations

from torch import Tensor

from gan_cli.augment.base import Augment
from gan_cli.types import Need, PositiveInt


class Packing(Augment):
    """`size` samples joined along their channels (or coordinates): `[N, C, ...]` to `[N / size, size·C, ...]`.

    If a batch does not split evenly, its last samples are not judged.
    """

    hides = frozenset({Need.CLASS_LOGITS})
    mixes_samples = True
    merges_samples = True

    def __init__(self, size: PositiveInt = 2) -> None:
        super().__init__()
        self.size = size
        self.least = size

    def forward(self, samples: Tensor) -> Tensor:
        packs = len(samples) // self.size
        whole = samples[: packs * self.size]
        return whole.reshape(packs, self.size * samples.shape[1], *samples.shape[2:])
