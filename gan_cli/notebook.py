"""What is different where a notebook shows the output: a bar is an element of the page, not of a terminal."""

from __future__ import annotations

import sys
import time
from html import escape
from typing import Any

PAUSE = 0.2  # seconds between two pictures of a bar


def shown() -> bool:
    """Whether this process is the kernel of a notebook. IPython is not imported to find out."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def bar(done: float, words: str) -> str:
    """HTML: how much of 1 is done, and words beside it."""
    return f'<progress value="{min(max(done, 0.0), 1.0):.4f}"></progress> <code>{escape(words)}</code>'


class Bar:
    """A bar in the output of the cell that runs; it is gone when it is closed."""

    def __init__(self) -> None:
        self.handle: Any = None
        self.drawn = 0.0

    def show(self, done: float, words: str) -> None:
        """The fraction that is done, in words too; not more often than one can see."""
        from IPython.display import HTML, display

        now = time.monotonic()
        if self.handle is None:
            self.handle = display(HTML(bar(done, words)), display_id=True)
        elif now - self.drawn < PAUSE:
            return
        else:
            self.handle.update(HTML(bar(done, words)))
        self.drawn = now

    def close(self) -> None:
        if self.handle is not None:
            from IPython.display import HTML

            self.handle.update(HTML(""))
            self.handle = None
