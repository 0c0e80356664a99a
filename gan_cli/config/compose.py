"""Hydra: where conf/ is, how a config is composed, and how a saved one is read. Only this file knows its version."""

from __future__ import annotations

import os
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import hydra
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import MISSING, DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from gan_cli.config import config_files, expanded, left_out, plugins, unread
from gan_cli.config.choices import CONFIG_DIR, available, conf_dir, config_dirs
from gan_cli.config.conversion import NUMBER, converted
from gan_cli.config.explain import broken, composing
from gan_cli.config.explain import friendly as friendly
from gan_cli.config.job_names import job_name
from gan_cli.config.swept_words import of_each_file
from gan_cli.config.trust import Trust
from gan_cli.config.words import SHOWS, divide, readable
from gan_cli.config.words import quote as quote
from gan_cli.errors import ConfigError, two_lines

HYDRA_1_4 = tuple(int(part) for part in hydra.__version__.split(".")[:2]) >= (1, 4)
NOTHING = Trust()  # beyond what is packaged
FULL_ERROR = "HYDRA_FULL_ERROR"  # with it, Hydra's main function hands errors on


class Composed(NamedTuple):
    """A config and where it came from."""

    config: dict[str, Any]  # plain values, every interpolation resolved
    choices: dict[str, str | None]  # group -> choice
    folder: Path  # the run folder
    left_out: tuple[str, ...] = ()  # settings of choices that were not made


def new_stamp() -> str:
    """The time and a random word: two runs never share a folder."""
    return time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(2)


def _times(a: Any, b: Any) -> Any:
    """The product of two settings, which may be quoted numbers. Raises ValueError where one is not a number."""
    try:
        return converted(a, NUMBER) * converted(b, NUMBER)
    except ValidationError:
        raise ValueError(f"{a} and {b} cannot be multiplied: give numbers") from None


def _plus(a: Any, b: Any) -> Any:
    """A sum of two settings, also of numbers in quotes. Raises ValueError where one is not a number."""
    try:
        return converted(a, NUMBER) + converted(b, NUMBER)
    except ValidationError:
        raise ValueError(f"{a} and {b} have no sum: give numbers") from None


def _load(side: Any) -> Any:
    """What images of a side are kept at before a window of it is cut out: 286 for 256 (arXiv 1703.10593, 4)."""
    if isinstance(side, list | ListConfig):
        return [_load(one) for one in side]
    return round(_times(side, 286) / 256)


def _depth(side: Any) -> int:
    """How often a side can be halved down to one pixel, at most 8 times; the shorter of two."""
    sides = side if isinstance(side, list | ListConfig) else [side]
    return min(8, *(int(_times(one, 1)).bit_length() - 1 for one in sides))


def _label(name: str | None, experiment: str | None, model: str, loss: str, dataset: str) -> str:
    """The label of a run folder: the user's name, else its experiment's, else model, loss and data set."""
    return name or (experiment or "").rpartition("/")[2] or f"{model}-{loss}-{dataset}"


# OmegaConf 2.4, which comes with Hydra 1.4, gives the function the name that it had before 2.1.
_resolver: Callable[..., None] = OmegaConf.register_resolver if HYDRA_1_4 else OmegaConf.register_new_resolver

# One config has one stamp, however often it is asked for.
_resolver("gan.stamp", new_stamp, use_cache=True, replace=True)
_resolver("gan.label", _label, replace=True)
_resolver("gan.job", job_name, replace=True)
_resolver("gan.times", _times, replace=True)
_resolver("gan.plus", _plus, replace=True)
_resolver("gan.load", _load, replace=True)
_resolver("gan.depth", _depth, replace=True)
_resolver("gan.unless", lambda value, *others: value if all(other is None for other in others) else None, replace=True)


def _ramp(kind: str, start: int | float, end: int | float, images: int) -> dict[str, Any]:
    return {"_target_": f"gan_cli.ramps.{kind}", "start": start, "end": end, "images": images}


