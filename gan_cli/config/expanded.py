"""How much the interpolations of a config come to, before anything resolves them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from gan_cli.config.unread import strings
from gan_cli.errors import ConfigError, two_lines

MOST = 1_000_000  # characters that one setting may come to
REMEDY = "let settings refer to fewer others, which refer to others in turn"
NAMED = re.compile(r"(?<![\w.])(\.*)([A-Za-z_][\w.\[\]-]*)")
PART = re.compile(r"[^.\[\]]+")


def check(config: Mapping[str, Any]) -> None:
    """Raises ConfigError where a setting of an unresolved config refers to so much, by way of others too, that it would
    fill the memory."""
    sizes: dict[str, int] = {}
    for name, text in strings(config):
        try:
            if "${" in text:
                _size(config, name, sizes)
        except RecursionError:
            what = f"{name} refers to another setting, and that to another, endlessly"
            raise ConfigError(two_lines(what, REMEDY)) from None


def _size(config: Mapping[str, Any], name: str, sizes: dict[str, int]) -> int:
    """At least the characters of a setting, or of all below it, once they are resolved."""
    if name not in sizes:
        sizes[name] = 0  # where it leads back to itself, which is told when it is resolved
        size = 0
        for inner, text in strings(_at(config, name), name):
            if inner != name:
                size += _size(config, inner, sizes)
                continue
            size += len(text)
            if "${" in text:
                size += sum(_size(config, other, sizes) for other in _others(text, name))
        if size > MOST:
            what = f"{name}: what its ${{...}} refer to comes to more than {MOST:,} characters"
            raise ConfigError(two_lines(what, REMEDY))
        sizes[name] = size
    return sizes[name]


def _others(text: str, name: str) -> list[str]:
    """The settings that a text may refer to; a relative one begins with the dots of its level."""
    found = []
    for dots, other in NAMED.findall(text[text.index("${") :]):
        parts = PART.findall(name)
        above = ".".join(parts[: len(parts) - len(dots)]) if dots else ""
        found.append(f"{above}.{other}".lstrip("."))
    return found


def _at(config: Any, name: str) -> Any:
    """The node of that name; None where there is none."""
    node = config
    for part in PART.findall(name):
        if isinstance(node, Mapping):
            node = node.get(part)
        elif isinstance(node, list) and part.isdecimal() and int(part) < len(node):
            node = node[int(part)]
        else:
            return None
    return node
