"""Targets that have moved: saved configs and checkpoints hold the names of parts, so an old name is never forgotten."""

from __future__ import annotations

from collections.abc import Mapping

# Old target -> today's, which takes the same settings.
RENAMED: Mapping[str, str] = {}


def current(target: str) -> str:
    """Today's name of a part."""
    return RENAMED.get(target, target)
