"""Work in threads ahead of its use: a bounded number of results, in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

BATCHES = 2  # made ahead of the one that is shown


class Effort(NamedTuple):
    """What is done at once ahead of its use."""

    threads: int  # read and decode pictures
    batches: int  # are being made


HERE = Effort(threads=min(32, os.cpu_count() or 1), batches=1)
AFAR = Effort(threads=64, batches=8)  # which mostly wait for another machine


@cache
def pool(threads: int) -> ThreadPoolExecutor:
    """The threads that read and decode pictures; Pillow and the system do not hold Python's lock meanwhile."""
    return ThreadPoolExecutor(threads, "pictures")


def in_order(work: Callable[[Item], Result], items: Iterable[Item], threads: int = HERE.threads) -> Iterator[Result]:
    """`map(work, items)` by so many threads. Few results wait: a slow reader of them does not fill the memory."""
    waiting: deque[Future[Result]] = deque()
    try:
        for item in items:
            waiting.append(pool(threads).submit(work, item))
            if len(waiting) > 8 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for each in waiting:
            each.cancel()


class Ahead(Generic[Result]):
    """`make(draw)`, a pure function, with the next draws being made meanwhile. It changes when they are made, and
    nothing else: draws may come in any order.

    Args:
        make: Makes a draw, in a thread of its own; an error is raised where the draw is asked for.
        at_once: Draws that are made at once.
    """

    def __init__(self, make: Callable[[int], Result], at_once: int = HERE.batches) -> None:
        self.make, self.most = make, BATCHES - 1 + at_once
        self.threads = ThreadPoolExecutor(at_once, "batches")
        self.waiting: dict[int, Future[Result]] = {}

    def __call__(self, draw: int) -> Result:
        wanted = range(draw, draw + self.most + 1)
        for other in [other for other in self.waiting if other not in wanted]:
            self.waiting.pop(other).cancel()
        for each in wanted:
            if each not in self.waiting:
                self.waiting[each] = self.threads.submit(self.make, each)
        return self.waiting.pop(draw).result()
