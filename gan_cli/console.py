"""What the program says: plain lines on standard output, warnings on standard error."""

from __future__ import annotations

import logging
import os
import sys


class Console(logging.Handler):
    """Looks the streams up at each line, so that a progress bar or a test may stand in for them."""

    def emit(self, record: logging.LogRecord) -> None:
        warning = record.levelno >= logging.WARNING
        text = f"warning: {record.getMessage()}" if warning else record.getMessage()
        stream = sys.stderr if warning else sys.stdout
        try:
            print(text, file=stream, flush=True)
        except OSError:  # the reader of `gan train | head` goes early, the disk is full; and the work goes on
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def set_up() -> None:
    """Lets the program speak; called once a process by whatever a person started."""
    logger = logging.getLogger("gan_cli")
    if not any(isinstance(handler, Console) for handler in logger.handlers):
        logger.addHandler(Console(logging.INFO))
    logger.setLevel(logging.DEBUG)  # tracebacks go to the log file only
    logger.propagate = False
