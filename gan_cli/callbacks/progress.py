"""How the run is doing: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress

from rich.console import RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from gan_cli.callbacks import Callback, Session
from gan_cli.types import Clock, PositiveInt

log = logging.getLogger(__name__)

LONG = 365 * 24 * 3600.0  # seconds left that are no longer shown as minutes


def describe(record: Mapping[str, float]) -> str:
    """The losses and scores of a record, in short."""
    names = {"discriminator/loss": "D loss", "generator/loss": "G loss", "D(real)": "D(real)", "D(fake)": "D(fake)"}
    known = [f"{short} {record[name]:.3f}" for name, short in names.items() if name in record]
    measured = [f"{name} {value:.4g}" for name, value in record.items() if "/" not in name and name not in OTHERS]
    return "  ".join(known + measured)


OTHERS = {"step", "images", "seconds", "epoch", "learning_rate", "D(real)", "D(fake)"}


class Bar(Progress):
    """A bar, and under it a line of numbers: together they fit a terminal of 80 columns."""

    line = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        yield Text(self.line, no_wrap=True, overflow="ellipsis")


class ProgressLine(Callback):
    """The epoch, steps per second, images per second, time left, losses, D(real) and D(fake).

    Args:
        every_steps: In a pipe or a file, steps between two lines.
    """

    def __init__(self, every_steps: PositiveInt = 100) -> None:
        self.every_steps = every_steps
        self.bar: Bar | None = None

    def on_start(self, session: Session) -> None:
        self.begun = self.last = session.clock
        self.text = ""
        if sys.stdout is not None and sys.stdout.isatty():
            self.bar = Bar(
                TextColumn("step {task.fields[step]}"),
                BarColumn(bar_width=16),
                TextColumn("{task.percentage:>3.0f}%"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[speed]}"),
            )
            self.task = self.bar.add_task("", total=1.0, step=session.clock.step, speed="")
            self.bar.start()

    def _speed(self, now: Clock, since: Clock) -> str:
        seconds = max(now.seconds - since.seconds, 1e-9)
        return f"{(now.step - since.step) / seconds:.3g} it/s  {(now.images - since.images) / seconds:.4g} images/s"

    def _time_left(self, session: Session) -> str:
        clock, limits = session.clock, session.trainer.limits
        done = limits.progress(clock) - limits.progress(self.begun)
        left = limits.max_seconds - clock.seconds
        if done > 0:
            spent = clock.seconds - self.begun.seconds
            left = min(left, spent * (1 - limits.progress(clock)) / done)
        if left > LONG:
            return "over a year left"
        minutes, seconds = divmod(int(left), 60)
        return f"{minutes}:{seconds:02d} left"

    def on_step(self, session: Session) -> None:
        clock = session.clock
        if self.bar is not None:
            by_time = clock.seconds / session.trainer.limits.max_seconds
            done = max(session.trainer.limits.progress(clock), min(1.0, by_time))
            speed = self._speed(clock, self.begun)
            self.bar.line = f"epoch {session.trainer.epoch:.2f}  {self.text}"
            self.bar.update(self.task, completed=done, step=clock.step, speed=speed)
        elif clock.step % self.every_steps == 0:
            speed, left = self._speed(clock, self.last), self._time_left(session)
            log.info("step %d  epoch %.2f  %s  %s  %s", clock.step, session.trainer.epoch, speed, left, self.text)
            self.last = clock

    def on_record(self, session: Session, record: Mapping[str, float]) -> None:
        self.text = describe(record) or self.text  # other records keep the last text

    def close(self) -> None:
        if self.bar is not None:
            with suppress(OSError):  # the terminal is gone
                self.bar.stop()
            self.bar = None
