"""What conf/ offers, read from its files: groups, their choices, settings of commands. Light to import."""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import deepcopy
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import yaml

# Settings that are text, by the last part of their names: their values are never read as numbers or booleans.
TEXT = frozenset(
    (
        *(
            "name",
            "init_from",
            "resume",
            "repeat",
            "checkpoint",
            "reference",
            "root",
            "out",
            "json",
            "weights",
            "cache",
            "storage",
            "study",
        ),
        *("image", "latent", "towards", "repository", "device", "dir", "subdir", "runtime"),
    )
)
TEXTS = frozenset(("tags",))  # settings that are lists of text
RUNS = frozenset(("resume", "repeat", "init_from"))  # settings that name a run
REFERENCE = "reference"  # the setting that names a data set and a split: cifar10:train
SPLITS = re.compile(r"split (\w+(?: \| \w+)+)")  # in the description of a data set
CONFIG_DIR = ("--config-dir", "-cd")  # names a folder of the user's own configs
LINE = re.compile(r"^([a-z_]+): *(.*?)(?: +# *(.*))?$")
NESTED = re.compile(r"^( *)(\w+):(?: +(.*?))??(?: +# *(.*))?$")  # indentation, name, value, comment
PACKAGE = re.compile(r"^# *@package +(\S+) *$", flags=re.MULTILINE)  # where a file's settings are put


class Offer(NamedTuple):
    """What one command takes."""

    settings: tuple[str, ...]  # top-level names that are settings
    groups: dict[str, Any]  # group -> its default: a choice, a list of choices where several may be chosen, or None


def conf_dir() -> str:
    """The packaged configs of an installed gan, or those of the source checkout."""
    here = Path(__file__).resolve().parents[1]
    folder = here / "conf" if (here / "conf").is_dir() else here.parent / "conf"
    return str(folder)


def config_groups(folder: Path) -> dict[str, list[str]]:
    """Group -> choices, from the folders and files of conf/; names that begin with _ are for inclusion only."""
    groups: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*.yaml")):
        group = path.parent.relative_to(folder).as_posix()
        if group != "." and not path.stem.startswith("_"):
            groups.setdefault(group, []).append(path.stem)
    return groups


@cache
def offers() -> dict[str, Offer]:
    """Command -> what it takes, from the packaged files, which do not change while the program runs."""
    return {path.stem: _offer(path) for path in sorted(Path(conf_dir()).glob("*.yaml"))}


def own(command: str) -> dict[str, Any]:
    """The content of a command's own file."""
    return dict(_content(f"{command}.yaml"))


@cache
def _parsed(conf: str, file: str) -> Any:
    return yaml.safe_load((Path(conf) / file).read_text(encoding="utf-8"))


def _content(file: str) -> Any:
    """The content of a packaged file, the caller's to change; parsed once, which takes far longer than a copy."""
    return deepcopy(_parsed(conf_dir(), file))


def _offer(path: Path) -> Offer:
    content = own(path.stem)
    entries = [entry for entry in content["defaults"] if isinstance(entry, dict)]
    groups = {group: choice for entry in entries for group, choice in entry.items() if "override" not in group}
    return Offer(tuple(key for key in content if key not in ("defaults", "hydra")), groups)


@cache
def packaged() -> dict[str, list[str]]:
    """Group -> choices of the packaged files."""
    return config_groups(Path(conf_dir()))


def config_dirs(words: Sequence[str]) -> list[str]:
    """The folders named by `--config-dir FOLDER` or `--config-dir=FOLDER` among the words."""
    named = [folder for flag, folder in pairwise(words) if flag in CONFIG_DIR]
    return named + [word.partition("=")[2] for word in words if word.startswith(f"{CONFIG_DIR[0]}=")]


def available(words: Sequence[str] = ()) -> dict[str, list[str]]:
    """Group -> choices, from the packaged files and from the folders that the words name."""
    found = dict(packaged())
    for folder in map(Path, config_dirs(words)):
        for group, names in config_groups(folder).items() if folder.is_dir() else ():
            found[group] = sorted({*found.get(group, []), *names})
    return found


def described(file: str) -> tuple[str, list[tuple[str, str, str]]]:
    """The first comment of a packaged file, and its top-level settings: name, value as written, comment."""
    lines = (Path(conf_dir()) / file).read_text(encoding="utf-8").splitlines()
    rows = [found for line in lines if (found := LINE.match(line)) and found[1] not in ("defaults", "hydra")]
    return lines[0].lstrip("# "), [(row[1], row[2], row[3] or "") for row in rows]


