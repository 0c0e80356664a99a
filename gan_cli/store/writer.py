"""Writing in the background: work goes on while a file is written, and nothing that was handed over is lost."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread


class Writer:
    """Does one piece of work at a time in a thread of its own.

    The thread is no daemon: a process that ends any way but killed waits for it. Whoever hands over work gets the error
    of the piece before, so it has to `wait` for the last.
    """

    def __init__(self) -> None:
        self._thread: Thread | None = None
        self._error: BaseException | None = None

    def submit(self, work: Callable[[], object]) -> None:
        """Begins `work` once the piece before is done. Raises the error of that piece."""
        self.wait()
        self._thread = Thread(target=self._do, args=(work,), name="writer")
        self._thread.start()

    def check(self) -> None:
        """Raises the error of work that has failed; does not wait."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def wait(self) -> None:
        """Until all is done. Raises the error of work that has failed."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.check()

    def _do(self, work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            self._error = error
