"""What Hydra reads for every config is read once: the tests compose thousands of them out of the same few texts.

A file's text, and an interpolation's, mean the same each time, so that this changes no config.
"""

from __future__ import annotations

import io
import pickle
from functools import cache
from pathlib import Path
from typing import IO, Any

import omegaconf
from omegaconf import OmegaConf, base, grammar_parser
from yaml import YAMLError

_load = OmegaConf.load


@cache
def _loaded(text: str) -> bytes:
    return pickle.dumps(_load(io.StringIO(text)))  # which is read ten times as fast as an object is copied


def _remembered(file: str | Path | IO[Any]) -> Any:
    if isinstance(file, str | Path):
        return _load(file)
    try:
        return pickle.loads(_loaded(file.read()))
    except YAMLError:  # which names the file
        file.seek(0)
        return _load(file)


def remember() -> None:
    """From here on, in this process."""
    OmegaConf.load = staticmethod(_remembered)  # type: ignore[method-assign]
    parse = cache(grammar_parser.parse)
    for module in (base, omegaconf._utils):
        module.parse = parse  # type: ignore[attr-defined]
