"""Which configs were composed on this machine by this user: what a file says of places is believed for these alone.

A run folder or a checkpoint may come from anybody, and nothing in it can say that it does not. What tells is kept
outside: the digest of each config that a run here began with, one empty file each in the cache.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def _mark(text: str) -> Path:
    cache = Path(os.environ.get("GAN_CACHE") or "~/.cache/gan").expanduser()
    return cache / "own" / hashlib.sha256(text.encode()).hexdigest()


def remember(text: str) -> None:
    """Notes that this config was composed here. Where that cannot be kept, its places will have to be repeated."""
    try:
        mark = _mark(text)
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except (OSError, RuntimeError):  # no home folder
        return


def is_own(text: str) -> bool:
    """Whether a run here began with this config, to the letter."""
    try:
        return _mark(text).is_file()
    except (OSError, RuntimeError):
        return False
