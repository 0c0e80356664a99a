"""Pictures that are copies of single training pictures, whatever a network would see in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from gan_cli.errors import two_lines
from gan_cli.metrics import ONE_SIZE, Context, Estimate, NotMeasurable, PairMetric
from gan_cli.metrics.detectors import averaged
from gan_cli.metrics.memory import nearest
from gan_cli.types import Fraction, PositiveInt

TWO = two_lines("copies need at least three different training pictures", "add some")


def seen(batches: Iterator[Tensor], side: int) -> Tensor:
    """Pictures `[N, C, H, W]` as vectors `[N, F]` in [0, 1], averaged down to a side."""
    pieces = []
    for images in batches:
        pieces.append(averaged(images.float() / 255, side).flatten(1))
    if not pieces:
        raise NotMeasurable(TWO)
    return torch.cat(pieces)


def copied(samples: Tensor, real: Tensor, closer: float) -> Tensor:
    """Whether each sample `[N, F]` lies closer to its nearest real picture than `closer` times the distance of the
    second nearest: `[N]`."""
    distances, _ = nearest(samples, real, 2)
    one, two = distances.clamp_min(0).sqrt().unbind(1)
    return one < closer * two


class Copies(PairMetric):
    """`copies`: the share of samples that lie much closer to one training picture than to any other (after Yoon 2023),
    in pixels; `copies_real`: the same of the training pictures, each against the others.

    The second is what there is without any copying, where pictures come in pairs.

    Args:
        closer: A copy lies at less than this fraction of the distance of the second nearest.
        side: Larger pictures are averaged down to this side.
        n: Most samples that are looked at.
    """

    detector = "pixels"

    def __init__(self, closer: Fraction = 0.3333, side: PositiveInt = 32, n: PositiveInt = 2000) -> None:
        self.closer, self.side, self.n = closer, side, n

    def compute(self, context: Context) -> Mapping[str, Estimate]:
        if context.drawn is None or context.real is None:
            raise NotMeasurable(
                two_lines(
                    "copies can only be found among pictures",
                    "give the training pictures as the reference, or leave copies out",
                )
            )
        real = seen(context.real(), self.side).unique(dim=0)  # a picture that is there twice is one
        samples = seen(context.drawn(), self.side)[: self.n]
        if len(real) < 3:
            raise NotMeasurable(TWO)
        if samples.shape[1] != real.shape[1]:
            raise NotMeasurable(two_lines("samples and training pictures have different sizes", ONE_SIZE))
        centre = real.mean(0)
        samples, real = samples - centre, real - centre
        chosen = torch.arange(0, len(real), max(1, len(real) // self.n))[: self.n]
        distances = nearest(real[chosen], real, 3)[0].clamp_min(0).sqrt()  # the first of them is itself
        found = {
            "copies": copied(samples, real, self.closer),
            "copies_real": distances[:, 1] < self.closer * distances[:, 2],
        }
        note = f"nearer to one than {self.closer:.2g} of the way to the next, in pixels averaged to {self.side}"
        return {name: self._share(is_copy.double(), note, len(real)) for name, is_copy in found.items()}

    def _share(self, is_copy: Tensor, note: str, n_real: int) -> Estimate:
        share = is_copy.mean()
        return Estimate(float(share), float((share * (1 - share) / len(is_copy)).sqrt()), note, len(is_copy), n_real)
