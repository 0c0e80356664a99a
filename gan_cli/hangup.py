"""A terminal that is closed: the signal that tells of it, and output that nobody takes any more."""

from __future__ import annotations

import os
import signal
import stat
from contextlib import suppress

HANGUP = getattr(signal, "SIGHUP", signal.SIGTERM)  # not on Windows


def heard(*numbers: int) -> list[int]:
    """Those of the signals that end a program: one started by `nohup` ignores the closing of its terminal."""
    return [n for n in dict.fromkeys(numbers) if n != HANGUP or signal.getsignal(n) != signal.SIG_IGN]


def discard(descriptor: int) -> None:
    """What is still to be written there goes nowhere, so that it cannot fail, now or at the end of the process."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def let_go_of_a_terminal_that_is_gone() -> None:
    """Discards further output, so that it cannot fail and end the work another way."""
    for descriptor in (1, 2):
        with suppress(OSError):
            if stat.S_ISCHR(os.fstat(descriptor).st_mode) and not os.isatty(descriptor):
                discard(descriptor)
