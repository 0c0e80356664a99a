"""Plain YAML. A stranger may have written what is read: it is data only, without tags, aliases or duplicate keys, and
bounded."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from contextlib import suppress
from typing import Any

import yaml
from yaml.composer import Composer

from gan_cli.errors import ConfigError
from gan_cli.store import literal

LARGEST = 100_000  # bytes; a config of gan has about 5,000
DEEPEST = 20  # levels


class NotPlain(ConfigError):
    """The text is not plain YAML; the message says what is in it."""


class _Checks:
    """Lets through words, numbers, true, false, null, lists and mappings."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[attr-defined]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise NotPlain(f"an anchor or an alias (line {event.start_mark.line + 1})")
        if getattr(event, "tag", None) is not None:
            raise NotPlain(f"the tag {event.tag} (line {event.start_mark.line + 1})")
        self.depth += 1
        if self.depth > DEEPEST:
            raise NotPlain(f"more than {DEEPEST} levels")
        node: yaml.Node | None = super().compose_node(parent, index)  # type: ignore[misc]
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        found: dict[Hashable, Any] = super().construct_mapping(node, deep)  # type: ignore[misc]
        keys = [key.value for key, _ in node.value]
        if len(found) < len(keys):
            raise NotPlain(f"a duplicate key: {next(key for key in keys if keys.count(key) > 1)}")
        for key in found:
            if not isinstance(key, str):
                raise NotPlain(f"a key that is not a word: {key}")
        return found


class _Loader(_Checks, yaml.SafeLoader):
    """In Python."""


# Dates, sets, binary data and << have no meaning here: what looks like one is a string.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, found) for tag, found in resolvers if tag.rpartition(":")[2] in ("bool", "int", "float", "null")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _fast_loader() -> Any:
    """By libyaml, where PyYAML was built with it: five times as fast."""
    if not yaml.__with_libyaml__:
        return _Loader

    class Loader(_Checks, Composer, yaml.CSafeLoader):
        yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers

        def __init__(self, text: str) -> None:
            yaml.CSafeLoader.__init__(self, text)
            Composer.__init__(self)

    return Loader


_FAST_LOADER = _fast_loader()


def _parsed(text: str) -> Any:
    """By libyaml; what that refuses, by Python, which takes an escaped lone surrogate (of a name that is not UTF-8)."""
    try:
        return yaml.load(text, Loader=_FAST_LOADER)
    except yaml.YAMLError:
        return yaml.load(text, Loader=_Loader)


def read(content: bytes) -> Any:
    """The content of the text. Raises NotPlain for anything but plain YAML in UTF-8."""
    if len(content) > LARGEST:
        raise NotPlain(f"more than {LARGEST} bytes")
    try:
        return _parsed(content.decode())
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


class _Words:
    """Quotes text that some reader would take for something else: 1e5 for a number, `y` for true."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def text(self: Any, data: str) -> yaml.ScalarNode:
        quoted = data.lower() in ("y", "n")
        with suppress(ValueError):
            float(data)
            quoted = True
        node: yaml.ScalarNode = self.represent_scalar("tag:yaml.org,2002:str", data, style="'" if quoted else None)
        return node


class _Writer(_Words, yaml.SafeDumper):
    """In Python."""


class _FastWriter(_Words, getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """By libyaml: ten times as fast."""


for _kind in (_Writer, _FastWriter):
    _kind.add_representer(str, _Words.text)


def written(config: Mapping[str, Any]) -> str:
    """Plain values as YAML, keys in their order; text that holds `${` is escaped, so that nothing evaluates it."""
    config = literal.in_all(literal.escaped, dict(config))

    def by(kind: Any) -> str:
        return str(yaml.dump(dict(config), Dumper=kind, default_flow_style=False, allow_unicode=True, sort_keys=False))

    try:
        return by(_FastWriter)
    except UnicodeEncodeError:  # a lone surrogate, which the writer in Python escapes
        return by(_Writer)
