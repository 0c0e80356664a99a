"""Configs that come out of run folders and checkpoints: plain values, never composed, never evaluated."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from gan_cli.config.compose import conf_dir, config_groups, dotted, friendly, plain
from gan_cli.config.errors import ConfigError, did_you_mean, two_lines
from gan_cli.config.words import readable

INTERPOLATION = re.compile(r"\$\{")
# What a run keeps for life; a resumed run that changed these would not be the same run.
KEPT = (
    "seed",
    "model",
    "conditioning",
    "panel",
    "recipe",
    "prior",
    "dataset.resolution",
    "dataset.channels",
    "dataset.classes",
)


def read(text: str, origin: Path) -> dict[str, Any]:
    """A config out of a run folder or a checkpoint: plain values only.

    Raises:
        ConfigError: It is no mapping, or it holds an interpolation, which would be evaluated.
    """
    try:
        config = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"the config of {origin} cannot be read: {str(error).splitlines()[0]}") from error
    if not isinstance(config, dict):
        raise ConfigError(f"the config of {origin} is no mapping of settings")
    for key, value in _leaves(config):
        if isinstance(value, str) and INTERPOLATION.search(value):
            raise ConfigError(f"the config of {origin} holds an interpolation ({key}: {value}) and was refused")
    return config


def _leaves(node: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if isinstance(node, Mapping):
        pairs = [(str(k), v) for k, v in node.items()]
        keys = [(f"{prefix}{k}", k) for k, _ in pairs]
        return keys + [leaf for k, v in pairs for leaf in _leaves(v, f"{prefix}{k}.")]
    if isinstance(node, list):
        return [leaf for i, v in enumerate(node) for leaf in _leaves(v, f"{prefix}{i}.")]
    return [(prefix.rstrip("."), node)]


def parse(words: Sequence[str]) -> list[Override]:
    """`key=value` words by Hydra's grammar. Raises ConfigError for a word that is none."""
    with friendly("", words):
        return list(OverridesParser.create().parse_overrides([readable(word) for word in words]))


def change(config: dict[str, Any], words: Sequence[str], kept: Sequence[str] = ()) -> dict[str, Any]:
    """A saved config with the user's changes to its values; `kept` names those that may not change.

    Raises:
        ConfigError: A key is unknown, is a choice of a group, or is one of `kept`.
    """
    groups = config_groups(Path(conf_dir()))
    result = OmegaConf.create(config)
    OmegaConf.set_struct(result, True)
    known = dotted(config)
    problems = []
    for override in parse(words):
        key = override.key_or_group
        if key in groups and not isinstance(override.value(), dict):
            remedy = "start a new run with it (init_from=<run> takes over the weights)"
            problems.append(two_lines(f"{key}={override.value()}: a saved run keeps its {key}", remedy))
        elif any(key == name or key.startswith(f"{name}.") for name in kept):
            remedy = "start a new run with it (init_from=<run> takes over the weights)"
            problems.append(two_lines(f"{key}: a resumed run keeps it", remedy))
        elif key not in known and not override.is_add():
            problems.append(two_lines(f"unknown setting '{key}'", did_you_mean(key, known)))
        else:
            OmegaConf.update(result, key, override.value(), force_add=override.is_add())
    if problems:
        raise ConfigError(*problems)
    return plain(result)
