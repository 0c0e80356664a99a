"""What the program says: plain lines on standard output, warnings on standard error."""

from __future__ import annotations

import logging
import os
import re
import sys

# What a terminal obeys instead of showing, or shows in another order: control characters but for the newline and the
# tab, marks of direction, and bytes of file names that are no UTF-8.
UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)


def printable(text: str) -> str:
    """Text that may come out of a file, as it can be shown: `\\x1b` stands for an escape character."""
    return UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


class Plain(logging.Formatter):
    """Lines of a log file, as they can be shown; tracebacks quote what was in files too."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class Console(logging.Handler):
    """Looks the streams up at each line, so that a progress bar or a test may stand in for them."""

    aside = False  # whether standard output is somebody else's

    def emit(self, record: logging.LogRecord) -> None:
        warning = record.levelno >= logging.WARNING
        message = printable(record.getMessage())
        text = f"warning: {message}" if warning else message
        stream = sys.stderr if warning or self.aside else sys.stdout
        try:
            print(text, file=stream, flush=True)
        except OSError:  # the reader of `gan train | head` goes early, the disk is full; and the work goes on
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def set_up(aside: bool = False) -> None:
    """Lets the program speak; called once a process by whatever a person started.

    Args:
        aside: Standard output carries a file that the user asked for, so that all words go to standard error.
    """
    logger = logging.getLogger("gan_cli")
    if not any(isinstance(handler, Console) for handler in logger.handlers):
        logger.addHandler(Console(logging.INFO))
    for handler in logger.handlers:
        if isinstance(handler, Console):
            handler.aside = aside
    logger.setLevel(logging.DEBUG)  # tracebacks go to the log file only
    logger.propagate = False
