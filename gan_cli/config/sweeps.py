"""What the words of a sweep mean: its jobs, its folder, and what starts them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import islice
from math import prod
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, Transformer

from gan_cli.config import compose
from gan_cli.config.choices import config_dirs
from gan_cli.config.compose import NOTHING, Swept
from gan_cli.config.swept_words import first_value
from gan_cli.config.trust import Trust
from gan_cli.config.words import divide, quote, readable, text
from gan_cli.errors import ConfigError, PackageMissing, two_lines

MULTIRUN = ("-m", "--multirun")
MOST = 10_000  # jobs
BASIC = "hydra._internal.core_plugins.basic_sweeper.BasicSweeper"  # tries every combination; the others search
JOBLIB = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"
RAY = "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher"
# What Ray would print is in the jobs' logs; one that runs already refuses the size that its plugin names.
RAY_INIT = {"log_to_driver": "false", "object_store_memory": "null"}
LAUNCHER = ("hydra/launcher=", "hydra.launcher.")  # how the words begin that say what starts the jobs
SEARCH = "gan search asks Optuna what to try: pip install 'gan-cli[search]'"
# Word -> the package of its plugin, and the remedy where that is not installed.
PLUGINS = {
    "hydra/launcher=joblib": ("hydra_plugins.hydra_joblib_launcher", "pip install 'gan-cli[sweep]'"),
    "hydra/launcher=submitit_local": ("hydra_plugins.hydra_submitit_launcher", "pip install 'gan-cli[slurm]'"),
    "hydra/launcher=submitit_slurm": ("hydra_plugins.hydra_submitit_launcher", "pip install 'gan-cli[slurm]'"),
    "hydra/launcher=ray": ("hydra_plugins.hydra_ray_launcher", "pip install 'gan-cli[ray]'"),
    "hydra/sweeper=optuna": ("hydra_plugins.hydra_optuna_sweeper", SEARCH),
    "hydra/sweeper=ax": ("hydra_plugins.hydra_ax_sweeper", SEARCH),
    "hydra/sweeper=nevergrad": ("hydra_plugins.hydra_nevergrad_sweeper", SEARCH),
}


@dataclass(frozen=True)
class Plan:
    """A sweep, before it begins.

    Attributes:
        words: What Hydra is given.
        folder: Of the sweep.
        jobs: The words of each job; None for a search, which chooses as it goes.
        swept: The keys that take several values, and how many; of a search, any number.
        ignored: A launcher that a file names and Hydra does not take from there.
        measured: Whether its jobs measure while they train.
    """

    words: tuple[str, ...]
    folder: Path
    jobs: tuple[tuple[str, ...], ...] | None
    swept: dict[str, int]
    ignored: str | None
    measured: bool

    @property
    def searches(self) -> bool:
        return self.jobs is None

    def within(self, folder: Path) -> Plan:
        """The same sweep in another folder."""
        return replace(self, folder=folder)

    def typed(self) -> list[str]:
        """The words for Hydra, with those that place its jobs; Ray's begin in the folder where Ray was started."""
        return [*self.words, f"hydra.sweep.dir={quote(str(self.folder.absolute()))}"]


