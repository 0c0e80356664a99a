"""What the program says: plain lines on standard output, warnings on standard error."""

from __future__ import annotations

import logging
import os
import sys


class Console(logging.Handler):
    """Looks the streams up at each line, so that a progress bar or a test may stand in for them."""

    aside = False  # whether standard output is somebody else's

    def emit(self, record: logging.LogRecord) -> None:
        warning = record.levelno >= logging.WARNING
        text = f"warning: {record.getMessage()}" if warning else record.getMessage()
        stream = sys.stderr if warning or self.aside else sys.stdout
        try:
            print(text, file=stream, flush=True)
        except BrokenPipeError:  # of `gan train | head` the reader goes early, and the work goes on
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
