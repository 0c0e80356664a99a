"""Work in threads ahead of its use: a bounded number of results, in order."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import Generic, TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")

THREADS = min(32, os.cpu_count() or 1)
BATCHES = 2  # made ahead of the one that is shown


@cache
def pool() -> ThreadPoolExecutor:
    """The threads that read and decode pictures; Pillow and the system do not hold Python's lock meanwhile."""
    return ThreadPoolExecutor(THREADS, "pictures")


def in_order(work: Callable[[Item], Made], items: Iterable[Item], ahead: int = 8 * THREADS) -> Iterator[Made]:
    """`map(work, items)`, with at most so many results waiting: a slow reader of them does not fill the memory."""
    waiting: deque[Future[Made]] = deque()
    try:
        for item in items:
            waiting.append(pool().submit(work, item))
            if len(waiting) > ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for each in waiting:
            each.cancel()


class Ahead(Generic[Made]):
    """`make(draw)`, a pure function, with the next draws being made meanwhile. It changes when they are made, and
    nothing else: draws may come in any order.

    Args:
        make: Made in a thread of its own; an error is raised where the draw is asked for.
        most: Draws made ahead.
    """

    def __init__(self, make: Callable[[int], Made], most: int = BATCHES) -> None:
        self.make, self.most = make, most
        self.thread = ThreadPoolExecutor(1, "batches")
        self.waiting: dict[int, Future[Made]] = {}

    def __call__(self, draw: int) -> Made:
        wanted = range(draw, draw + self.most + 1)
        for other in [other for other in self.waiting if other not in wanted]:
            self.waiting.pop(other).cancel()
        for each in wanted:
            if each not in self.waiting:
                self.waiting[each] = self.thread.submit(self.make, each)
        return self.waiting.pop(draw).result()
