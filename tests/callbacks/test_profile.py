"""callback=profile: times add up, the trace is one, and the run is the same."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import torch
from torch.profiler import ProfilerActivity, profile

from conftest import words
from gan_cli import train
from gan_cli.callbacks.profile import Spans, export, table
from gan_cli.store.checkpoint import load
from gan_cli.store.disk import NotWritten
from gan_cli.store.run import Run

STRETCHES = {
    "data",
    *(
        f"{player}: {part}"
        for player in ("discriminator", "generator")
        for part in ("forward", "backward", "optimizer")
    ),
}


def test_a_stretch_counts_without_those_inside_it() -> None:
    spans = Spans(torch.device("cpu"))
    begun = time.perf_counter()
    with spans("outer"):
        for _ in range(2):
            with spans("inner"):
                time.sleep(0.01)
    total = time.perf_counter() - begun
    assert spans.seconds["inner"] >= 0.02
    assert 0 < spans.seconds["outer"] <= total - spans.seconds["inner"]


def test_the_rows_of_the_table_add_up_to_a_step() -> None:
    lines = table({"data": 0.1, "generator: forward": 0.3}, total=0.5, steps=10).splitlines()
    times = {line[2:21].strip(): float(line[21:].split()[0]) for line in lines[1:]}
    assert times == {"generator: forward": 30.0, "data": 10.0, "everything else": 10.0, "a step": 50.0}


@pytest.fixture
def profiled(here: Path) -> Path:
    few = ("callback.profile.skip=1", "callback.profile.steps=2", "callback.profile.traced=1")
    train(*words("callback=[profile,history,checkpoints]", *few, "hydra.run.dir=run", steps=6))
    return Path("run")


def test_where_the_time_goes_is_told_and_the_trace_names_it(profiled: Path) -> None:
    found = Run(profiled).read_result()["profile"]
    assert set(found) > STRETCHES
    assert sum(found.values()) - found["a step"] <= found["a step"]
    assert "a step" in (profiled / "train.log").read_text()
    events = json.loads((profiled / "trace.json").read_text())["traceEvents"]
    assert {event.get("name") for event in events} > STRETCHES | {"aten::addmm"}


def test_nothing_of_the_run_is_changed_by_it(profiled: Path) -> None:
    train(*words("callback=[history,checkpoints]", "hydra.run.dir=other", steps=6))
    with_it, without = (load(Path(run, "checkpoints", "last.pt"))["game"] for run in (profiled, "other"))
    assert all(torch.equal(with_it[name], without[name]) for name in without)


@pytest.mark.parametrize(
    ("skip", "steps", "told"), [(0, 50, "where the time of 2 steps"), (9, 1, "ended before step 10")]
)
def test_a_short_run_is_told_of_as_far_as_it_went(here: Path, skip: int, steps: int, told: str) -> None:
    few = (f"callback.profile.skip={skip}", f"callback.profile.steps={steps}")
    train(*words("callback=[profile]", *few, "hydra.run.dir=run"))
    assert told in Path("run/train.log").read_text()
    assert not Path("run/trace.json").exists()


def test_a_trace_that_cannot_be_written_leaves_nothing(here: Path) -> None:
    tracer = profile(activities=[ProfilerActivity.CPU])
    with tracer:
        torch.ones(2) + 1
    with pytest.raises(NotWritten):
        export(tracer, Path("missing/trace.json"))
    export(tracer, Path("trace.json"))
    assert [path.name for path in here.iterdir()] == ["trace.json"]
