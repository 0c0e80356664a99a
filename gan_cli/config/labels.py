"""The words for classes: `7`, `0..9`, `cat,dog`, as the numbers that a generator was trained with."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from gan_cli.config.errors import did_you_mean
from gan_cli.errors import ConfigError, two_lines

HOW = "write a class, a range such as 0..9, or several with commas"
SHOWN = 20  # names in a message
Words = str | int | float | bool | list[str | int | float | bool] | None


def chosen_classes(words: Words, names: Sequence[str] = ()) -> list[int]:
    """The numbers of the classes that are meant, in order.

    A word is a class's name where there is one of that name, else its number, counted from 0. Where all names are
    numbers (folders 0, 1, ..., or 1990, 1991, ...), a number is always a name, and so are the ends of a range.

    Raises:
        ConfigError: A word is neither.
    """
    if words is None or words == "":
        return []
    if isinstance(words, list):
        return [number for word in words for number in _one(word, names)]
    if whole := _called(str(words), names):  # a comma may be part of it
        return whole
    return [number for word in str(words).strip(" []").split(",") for number in _one(_typed(word, words), names)]


def _typed(word: str, whole: Words) -> str | int | float | bool:
    """The word; what the command line read as a number or a boolean stays one."""
    return word.strip().strip("'\"") if isinstance(whole, str | list) or whole is None else whole


def _called(word: str, names: Sequence[str]) -> list[int]:
    """The class of that name, if there is one; é may be one character on the keyboard and two in a folder's name."""
    if word in names:
        return [names.index(word)]
    composed = unicodedata.normalize("NFC", word)
    same = [k for k, name in enumerate(names) if unicodedata.normalize("NFC", name) == composed]
    return same if len(same) == 1 else []


def _one(given: str | int | float | bool, names: Sequence[str]) -> list[int]:
    word = str(given).strip()
    if called := _called(word, names):
        return called
    same = [k for k, name in enumerate(names) if not isinstance(given, str) and _same(_value(name), given)]
    if len(same) == 1:  # 01 and 1e5 reach us as 1 and 100000.0
        return same
    first, dots, last = word.partition("..")
    numbers = [int(name) for name in names] if names and all(name.isdecimal() for name in names) else None
    if not first.isdecimal() or (dots and not last.isdecimal()):
        raise _unknown(word, names)
    low, high = int(first), int(last or first)
    if high < low:
        raise ConfigError(two_lines(f"classes={word}: {low}..{high} is not a range", f"write {high}..{low}"))
    if numbers is None:
        return list(range(low, high + 1))
    if not {low, high} <= set(numbers):
        raise _unknown(word, names)
    return [k for k, number in enumerate(numbers) if low <= number <= high]


def _same(a: float | bool | None, b: float | bool) -> bool:
    return a is not None and isinstance(a, bool) == isinstance(b, bool) and a == b


def _value(name: str) -> float | bool | None:
    """The number or boolean that a name is read as."""
    truths = {"true": True, "false": False}
    try:
        return truths[name.lower()] if name.lower() in truths else float(name)
    except ValueError:
        return None


def _unknown(word: str, names: Sequence[str]) -> ConfigError:
    if not names:
        return ConfigError(two_lines(f"classes={word}: there is no such class", HOW))
    there = ", ".join([*names[:SHOWN], *(["..."] if len(names) > SHOWN else [])])
    remedy = f"{did_you_mean(word, names)} the classes are {there}".strip()
    return ConfigError(two_lines(f"classes={word}: there is no such class", remedy))
