"""What Hydra finds for every config is found once: the tests compose thousands of them out of the same few files.

A word, a file's text, an interpolation's and a list of the packaged files mean the same each time, so that this changes
no config: `forgotten` composes without it, for the test that holds the two against each other.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import IO, Any

import omegaconf
from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf, base, grammar_parser
from yaml import YAMLError

from gan_cli.config.choices import conf_dir

_load = OmegaConf.load
_interpolation = grammar_parser.parse
_word = OverridesParser.parse_rule
_file = ConfigRepository.load_config
_choices = defaults_list._create_interpolation_map
_merged = ConfigLoaderImpl._compose_config_from_defaults_list
PACKAGED = {"", "hydra.conf", conf_dir()}  # sources that stay as they are


class Memory(dict[Any, bytes]):
    """Objects, pickled, which are read ten times as fast as they are copied."""

    def __call__(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self:
            self[key] = pickle.dumps(make())
        return pickle.loads(self[key])


texts, words, files, configs = Memory(), Memory(), Memory(), Memory()


def _text_once(file: str | Path | IO[Any]) -> Any:
    if isinstance(file, str | Path):
        return _load(file)
    text = file.read()
    try:
        return texts(text, lambda: _load(io.StringIO(text)))
    except YAMLError:  # which names the file
        file.seek(0)
        return _load(file)


def _word_once(parser: OverridesParser, s: str, rule_name: str) -> Any:
    return words((s, rule_name), lambda: _word(parser, s, rule_name))


def _packaged(repository: Any) -> bool:
    return {source.path for source in repository.get_sources()} <= PACKAGED


def _file_once(repository: ConfigRepository, config_path: str) -> Any:
    found = partial(_file, repository, config_path)
    return files(config_path, found) if _packaged(repository) else found()


def _choices_if_asked_for(overrides: Any, defaults: list[Any], self_added: bool) -> Any:
    """The choices so far, which a `${...}` in a list of defaults may name; Hydra makes this map for every list."""
    asked = any(not default.is_self() and default.is_interpolation() for default in defaults)
    return _choices(overrides, defaults, self_added) if asked else None


def _merged_once(loader: ConfigLoaderImpl, defaults: list[Any], repo: Any) -> Any:
    found = partial(_merged, loader, defaults, repo)
    return configs(repr([vars(default) for default in defaults]), found) if _packaged(repo) else found()


def _use(load: Any, interpolation: Any, word: Any, file: Any, choices: Any, merged: Any) -> None:
    OmegaConf.load = staticmethod(load)  # type: ignore[method-assign]
    for module in (base, omegaconf._utils):
        module.parse = interpolation  # type: ignore[attr-defined]
    OverridesParser.parse_rule = word  # type: ignore[method-assign]
    ConfigRepository.load_config = file  # type: ignore[method-assign]
    defaults_list._create_interpolation_map = choices
    ConfigLoaderImpl._compose_config_from_defaults_list = merged  # type: ignore[method-assign]


def remember() -> None:
    """From here on, in this process."""
    _use(_text_once, cache(_interpolation), _word_once, _file_once, _choices_if_asked_for, _merged_once)


@contextmanager
def forgotten() -> Iterator[None]:
    """As Hydra does it by itself."""
    _use(_load, _interpolation, _word, _file, _choices, _merged)
    yield
    remember()
