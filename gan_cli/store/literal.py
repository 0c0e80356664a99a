"""Text with a literal `${`, which OmegaConf would otherwise evaluate. It is escaped by a backslash, and the backslashes
before that are doubled; saved configs hold it in this form."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

REFERENCE = re.compile(r"(\\*)\$\{")


def escaped(text: str) -> str:
    """The text in the form that OmegaConf reads literally."""
    return REFERENCE.sub(lambda found: found[1] * 2 + "\\${", text)


def unescaped(text: str) -> str:
    """The inverse of `escaped`."""
    return REFERENCE.sub(lambda found: found[1][: len(found[1]) // 2] + "${", text)


def is_evaluated(text: str) -> bool:
    """Whether OmegaConf would evaluate something in the text."""
    return any(len(found[1]) % 2 == 0 for found in REFERENCE.finditer(text))


def in_all(change: Callable[[str], str], node: Any) -> Any:
    """A config, or a part of one, with every text in it changed; keys stay as they are."""
    if isinstance(node, dict):
        return {name: in_all(change, value) for name, value in node.items()}
    if isinstance(node, list):
        return [in_all(change, value) for value in node]
    return change(node) if isinstance(node, str) else node
