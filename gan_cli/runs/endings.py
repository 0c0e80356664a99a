"""What to say when a session fails: the cause, what was saved, and the remedy."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from gan_cli.config import own
from gan_cli.errors import NonFinite, Refused, two_lines
from gan_cli.store import summary
from gan_cli.store.disk import NotWritten, cause, is_full
from gan_cli.store.run import Run, newest_first
from gan_cli.training.runtime import out_of_memory
from gan_cli.training.together import Lost


def told(error: Exception, run: Run, config: Mapping[str, Any]) -> str | None:
    """The message and remedy for a known kind of error; None for any other."""
    if isinstance(error, Refused):  # too late: the work has begun
        what, _, remedy = str(error).partition("\n  ")
        return two_lines(f"{what}; {saved(run)}", remedy)
    if isinstance(error, NonFinite):
        advice = "lower optimizer.lr, add a penalty (penalty=[r1]), or use trainer.precision=float32"
        return two_lines(f"{error}; {saved(run)}", advice)
    if isinstance(error, Lost):
        return two_lines(f"{error}; {saved(run)}", again(run))
    if out_of_memory(error):
        return two_lines(f"there was not enough memory; {saved(run)}", smaller(config))
    if isinstance(error, OSError):
        return two_lines(f"{where(error)}; {saved(run)}", again(run))
    return None


def typed(key: str, run: Run) -> str:
    """`gan train resume=RUN` or `repeat=RUN`, with the words that its config needs."""
    return f"gan train {key}={shlex.quote(str(run.folder))}{own.vouched(run)}"


def again(run: Run) -> str:
    """What to do once the disk is usable again."""
    if newest_first(run.checkpoints):
        return f"once that is fixed, {typed('resume', run)} continues it"
    return f"once that is fixed, {typed('repeat', run) if run.config.is_file() else 'start it again'}"


def where(error: OSError) -> str:
    """The path and the cause, as far as the system named them."""
    if isinstance(error, NotWritten) or error.filename is None:
        return str(error)
    return f"{error.filename}: {cause(error)}"


def lack_of_space(error: Exception) -> dict[str, bool]:
    """What result.json says of a full disk: such a run has not come to its end."""
    return {summary.DISK_FULL: True} if is_full(error) else {}


def smaller(config: Mapping[str, Any]) -> str:
    """What to lower when memory runs out."""
    batch, parts = config["dataset"]["batch_size"], config["trainer"]["micro_batches"]
    width = ", lower model.width" if "width" in config["model"] else ""
    return f"lower dataset.batch_size={batch}, raise trainer.micro_batches={parts}{width}, or take a smaller model"


def saved(run: Run) -> str:
    kept = newest_first(run.checkpoints)
    return f"the last good checkpoint is {kept[-1] if len(kept) == 1 else kept[1]}" if kept else "nothing was saved yet"
