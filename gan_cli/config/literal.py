"""Text that holds ${ and means it: OmegaConf would evaluate that. A backslash before it prevents this, and backslashes
before that one are then doubled. Saved configs keep such text so."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

REFERENCE = re.compile(r"(\\*)\$\{")


def escaped(text: str) -> str:
    """The text as OmegaConf reads it literally."""
    return REFERENCE.sub(lambda found: found[1] * 2 + "\\${", text)


def unescaped(text: str) -> str:
    """What `escaped` was given."""
    return REFERENCE.sub(lambda found: found[1][: len(found[1]) // 2] + "${", text)


def is_evaluated(text: str) -> bool:
    """Whether OmegaConf would evaluate something in the text."""
    return any(len(found[1]) % 2 == 0 for found in REFERENCE.finditer(text))


def in_all(change: Callable[[str], str], node: Any) -> Any:
    """A config, or a part of one, with a change to every text in it; names stay."""
    if isinstance(node, dict):
        return {name: in_all(change, value) for name, value in node.items()}
    if isinstance(node, list):
        return [in_all(change, value) for value in node]
    return change(node) if isinstance(node, str) else node
