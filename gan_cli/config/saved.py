"""Configs read from run folders and checkpoints: plain values, never composed, never evaluated."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import OmegaConf

from gan_cli.config import own, plain_yaml
from gan_cli.config.choices import dotted, keys, packaged
from gan_cli.config.compose import compose, friendly, plain
from gan_cli.config.errors import ALL, did_you_mean
from gan_cli.config.explain import length
from gan_cli.config.schema import Settings
from gan_cli.config.words import readable
from gan_cli.errors import ConfigError, two_lines
from gan_cli.store import literal
from gan_cli.store.disk import cause

log = logging.getLogger(__name__)

NAMED = re.compile(r"\w+:\w+")  # a split of a data set
# Settings that say where code and weights are read from, or where files are written.
PLACES = ("root", "cache", "weights", "repository", "init_from", "reference")
# Sources of the user's own files, which no machine has in a usual place.
OWN_FILES = frozenset(f"gan_cli.data.sources.{name}" for name in ("folder", "webdataset", "parquet"))
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
    "trainer.averages",
    "init_from",
)


def of_another(config: Mapping[str, Any], path: Path, home: Path) -> str:
    """A warning where a checkpoint's config differs from that of the run in whose folder it is, in a number that a run
    keeps for life; else nothing. Between versions names change and settings come up: those are no sign of another run.
    """
    try:
        there = dict(_leaves(read(content_of(home), home)))
    except ConfigError:  # which whoever needs it is told
        return ""
    signs = tuple(key for key in KEPT if key != "init_from")
    for key, value in dict(_leaves(config)).items():
        lasts = key in signs or key.startswith(tuple(f"{sign}." for sign in signs))
        other = there.get(key)
        if lasts and isinstance(value, int | float) and isinstance(other, int | float) and value != other:
            what = f"{path} does not belong to {home}: in it {key} is {value}, there it is {other}"
            return two_lines(what, "if it is another run's, move it back to that")
    return ""


def content_of(path: Path) -> bytes:
    """The bytes of a config file, no more than `read` accepts. Raises ConfigError where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(plain_yaml.LARGEST + 1)
    except OSError as error:
        raise ConfigError(two_lines(f"{path} cannot be read ({cause(error)})", "name another run")) from error


def read(content: bytes, origin: Path | str) -> dict[str, Any]:
    """A config from a run folder or a checkpoint: plain values only.

    Raises:
        ConfigError: It is not plain YAML or not a mapping, or it holds an interpolation, which would be evaluated.
    """
    try:
        config = plain_yaml.read(content)
    except plain_yaml.NotPlain as error:
        raise ConfigError(two_lines(f"the config of {origin} was refused: it holds {error}", PLAIN)) from error
    if not isinstance(config, dict):
        raise ConfigError(two_lines(f"the config of {origin} is not a mapping of settings", PLAIN))
    for key, value in _leaves(config):
        if isinstance(value, str) and literal.is_evaluated(value):
            raise ConfigError(
                two_lines(f"the config of {origin} was refused: it holds an interpolation ({key}: {value})", PLAIN)
            )
    kept: dict[str, Any] = literal.in_all(literal.unescaped, config)
    return kept


def at_home(config: dict[str, Any], content: bytes) -> dict[str, Any]:
    """The config with this machine's paths instead of the file's, unless it was composed on this machine.

    A data set with no default location is left without one, and the user has to say where it is.
    """
    if own.is_own(content.decode(errors="replace")):
        return config
    usual = compose("train", []).config
    homes = {
        "dataset": {"root": _usual_root(config, usual), "cache": usual["dataset"]["cache"]},
        "evaluation": {
            "cache": usual["evaluation"]["cache"],
            "reference": _named_reference(config),
            "detector": {"cache": str(Path(usual["evaluation"]["cache"]).with_name("classifiers"))},
        },
    }
    moved = _moved(config, homes, "")
    assert isinstance(moved, dict)
    return moved


def _named_reference(config: Mapping[str, Any]) -> str | None:
    """What its measurements compare with, if that is a split of a data set; None for files of the user's own."""
    evaluation = config.get("evaluation")
    word = evaluation.get("reference") if isinstance(evaluation, dict) else None
    return word if isinstance(word, str) and NAMED.fullmatch(word) else None


def _usual_root(config: Mapping[str, Any], usual: Mapping[str, Any]) -> str | None:
    """Where the files of a packaged data set are on this machine; None for a folder of the user's own files."""
    dataset = config.get("dataset")
    source = dataset.get("source") if isinstance(dataset, dict) else None
    target = source.get("_target_") if isinstance(source, dict) else None
    root: str = usual["dataset"]["root"]
    return None if target in OWN_FILES else root


def _moved(node: Any, homes: Any, path: str) -> Any:
    """The node with every path in it replaced by this machine's, or by none."""
    if isinstance(node, list):
        return [_moved(value, {}, f"{path}{i}.") for i, value in enumerate(node)]
    if not isinstance(node, dict):
        return node
    known = homes if isinstance(homes, dict) else {}
    moved = {}
    for key, value in node.items():
        if key in PLACES and not isinstance(value, dict | list):
            moved[key] = known.get(key)
            if key != "cache" and value is not None and moved[key] != value:
                what = "this machine's is used" if moved[key] is not None else "none is used"
                log.warning("%s%s=%s comes from the file, which may be a stranger's: %s", path, key, value, what)
        else:
            moved[key] = _moved(value, known.get(key), f"{path}{key}.")
    return moved


def _leaves(node: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if isinstance(node, Mapping):
        pairs = [(str(k), v) for k, v in node.items()]
        keys = [(f"{prefix}{k}", k) for k, _ in pairs]
        return keys + [leaf for k, v in pairs for leaf in _leaves(v, f"{prefix}{k}.")]
    if isinstance(node, list):
        return [leaf for i, v in enumerate(node) for leaf in _leaves(v, f"{prefix}{i}.")]
    return [(prefix.rstrip("."), node)]


PLAIN = "a run's config is plain words and numbers, as gan writes them: see `gan train --cfg job`"


def parse(words: Sequence[str]) -> list[Override]:
    """`key=value` words by Hydra's grammar. Raises ConfigError for a word that is not one."""
    with friendly("", words):
        return list(OverridesParser.create().parse_overrides([readable(word) for word in words]))


def _newer(key: str, words: Sequence[str]) -> str:
    """The remedy where a run's config is older than the setting."""
    if key not in keys("train", []):
        return ""
    typed = next((word for word in words if word.startswith(f"{key}=")), f"{key}=...")
    return f"this run is from before there was such a setting: +{typed} adds it"


def _may_be_added(key: str, config: Mapping[str, Any]) -> bool:
    """Whether there may be such a setting, though an older run has none."""
    first, dot, _ = key.partition(".")
    return first in config if dot else key in Settings.model_fields


def change(config: dict[str, Any], words: Sequence[str], kept: Sequence[str] = ()) -> dict[str, Any]:
    """A saved config with the user's changes to its values; `kept` names those that may not change.

    Raises:
        ConfigError: A key is unknown, is a choice of a group, or is one of `kept`.
    """
    groups = packaged()
    result = OmegaConf.create(literal.in_all(literal.escaped, config))
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
        elif key not in known and not (override.is_add() and _may_be_added(key, config)):
            remedy = _newer(key, words) or length(key, words) or did_you_mean(key, known) or ALL
            problems.append(two_lines(f"unknown setting '{key}'", remedy))
        else:
            OmegaConf.update(result, key, override.value(), force_add=override.is_add())
    if problems:
        raise ConfigError(*problems)
    return plain(result)
