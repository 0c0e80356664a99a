"""What a sweep came to: its table, its best run, what is missing and what to type next."""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Sequence
from typing import Any

from gan_cli.config import own
from gan_cli.errors import DataError, NotComparable
from gan_cli.evaluation import verdicts
from gan_cli.evaluation.comparison import Side
from gan_cli.store.disk import write_text
from gan_cli.store.outputs import finite
from gan_cli.store.run import ENDED, Run
from gan_cli.sweeps import ranking
from gan_cli.sweeps.folder import Failure, Sweep
from gan_cli.sweeps.ranking import Ranking
from gan_cli.sweeps.sides import Job, are_trained, jobs_of, scored

log = logging.getLogger(__name__)

SHOWN = 10  # failures that are listed


def conclude(sweep: Sweep, decide: str | None = None) -> dict[str, Any]:
    """Says what the sweep came to, and keeps it in sweep.json and sweep.csv; returns what sweep.json holds.

    Args:
        decide: The key whose two values are compared.

    Raises:
        NotWritten: The folder cannot be written; it has been said all the same.
    """
    jobs = jobs_of(sweep)
    if not jobs:
        return {}
    try:
        order, why = ranking.ranked(jobs), ""
    except (NotComparable, DataError) as error:
        order, why = None, str(error)
    answer = record(sweep, jobs, order)
    if decide is not None:
        answer["decision"] = decision(sweep, jobs, decide)
    try:
        sweep.conclude(finite(answer))
        write_text(sweep.table, ranking.table(jobs))
    finally:
        log.info("")
        for line in lines(sweep, jobs, order, why):
            log.info("%s", line)
        if decide is not None:
            print(json.dumps(finite(answer["decision"])), flush=True)
    return answer


def record(sweep: Sweep, jobs: Sequence[Job], order: Ranking | None) -> dict[str, Any]:
    """What it came to, for programs."""
    scores = {id(job): found for job, found in scored(jobs)} if order is not None else {}
    runs = [
        {
            "run": job.name,
            "words": list(job.words),
            "seed": job.seed,
            "status": job.about.status,
            "step": job.about.step,
            "scores": {name: {key: value.get(key) for key in ("value", "se")} for name, value in found.items()},
        }
        for job in jobs
        for found in [scores.get(id(job), {})]
    ]
    failures = [
        {"job": f.job, "words": list(f.words), "error": f.error, "again": again(sweep, f)} for f in sweep.failed()
    ]
    best = {} if order is None else {"repeat": repeat(order.best[0].run)}
    return {**({} if order is None else ranking.record(order)), **best, "runs": runs, "failures": failures}


def lines(sweep: Sweep, jobs: Sequence[Job], order: Ranking | None, why: str = "") -> list[str]:
    """What it came to, for people.

    Args:
        why: The reason where its jobs have no order.
    """
    typed = shlex.quote(str(sweep.folder))
    said = _scores(order, typed) if order is not None else [why or f"nothing was measured: gan eval {typed} does"]
    open_jobs = [job for job in jobs if job.about.status not in ENDED]
    failed = sweep.failed()
    if failed:
        said.append(f"{len(failed)} failed:")
        first = {failure.error: failure.job for failure in reversed(failed)}
        for failure in failed[:SHOWN]:
            new = first[failure.error] == failure.job
            why = failure.reason if new else f"as #{first[failure.error]}"
            said.append(f"  #{failure.job} {_own(failure, jobs)}: {why}")
            said += [f"    {failure.remedy}"] if new and failure.code == 2 and failure.remedy else []
        said += [f"  and {len(failed) - SHOWN} more, in {sweep.failures}"] if len(failed) > SHOWN else []
        said.append(f"  {all_again(sweep)} runs them again")
    if missing := left(sweep):
        said.append(f"{missing} not finished: gan train -m resume={typed} continues")
    elif open_jobs and sweep.jobs() is None:
        said.append(f"{len(open_jobs)} not finished")
    return [*said, f"everything is in {sweep.folder}", f"  gan report {typed}"]


def _scores(order: Ranking, typed: str) -> list[str]:
    best, value = order.best
    said = [*ranking.lines(order), ranking.NOTE]
    if order.trained:
        said.append(f"scores taken while training, the best of each run; gan eval {typed} measures them all")
    if order.without:
        said.append(f"{len(order.without)} without a score: {', '.join(job.name for job in order.without[:SHOWN])}")
    return [*said, f"best run: {best.name}, {order.metric} {value:.5g}", f"  {repeat(best.run)}"]


def _own(failure: Failure, jobs: Sequence[Job]) -> str:
    """The words of a failure that not all jobs have."""
    common = set.intersection(*(set(job.words) for job in jobs)) if jobs else set()
    return " ".join(word for word in failure.words if word not in common)


def left(sweep: Sweep) -> int:
    """How many jobs have neither come to their end nor failed."""
    planned = sweep.jobs()
    ended = sum(job.about.status in ENDED for job in jobs_of(sweep))
    return 0 if planned is None else max(0, len(planned) - ended - len(sweep.failed()))


def progress(sweep: Sweep) -> str:
    """`3 of 12 jobs finished`."""
    planned = sweep.jobs()
    ended = sum(job.about.status in ENDED for job in jobs_of(sweep))
    return f"{ended}{'' if planned is None else f' of {len(planned)}'} jobs finished"


def repeat(run: Run) -> str:
    """The command that repeats a run."""
    return f"gan train repeat={shlex.quote(str(run.folder))}{own.vouched(run)}"


def again(sweep: Sweep, failure: Failure) -> str:
    """The command that runs a failed job again, alone."""
    return f"gan train -m resume={shlex.quote(str(sweep.folder))} jobs={failure.job}"


def all_again(sweep: Sweep) -> str:
    """The command that runs all failed jobs again; it names them where the sweep's folder does not."""
    which = ",".join(str(failure.job) for failure in sweep.failed()) if sweep.unwritten else "failed"
    return f"gan train -m resume={shlex.quote(str(sweep.folder))} jobs={which}"


def decision(sweep: Sweep, jobs: Sequence[Job], key: str) -> dict[str, Any]:
    """The verdict on the second value of a key against the first, over pairs that differ in nothing else."""

    def own(words: Sequence[str]) -> str:
        return " ".join(word for word in words if word.partition("=")[0].lstrip("+") == key)

    typed = dict.fromkeys(own(words) for words in sweep.jobs() or [list(job.words) for job in jobs])
    sides = {value: [(job, found) for job, found in scored(jobs) if own(job.words) == value] for value in typed}
    a, b = (
        Side(
            value,
            tuple(scores for _, scores in its),
            tuple(" ".join(word for word in job.words if word != value) for job, _ in its),
            are_trained(jobs),
        )
        for value, its in sides.items()
    )
    if not a.records or not b.records:
        without = " and ".join(side.name for side in (a, b) if not side.records)
        return {"decide": key, "verdict": verdicts.UNDECIDED, "pairs": 0, "reason": f"{without} has no score"}
    try:
        return {"decide": key, **verdicts.compare(a, b)}
    except NotComparable as error:
        return {"decide": key, "verdict": verdicts.UNDECIDED, "pairs": 0, "reason": str(error)}
