"""Checkpoints: often enough that a crash costs little, few enough that the disk stays free."""

from __future__ import annotations

import time
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from gan_cli.callbacks import Callback, Session
from gan_cli.store import checkpoint
from gan_cli.store.disk import naming
from gan_cli.store.run import step_of
from gan_cli.store.writer import Writer
from gan_cli.training.limits import images_in
from gan_cli.types import Positive, PositiveInt


def expendable(steps: list[int], keep: int, spacing: Fraction) -> list[int]:
    """The saved steps to delete: all but the `keep` newest and the first of every `spacing` steps.

    Those before the first `spacing` steps are over belong to no stretch of their own.
    """
    older = sorted(steps)[:-keep]
    stretches = [0, *(step // spacing for step in older)]
    return [step for step, before, its in zip(older, stretches, stretches[1:], strict=False) if its == before]


class Checkpoints(Callback):
    """Saves step-<n>.pt and points last.pt at it; a state that is not finite is never saved.

    Args:
        every_steps: Steps between saves.
        every_minutes: Also save after this many minutes; null for steps only.
        keep: Number of newest saves to keep.
        keep_every: Of the older saves, keep every `keep_every`-th.
        every_epochs: Epochs between saves; where set, it replaces `every_steps`.
        background: Training goes on while a save is written, from a copy of the weights in the computer's memory. The
            end of the run, or of the process, waits for it; what cannot be written ends the run a step later.
    """

    def __init__(
        self,
        every_steps: PositiveInt = 500,
        every_minutes: Positive | None = 10.0,
        keep: PositiveInt = 3,
        keep_every: PositiveInt = 10,
        every_epochs: Positive | None = None,
        background: bool = True,
    ) -> None:
        self.every_steps = every_steps
        self.every_epochs = every_epochs
        self.every_minutes = every_minutes
        self.keep = keep
        self.keep_every = keep_every
        self.background = background
        self._writer = Writer()

    def on_start(self, session: Session) -> None:
        self.folder = session.run.checkpoints
        self.saved_at = time.monotonic()
        self.saved_step = session.clock.step

    def on_step(self, session: Session) -> None:
        self._writer.check()
        overdue = self.every_minutes is not None and time.monotonic() - self.saved_at > self.every_minutes * 60
        if session.due(self.every_steps, self.every_epochs) or overdue:
            self._save(session)

    def _save(self, session: Session) -> None:
        path = self.folder / f"step-{session.clock.step:09d}.pt"
        state, spacing = checkpoint.snapshot(session.state()), self._spacing(session)
        self._writer.submit(partial(self._write, state, path, spacing))
        self.saved_at, self.saved_step = time.monotonic(), session.clock.step
        if not self.background:
            self._writer.wait()

    def _write(self, state: dict[str, Any], path: Path, spacing: Fraction) -> None:
        checkpoint.save(state, path)
        checkpoint.alias(path, "last.pt")
        files = {step_of(p): p for p in self.folder.glob("step-*.pt")}
        for step in expendable(list(files), self.keep, spacing):
            with naming(files[step]):
                files[step].unlink(missing_ok=True)

    def _spacing(self, session: Session) -> Fraction:
        """Steps between two saves that are kept for good; every step counts as showing equally many images."""
        if self.every_epochs is None:
            return Fraction(self.every_steps * self.keep_every)
        images = images_in(self.every_epochs, len(session.trainer.data)) * self.keep_every
        return Fraction(images * session.clock.step, max(1, session.clock.images))

    def on_end(self, session: Session, status: str) -> None:
        if self.saved_step != session.clock.step:
            self._save(session)
        self._writer.wait()

    def close(self) -> None:
        self._writer.wait()
