"""Where a user says that something is: in a folder, or at the address of another machine."""

from __future__ import annotations

import re
from pathlib import Path

ADDRESS = re.compile(r"https?://", re.IGNORECASE)


def is_address(place: str) -> bool:
    """Whether it is the address of another machine, `http://...` or `https://...`."""
    return ADDRESS.match(place) is not None


def anchored(place: str) -> str:
    """The place as it is found from any folder: addresses and `~/...` as they are, paths absolute."""
    return place if is_address(place) or place.startswith("~") else str(Path(place).absolute())
