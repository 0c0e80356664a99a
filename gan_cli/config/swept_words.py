"""The words of a sweep as single jobs see them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import islice
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, IntervalSweep, Override, RangeSweep, Transformer


def first_value(word: str, override: Override) -> str:
    """A word of a sweep as its first job sees it."""
    if not override.is_sweep_override():
        return word
    value = override.value()
    if isinstance(value, IntervalSweep):
        start: Any = value.start
    elif isinstance(value, ChoiceSweep | RangeSweep):
        start = next(iter(override.sweep_iterator(Transformer.encode)))
    else:
        return word
    return f"{word.partition('=')[0]}={start}"


def of_each_file(words: Sequence[str], parsed: Sequence[Override], groups: Collection[str]) -> Iterator[list[str]]:
    """What is chosen once, the words of the first job, and those of a job for each further file that is swept over."""
    yield [word for word, override in zip(words, parsed, strict=True) if not override.is_sweep_override()]
    first = [first_value(word, override) for word, override in zip(words, parsed, strict=True)]
    yield first
    for place, override in enumerate(parsed):
        key = words[place].partition("=")[0]
        if override.is_sweep_override() and key.lstrip("+").partition("@")[0] in groups:
            for value in islice(override.sweep_iterator(Transformer.encode), 1, None):
                yield [*first[:place], f"{key}={value}", *first[place + 1 :]]
