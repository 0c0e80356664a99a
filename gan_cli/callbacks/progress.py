"""How the run is doing: a bar on a terminal or in a notebook, plain lines elsewhere."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress

from rich.console import RenderableType
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from gan_cli import notebook
from gan_cli.callbacks import Callback, Session
from gan_cli.progress import about
from gan_cli.types import Clock, Positive, PositiveInt

log = logging.getLogger(__name__)

LONG = 365 * 24 * 3600.0  # seconds left that are no longer shown as minutes
FIRST = 10.0  # seconds within which something is said of a run
STEPS, SETTLED = 10, 2.0  # steps and seconds that tell the pace
SHORT = 10.0  # seconds left that are not worth a line
PATIENCE = 600.0  # seconds left with which people may want to hear how to be done sooner


def _brief(speed: float) -> str:
    """Two digits, and whole numbers of any size."""
    return f"{speed:.2g}" if speed < 10 else f"{speed:.0f}"


def describe(record: Mapping[str, float]) -> str:
    """The losses and scores of a record, in short."""
    names = {"discriminator/loss": "D loss", "generator/loss": "G loss", "D(real)": "D(real)", "D(fake)": "D(fake)"}
    known = [f"{short} {record[name]:.3f}" for name, short in names.items() if name in record]
    measured = [f"{name} {value:.4g}" for name, value in record.items() if "/" not in name and name not in OTHERS]
    return "  ".join(known + measured)


OTHERS = {"step", "images", "seconds", "epoch", "learning_rate", "D(real)", "D(fake)", "D(accuracy)"}


class Bar(Progress):
    """A bar, and under it a line of numbers: together they fit a terminal of 80 columns."""

    line = ""

    def get_renderables(self) -> Iterable[RenderableType]:
        yield self.make_tasks_table(self.tasks)
        yield Text(self.line, no_wrap=True, overflow="ellipsis")


class ProgressLine(Callback):
    """The epoch, steps per second, images per second, time left, losses, D(real) and D(fake); once, at the beginning of
    a session, how long it will take.

    Args:
        every_steps: In a pipe or a file, also a line after so many steps; null for lines by time only.
        every_seconds: There, the most seconds between two lines; the first comes within ten, and the last step has one.
    """

    def __init__(self, every_steps: PositiveInt | None = None, every_seconds: Positive = 30.0) -> None:
        self.every_steps = every_steps
        self.every_seconds = every_seconds
        self.bar: Bar | None = None
        self.element: notebook.Bar | None = None

    def on_start(self, session: Session) -> None:
        self.begun = self.last = self.warm = session.clock
        self.text = ""
        self.expected = False  # whether it was said how long it will take
        if notebook.shown():
            self.element = notebook.Bar()
        elif sys.stdout is not None and sys.stdout.isatty():
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

    def _left(self, session: Session, since: Clock) -> float:
        """Seconds until the end, at the pace since then."""
        clock, limits = session.clock, session.trainer.limits
        done = limits.progress(clock) - limits.progress(since)
        left = limits.max_seconds - clock.seconds
        if done > 0:
            spent = clock.seconds - since.seconds
            left = min(left, spent * (1 - limits.progress(clock)) / done)
        return left

    def _time_left(self, session: Session) -> str:
        left = self._left(session, self.begun)
        if left > LONG:
            return "over a year left"
        minutes, seconds = divmod(int(max(0.0, left)), 60)
        return f"{minutes}:{seconds:02d} left"

    def _late(self, session: Session, since: Clock, seconds: float) -> bool:
        """Whether another step as long as this one would end later than so many seconds after `since`."""
        now = session.clock.seconds
        return now + (now - session.before.seconds) - since.seconds > seconds

    def _expect(self, session: Session) -> None:
        """Says how long it will take, once ten steps and two seconds, or ten seconds, tell the pace."""
        clock, begun = session.clock, self.begun
        if clock.step == begun.step + 1:
            self.warm = clock  # the first step of a session is slower than the others
        known = clock.step - begun.step >= STEPS and clock.seconds - begun.seconds >= SETTLED
        if self.expected or not (known or self._late(session, begun, FIRST)):
            return
        self.expected = True
        since = self.warm if clock.step > self.warm.step else begun
        left = self._left(session, since)
        if left < SHORT:
            return
        speed = (clock.step - since.step) / max(clock.seconds - since.seconds, 1e-9)
        hint = ""
        if left > PATIENCE and session.trainer.limits.max_seconds == float("inf"):
            hint = f"; trainer.max_minutes={5 + int(begun.seconds // 60)} ends it sooner"
        log.info("%s left on this machine (%s steps/s)%s", about(left), _brief(speed), hint)

    def on_step(self, session: Session) -> None:
        clock = session.clock
        self._expect(session)
        by_time = clock.seconds / session.trainer.limits.max_seconds
        done = max(session.trainer.limits.progress(clock), min(1.0, by_time))
        if self.element is not None:
            self.element.show(done, f"step {clock.step}  {self._time_left(session)}  {self.text}")
        elif self.bar is not None:
            speed = self._speed(clock, self.begun)
            self.bar.line = f"epoch {session.trainer.epoch:.2f}  {self.text}"
            self.bar.update(self.task, completed=done, step=clock.step, speed=speed)
        elif session.due(self.every_steps) or self._late(session, self.last, self._pause):
            self._line(session)

    @property
    def _pause(self) -> float:
        """Seconds until the next line."""
        return self.every_seconds if self.last is not self.begun else min(FIRST, self.every_seconds)

    def _line(self, session: Session) -> None:
        clock = session.clock
        speed, left = self._speed(clock, self.last), self._time_left(session)
        log.info("step %d  epoch %.2f  %s  %s  %s", clock.step, session.trainer.epoch, speed, left, self.text)
        self.last = clock

    def on_end(self, session: Session, status: str) -> None:
        if self.bar is None and self.last.step != session.clock.step:
            self._line(session)

    def on_record(self, session: Session, record: Mapping[str, float]) -> None:
        self.text = describe(record) or self.text  # other records keep the last text

    def close(self) -> None:
        if self.element is not None:
            self.element.close()
            self.element = None
        if self.bar is not None:
            with suppress(OSError):  # the terminal is gone
                self.bar.stop()
            self.bar = None
