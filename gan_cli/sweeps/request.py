"""What `gan train -m ...` asks for: a new sweep, or one that goes on."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from gan_cli.config import trust
from gan_cli.config.sweeps import MULTIRUN, Plan, launches, plan
from gan_cli.config.words import take
from gan_cli.errors import ConfigError, NotARun, NotWritable, two_lines
from gan_cli.sweeps.folder import Sweep


@dataclass(frozen=True)
class Request:
    """A sweep that was asked for.

    Attributes:
        words: What it began with, as it was typed.
        plan: What that means.
        wanted: The numbers of the jobs to run; None for all.
        again: Whether it goes on.
        decide: The key whose two values are compared at the end.
    """

    words: list[str]
    plan: Plan
    sweep: Sweep
    wanted: frozenset[int] | None
    again: bool
    decide: str | None

    @property
    def command(self) -> str:
        return shlex.join(["gan", "train", *self.words])


def read(words: Sequence[str]) -> Request:
    """What the words after `gan train` ask for, `-m` among them.

    Raises:
        ConfigError: A word is wrong.
        NotARun: There is no sweep to go on with, or it may be a stranger's.
        NotWritable: The folder of a new sweep holds one already.
    """
    source, others = take("resume", words)
    which, others = take("jobs", others)
    if source is not None:
        return _continued(source, which, others)
    if which is not None:
        raise ConfigError(two_lines(f"jobs={which} goes with resume=", "resume=outputs/sweeps/<sweep> jobs=failed"))
    decide, planned = _planned(others)
    sweep = Sweep(planned.folder)
    if sweep.is_one() or (sweep.folder / "config.yaml").exists():
        what = "sweep" if sweep.is_one() else "run"
        remedy = f"gan train{' -m' * (what == 'sweep')} resume={shlex.quote(str(sweep.folder))} continues it"
        raise NotWritable(two_lines(f"{sweep.folder} holds a {what} already", remedy))
    return Request(others, planned, sweep, None, False, decide)


def _planned(words: Sequence[str]) -> tuple[str | None, Plan]:
    """The key to decide on, and the plan of the other words."""
    decide, others = take("decide", words)
    vouched, settings = trust.taken(others)
    planned = plan(settings, trust.for_runs(vouched))
    if decide is not None:
        _check_decidable(decide, planned)
    return decide, planned


def _check_decidable(key: str, planned: Plan) -> None:
    """Raises ConfigError where the sweep cannot tell which of two values is better."""
    if planned.swept.get(key) != 2:
        raise ConfigError(two_lines(f"decide={key} chooses between two values of {key}", f"give two: {key}=OLD,NEW"))
    if planned.swept.get("seed", 0) < 2:
        raise ConfigError(two_lines(f"decide={key} compares over seeds", "give several: seed=0,1,2,3,4"))
    if not planned.measured:
        what = f"decide={key} needs a number to go by, and these jobs measure nothing"
        raise ConfigError(two_lines(what, "add evaluation.every_steps=500"))


def _continued(source: str, which: str | None, others: Sequence[str]) -> Request:
    sweep = Sweep.open(source)
    typed = sweep.typed()
    if typed is None:
        remedy = "gan train resume=RUN continues each of its runs"
        raise NotARun(two_lines(f"{source} does not say with which words it began", remedy))
    _check_own(sweep, source, typed, [word for word in others if word not in MULTIRUN and not launches(word)])
    launcher = [word for word in others if launches(word)]
    words = [*(word for word in typed if not (launcher and launches(word))), *launcher]
    decide, planned = _planned(words)
    if planned.jobs is None:
        raise ConfigError(two_lines(f"{source} is a search, which chooses its jobs as it goes", "start it again"))
    if [list(job) for job in planned.jobs] != sweep.jobs():
        raise NotARun(two_lines(f"{source} has other jobs than its words say", "start it again, in another folder"))
    wanted = _wanted(sweep, source, which, len(planned.jobs))
    return Request(typed, planned.within(sweep.folder), sweep, wanted, True, decide)


def _check_own(sweep: Sweep, source: str, typed: Sequence[str], repeated: Sequence[str]) -> None:
    """Raises where the words of the sweep may be a stranger's, or would mean something else here."""
    its = [word for word in typed if word not in MULTIRUN and not launches(word)]
    if repeated:
        if sorted(repeated) != sorted(its):
            other = next((word for word in repeated if word not in its), repeated[0])
            remedy = "leave it out; only hydra/launcher= and hydra.launcher. can change"
            raise ConfigError(two_lines(f"{other}: a sweep keeps the words that it began with", remedy))
        return  # the user's own words, typed now
    again = f"gan train -m resume={shlex.quote(source)}"
    if not sweep.is_own():
        what = f"{source} was not begun here, so its words may be a stranger's"
        raise NotARun(two_lines(what, f"if they are yours, type them: {again} {shlex.join(its)}"))
    where = sweep.where() or ""
    if os.path.isdir(where) and not os.path.samefile(where, os.getcwd()):
        raise ConfigError(
            two_lines(f"{source} was begun in {where}, where its paths begin", f"cd {shlex.quote(where)}")
        )


def _wanted(sweep: Sweep, source: str, which: str | None, there: int) -> frozenset[int]:
    """The jobs to run: those that are named, else all that have not failed."""
    failed = frozenset(failure.job for failure in sweep.failed())
    if which is None:
        return frozenset(range(there)) - failed
    if which == "failed":
        if not failed:
            raise ConfigError(two_lines(f"no job of {source} failed", f"gan train -m resume={source} runs the rest"))
        return failed
    numbers = [word.strip() for word in which.strip("[]").split(",")]
    if not all(word.isascii() and word.isdigit() and len(word) < 9 and int(word) < there for word in numbers):
        raise ConfigError(two_lines(f"jobs={which} is not valid", f"jobs=failed, or numbers up to {there - 1}: jobs=0"))
    return frozenset(map(int, numbers))