# Shorthand for numbers that follow progress: 'penalty.r1.weight=${linear:1,0.1,100000}'.
_resolver("linear", partial(_ramp, "Linear"), replace=True)
_resolver("cosine", partial(_ramp, "Cosine"), replace=True)


def _version() -> dict[str, Any]:
    return {} if HYDRA_1_4 else {"version_base": "1.3"}


def check_plugins(command: str, words: Sequence[str], allowed: Trust) -> None:
    """Raises ConfigError where Hydra's own part of a config names code that is not `allowed`.

    Hydra takes callbacks from what is chosen once, and loggers from each job's files.
    """
    overrides, flags = divide(words, command)
    with friendly(command, overrides):
        parsed = OverridesParser.create().parse_overrides([readable(word) for word in overrides])
    for some in of_each_file(overrides, parsed, available(flags)):
        with _with_hydras_part(command, [*some, *flags]) as (config, _, _):
            plugins.check(config, allowed)


def hydra_main(command: str, task: Callable[[DictConfig], Any], words: Sequence[str]) -> None:
    """Runs `task` as Hydra's main function of `conf/<command>.yaml` does with these words: sweeps, --cfg, --info.

    Of a sweep and of --run, Hydra's own part of the config has to be checked before.

    An error of the task is held back until Hydra is done: whatever Hydra itself raises is about the words.
    """
    failures: list[Exception] = []

    def kept(config: DictConfig) -> Any:
        try:
            return task(config)
        except Exception as error:
            failures.append(error)
            return None

    settings: dict[str, Any] = _version()
    if HYDRA_1_4:
        settings["execution_whitelist"] = ("gan_cli.*", "torch.nn.*", "torch.optim.*")
    overrides, flags = divide(words, command)
    config_files.check(overrides, flags)
    if "--resolve" in flags:
        _check_expansion(command, overrides, flags)
    with composing(command, [*overrides, *flags]), _lent([command, *map(readable, overrides), *flags]):
        hydra.main(config_path=conf_dir(), config_name=command, **settings)(kept)()
    if failures:
        raise failures[0]


def _check_expansion(command: str, overrides: list[str], flags: list[str]) -> None:
    """Raises ConfigError where a config that Hydra is to show resolved would fill the memory."""
    with composing(command, overrides), _initialised():
        asked = [*map(readable, overrides), *_search_path(flags)]
        expanded.check(_node(hydra.compose(command, asked, return_hydra_config=True)))


@contextmanager
def _lent(words: list[str]) -> Iterator[None]:
    """Lends Hydra's main function the process-wide state that it reads, for as long as it runs."""
    argv, full = sys.argv, os.environ.get(FULL_ERROR)
    sys.argv, os.environ[FULL_ERROR] = words, "1"
    try:
        yield
    finally:
        sys.argv = argv
        del os.environ[FULL_ERROR]
        if full is not None:
            os.environ[FULL_ERROR] = full


def shown_by_hydra(flags: Sequence[str]) -> bool:
    """Whether flags ask for what only Hydra's main function does; those that name a folder of configs do not."""
    return any(flag.startswith("-") and flag not in CONFIG_DIR for flag in flags)


def perform(command: str, words: Sequence[str], task: Callable[[dict[str, Any]], None]) -> None:
    """Runs a command's task on its config; as Hydra's main function does where a flag asks for that.

    Raises:
        ConfigError: A word is wrong.
    """
    if not shown_by_hydra(divide(words)[1]):
        task(compose(command, words).config)
        return
    if not SHOWS & {*words}:
        check_plugins(command, words, NOTHING)
    with friendly(command, words):
        hydra_main(command, lambda config: task(plain(config)), words)


def plain(config: DictConfig) -> dict[str, Any]:
    """The config as plain values. Raises ConfigError for missing values and broken interpolations."""
    try:
        written = OmegaConf.to_container(config, resolve=False)
        missing = [key for key, text in unread.strings(written) if text == MISSING]
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
    """The config given to Hydra's main function, and the folder that it chose."""
    meta = HydraConfig.get()
    chosen = _chosen(meta.runtime.choices)
    forgotten = left_out.forget(command, config, meta, chosen)
    unread.check(command, config, chosen)
    return Composed(plain(config), chosen, hydras_folder(), forgotten)


