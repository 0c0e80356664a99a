"""How far long work has come: a bar with the time left on a terminal or in a notebook, else a line a minute on standard
error.

A command opens a `display`; whatever takes long within it, at any depth, goes through its items with `tracked`. One
such loop is shown at a time, the outermost. Nothing is said of work that is over within seconds, nor of work that is
done where no display is open, such as a measurement in the middle of training.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, TypeVar

from gan_cli import notebook
from gan_cli.console import printable

if TYPE_CHECKING:
    from rich.progress import Progress

Item = TypeVar("Item")
SOON = 3.0  # seconds of work of which nothing is said
MINUTE = 60.0  # seconds between two lines
UNITS = (("second", 1, 90), ("minute", 60, 90), ("hour", 3600, 36), ("day", 86400, 400))  # name, seconds, most of it


def about(seconds: float) -> str:
    """A duration in words: `about 45 seconds`, `about 28 minutes`, `about 3 hours`, `over a year`."""
    for name, length, most in UNITS:
        count = max(1, round(seconds / length)) if seconds < most * length else 0
        if count:
            return f"about {count} {name}{'s' if count > 1 else ''}"
    return "over a year"


def say(line: str) -> None:
    """A line on standard error, if anybody reads it."""
    with suppress(OSError, AttributeError):
        print(line, file=sys.stderr, flush=True)


class Work:
    """A loop that is being shown.

    Args:
        title: What is done, and to what: "measuring 5000 images".
        total: Items, or parts of them.
        now: The clock, in seconds.
    """

    def __init__(self, title: str, total: int, now: Callable[[], float]) -> None:
        self.title, self.total, self.now = printable(title), total, now
        self.done = 0
        self.begun = self.told = now()
        self.bar: Progress | None = None
        self.element: notebook.Bar | None = None

    @property
    def left(self) -> str:
        """How long it will take at the pace so far."""
        spent = self.now() - self.begun
        return about(spent * max(0, self.total - self.done) / max(1, self.done))

    def advance(self, count: int) -> None:
        """So much more is done."""
        self.done += count
        now = self.now()
        if notebook.shown():
            if now - self.begun >= SOON and self.done < self.total:
                self.element = self.element or notebook.Bar()
                words = f"{self.title}: {self.done} of {self.total}, {self.left} left"
                self.element.show(self.done / max(1, self.total), words)
        elif self.bar is None and sys.stderr is not None and sys.stderr.isatty():
            if now - self.begun >= SOON and self.done < self.total:
                self._start()
        elif self.bar is None and now - self.told >= MINUTE and self.done < self.total:
            self.told = now
            say(f"{self.title}: {self.done} of {self.total}, {self.left} left")
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=self.done, left=self.left)

    def _start(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        columns = (TextColumn("{task.description}", markup=False), BarColumn(bar_width=16), MofNCompleteColumn())
        self.bar = Progress(
            *columns,
            TextColumn("{task.fields[left]} left"),
            console=Console(stderr=True),
            transient=True,
            redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),  # else it is a file, and keeps what it gets
        )
        self.bar.add_task(self.title, total=self.total, left=self.left)
        self.bar.start()

    def close(self) -> None:
        """Takes the bar away."""
        if self.bar is not None:
            with suppress(OSError):  # the terminal is gone
                self.bar.stop()
            self.bar = None
        if self.element is not None:
            self.element.close()
            self.element = None


class Display:
    """Where work is shown, one at a time."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now
        self.work: Work | None = None

    def begin(self, title: str, total: int) -> Work | None:
        """None where other work is being shown."""
        if self.work is not None:
            return None
        self.work = Work(title, total, self.now)
        return self.work

    def end(self, work: Work) -> None:
        work.close()
        if self.work is work:
            self.work = None


_open: ContextVar[Display | None] = ContextVar("display", default=None)


@contextmanager
def display(now: Callable[[], float] = time.monotonic) -> Iterator[None]:
    """Shows the long work that is done within; a bar is gone at the end, however it comes."""
    if _open.get() is not None:
        yield
        return
    opened = Display(now)
    token = _open.set(opened)
    try:
        yield
    finally:
        _open.reset(token)
        if opened.work is not None:
            opened.end(opened.work)


def tracked(
    items: Iterable[Item], total: int, title: str, size: Callable[[Item], int] = lambda item: 1
) -> Iterator[Item]:
    """The items, one after the other, while it is shown how far they have come.

    Args:
        items: Consumed once; each counts as done when the next one is asked for.
        total: The sum of their sizes.
        title: What is done.
        size: How much of the total an item is.
    """
    opened = _open.get()
    work = None if opened is None else opened.begin(title, total)
    if opened is None or work is None:
        yield from items
        return
    try:
        for item in items:
            yield item
            work.advance(size(item))
    finally:
        opened.end(work)
