"""The words of commands that need no config: plain words, a few settings, a few flags."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from gan_cli import console
from gan_cli.config.errors import did_you_mean
from gan_cli.errors import ConfigError, two_lines
from gan_cli.store import outputs
from gan_cli.store.inputs import refuse_overwriting

log = logging.getLogger(__name__)

YES = ("yes", "true", "1")
# Of every command that answers: the answer as JSON, on standard output or in a file.
JSON, JSON_FLAG = "json", "--json"


class Asked(NamedTuple):
    """What was typed."""

    plain: list[str]
    settings: dict[str, str]
    flags: frozenset[str]

    @property
    def sure(self) -> bool:
        """Whether what would be asked is answered already: yes=true."""
        return self.settings.get("yes") in YES

    @property
    def json(self) -> str | None:
        """Where the answer goes as JSON, `-` for standard output; None where it was not asked for."""
        named = self.settings.get(JSON)
        return "-" if JSON_FLAG in self.flags else None if named is None else os.path.expanduser(named)


def divide(words: Sequence[str], settings: Sequence[str] = (), flags: Sequence[str] = ()) -> Asked:
    """Plain words, `key=value` and flags apart. What is there on the disk is a plain word, also with = in its name.

    Raises:
        ConfigError: There is no such setting or flag, or a setting comes twice.
    """
    plain: list[str] = []
    given: dict[str, str] = {}
    raised: set[str] = set()
    known = (*(f"{name}=" for name in settings), *flags)
    for word in words:
        key, equals, value = word.partition("=")
        if os.path.lexists(word) or (not equals and not word.startswith("-")):
            plain.append(word)
        elif word in flags:
            raised.add(word)
        elif equals and key in given:
            raise ConfigError(two_lines(f"{key}= comes twice", "leave one out"))
        elif equals and key in settings:
            given[key] = value
        else:
            remedy = did_you_mean(f"{key}{equals}", known) or (f"it takes {', '.join(known)}" if known else "")
            raise ConfigError(two_lines(f"cannot read '{word}'", remedy or "it takes run folders only"))
    return Asked(plain, given, frozenset(raised))


def answering(words: Sequence[str], settings: Sequence[str] = (), flags: Sequence[str] = ()) -> Asked:
    """`divide`, of a command that answers: its messages go to standard error where the answer goes to standard output.

    Raises:
        ConfigError: As `divide`.
        WouldOverwrite: The answer would go to a file that is read.
    """
    asked = divide(words, (*settings, JSON), (*flags, JSON_FLAG))
    target = Path(asked.json or "")
    console.set_up(aside=asked.json is not None and outputs.is_standard(target))
    if asked.json is not None and not outputs.is_stream(target):
        refuse_overwriting("json", [target], asked.plain)
    return asked


def one_run(plain: Sequence[str], command: str) -> str:
    """The only plain word. Raises ConfigError."""
    if not plain:
        raise ConfigError(two_lines("which run?", f"gan {command} outputs/train/<run>; gan runs lists them"))
    if len(plain) > 1:
        raise ConfigError(two_lines(f"more than one run: {', '.join(plain)}", f"start gan {command} once for each"))
    return plain[0]


def one_of(asked: Asked, key: str, choices: Sequence[str], usual: str = "") -> str:
    """A setting's value. Raises ConfigError where it is none of the choices."""
    value = asked.settings.get(key, usual)
    if value not in (*choices, usual):
        remedy = f"{did_you_mean(value, choices)} choices: {', '.join(choices)}".strip()
        raise ConfigError(two_lines(f"{key}={value} is not valid", remedy))
    return value


def count(asked: Asked, key: str) -> int | None:
    """A setting that is a number from 1; None where it is not set. Raises ConfigError."""
    value = asked.settings.get(key)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 10 and int(value)):
        raise ConfigError(two_lines(f"{key}={value} is not valid", f"write a number from 1: {key}=20"))
    return int(value)


def agreed(question: str, nothing: str, asked: Asked) -> bool:
    """Whether the user agrees. Raises ConfigError where nobody can be asked."""
    if asked.sure:
        log.info("%s", question)
        return True
    if not sys.stdin.isatty():
        raise ConfigError(two_lines(f"{question}? {nothing}: there is no terminal to ask at", "yes=true agrees"))
    print(f"{console.printable(question)}? [y/N] ", end="", flush=True, file=sys.stderr if asked.json else sys.stdout)
    answer = sys.stdin.readline().strip().lower() in ("y", "yes")
    if not answer:
        log.info("%s", nothing)
    return answer
