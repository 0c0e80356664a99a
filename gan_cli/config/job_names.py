"""How the folder of a sweep's job is called: its number, and what distinguishes it from the others."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

UNUSUAL = re.compile(r"[^\w.+-]+")  # what is left out of a name that is typed into shells and settings
LONGEST = 60  # characters; of four bytes at most, and a name may have 255


def job_name(number: int, words: Iterable[str], fixed: Collection[str]) -> str:
    """`3-hinge-lr0.0002-seed1` of job 3 with `loss=hinge optimizer.lr=0.0002 seed=1`.

    Args:
        words: The words of the job.
        fixed: The keys that all jobs share.
    """
    parts = [_part(*word.partition("=")[::2]) for word in words if _key(word.partition("=")[0]) not in fixed]
    return UNUSUAL.sub("_", "-".join([str(number), *parts]))[:LONGEST].rstrip("-_.")


def _key(typed: str) -> str:
    return typed.lstrip("+~")


def _part(typed: str, value: str) -> str:
    """A choice by its name alone, a number after the last part of its key."""
    key, value = _key(typed).partition("@")[0], value.strip("'\"[]")
    if "." not in key and value[:1].isalpha():
        return value
    return f"{key.rpartition('.')[2]}{'' if value[:1].isdigit() or value[:1] == '-' else '-'}{value}"