def plan(words: Sequence[str], allowed: Trust = NOTHING) -> Plan:
    """What these words ask for.

    Args:
        allowed: What Hydra's own part of the config may name besides what is installed for it.

    Raises:
        ConfigError: A word is wrong in the very first job, or there are too many jobs.
        PackageMissing: The launcher or the sweeper is not installed.
    """
    overrides, flags = divide(words)
    _check_plugins(overrides)
    with compose.friendly("train", overrides):
        parsed = OverridesParser.create().parse_overrides([readable(word) for word in overrides])
    _check_number(parsed)
    chosen = [flag for flag in flags if flag not in MULTIRUN]
    first = [first_value(word, override) for word, override in zip(overrides, parsed, strict=True)]
    swept = compose.compose_sweep([*first, *chosen], allowed)
    evaluation = swept.job["evaluation"]
    measured = {evaluation[key] for key in ("every_steps", "every_epochs")} != {None}
    if swept.sweeper.get("_target_") != BASIC and not measured:
        what = "a search needs a number to go by, and these jobs measure nothing"
        raise ConfigError(two_lines(what, "add evaluation.every_steps=500"))
    alone = [word for word, override in zip(overrides, parsed, strict=True) if not override.is_sweep_override()]
    if swept.refused:
        raise ConfigError(*swept.refused)
    if config_dirs(chosen) or any("searchpath" in word for word in overrides):
        compose.check_plugins("train", [*overrides, *chosen], allowed)
    with compose.friendly("train", overrides):
        jobs = _jobs(parsed, swept)
    several = {o.key_or_group: _count(o) for o in parsed if o.is_sweep_override()}
    several |= dict.fromkeys(swept.sweeper.get("params") or {}, 2)
    fixed = {override.key_or_group for override in parsed} - set(several)
    names = ",".join(quote(key) for key in sorted(fixed))
    more = [f"hydra.job.config.override_dirname.exclude_keys=[{names}]", *_shared(overrides, swept, jobs)]
    kept = [word for word in overrides if not word.startswith("hydra.sweep.dir=")]
    return Plan(
        (*kept, *more, *flags),
        swept.folder,
        jobs,
        several,
        _ignored([*alone, *chosen], swept) if len(alone) < len(overrides) else None,
        measured,
    )


def launches(word: str) -> bool:
    """Whether a word says what starts the jobs, not what they are."""
    return word.lstrip("+~").startswith(LAUNCHER)


def _check_plugins(overrides: Sequence[str]) -> None:
    for word in overrides:
        key, _, value = word.partition("=")
        chosen = f"{key}={text(value)}"
        package, remedy = PLUGINS.get(chosen, ("gan_cli", ""))
        try:
            missing = find_spec(package) is None
        except ModuleNotFoundError:
            missing = True
        if missing:
            raise PackageMissing(two_lines(f"{chosen} is a plugin that is not installed", remedy))


def _count(override: Override) -> int:
    """How many values a word gives, as far as that matters."""
    if isinstance(override.value(), IntervalSweep) or not override.is_discrete_sweep():
        return 1
    return sum(1 for _ in islice(override.sweep_iterator(Transformer.encode), MOST + 1))


def _check_number(parsed: Sequence[Override]) -> None:
    if prod(_count(override) for override in parsed if override.is_sweep_override()) > MOST:
        raise ConfigError(two_lines(f"a sweep of more than {MOST} jobs", "give fewer values, or search among them"))


def _jobs(parsed: Sequence[Override], swept: Swept) -> tuple[tuple[str, ...], ...] | None:
    """The words of each job in Hydra's own order; None where the sweeper searches."""
    if swept.sweeper.get("_target_") != BASIC:
        return None
    params = [f"{key}={value}" for key, value in (swept.sweeper.get("params") or {}).items()]
    asked = [*OverridesParser.create().parse_overrides(params), *(o for o in parsed if not o.is_hydra_override())]
    return tuple(tuple(words) for batch in BasicSweeper.split_arguments(asked, None) for words in batch)


def _shared(overrides: Sequence[str], swept: Swept, jobs: Sequence[object] | None) -> list[str]:
    """What a launcher is told unless the user tells it. Joblib gives each of its processes an equal share of the cores:
    no more processes than jobs."""
    launcher, said = swept.launcher, {word.lstrip("+").partition("=")[0] for word in overrides}
    if launcher.get("_target_") == JOBLIB and jobs is not None and launcher.get("n_jobs") == -1:
        processes = max(1, min(len(jobs), os.cpu_count() or 1))
        return [] if "hydra.launcher.n_jobs" in said else [f"hydra.launcher.n_jobs={processes}"]
    if launcher.get("_target_") == RAY:
        asked = {f"hydra.launcher.ray.init.{key}": value for key, value in RAY_INIT.items()}
        return [f"++{key}={value}" for key, value in asked.items() if key not in said]
    return []


def _ignored(alone: Sequence[str], swept: Swept) -> str | None:
    """The launcher of a job's config where the sweep's does not have it: Hydra reads no file that is swept over."""
    if swept.launcher.get("_target_", "").endswith(".BasicLauncher"):
        return None
    return swept.chosen if compose.compose_sweep(alone).chosen != swept.chosen else None