def comments(group: str, choice: str) -> dict[str, str]:
    """The comments beside the settings of a packaged choice, by their dotted names in a whole config; group "" for a
    command's own file."""
    file = Path(conf_dir()) / group / f"{choice}.yaml"
    content = yaml.safe_load(file.read_text(encoding="utf-8")) if group else {}
    included = [name for name in (content or {}).get("defaults", ()) if isinstance(name, str) and name != "_self_"]
    found: dict[str, str] = {}
    for name, _, place in (entry.partition("@") for entry in included):
        own, below = prefix(group, name), prefix(group, choice) + (f"{place}." if place else "")
        found |= {below + key.removeprefix(own): says for key, says in comments(group, name).items()}
    above: list[tuple[int, str]] = []  # the mappings around a line, by indentation
    for line in file.read_text(encoding="utf-8").splitlines():
        if row := NESTED.match(line):
            above = [(depth, name) for depth, name in above if depth < len(row[1])]
            above.append((len(row[1]), row[2]))
            if row[4]:
                found[prefix(group, choice) + ".".join(name for _, name in above)] = row[4]
    return found


def default(group: str) -> Any:
    """A group's default, in the command that has it: a choice, a list where several may be chosen, or None."""
    return next((offer.groups[group] for offer in offers().values() if group in offer.groups), None)


def owner(group: str) -> str | None:
    """The command that has the group."""
    return next((command for command, offer in offers().items() if group in offer.groups), None)


def references() -> list[str]:
    """NAME:SPLIT of every packaged data set of images."""
    found = []
    for name in packaged()["dataset"]:
        text = (Path(conf_dir()) / "dataset" / f"{name}.yaml").read_text(encoding="utf-8")
        told = SPLITS.search(text.partition("\n")[0])
        splits = told[1].split(" | ") if told else ["train", "test"]
        found += [f"{name}:{split}" for split in splits] if "_images" in text else []
    return found


def package(file: Path) -> str:
    """Below which key a packaged file's settings are put: its group, another one that it names, or none (`""`)."""
    named = PACKAGE.search(file.read_text(encoding="utf-8"))
    group = file.parent.relative_to(conf_dir()).as_posix().replace("/", ".")
    found = named[1] if named else "" if group == "." else group
    return "" if found == "_global_" else found


def is_global(group: str, choice: str) -> bool:
    """Whether a packaged choice changes settings anywhere, as experiments do."""
    return not package(Path(conf_dir()) / group / f"{choice}.yaml")


@cache
def all_global(group: str) -> bool:
    return all(is_global(group, choice) for choice in packaged()[group])


def read(group: str, choice: str) -> dict[str, Any]:
    """The content of a packaged choice, over that of the files of its group that it includes (`file@package` too)."""
    content = _content(f"{group}/{choice}.yaml")
    content = content if isinstance(content, dict) else {}
    included = [entry for entry in content.get("defaults", ()) if isinstance(entry, str) and entry != "_self_"]
    merged: dict[str, Any] = {}
    for name, _, package in (entry.partition("@") for entry in included):
        beneath = read(group, name)
        merged = _merged(merged, {package: beneath} if package else beneath)
    return _merged(merged, {key: value for key, value in content.items() if key != "defaults"})


def _merged(beneath: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """Both, key by key; where they differ, `above` wins."""
    merged = {**beneath, **above}
    for key in beneath.keys() & above.keys():
        if isinstance(beneath[key], dict) and isinstance(above[key], dict):
            merged[key] = _merged(beneath[key], above[key])
    return merged


def dotted(node: Any, prefix: str = "") -> list[str]:
    """The dotted names of all keys below a node, except Hydra's own."""
    if not isinstance(node, dict):
        return []
    keys = []
    for name, value in node.items():
        if not str(name).startswith("_"):
            keys += [f"{prefix}{name}", *dotted(value, f"{prefix}{name}.")]
    return keys


def keys(command: str, words: Sequence[str]) -> list[str]:
    """Every group and setting of the command, with the choices that the words make or else the defaults."""
    offer = offers()[command]
    found = [*offer.groups, *dotted(own(command))]
    for group, usual in offer.groups.items():
        typed = [word.partition("=")[2].strip("[]'\"").split(",") for word in words if word.startswith(f"{group}=")]
        wanted = typed[-1] if typed else usual if isinstance(usual, list) else [usual]
        for choice in {*wanted} & {*packaged()[group]}:
            found += dotted(read(group, choice), prefix(group, choice))
    return list(dict.fromkeys(key for key in found if key.partition(".")[0] not in ("defaults", "hydra")))


def prefix(group: str, choice: str) -> str:
    """What stands before the names of a packaged choice's settings, with its dot."""
    place = package(Path(conf_dir()) / group / f"{choice}.yaml")
    return f"{place}." if place else ""


def visible(names: Sequence[str]) -> list[str]:
    """Choices that may be chosen: those that begin with _ are for inclusion only."""
    return [name for name in names if not name.rsplit("/", 1)[-1].startswith("_")]
