"""gan bench: experiments whose answers are known, trained over seeds and measured: one table."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from gan_cli import console
from gan_cli.config import compose, trust
from gan_cli.config.schema import validated
from gan_cli.console import printable
from gan_cli.errors import ConfigError, Interrupted, Refused, two_lines
from gan_cli.progress import Work, say
from gan_cli.store import outputs

log = logging.getLogger(__name__)

# Of a Gaussian in the plane, 1 - exp(-3²/2): what perfect samples have.
CEILING = "samples of the densities themselves have a share of 98.9 % within 3 standard deviations in the plane"


class Case(BaseModel):
    """A row of a suite: what is trained, and how it is measured."""

    model_config = ConfigDict(extra="forbid")

    experiment: str
    detector: str
    measure: list[str]
    rooted: bool = False  # its data are in a folder


class BenchRequest(BaseModel):
    """The settings of conf/bench.yaml."""

    model_config = ConfigDict(extra="forbid")

    suite: dict[str, Case]
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)]
    only: list[str] | None
    steps: Annotated[int, Field(ge=1)] | None
    root: str | None
    out: str | None
    json_file: str | None = Field(alias="json")


@dataclass(frozen=True)
class Found:
    """What one run of a row has come to."""

    modes: float  # modes with a sample
    share: float | None  # of samples within 3 standard deviations of a mode; None for pictures
    kl: float  # of the histogram over modes against the uniform one, nats
    minutes: float  # CPU time of the training


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    name: str
    experiment: str
    runs: Mapping[int, Found]  # by seed

    def mean(self, number: str) -> tuple[float, float | None] | None:
        """Over the seeds, with its standard error; None where a run has no such number."""
        from statistics import fmean, stdev

        values = [getattr(found, number) for found in self.runs.values()]
        if None in values:
            return None
        if len(values) == 1 or not all(map(math.isfinite, values)):  # KL is infinite where no sample is good
            return fmean(values), None
        return fmean(values), stdev(values) / math.sqrt(len(values))

    def record(self) -> dict[str, Any]:
        """For programs."""
        means = {field.name: self.mean(field.name) for field in fields(Found)}
        return {
            "experiment": self.experiment,
            "runs": {seed: asdict(found) for seed, found in self.runs.items()},
            "mean": {name: mean[0] if mean else None for name, mean in means.items()},
            "se": {name: mean[1] if mean else None for name, mean in means.items()},
        }


def main(words: Sequence[str]) -> None:
    """The command line: `words` after `gan bench`."""
    vouched, settings = trust.taken(words)
    compose.perform("bench", settings, lambda config: _run(config, vouched))


def _run(config: Mapping[str, Any], vouched: Sequence[str]) -> None:
    request = validated(BenchRequest, config)
    aside = bool(request.json_file) and outputs.is_standard(Path(str(request.json_file)))
    console.set_up(aside=aside)
    chosen, left_out = _chosen(request)
    rows: list[Row] = []
    planned = Work("runs", len(chosen) * len(request.seeds), time.monotonic)
    with _place(request.out) as folder:
        for name, case in chosen.items():
            try:
                rows.append(_row(name, case, request, vouched, folder, planned))
                log.info("%s", _table(rows)[-1])
            except Refused as error:
                left_out[name] = str(error)
    for line in [*_table(rows), *(f"{name}: not measured: {why}" for name, why in left_out.items())]:
        log.info("%s", line)
    if not rows:
        raise ConfigError(*(f"{name} was not measured: {why}" for name, why in left_out.items()))
    log.info("%s", CEILING)
    if request.json_file:
        from gan_cli.store.run import environment

        record = {"rows": {row.name: row.record() for row in rows}, "left_out": left_out, **environment()}
        outputs.answer(request.json_file, record)


def _chosen(request: BenchRequest) -> tuple[dict[str, Case], dict[str, str]]:
    """The rows that are asked for, and those of them that lack their data, with the remedy."""
    unknown = [name for name in request.only or () if name not in request.suite]
    if unknown:
        raise ConfigError(two_lines(f"only={unknown[0]}: no such row", f"choices: {', '.join(request.suite)}"))
    asked = {name: case for name, case in request.suite.items() if request.only is None or name in request.only}
    lacking = {name for name, case in asked.items() if case.rooted and request.root is None}
    why = two_lines("its data are in a folder", "name it: root=FOLDER")
    return {name: case for name, case in asked.items() if name not in lacking}, dict.fromkeys(sorted(lacking), why)


@contextmanager
def _place(out: str | None) -> Iterator[Path]:
    """The folder of the runs: the one that is named, or a temporary one."""
    if out is not None:
        yield Path(out).expanduser()
        return
    try:
        with TemporaryDirectory(prefix="gan-bench-") as folder:
            yield Path(folder)
    except KeyboardInterrupt as stop:
        remedy = "out=FOLDER keeps what was trained"
        raise Interrupted(
            two_lines("interrupted: its runs were in a temporary folder, which has been removed", remedy)
        ) from stop


def _begin(runs: Work, what: str) -> None:
    """Says which run of how many begins, and how long all that are left will take at the pace so far."""
    left = f", {runs.left} left" if runs.done else ""
    runs.done += 1
    say(f"{printable(what)}: {runs.done} of {runs.total}{left}")


def _row(name: str, case: Case, request: BenchRequest, vouched: Sequence[str], folder: Path, planned: Work) -> Row:
    """Trains and measures a row, over the seeds."""
    from gan_cli.commands.eval import evaluate
    from gan_cli.commands.train import train
    from gan_cli.metrics.measure import full_name

    trusted = [f"trust={module}" for module in vouched]
    where = [f"dataset.root={compose.quote(request.root)}"] if case.rooted and request.root is not None else []
    length = [f"trainer.max_steps={request.steps}"] if request.steps is not None else []
    runs: dict[int, Found] = {}
    for seed in request.seeds:
        _begin(planned, f"{name}, seed {seed}")
        place = f"hydra.run.dir={compose.quote(str(folder / f'{name}-{seed}'))}"
        began = time.process_time()
        run = train(
            *trusted,
            *(f"experiment={case.experiment}", f"seed={seed}", "callback=[history,checkpoints]", place),
            *(*where, *length),
        )
        minutes = (time.process_time() - began) / 60
        found = evaluate(run.folder, *trusted, *case.measure)
        modes, share, kl = (found.get(full_name(v, case.detector)) for v in ("modes", "high_quality", "mode_kl"))
        assert modes is not None
        assert kl is not None
        runs[seed] = Found(modes.value, None if share is None else share.value, kl.value, minutes)
    return Row(name, case.experiment, runs)


COLUMNS = {"modes": "modes found", "share": "share within 3σ", "kl": "KL, nats", "minutes": "CPU minutes"}


def _table(rows: Sequence[Row]) -> list[str]:
    """A row a line: means over the seeds ± their standard errors."""
    lines = [["", "seeds", *COLUMNS.values()]]
    for row in rows:
        means = (row.mean(number) for number in COLUMNS)
        cells = [
            "-" if mean is None else f"{mean[0]:.4g}" + (f" ± {mean[1]:.2g}" if mean[1] is not None else "")
            for mean in means
        ]
        lines.append([row.name, str(len(row.runs)), *cells])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines]
