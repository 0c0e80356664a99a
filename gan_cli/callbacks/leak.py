"""Whether the generator draws what only the augmentations make, while it trains."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from annotated_types import Ge

from gan_cli import pictures
from gan_cli.augment.diffaugment import CHANGES
from gan_cli.callbacks import Callback, Session, readings
from gan_cli.errors import two_lines
from gan_cli.metrics.leak import LEAST, Probe, checked
from gan_cli.types import PositiveInt


class Leak(Callback):
    """Publishes `health/leak`, which rings the alarm leaking_augmentation of `callback=[health]`: the share of samples
    that look changed to a probe, by the change that most do. The probe learns from real pictures before the first step.

    Args:
        every_steps: Steps between readings.
        n: Samples that are looked at, and most real pictures to learn from.
        steps: Of the probe's training.
        policy: The changes that are looked for: color, translation, cutout.
    """

    def __init__(
        self,
        every_steps: PositiveInt = 500,
        n: Annotated[int, Ge(LEAST)] = 1000,
        steps: PositiveInt = 400,
        policy: Sequence[str] = tuple(CHANGES),
    ) -> None:
        self.every_steps, self.n, self.steps = every_steps, n, steps
        self.policy = checked(policy)

    def foresee(self, session: Session) -> Sequence[str]:
        if len(session.trainer.data.shape) != 3:
            raise ValueError(two_lines("callback=leak looks at pictures, and these are points", "leave it out"))
        if len(session.trainer.data) < LEAST:
            raise ValueError(two_lines(f"callback=leak needs {LEAST} real pictures to learn from", "leave it out"))
        return ()

    def on_start(self, session: Session) -> None:
        self.probe = Probe(session.trainer.data.quantised(self.n), self.policy, self.steps, session.trainer.seed)

    def on_step(self, session: Session) -> None:
        if session.clock.step % self.every_steps:
            return
        samples = torch.cat([piece.cpu() for piece in session.samples(session.few(self.n))])
        shares = self.probe.shares(pictures.to_uint8(samples))
        if shares:
            session.publish({readings.LEAK: max(share for share, _ in shares.values())})
