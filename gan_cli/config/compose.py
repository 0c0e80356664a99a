"""Hydra: where conf/ is, how a config is composed, and how a saved one is read. Only this file knows its version."""

from __future__ import annotations

import os
import re
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import hydra
import yaml
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException, OverrideParseException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from gan_cli.config.errors import ConfigError, did_you_mean, two_lines, unknown_choice
from gan_cli.config.words import in_shell, readable, unreadable
from gan_cli.config.words import quote as quote

HYDRA_1_4 = tuple(int(part) for part in hydra.__version__.split(".")[:2]) >= (1, 4)
STAMP = "GAN_STAMP"


class Composed(NamedTuple):
    """A config and where it came from."""

    config: dict[str, Any]  # plain values, every interpolation resolved
    choices: dict[str, str | None]  # group -> choice
    folder: Path  # the run folder


def conf_dir() -> str:
    """The packaged configs of an installed gan, or those of the source checkout."""
    packaged = Path(str(resources.files("gan_cli"))) / "conf"
    folder = packaged if packaged.is_dir() else Path(__file__).resolve().parents[2] / "conf"
    return str(folder)


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
        os.chdir(HydraConfig.get().runtime.cwd)  # words are relative to where they were typed, hydra.job.chdir or not
        try:
            return task(config)
        except Exception as error:
            failures.append(error)
            return float("nan")  # the worst score, to whatever sweeps

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
        raise ConfigError(_broken(error)) from error
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def _broken(error: OmegaConfBaseException) -> str:
    """An interpolation that cannot be resolved, with its key."""
    ramp = "what follows progress is written '${linear:START,END,IMAGES}' or '${cosine:START,END,IMAGES}'"
    first = str(error).splitlines()[0]
    return two_lines(f"{error.full_key}: {first}", ramp if "interpolation" in first else "")


def _chosen(choices: Mapping[Any, Any]) -> dict[str, str | None]:
    return {k: None if v is None else str(v) for k, v in choices.items() if not k.startswith("hydra/")}


def inside_hydra(config: DictConfig) -> Composed:
    """What Hydra's main function was given, and the folder that it chose."""
    meta = HydraConfig.get()
    return Composed(plain(config), _chosen(meta.runtime.choices), Path(meta.runtime.output_dir))


@contextmanager
def friendly(command: str, overrides: Sequence[str]) -> Any:
    """Turns Hydra's errors into two lines: what is wrong, what was probably meant."""
    try:
        yield
    except MissingConfigException as error:
        group, _, choice = (error.missing_cfg_file or "").rpartition("/")
        options = error.options or _choices(group, str(error))
        if not options:
            raise ConfigError(str(error).splitlines()[0]) from error
        raise ConfigError(unknown_choice(group, choice, options)) from error
    except OverrideParseException as error:
        raise ConfigError(unreadable(str(error.override))) from error
    except (ConfigCompositionException, OmegaConfBaseException, HydraException) as error:
        raise ConfigError(_explain(command, error, overrides)) from error


def _choices(group: str, message: str) -> list[str]:
    """The choices of a group in the folders that Hydra says it has searched: of a list it tells no choices itself."""
    folders = re.findall(r"path=file://(.+)$", message, flags=re.MULTILINE)
    return sorted({choice for folder in folders for choice in config_groups(Path(folder)).get(group, ())})


def _explain(command: str, error: Exception, overrides: Sequence[str]) -> str:
    while not str(error) and isinstance(error.__cause__, Exception):
        error = error.__cause__
    first = (str(error).splitlines() or [type(error).__name__])[0]
    found = re.match(r"Could not (?:override|append to config|delete from config)[^']*'([^']*)'", first)
    swept = re.match(r"(?:Ambiguous value for argument|Sweep parameters) '([^']*)'", first)
    if swept is not None:
        return _one_value(command, swept.group(1))
    if found is None:
        return first
    key = found.group(1).split("@")[0]
    known = _known_keys(command, overrides)
    if key in known:  # the key is there, the value is not of its kind
        detail = [*str(error).splitlines(), ""][1].strip()
        return two_lines(f"{key} cannot be set so", detail)
    owners = _owners(key)
    remedy = f"choose one that has it: {', '.join(owners)}" if owners else did_you_mean(key, known)
    return two_lines(f"unknown setting '{key}'", remedy)


def _owners(key: str) -> list[str]:
    """The choices, as they are written, whose files have the setting: add `penalty=[r1]` for penalty.r1.weight."""
    group, _, inner = key.partition(".")
    folder = Path(conf_dir())
    has = [
        choice
        for choice in config_groups(folder).get(group, ())
        if inner in dotted(yaml.safe_load((folder / group / f"{choice}.yaml").read_text()))
    ]
    listed = any(
        re.search(rf"^  - {group}: \[", path.read_text(), flags=re.MULTILINE) for path in folder.glob("*.yaml")
    )
    return [f"{group}=[{choice}]" if listed else f"{group}={choice}" for choice in has]


def _one_value(command: str, word: str) -> str:
    key, _, value = word.partition("=")
    quoted = in_shell(f"{key}={quote(value)}")
    remedy = f"gan {command} -m {word} sweeps over them; {key}=[{value}] is a list, {quoted} a word with a comma"
    return two_lines(f"{word}: several values for one run", remedy)


def _known_keys(command: str, overrides: Sequence[str]) -> list[str]:
    """Every group and every key that the command has with the groups that were chosen."""
    groups = config_groups(Path(conf_dir()))
    chosen = [o for o in overrides if o.split("=")[0] in groups]
    for attempt in (chosen, []):
        try:
            with _initialised():
                config = hydra.compose(command, attempt)
        except Exception:
            continue
        return [*groups, *dotted(OmegaConf.to_container(config, resolve=False))]
    return list(groups)


def dotted(node: Any, prefix: str = "") -> list[str]:
    """The dotted names of all keys below a node, those of Hydra's own apart."""
    if not isinstance(node, dict):
        return []
    keys = []
    for name, value in node.items():
        if not str(name).startswith("_"):
            keys += [f"{prefix}{name}", *dotted(value, f"{prefix}{name}.")]
    return keys


def config_groups(folder: Path) -> dict[str, list[str]]:
    """Group -> choices, as the folders and files of conf/; names that begin with _ are for inclusion only."""
    groups: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*.yaml")):
        group = path.parent.relative_to(folder).as_posix()
        if group != "." and not path.stem.startswith("_"):
            groups.setdefault(group, []).append(path.stem)
    return groups


def _initialised() -> Any:
    GlobalHydra.instance().clear()
    return hydra.initialize_config_dir(conf_dir(), **_version())


def compose(command: str, overrides: Sequence[str]) -> Composed:
    """A command's config from override strings, outside of Hydra's main function (Python use).

    Raises:
        ConfigError: An override is wrong.
    """
    new_stamp()
    with friendly(command, overrides), _initialised():
        config = hydra.compose(command, [readable(word) for word in overrides], return_hydra_config=True)
        choices = _chosen(config.hydra.runtime.choices)
        folder = Path(config.hydra.run.dir)
        OmegaConf.set_struct(config, False)
        del config["hydra"]
        return Composed(plain(config), choices, folder)


def to_yaml(config: Mapping[str, Any]) -> str:
    """The config as text, keys in their order."""
    return OmegaConf.to_yaml(OmegaConf.create(dict(config)))
