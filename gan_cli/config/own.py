"""Which configs were composed on this machine by this user: only their paths are trusted.

A run folder or a checkpoint may come from anybody, and nothing inside it can prove that it does not. The evidence is
kept outside: one empty file in the cache for each config that a run here started with, named by the config's digest.
"""

from __future__ import annotations

import hashlib
import logging
import shlex
from pathlib import Path

from gan_cli.store import caches, summary
from gan_cli.store.disk import cause
from gan_cli.store.run import Run

log = logging.getLogger(__name__)


def _mark(text: str) -> Path:
    return caches.home() / "own" / hashlib.sha256(text.encode()).hexdigest()


def remember(text: str) -> None:
    """Notes that this config was composed here. If that cannot be stored, the user is told to repeat its paths."""
    try:
        mark = _mark(text)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except (OSError, RuntimeError) as error:  # no home folder
        reason = cause(error) if isinstance(error, OSError) else str(error)
        log.warning(
            "this run cannot be marked as yours in $GAN_CACHE (%s): later commands will ask for the paths of its data "
            "and weights, as for a run from elsewhere",
            reason,
        )


def is_own(text: str) -> bool:
    """Whether a run here started with exactly this config."""
    try:
        return _mark(text).is_file()
    except (OSError, RuntimeError):
        return False


def vouched(run: Run) -> str:
    """`trusted_in` of a run: what a command that names the run needs beside it."""
    return trusted_in(run.config, summary.read(str(run.manifest)).get("command"))


def trusted_in(config: Path, command: object) -> str:
    """A space and the `trust=` words of the command that began a run, where it began here; else nothing."""
    try:
        words = shlex.split(command) if isinstance(command, str) and is_own(config.read_text(encoding="utf-8")) else []
    except (OSError, ValueError):
        return ""
    return "".join(f" {shlex.quote(word)}" for word in words if word.startswith("trust="))
