"""The user's own files of configs, looked at before Hydra reads them: whether it can, and whether they end."""

from __future__ import annotations

import itertools
import os
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

import yaml
from yaml.reader import Reader

from gan_cli.config.choices import config_dirs, packaged
from gan_cli.config.included import LARGEST, LOADER, Included
from gan_cli.config.words import parse, readable
from gan_cli.errors import ConfigError, two_lines

MOST_FILES = 10_000
MOST_NODES = 100_000  # values in a file, those that aliases repeat counted each time
SEARCHPATH = "hydra.searchpath="
UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def check(overrides: Sequence[str], flags: Sequence[str]) -> None:
    """Raises ConfigError for files of groups, in the folders that the words name, which nobody can read."""
    folders = [*map(Path, config_dirs(flags)), *_searched(overrides)]
    files = list(itertools.islice((path for folder in folders for path in _files(folder)), MOST_FILES))
    problems = [problem for path in files for problem in _problems(path)]
    if problems:
        raise ConfigError(*problems)
    included = Included(folders)
    for path in files:
        included.check(path)


def _searched(overrides: Sequence[str]) -> Iterator[Path]:
    """The folders that `hydra.searchpath=[...]` names."""
    for word in overrides:
        if word.lstrip("+").startswith(SEARCHPATH):
            override = parse(readable(word))
            value = None if override is None else override.value()
            for name in value if isinstance(value, list) else ():
                if "://" not in str(name) or str(name).startswith("file://"):
                    yield Path(str(name).removeprefix("file://"))


def _files(folder: Path) -> Iterator[Path]:
    """The files of the packaged groups; a folder may hold anything else beside them."""
    for group in sorted({*(name.partition("/")[0] for name in packaged()), "hydra"}):
        for place, _, names in os.walk(folder / group):
            yield from (Path(place) / name for name in sorted(names) if name.endswith((".yaml", ".yml")))


def _problems(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
    except OSError:
        return []  # which Hydra tells, if it is asked for
    if len(content) > LARGEST:
        return [two_lines(f"{path} has more than {LARGEST:,} bytes", "divide it; a config is a few lines of settings")]
    if content.startswith(UTF_16):
        return [two_lines(f"{path} is UTF-16, not UTF-8", _converted(path, "UTF-16"))]
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        return [two_lines(f"{path} is not UTF-8 (line {line})", _converted(path, "LATIN1"))]
    strange = Reader.NON_PRINTABLE.search(text)
    if strange is not None:
        line = text.count("\n", 0, strange.start()) + 1
        return [two_lines(f"{path} holds the character {ord(strange[0])} (line {line})", "a config is text: remove it")]
    if b"*" in content and b"&" in content and _values(text) > MOST_NODES:
        return [
            two_lines(f"{path}: its aliases (*name) repeat more than {MOST_NODES:,} values", "write out what they mean")
        ]
    return []


def _converted(path: Path, encoding: str) -> str:
    name = shlex.quote(str(path))
    return f"save it as UTF-8: iconv -f {encoding} -t UTF-8 {name} > x && mv x {name}"


def _values(text: str) -> int:
    """How many values a YAML text comes to; not much more than MOST_NODES where there are more."""
    anchors: dict[str, int] = {}
    open_at: list[tuple[str | None, int]] = []  # of each list or mapping around: its anchor, the values before it
    count = 0
    try:
        for event in yaml.parse(text, Loader=LOADER):
            if isinstance(event, yaml.AliasEvent):
                count += anchors.get(event.anchor or "", 1)
            elif isinstance(event, yaml.CollectionStartEvent):
                open_at.append((event.anchor, count))
                count += 1
            elif isinstance(event, yaml.CollectionEndEvent):
                anchor, before = open_at.pop()
                if anchor is not None:
                    anchors[anchor] = count - before
            elif isinstance(event, yaml.ScalarEvent):
                count += 1
                if event.anchor is not None:
                    anchors[event.anchor] = len(event.value) // 100 + 1
            if count > MOST_NODES:
                break
    except yaml.YAMLError:  # which Hydra tells, if it is asked for
        return 0
    return count
