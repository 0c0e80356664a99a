"""What is compared: runs, evaluation files, and the jobs of a sweep, gathered over seeds."""

from __future__ import annotations

import math
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from gan_cli.config import own
from gan_cli.errors import NotComparable, two_lines
from gan_cli.evaluation.comparison import Side, apart_from_the_seed, latest, read, words_of
from gan_cli.store import summary
from gan_cli.store.run import ENDED, Run
from gan_cli.store.summary import Summary
from gan_cli.sweeps.folder import Sweep

Scores = Mapping[str, Any]  # metric name -> value record


@dataclass(frozen=True)
class Job:
    """A run of a sweep, or by itself."""

    run: Run
    about: Summary
    words: tuple[str, ...]  # of its command

    @classmethod
    def of(cls, run: Run) -> Job:
        return cls(run, summary.of(str(run.folder)), words_of(run.folder))

    @property
    def name(self) -> str:
        return self.about.name

    @property
    def seed(self) -> str:
        return self.about.chosen.get("seed", "")

    @property
    def group(self) -> tuple[str, ...]:
        """What it shares with its repetitions."""
        return apart_from_the_seed(self.words)

    @cached_property
    def evaluated(self) -> Scores | None:
        """What `gan eval` measured last. Raises DataError for a file that is no evaluation."""
        found = latest(self.run)
        return None if found is None else found.metrics

    @cached_property
    def trained(self) -> Scores | None:
        """Its best score while training, of result.json; infinitely bad where the run diverged. None where it has not
        come to its end, or measured nothing."""
        best = self.about.best
        if self.about.status not in ENDED or best is None:
            return None
        value = best.value if self.about.status == "finished" else -math.inf if best.better == "larger" else math.inf
        told = summary.read(str(self.run.result)).get("best", {})
        reference = str(told.get("reference", ""))[: summary.LONGEST]
        return {best.metric: {"value": value, "se": None, "reference": reference, "convention": "best while training"}}


def jobs_of(sweep: Sweep) -> list[Job]:
    return [Job.of(run) for run in sweep.runs()]


def are_trained(jobs: Sequence[Job]) -> bool:
    """Whether the scores that were taken while training are the ones to go by: of more of the jobs they are there."""
    return sum(job.evaluated is not None for job in jobs) < sum(job.trained is not None for job in jobs)


def scored(jobs: Sequence[Job]) -> list[tuple[Job, Scores]]:
    """The jobs that have scores to go by, of one kind, and these."""
    trained = are_trained(jobs)
    found = [(job, job.trained if trained else job.evaluated) for job in jobs]
    return [(job, scores) for job, scores in found if scores is not None]


def grouped(jobs: Sequence[Job]) -> dict[tuple[str, ...], list[Job]]:
    """The jobs by what they share with their repetitions."""
    groups: dict[tuple[str, ...], list[Job]] = {}
    for job in jobs:
        groups.setdefault(job.group, []).append(job)
    return groups


def named(group: Sequence[str], groups: Sequence[Sequence[str]], jobs: Sequence[Job]) -> str:
    """A group by the words that not all of them have; by its seeds where there is no other."""
    common = set.intersection(*(set(words) for words in groups))
    return " ".join(word for word in group if word not in common) or f"seed={','.join(job.seed for job in jobs)}"


def sides(jobs: Sequence[Job]) -> list[Side]:
    """The jobs that have scores, those that differ only by their seed as one side."""
    scores = {id(job): record for job, record in scored(jobs)}
    groups = grouped([job for job in jobs if id(job) in scores])
    trained, tried = are_trained(jobs), list(grouped(jobs))
    return [
        Side(
            named(group, tried, mine),
            tuple(scores[id(job)] for job in mine),
            tuple(job.seed for job in mine),
            trained,
        )
        for group, mine in groups.items()
    ]


def sides_of(word: str) -> list[Side]:
    """The sides that a word names: a run, an evaluation file, or a sweep, whose jobs are grouped over seeds.

    Raises:
        NotComparable: It is none of these, or has not been measured yet.
        DataError: A file is not an evaluation file.
    """
    path = Path(word)
    if not os.path.exists(word):  # also where it is too long for a name
        raise NotComparable(two_lines(f"{word} does not exist", "give run folders, sweeps or evaluation files"))
    if path.is_file():
        return [Side(path.stem, (read(path).metrics,))]
    sweep = Sweep(path)
    if not sweep.is_one() and not (path / "config.yaml").is_file():
        raise NotComparable(two_lines(f"{word} is nothing to compare", "give run folders, sweeps or evaluation files"))
    jobs = jobs_of(sweep) if sweep.is_one() else [Job.of(Run(path))]
    found = sides(jobs)
    if not found:
        vouched = own.vouched(jobs[0].run) if jobs else ""
        raise NotComparable(two_lines(f"{word} was not measured yet", f"gan eval {shlex.quote(word)}{vouched}"))
    return [replace(found[0], name=path.resolve().name)] if len(found) == 1 else found
