"""What the program says: plain lines on standard output, warnings on standard error."""

from __future__ import annotations

import codecs
import io
import logging
import re
import sys

from gan_cli.hangup import discard

# What a terminal acts on instead of showing, or shows in another order: control characters except newline and tab,
# bidirectional marks, and bytes of file names that are not UTF-8.
UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff\U000e0000-\U000e007f]"
)

SHOWN = "gan.shown"  # how Python is to call `_in_seven_bits`


def printable(text: str) -> str:
    """Text that may come from a file, made safe to display: an escape character becomes `\\x1b`."""
    return UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], text)


def one_line(text: str) -> str:
    """Text that may come from a file, on one line."""
    return printable(text).replace("\n", "\\n").replace("\t", " ")


def size(count: float) -> str:
    """Bytes as people read them: 340 MB."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while count >= 999.5 and len(units) > 1:
        count /= 1000
        del units[0]
    return f"{count:.3g} {units[0]}"


def duration(seconds: float) -> str:
    """A time in its largest unit: 3 d."""
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


class Plain(logging.Formatter):
    """Lines of a log file, made safe to display; tracebacks also quote the contents of files."""

    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record))


class Console(logging.Handler):
    """Looks up the streams at each line, so that a progress bar or a test can replace them."""

    aside = False  # whether standard output is taken
    lost: OSError | None = None  # why lines were not written, where somebody still waits for them

    def emit(self, record: logging.LogRecord) -> None:
        warning = record.levelno >= logging.WARNING
        message = printable(record.getMessage())
        text = f"warning: {message}" if warning else message
        stream = sys.stderr if warning or self.aside else sys.stdout
        try:
            print(text, file=stream, flush=True)
        except OSError as error:  # the reader of `gan train | head` has gone, or the disk is full; work continues
            if not isinstance(error, BrokenPipeError):
                self.lost = error
            discard(stream.fileno())


def show_all() -> None:
    """From now on what the encoding of standard output has no place for is shown as `\\u2603`, and ends nothing.

    Standard error does so by itself. A sign between a value and its error stays readable.
    """
    codecs.register_error(SHOWN, _in_seven_bits)
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors in ("strict", "surrogateescape"):
        sys.stdout.reconfigure(errors=SHOWN)


def _in_seven_bits(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    part = error.object[error.start : error.end].replace("±", "+-")
    return part.encode("ascii", "backslashreplace").decode(), error.end


def set_up(aside: bool = False) -> None:
    """Sets up logging; called once per process by the program that the user started.

    Args:
        aside: Standard output carries a file that the user asked for, so all messages go to standard error.
    """
    logger = logging.getLogger("gan_cli")
    if not any(isinstance(handler, Console) for handler in logger.handlers):
        logger.addHandler(Console(logging.INFO))
    for handler in logger.handlers:
        if isinstance(handler, Console):
            handler.aside, handler.lost = aside, None
    logger.setLevel(logging.DEBUG)  # tracebacks go only to the log file
    logger.propagate = False


def lost() -> OSError | None:
    """Why lines were not written, where somebody still waits for them."""
    handlers = logging.getLogger("gan_cli").handlers
    return next((handler.lost for handler in handlers if isinstance(handler, Console) and handler.lost), None)


def silence() -> None:
    """Nothing is said here: another process of the run speaks for all."""
    logger = logging.getLogger("gan_cli")
    logger.handlers[:] = [logging.NullHandler()]
    logger.setLevel(logging.DEBUG)
    logger.propagate = False


def is_aside() -> bool:
    """Whether messages go to standard error."""
    return any(isinstance(handler, Console) and handler.aside for handler in logging.getLogger("gan_cli").handlers)
