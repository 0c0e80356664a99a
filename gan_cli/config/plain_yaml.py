"""YAML that a stranger may have written, read as plain data: no tags, aliases or duplicate keys, and bounded; and the
writing of such."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from contextlib import suppress
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.constructor import SafeConstructor
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import Resolver
from yaml.scanner import Scanner

from gan_cli.errors import ConfigError

LARGEST = 100_000  # bytes; a config of gan has about 5,000
DEEPEST = 20  # levels


class NotPlain(ConfigError):
    """The text is not plain YAML; the message says what is in it."""


# By libyaml, where PyYAML was built with it: five times as fast.
_PARSER: Any = (yaml.cyaml.CParser,) if yaml.__with_libyaml__ else (Reader, Scanner, Parser)  # type: ignore[attr-defined]
_DUMPER: Any = yaml.CSafeDumper if yaml.__with_libyaml__ else yaml.SafeDumper


class _Loader(Composer, *_PARSER, SafeConstructor, Resolver):  # type: ignore[misc]
    """Words, numbers, true, false, null, lists and mappings."""

    depth = 0

    def __init__(self, text: str) -> None:
        for part in _Loader.__bases__:
            part.__init__(self, *([text] if part is _PARSER[0] else []))

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


class _Writer(_DUMPER):
    """What `_Loader` reads, and the same to other readers: to some 1e5 is a number, and `y` is true."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def text(self, data: str) -> yaml.ScalarNode:
        quoted = data.lower() in ("y", "n")
        with suppress(ValueError):
            float(data)
            quoted = True
        return self.represent_scalar("tag:yaml.org,2002:str", data, style="'" if quoted else None)


_Writer.add_representer(str, _Writer.text)


def written(config: Mapping[str, Any]) -> str:
    """Plain values as YAML, keys in their order."""
    return str(yaml.dump(dict(config), Dumper=_Writer, default_flow_style=False, allow_unicode=True, sort_keys=False))
