"""Which code Hydra's own part of a config may name: its callbacks, launcher, sweeper and loggers.

Hydra makes them before a command sees its config, and a file of any group can set them (`# @package _global_`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan_cli.config.trust import Trust, Untrusted, refusal, remedy
from gan_cli.errors import ConfigError, two_lines

BUILT = ("callbacks", "launcher", "sweeper")
LOGGERS = ("hydra_logging", "job_logging")
HYDRAS = frozenset(f"hydra._internal.core_plugins.basic_{kind}er.Basic{kind.title()}er" for kind in ("launch", "sweep"))
PLUGINS = ("hydra_plugins", "hydra.experimental.callbacks", "optuna.samplers")  # installed, or there is nothing to name
FACTORY = "()"  # in the configuration of loggers: what to call
LOGS = re.compile(r"(logging|logging\.handlers|colorlog)\.[A-Z][A-Za-z]*")
STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
OF_HYDRA = re.compile(r"\$\{hydra\.(job|runtime|sweep|run)\.\w+\}")  # text that Hydra knows later
ALONE = re.compile(r"\$\{.*\}", flags=re.DOTALL)  # may stand for a whole node; beside other text it is text


def check(config: DictConfig, trust: Trust) -> None:
    """Raises ConfigError where Hydra's part of a composed config names code that it may not."""
    found = problems(config, trust)
    if found:
        raise ConfigError(*found)


def problems(config: DictConfig, trust: Trust) -> tuple[str, ...]:
    """What Hydra's part of a composed config names and may not."""
    allowed = Trust(trust.vouched, PLUGINS)
    found = [
        _problem(section, path, value, allowed)
        for section in (*BUILT, *LOGGERS)
        for path, value in _leaves(config.hydra[section], f"hydra.{section}")
    ]
    return tuple(dict.fromkeys(problem for problem in found if problem))


def _problem(section: str, path: str, value: Any, allowed: Trust) -> str:
    """What is wrong with a value; empty where nothing is."""
    place, _, key = path.rpartition(".")
    if isinstance(value, str) and ALONE.fullmatch(value) and not OF_HYDRA.fullmatch(value):
        return two_lines(f"{path}={value} cannot be read before the run begins", "give a value")
    code = key == "_target_"
    if section in LOGGERS:
        stream = str(value).startswith("ext://") and value not in STREAMS
        code |= stream or (key in (FACTORY, "class") and LOGS.fullmatch(str(value)) is None)
    if not code or value in HYDRAS:
        return ""
    try:
        allowed.resolve("", str(value))
    except Untrusted:
        return refusal(place, str(value)) if key == "_target_" else _not_there(path, str(value))
    except LookupError as error:
        return two_lines(f"{path}: {error}", "install it, or leave it out")
    return ""


def _not_there(path: str, name: str) -> str:
    return two_lines(f"{path}={name} may not be used there", remedy(name.removeprefix("ext://")))


def _leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Path and value of everything below a node, also of what it takes from elsewhere in the config."""
    if isinstance(node, ListConfig):
        yield from _below(node, path, range(len(node)))
    elif isinstance(node, DictConfig):
        yield from _below(node, path, node)
    else:
        yield path, node


def _below(node: Any, path: str, keys: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    if node._is_none() or node._is_missing():
        return
    for key in keys:
        try:
            yield from _leaves(node[key], f"{path}.{key}")
        except OmegaConfBaseException:  # not known yet, as the number of a job
            written: Any = OmegaConf.to_container(node, resolve=False)
            yield f"{path}.{key}", written[key]
