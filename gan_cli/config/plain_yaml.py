"""YAML that a stranger may have written, read as plain data: no tags, aliases or duplicate keys, and bounded."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

from gan_cli.errors import ConfigError

LARGEST = 100_000  # bytes; a config of gan has about 5,000
DEEPEST = 20  # levels


class NotPlain(ConfigError):
    """The text is not plain YAML; the message says what is in it."""


class _Loader(yaml.SafeLoader):
    """Words, numbers, true, false, null, lists and mappings."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise NotPlain(f"an anchor or an alias (line {event.start_mark.line + 1})")
        if getattr(event, "tag", None) is not None:
            raise NotPlain(f"the tag {event.tag} (line {event.start_mark.line + 1})")
        self.depth += 1
        if self.depth > DEEPEST:
            raise NotPlain(f"more than {DEEPEST} levels")
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        found = super().construct_mapping(node, deep)
        keys = [key.value for key, _ in node.value]
        if len(found) < len(keys):
            raise NotPlain(f"a duplicate key: {next(key for key in keys if keys.count(key) > 1)}")
        for key in found:
            if not isinstance(key, str):
                raise NotPlain(f"a key that is not a word: {key}")
        return found


# Dates, sets, binary data and << have no meaning here: what looks like one is a string.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, found) for tag, found in resolvers if tag.rpartition(":")[2] in ("bool", "int", "float", "null")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(content: bytes) -> Any:
    """The content of the text. Raises NotPlain for anything but plain YAML in UTF-8."""
    if len(content) > LARGEST:
        raise NotPlain(f"more than {LARGEST} bytes")
    try:
        return yaml.load(content.decode(), Loader=_Loader)
    except UnicodeDecodeError as error:
        raise NotPlain(f"bytes that are not UTF-8 (at {error.start})") from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise NotPlain(f"no YAML: {getattr(error, 'problem', None) or 'it cannot be read'}{where}") from error
    except NotPlain:
        raise
    except ValueError as error:  # a number of thousands of digits
        raise NotPlain(str(error)) from error
