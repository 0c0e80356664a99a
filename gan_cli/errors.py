"""What can go wrong, as one family. What the user can fix is a `Refused`; the others are separate.

* Refused(ValueError)          two lines a problem, exit code 2
  * ConfigError                a word, a setting or a config
  * Incompatible               two choices that cannot work together
    * TooFew                   a batch too small for its norm
  * DataError                  images, points or numbers in files
  * NotARun                    neither a run folder nor a checkpoint
  * CheckpointError            a file that is not a whole checkpoint
  * Unsound                    a part of a checkpoint that training does not write
  * WeightsRefused             a file that does not hold the weights of a network
  * WeightsMissing             weights that cannot be found
  * PackageMissing             an optional package that is not installed
  * DetectorMissing            a detector whose package or weights are not installed
  * NotMeasurable              a metric that is meaningless here
  * NotComparable              numbers that were not measured alike
  * NotWritable                a requested file that cannot be written
    * WouldOverwrite           because it is also read
* RunFailed(RuntimeError)      the work failed after it began; exit code 1
  * DiskFull                   there is no space left for what it writes
* NonFinite(ArithmeticError)   why it may fail: infinite or not a number
* NotWritten(OSError)          why it may fail: one of the program's own files; defined in `gan_cli.store.disk`
* Interrupted(KeyboardInterrupt)  the user stopped it; exit code 130

Exceptions that only pass between modules, to be raised again with a name or a path, stay in those modules.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path


def in_words(error: BaseException) -> list[str]:
    """What IPython shows of an error (its `_render_traceback_`): the words that the command line prints, and not where
    in the code; with HYDRA_FULL_ERROR=1 that too."""
    if os.environ.get("HYDRA_FULL_ERROR"):
        return traceback.format_exception(error)
    return [f"{type(error).__name__}: {error}"]


class Refused(ValueError):
    """The user can fix it. `problems` are reported together, a line or two each."""

    _render_traceback_ = in_words

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


class ConfigError(Refused):
    """A word, a setting or a config is wrong."""


class Incompatible(Refused):
    """Two choices that cannot work together; the message names the remedy."""


class TooFew(Incompatible):
    """Batch norm was given one value per channel, which is its own mean."""


class DataError(Refused):
    """The data are missing or not what they should be; the message says what to do."""


class NotARun(Refused):
    """The path is neither a run folder nor a checkpoint."""


class CheckpointError(Refused):
    """The file is not a whole checkpoint of ours: `what` is wrong with it, and what to do, in two lines."""

    def __init__(self, what: str, remedy: str = "copy or fetch it again, or name another checkpoint") -> None:
        self.what = what
        super().__init__(two_lines(what, remedy))


class Unsound(Refused):
    """A part of a checkpoint is not what training writes; the message names it."""


class WeightsRefused(Refused):
    """The file is not what it should be; the message says what to do."""


class WeightsMissing(Refused):
    """The weights cannot be found; the message names file, digest and place."""


class PackageMissing(Refused):
    """An optional package is not installed; the message names it and the extra that holds it."""


class DetectorMissing(Refused):
    """The detector's package or weights are missing; the message says what to install or where to put the file."""


class NotMeasurable(Refused):
    """A metric is meaningless here; the message says why, and what would help."""


class NotComparable(Refused):
    """Numbers that were not measured alike, or not at all."""


class NotWritable(Refused):
    """A file that the user named cannot be written; the message says which, and why."""


class WouldOverwrite(NotWritable):
    """A file that is also read would be overwritten; the message says which, in two lines."""


class RunFailed(RuntimeError):
    """The work failed after it began; the message says what was saved."""

    _render_traceback_ = in_words


class DiskFull(RunFailed):
    """The disk has no space left for what the work writes; the message says what was saved."""


class NonFinite(ArithmeticError):
    """A term became infinite or not a number; the message names it and the step."""


class Interrupted(KeyboardInterrupt):
    """The user stopped the work; progress is saved and the message says how to continue."""

    _render_traceback_ = in_words


def two_lines(what: str, remedy: str) -> str:
    """A problem as it is reported: what is wrong, and below it what to do."""
    return f"{what}\n  {remedy}" if remedy else what


def unknown(setting: str, known: Iterable[str]) -> str:
    """The problem of a setting, as it is typed, whose value is none of those that are known."""
    return two_lines(f"{setting} is unknown", f"choose one of {', '.join(known)}")


def raised_at(error: BaseException) -> str:
    """Where code that is not installed raised an error: file, line and source; empty where none did."""
    installed = (str(Path(__file__).parent), sys.prefix, sys.base_prefix)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith((*installed, "<"))]
    return f"{own[-1].filename}:{own[-1].lineno}: {own[-1].line}" if own else ""
