"""The words of a command line: which are flags, and values that are meant as they stand."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import OverrideParseException

from gan_cli.config.errors import ConfigError, did_you_mean, two_lines

# Hydra's flags, which its own parser would answer with its usage when they are misspelt or stand between settings.
BARE = ("-m", "--multirun", "-r", "--run", "--resolve", "-sc", "--shell-completion", "--hydra-help")
CONFIGS = ("job", "hydra", "all")
INFOS = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
# Flag -> the values that it may have, any when there are none.
VALUED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("--cfg", "-c"), CONFIGS),
    **dict.fromkeys(("--package", "-p", "--config-dir", "-cd", "--config-name", "-cn", "--config-path", "-cp"), ()),
}
CONFIG_DIR = ("--config-dir", "-cd")
INFO = ("--info", "-i")  # its value may be left out
SHOWN = "-m, --cfg job, --resolve, --package NAME, --info, --config-dir DIR, --config-name NAME"
# What begins so has a meaning in Hydra's grammar: it is not silently made a string.
STRUCTURE = re.compile(r"^[\[{'\"]|\$\{|,")
SETTING = re.compile(r"^(\+{0,2}[\w./@:-]+)=(.*)$", flags=re.DOTALL)


def divide(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Settings and plain words, and apart from them the flags with their values.

    Raises:
        ConfigError: There is no such flag, or its value is missing or none that it takes.
    """
    others: list[str] = []
    flags: list[str] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.partition("=")
        if not word.startswith("-"):
            others.append(word)
            continue
        if word not in BARE and name not in VALUED and name not in INFO:
            raise ConfigError(_unknown(word))
        flags.append(word)
        if name in VALUED and not equals:
            value = rest.pop(0) if rest else ""
            flags.append(value)
        elif name in INFO and not equals and rest and rest[0] in INFOS:
            flags.append(rest.pop(0))
        if name in VALUED and value not in (VALUED[name] or (value or None,)):
            remedy = f"choices: {', '.join(VALUED[name])}" if VALUED[name] else f"write {name} VALUE"
            raise ConfigError(two_lines(f"{name} does not take '{value}'", remedy))
    return others, flags


def _unknown(word: str) -> str:
    setting = word.lstrip("-")
    if "=" in setting:
        return two_lines(f"no flag '{word.partition('=')[0]}'", f"settings have no dashes: {setting}")
    return two_lines(f"no flag '{word}'", did_you_mean(word, (*BARE, *VALUED, *INFO)) or f"flags: {SHOWN}")


def quote(value: str) -> str:
    """A string as a value that Hydra's grammar takes literally, whatever is in it."""
    # In its quotes only a quote is escaped, and backslashes before one; OmegaConf would evaluate ${...}.
    escaped = re.sub(r"(\\*)('|$)", lambda m: m[1] * 2 + ("\\'" if m[2] else ""), value)
    return "'" + escaped.replace("${", "\\${") + "'"


def readable(word: str) -> str:
    """The word; its value in quotes where Hydra's grammar cannot read it, and it can only be meant as it stands.

    `out=é (1).png`, `dataset.root=~/photos`: the home folder takes the place of a leading ~, as in a shell.
    """
    found = SETTING.match(word)
    if found is None or STRUCTURE.search(found[2]) or _read(word):
        return word
    home = found[2] == "~" or found[2].startswith("~/")
    return f"{found[1]}={quote(str(Path(found[2]).expanduser()) if home else found[2])}"


def listed(word: str) -> str:
    """`classes=cat,dog` in quotes: a list of names, not several jobs."""
    name, _, value = word.partition("=")
    plain = name == "classes" and "," in value and not value.startswith(("[", "'", '"'))
    return f"{name}={quote(value)}" if plain else word


def _read(word: str) -> bool:
    try:
        OverridesParser.create().parse_overrides([word])
    except OverrideParseException:
        return False
    return True


def unreadable(word: str) -> str:
    """What to tell of a word that Hydra's grammar cannot read, with that word as a shell must be given it."""
    found = SETTING.match(word)
    if found is None:
        return two_lines(f"cannot read '{word}'", "write settings as key=value")
    remedy = f"if the value is meant as it stands, quote it: {in_shell(f'{found[1]}={quote(found[2])}')}"
    return two_lines(f"cannot read '{word}'", remedy)


def in_shell(word: str) -> str:
    """A word as it is typed into a shell; in double quotes where that is safe, for single ones are inside."""
    return shlex.quote(word) if re.search(r'[$`"\\!]', word) else f'"{word}"'
