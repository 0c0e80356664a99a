"""How many files a file of one's own includes by its defaults list, which Hydra reads one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from gan_cli.errors import ConfigError, two_lines

MOST = 1000  # files that one may include, by way of others too; each is counted as often as it is included
LARGEST = 2**20  # bytes of a file
LOADER = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
WORDS = ("override ", "optional ")


class Included:
    """What the files in these folders include."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self.folders = folders
        self.counts: dict[str, int] = {}

    def check(self, path: Path) -> None:
        """Raises ConfigError where one of the files includes too many."""
        name = next((self._named(path, folder) for folder in self.folders if path.is_relative_to(folder)), None)
        try:
            many = name is not None and self._count(name) > MOST
        except RecursionError:  # which Hydra tells, if it is asked for
            return
        if many:
            what = f"{path}: its defaults list includes more than {MOST:,} files, by way of others"
            raise ConfigError(two_lines(what, "let it include each of them once"))

    def _named(self, path: Path, folder: Path) -> str:
        return path.relative_to(folder).with_suffix("").as_posix()

    def _count(self, name: str) -> int:
        """The files that a file comes to; not much more than MOST where there are more."""
        if name not in self.counts:
            self.counts[name] = 0  # where it leads back to itself, which Hydra tells
            count = 1
            for item in self._defaults(name):
                for group, choice in _items(item):
                    count += max(map(self._count, self._meant(PurePosixPath(name).parent, group, choice)), default=0)
                if count > MOST:
                    break
            self.counts[name] = count
        return self.counts[name]

    def _meant(self, home: PurePosixPath, group: str, choice: str) -> Iterator[str]:
        """The files that may be meant: all of the group where another setting says which."""
        place = home / group  # an absolute group replaces the home
        relative = place.relative_to("/") if place.is_absolute() else place
        if "${" not in choice:
            yield (relative / choice.removesuffix(".yaml")).as_posix()
            return
        for folder in self.folders:
            yield from map(partial(self._named, folder=folder), (folder / relative).glob("*.yaml"))

    def _defaults(self, name: str) -> list[Any]:
        """The defaults list of a file; empty where it has none, or nobody can read it."""
        path = next((file for folder in self.folders if (file := folder / f"{name}.yaml").is_file()), None)
        if path is None:
            return []  # a packaged one
        try:
            with path.open("rb") as opened:
                content = opened.read(LARGEST + 1)
            found = yaml.load(content, Loader=LOADER) if b"defaults" in content and len(content) <= LARGEST else None
        except (OSError, ValueError, RecursionError, yaml.YAMLError):
            return []
        listed = found.get("defaults") if isinstance(found, dict) else None
        return listed if isinstance(listed, list) else []


def _items(item: object) -> Iterator[tuple[str, str]]:
    """The groups and choices of an item of a defaults list: `/loss@package: [a, b]` is of `/loss`, `a` and `b`."""
    if isinstance(item, str) and item != "_self_":
        group, _, choice = _plain(item).rpartition("/")
        yield (group or "/" if item.startswith("/") else group), choice
    if isinstance(item, dict):
        for key, value in item.items():
            for choice in value if isinstance(value, list) else [value]:
                if isinstance(choice, str):
                    yield _plain(str(key)), choice


def _plain(word: str) -> str:
    for first in WORDS:
        word = word.removeprefix(first)
    return word.partition("@")[0].strip()