def hydras_folder() -> Path:
    """The folder that Hydra's main function made for the job that it is running."""
    return Path(HydraConfig.get().runtime.output_dir)


def _initialised() -> Any:
    GlobalHydra.instance().clear()
    return hydra.initialize_config_dir(conf_dir(), **_version())


def compose(command: str, words: Sequence[str]) -> Composed:
    """A command's config from its words: settings, choices, and `--config-dir` with folders of configs.

    Raises:
        ConfigError: A word is wrong.
    """
    with _with_hydras_part(command, words) as (config, chosen, forgotten):
        folder = Path(config.hydra.run.dir)
        return Composed(_without_hydras_part(command, config, chosen), chosen, folder, forgotten)


def compose_unresolved(command: str, words: Sequence[str]) -> tuple[dict[str, Any], Composed]:
    """A command's config as its files have it, with their interpolations, and as `compose` returns it."""
    with _with_hydras_part(command, words) as (config, chosen, forgotten):
        folder = Path(config.hydra.run.dir)
        resolved = _without_hydras_part(command, config, chosen)
        written = OmegaConf.to_container(config, resolve=False)
    assert isinstance(written, dict)
    return {str(key): value for key, value in written.items()}, Composed(resolved, chosen, folder, forgotten)


class Swept(NamedTuple):
    """A sweep as Hydra sees it."""

    job: dict[str, Any]  # the config of a job
    sweeper: Mapping[str, Any]
    launcher: Mapping[str, Any]
    chosen: str  # the launcher's name
    folder: Path
    refused: tuple[str, ...]  # what Hydra would run and nobody vouches for


def compose_sweep(words: Sequence[str], allowed: Trust = NOTHING) -> Swept:
    """A sweep of which `words` are one job's; its Hydra may run the code that is `allowed` besides its own."""
    with _with_hydras_part("train", words) as (config, chosen, _):
        refused = plugins.problems(config, allowed)
        sweeper, launcher = (_node(config.hydra[key]) for key in ("sweeper", "launcher"))
        launched, folder = str(config.hydra.runtime.choices["hydra/launcher"]), Path(config.hydra.sweep.dir)
        return Swept(_without_hydras_part("train", config, chosen), sweeper, launcher, launched, folder, refused)


def _node(config: DictConfig) -> dict[str, Any]:
    """A part of Hydra's own config, with its interpolations."""
    node = OmegaConf.to_container(config, resolve=False)
    assert isinstance(node, dict)
    return {str(key): value for key, value in node.items()}


@contextmanager
def _with_hydras_part(
    command: str, words: Sequence[str]
) -> Iterator[tuple[DictConfig, dict[str, str | None], tuple[str, ...]]]:
    """A config with Hydra's own part, its choices, and the settings that were left out of it."""
    overrides, flags = divide(words, command)
    config_files.check(overrides, flags)
    with composing(command, overrides), _initialised():
        asked = [*map(readable, overrides), *_search_path(flags)]
        config = hydra.compose(command, asked, return_hydra_config=True)
        expanded.check(_node(config))
        chosen = _chosen(config.hydra.runtime.choices)
        yield config, chosen, left_out.forget(command, config, config.hydra, chosen)


def _without_hydras_part(command: str, config: DictConfig, chosen: Mapping[str, str | None]) -> dict[str, Any]:
    OmegaConf.set_struct(config, False)
    del config["hydra"]
    unread.check(command, config, chosen)
    return plain(config)


def _search_path(flags: Sequence[str]) -> list[str]:
    """`--config-dir FOLDER` as the setting that Hydra composes with."""
    named = config_dirs(flags)
    missing = [folder for folder in named if not Path(folder).is_dir()]
    if missing:
        raise ConfigError(two_lines(f"--config-dir {missing[0]} is not a folder", "name the folder of your configs"))
    urls = ",".join(quote(f"file://{Path(folder).absolute()}") for folder in named)
    return [f"hydra.searchpath=[{urls}]"] if named else []
