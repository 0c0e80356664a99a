"""Where the time of a step goes: data, passes forward and backward, optimizers, callbacks, and what is left."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile, record_function

from gan_cli.callbacks import Callback, Session
from gan_cli.store.disk import naming, replacing
from gan_cli.training.runtime import wait_for
from gan_cli.types import NonNegativeInt, PositiveInt

log = logging.getLogger(__name__)

REST = "everything else"  # the clock, random states, the averaged generator


class Spans:
    """Adds up the time of named stretches, each less those inside it.

    Args:
        device: What it was given is waited for at both ends of a stretch, so that its time counts where it arose.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}
        self._inside = [0.0]  # of the stretches that have begun: the time of those inside

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        wait_for(self.device)
        begun = time.perf_counter()
        self._inside.append(0.0)
        try:
            yield
        finally:
            wait_for(self.device)
            spent = time.perf_counter() - begun
            self.seconds[name] = self.seconds.get(name, 0.0) + spent - self._inside.pop()
            self._inside[-1] += spent


def table(seconds: Mapping[str, float], total: float, steps: int) -> str:
    """Milliseconds a step and the share of the whole, the longest first."""
    rows = sorted(seconds.items(), key=lambda row: -row[1])
    rows += [(REST, max(0.0, total - sum(seconds.values()))), ("a step", total)]
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name:{width}} {1000 * spent / steps:9.3f} ms {spent / total:6.1%}" for name, spent in rows]
    return "\n".join([f"where the time of {steps} steps went:", *lines])


class Profile(Callback):
    """Looks at some steps, then at every operation of a few, and is gone.

    Args:
        skip: Steps of this session before those that are looked at; the first are slower.
        steps: Steps whose time is added up.
        traced: Steps after those that are recorded in trace.json, in the format of Chrome's viewer, which slows them;
            0 for none.
    """

    def __init__(self, skip: NonNegativeInt = 10, steps: PositiveInt = 50, traced: NonNegativeInt = 3) -> None:
        self.skip = skip
        self.steps = steps
        self.traced = traced
        self._found: dict[str, float] = {}
        self._table = ""
        self._spans: Spans | None = None
        self._tracer: profile | None = None

    def on_start(self, session: Session) -> None:
        self._first = session.clock.step + self.skip
        if self.skip == 0:
            self._begin(session)

    def on_step(self, session: Session) -> None:
        since = session.clock.step - self._first
        if since == 0 and self.skip:
            self._begin(session)
        elif since == self.steps:
            self._add_up(session, self.steps)
            if self.traced:
                self._trace(session)
        elif since == self.steps + self.traced:
            self._write(session)

    def on_end(self, session: Session, status: str) -> None:
        steps = session.clock.step - self._first
        if steps > 0:
            self._add_up(session, steps)
        self._write(session)
        if self._table:
            log.info("%s", self._table)
        else:
            log.warning("callback=profile: the run ended before step %d, the first it looks at", self._first + 1)

    def close(self) -> None:
        if self._tracer is not None:
            self._tracer.stop()
            self._tracer = None

    def findings(self) -> Mapping[str, Any]:
        return {"profile": self._found} if self._found else {}

    def _begin(self, session: Session) -> None:
        self._spans = Spans(session.trainer.runtime.device)
        session.trainer.watch(self._spans)
        self._begun = time.perf_counter()

    def _add_up(self, session: Session, steps: int) -> None:
        """Makes the table, once."""
        if self._spans is None:
            return
        total, seconds = time.perf_counter() - self._begun, dict(self._spans.seconds)
        session.trainer.unwatch()
        self._spans = None
        self._table = table(seconds, total, steps)
        self._found = {name: round(spent / steps, 9) for name, spent in [*seconds.items(), ("a step", total)]}

    def _trace(self, session: Session) -> None:
        activities = [ProfilerActivity.CPU]
        activities += [ProfilerActivity.CUDA] if session.trainer.runtime.device.type == "cuda" else []
        os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the recorder speaks of GPUs that are not here
        self._tracer = profile(activities=activities)
        self._tracer.start()
        session.trainer.watch(record_function)

    def _write(self, session: Session) -> None:
        """Ends the trace and writes it, if one has begun."""
        if self._tracer is None:
            return
        session.trainer.unwatch()
        tracer, self._tracer = self._tracer, None
        tracer.stop()
        export(tracer, session.run.trace)
        log.info("%s shows every operation of the steps after those: open it in a viewer of traces", session.run.trace)


def export(tracer: profile, path: Path) -> None:
    """Writes a trace whole or not at all. Raises NotWritten."""
    with replacing(path) as file, naming(path):
        scratch = path.with_name(f"{Path(file.name).name}.json")  # torch wants to be told a name, and that ending
        try:
            tracer.export_chrome_trace(str(scratch))
            file.write(scratch.read_bytes())
        finally:
            with suppress(OSError):
                scratch.unlink()
