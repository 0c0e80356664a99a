"""How a discriminator's update judges its real samples and fakes: in two passes, or in one over both.

One pass over twice the samples reads each weight once, and so takes less time where a layer's weights are large beside
its samples. Where no layer mixes samples, the judgements are the same but for the last bits of sums; where one keeps a
state of its own for each pass, as spectral normalisation does, it moves once an update and not twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from gan_cli.games import compatible
from gan_cli.games.parts import Parts
from gan_cli.types import Batch, DiscriminatorOutput

JudgeOn = Callable[[Batch, Tensor, Tensor], DiscriminatorOutput]  # (batch, samples, label) -> D's output
Judged = tuple[DiscriminatorOutput, DiscriminatorOutput]  # of real samples, of fakes


class Judging(NamedTuple):
    """A way to judge, and for which parts it is right."""

    judge: Callable[[JudgeOn, Batch, Tensor, Tensor], Judged]  # real samples and fakes, as many of each
    suits: Callable[[Parts], None]  # raises Incompatible


def apart(judge: JudgeOn, batch: Batch, real: Tensor, fake: Tensor) -> Judged:
    """A pass over the real samples `[N, ...]`, then one over the fakes."""
    return judge(batch, real, batch.label), judge(batch, fake, batch.label)


def together(judge: JudgeOn, batch: Batch, real: Tensor, fake: Tensor) -> Judged:
    """One pass over both, `[2N, ...]`, in turns: a panel that slices its batch shows every member as many of each.

    Updates with a penalty on gradients at these samples judge apart: each gradient would go back through both kinds.
    """
    if real.requires_grad or fake.requires_grad:
        return apart(judge, batch, real, fake)
    given = None if batch.given is None else batch.given.repeat_interleave(2, 0)
    both = Batch(batch.label.repeat_interleave(2), given=given)
    return judge(both, torch.stack([real, fake], 1).flatten(0, 1), both.label).in_turns()


def any_parts(parts: Parts) -> None:
    """Right for all."""


JUDGED: Mapping[str, Judging] = {
    "apart": Judging(apart, any_parts),
    "together": Judging(together, compatible.one_batch_of_both),
}
