"""Past fakes, so that D does not forget what the generator has tried (Shrivastava 2017, arXiv 1612.07828, 2.3)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gan_cli.types import Alike, NonNegativeInt, PositiveInt, sample_shape
from gan_cli.whole import of_whole


class Pool(Alike):
    """Keeps `size` fakes. Once it is full, half of the fakes shown are kept ones, whose places the new ones take.

    Processes that share a batch keep one and the same pool, of the fakes of all of them. It is saved, so that a resumed
    run goes on with it.

    Args:
        size: 50 in CycleGAN (arXiv 1703.10593, section 4).
        channels, resolution: Those of the fakes.
        back_channels: Those of the fakes of the way back, in a game that has one; the same when null.
    """

    fakes: Tensor  # [size, C, H, W]
    count: Tensor  # [] fakes seen so far

    def __init__(
        self,
        size: PositiveInt,
        channels: PositiveInt,
        resolution: PositiveInt | Sequence[PositiveInt],
        back_channels: NonNegativeInt | None = None,
    ) -> None:
        super().__init__()
        self.back_channels, self.resolution = back_channels, resolution
        self.register_buffer("fakes", torch.zeros(size, *sample_shape(channels, resolution)))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def turned(self) -> Pool:
        """One as it is at first, for the fakes of the way back."""
        return Pool(len(self.fakes), self.back_channels or self.fakes.shape[1], self.resolution)

    @torch.no_grad()
    def forward(self, fake: Tensor) -> Tensor:
        """As many fakes as came in; each is the one that came or one that was kept, unchanged."""
        places, coins = torch.randint(len(self.fakes), (len(fake),)), torch.rand(len(fake))
        return of_whole(self._exchange, fake, places, coins < 0.5)

    def _exchange(self, fake: Tensor, places: Tensor, swaps: Tensor) -> Tensor:
        shown = fake.clone()
        size, seen = len(self.fakes), int(self.count)
        for i, (place, swap) in enumerate(zip(places.tolist(), swaps.tolist(), strict=True)):
            if seen + i < size:
                self.fakes[seen + i] = fake[i]
            elif swap:
                shown[i] = self.fakes[place]
                self.fakes[place] = fake[i]
        self.count += len(fake)
        return shown
