"""Checkpoints: often enough that a crash costs little, few enough that the disk stays free."""

from __future__ import annotations

import time

from gan_cli.callbacks import Callback, Session
from gan_cli.store import checkpoint
from gan_cli.store.disk import naming
from gan_cli.store.run import step_of
from gan_cli.types import Positive, PositiveInt


def expendable(steps: list[int], keep: int, keep_every: int, every_steps: int) -> list[int]:
    """The saved steps to delete: all but the `keep` newest and every `keep_every`-th regular save."""
    older = sorted(steps)[:-keep]
    return [s for s in older if s % (every_steps * keep_every)]


class Checkpoints(Callback):
    """Saves step-<n>.pt and points last.pt at it; a state that is not finite is never saved.

    Args:
        every_steps: Steps between saves.
        every_minutes: Also save after this many minutes; null for steps only.
        keep: Number of newest saves to keep.
        keep_every: Of the older saves, keep every `keep_every`-th.
    """

    def __init__(
        self,
        every_steps: PositiveInt = 500,
        every_minutes: Positive | None = 10.0,
        keep: PositiveInt = 3,
        keep_every: PositiveInt = 10,
    ) -> None:
        self.every_steps = every_steps
        self.every_minutes = every_minutes
        self.keep = keep
        self.keep_every = keep_every

    def on_start(self, session: Session) -> None:
        self.folder = session.run.checkpoints
        self.saved_at = time.monotonic()
        self.saved_step = session.clock.step

    def on_step(self, session: Session) -> None:
        overdue = self.every_minutes is not None and time.monotonic() - self.saved_at > self.every_minutes * 60
        if session.clock.step % self.every_steps == 0 or overdue:
            self._save(session)

    def _save(self, session: Session) -> None:
        path = self.folder / f"step-{session.clock.step:09d}.pt"
        session.save(path)
        checkpoint.alias(path, "last.pt")
        self.saved_at, self.saved_step = time.monotonic(), session.clock.step
        files = {step_of(p): p for p in self.folder.glob("step-*.pt")}
        for step in expendable(list(files), self.keep, self.keep_every, self.every_steps):
            with naming(files[step]):
                files[step].unlink(missing_ok=True)

    def on_end(self, session: Session, status: str) -> None:
        if self.saved_step != session.clock.step:
            self._save(session)
