"""Hydra: where conf/ is, how a config is composed, and how a saved one is read. Only this file knows its version."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan_cli.config import unread
from gan_cli.config.choices import conf_dir as conf_dir
from gan_cli.config.choices import config_groups as config_groups
from gan_cli.config.choices import dotted as dotted
from gan_cli.config.errors import ConfigError, two_lines
from gan_cli.config.explain import broken, composing
from gan_cli.config.explain import friendly as friendly
from gan_cli.config.words import quote as quote
from gan_cli.config.words import readable, strings

HYDRA_1_4 = tuple(int(part) for part in hydra.__version__.split(".")[:2]) >= (1, 4)
STAMP = "GAN_STAMP"


class Composed(NamedTuple):
    """A config and where it came from."""

    config: dict[str, Any]  # plain values, every interpolation resolved
    choices: dict[str, str | None]  # group -> choice
    folder: Path  # the run folder


def new_stamp() -> str:
    """The time and a random word: two runs never share a folder. Inherited by worker processes."""
    os.environ[STAMP] = time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(2)
    return os.environ[STAMP]


OmegaConf.register_new_resolver(
    "gan.label",
    lambda name, model, loss, dataset: name or f"{model}-{loss}-{dataset}",
    replace=True,
)
OmegaConf.register_new_resolver("gan.times", lambda a, b: a * b, replace=True)
OmegaConf.register_new_resolver(
    "gan.unless", lambda value, *others: value if all(other is None for other in others) else None, replace=True
)


def _ramp(kind: str, start: float, end: float, images: int) -> dict[str, Any]:
    return {"_target_": f"gan_cli.ramps.{kind}", "start": start, "end": end, "images": images}


# Numbers that follow progress, as short for their nodes: 'penalty.r1.weight=${linear:1,0.1,100000}'.
OmegaConf.register_new_resolver("linear", partial(_ramp, "Linear"), replace=True)
OmegaConf.register_new_resolver("cosine", partial(_ramp, "Cosine"), replace=True)


def _version() -> dict[str, Any]:
    return {} if HYDRA_1_4 else {"version_base": "1.3"}


def hydra_main(command: str, task: Callable[[DictConfig], Any]) -> None:
    """Runs `task` as Hydra's main function of `conf/<command>.yaml`: single runs, sweeps, --cfg, completion.

    Its words are those of `sys.argv` after the command.

    Errors of the task are kept until Hydra is done, for it would talk about them itself; a sweep goes on after one.
    """
    os.environ.get(STAMP) or new_stamp()
    settings: dict[str, Any] = _version()
    if HYDRA_1_4:
        settings["execution_whitelist"] = ("gan_cli.*", "torch.nn.*", "torch.optim.*")
    failures: list[Exception] = []
    typed = sys.argv

    def quiet(config: DictConfig) -> Any:
        sys.argv = typed  # Hydra has read it; the manifest tells what the user wrote
        try:
            return task(config)
        except Exception as error:
            failures.append(error)
            return float("nan")  # the worst score, to whatever sweeps

    with composing(command, typed[2:]):
        sys.argv = [typed[0], *map(readable, typed[2:])]
        hydra.main(config_path=conf_dir(), config_name=command, **settings)(quiet)()
    if failures:
        raise failures[0]


def plain(config: DictConfig) -> dict[str, Any]:
    """The config as plain values. Raises ConfigError for missing values and broken interpolations."""
    try:
        missing = OmegaConf.missing_keys(config)
        if missing:
            raise ConfigError(*(two_lines(f"{key} is not set", f"add {key}=...") for key in sorted(missing)))
        values = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException as error:
        raise ConfigError(broken(error)) from error
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def _chosen(choices: Mapping[Any, Any]) -> dict[str, str | None]:
    return {k: None if v is None else str(v) for k, v in choices.items() if not k.startswith("hydra/")}


def inside_hydra(config: DictConfig, command: str = "train") -> Composed:
    """What Hydra's main function was given, and the folder that it chose."""
    meta = HydraConfig.get()
    chosen = _chosen(meta.runtime.choices)
    unread.check(command, config, chosen)
    return Composed(plain(config), chosen, Path(meta.runtime.output_dir))


def _initialised() -> Any:
    GlobalHydra.instance().clear()
    return hydra.initialize_config_dir(conf_dir(), **_version())


def compose(command: str, overrides: Sequence[str]) -> Composed:
    """A command's config from override strings, outside of Hydra's main function (Python use).

    Raises:
        ConfigError: An override is wrong.
    """
    new_stamp()
    with composing(command, strings(overrides)), _initialised():
        config = hydra.compose(command, [readable(word) for word in overrides], return_hydra_config=True)
        chosen = _chosen(config.hydra.runtime.choices)
        folder = Path(config.hydra.run.dir)
        OmegaConf.set_struct(config, False)
        del config["hydra"]
        unread.check(command, config, chosen)
        return Composed(plain(config), chosen, folder)


def to_yaml(config: Mapping[str, Any]) -> str:
    """The config as text, keys in their order."""
    return OmegaConf.to_yaml(OmegaConf.create(dict(config)))
