"""Whether a generator copies its training data."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from gan_cli.errors import two_lines
from gan_cli.metrics import Context, Estimate, Metric, NotMeasurable
from gan_cli.metrics.features import Features
from gan_cli.metrics.prdc import CHUNK, radii, squared_distances
from gan_cli.types import PositiveInt


def nearest(fake: Tensor, real: Tensor, k: int = 1) -> tuple[Tensor, Tensor]:
    """The squared distances `[m, k]` from each fake to its nearest real samples, and their indices."""
    square = real.square().sum(1)
    found = [squared_distances(piece, real, square).topk(k, largest=False) for piece in fake.split(CHUNK)]
    return torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])


class Memorisation(Metric):
    """`authentic`: the share of samples that are not copies (AuthPct: Alaa 2022, arXiv 2102.08921, section 4.3).

    A copy is closer to its nearest training sample than that training sample is to its own nearest neighbour.

    Args:
        pairs: How many of the closest pairs to show in a picture, samples above, training images below.
    """

    needs = frozenset({"rows", "images"})

    def __init__(self, pairs: PositiveInt = 16) -> None:
        self.pairs = pairs

    def compute(self, fake: Features, real: Features, context: Context) -> Mapping[str, Estimate]:
        assert fake.rows is not None
        assert real.rows is not None
        if len(real.rows) < 2:
            raise NotMeasurable(two_lines("authentic needs at least two training samples", "add some"))
        centre = real.rows.mean(0)
        x, y = fake.rows - centre, real.rows - centre
        distance, index = (found.squeeze(1) for found in nearest(x, y))
        authentic = (distance > radii(y, 1)[index]).double()
        if fake.row_images is not None and real.row_images is not None and fake.row_images.ndim == 4:  # not for points
            closest = distance.argsort()[: self.pairs]
            context.scratch["nearest"] = torch.cat([fake.row_images[closest], real.row_images[index[closest]]])
        share = authentic.mean()
        se = float((share * (1 - share) / len(authentic)).sqrt())
        note = "fraction, against the nearest of the reference"
        return {"authentic": Estimate(float(share), se, note, len(x), len(y))}
