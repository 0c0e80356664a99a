"""Experiment trackers: the settings, numbers, pictures and the end of a run in Weights & Biases, MLflow or Trackio.

A tracker is a guest: its library may be missing, which is said before the first step, and it may fail, which costs one
warning and never the run. A resumed run goes on in the same record, whose name is kept in the run's folder.
"""

from __future__ import annotations

import logging
import math
import os
import re
import secrets
import sys
import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from gan_cli.callbacks import Callback, Session
from gan_cli.errors import two_lines
from gan_cli.store.disk import peek, write_text

log = logging.getLogger(__name__)

KEY = re.compile(r"[0-9a-f]{16}")
PARAMETERS, LONGEST = 100, 500  # MLflow's limits: parameters in one message, characters of each
ENDS = {"finished": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}  # MLflow's words


class Record(NamedTuple):
    """What a tracker is told of a run when it begins."""

    key: str  # the same in every session of the run
    name: str
    settings: dict[str, Any]  # by dotted names
    config: str
    resumed: bool
    folder: Path  # of the run's own, for what the tracker keeps here


class Tracker(Callback):
    """Passes everything on; the subclasses know how."""

    package: str  # that has to be installed
    extra = "loggers"  # of ours, which brings it

    def __init__(self) -> None:
        self.listens = False
        self.status = "failed"  # unless its end is heard of
        self.best: Mapping[str, Any] | None = None

    @abstractmethod
    def _open(self, record: Record) -> None:
        """Begins the record, or goes on in it."""

    @abstractmethod
    def _numbers(self, step: int, numbers: Mapping[str, float]) -> None:
        """Finite ones."""

    @abstractmethod
    def _picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        """uint8 `[H, W, 3]`."""

    @abstractmethod
    def _text(self, step: int, name: str, text: str) -> None:
        """A message in words."""

    @abstractmethod
    def _close(self, status: str, best: Mapping[str, Any] | None) -> None:
        """Ends the session: "finished", "stopped" or "failed"."""

    def foresee(self, session: Session) -> Sequence[str]:
        if find_spec(self.package) is None:
            what = f"callback={self.package} needs a package that is not installed"
            raise ValueError(two_lines(what, f"pip install 'gan-cli[{self.extra}]', or leave it out of callback="))
        return ()

    @contextmanager
    def _spared(self) -> Iterator[None]:
        """What goes wrong with the tracker is told once, and the run goes on without it. What it prints is aside."""
        try:
            with redirect_stdout(sys.stderr):
                yield
        except Exception as error:
            self.listens = False
            log.debug("%s failed", self.package, exc_info=True)
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            log.warning("%s: %s; the run goes on without it", self.package, first[:300])

    def on_start(self, session: Session) -> None:
        with self._spared():
            folder = session.run.trackers
            resumed = session.clock.step > 0
            name = session.run.folder.resolve().name
            self._open(Record(_key(folder), name, session.settings(), session.config, resumed, folder))
            self.listens = True

    def on_record(self, session: Session, record: Mapping[str, float]) -> None:
        if self.listens:
            numbers = {name: value for name, value in record.items() if name != "step" and math.isfinite(value)}
            with self._spared():
                self._numbers(int(record["step"]), numbers)

    def on_picture(self, session: Session, name: str, pixels: Tensor) -> None:
        if self.listens:
            with self._spared():
                self._picture(session.clock.step, name, pixels.permute(1, 2, 0).cpu().numpy())

    def on_text(self, session: Session, name: str, text: str) -> None:
        if self.listens:
            with self._spared():
                self._text(session.clock.step, name, text)

    def on_end(self, session: Session, status: str) -> None:
        self.status, self.best = status, session.best

    def close(self) -> None:
        if self.listens:
            self.listens = False
            with self._spared():
                self._close(self.status, self.best)


def _key(folder: Path) -> str:
    """The key of a run's records, made when it begins."""
    file = folder / "key"
    kept = peek(file, 100).decode(errors="replace").strip()
    if KEY.fullmatch(kept):
        return kept
    key = secrets.token_hex(8)
    write_text(file, f"{key}\n")
    return key


class Wandb(Tracker):
    """Weights & Biases; $WANDB_MODE=offline keeps the record in the run's folder, for `wandb sync`.

    Args:
        project: Its project.
    """

    package = "wandb"

    def __init__(self, project: str = "gan") -> None:
        super().__init__()
        self.project = project

    def _open(self, record: Record) -> None:
        import wandb

        record.folder.mkdir(exist_ok=True)
        self.run = wandb.init(
            project=self.project,
            id=record.key,
            name=record.name,
            dir=str(record.folder),
            config=record.settings,
            resume="allow",
            settings=wandb.Settings(console="off"),
        )
        self.run.define_metric("*", step_metric="step")  # a resumed run may repeat steps that were told before

    def _numbers(self, step: int, numbers: Mapping[str, float]) -> None:
        self.run.log({"step": step, **numbers})

    def _picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        import wandb

        self.run.log({"step": step, name: wandb.Image(pixels)})

    def _text(self, step: int, name: str, text: str) -> None:
        self.run.summary[name] = text

    def _close(self, status: str, best: Mapping[str, Any] | None) -> None:
        self.run.summary["status"] = status
        if best is not None:
            self.run.summary["best"] = dict(best)
        self.run.finish(exit_code=int(status == "failed"))


class Mlflow(Tracker):
    """MLflow: to $MLFLOW_TRACKING_URI, else to files in the run's folder.

    Args:
        experiment: Its experiment.
        uri: Where to, instead.
    """

    package = "mlflow"

    def __init__(self, experiment: str = "gan", uri: str | None = None) -> None:
        super().__init__()
        self.experiment = experiment
        self.uri = uri

    def _open(self, record: Record) -> None:
        uri = self.uri or os.environ.get("MLFLOW_TRACKING_URI")
        if not uri:
            uri = (record.folder / "mlruns").absolute().as_uri()
            os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # else it wants a database, and more packages
        from mlflow.tracking import MlflowClient

        self.client = MlflowClient(uri)
        known = self.client.get_experiment_by_name(self.experiment)
        home = known.experiment_id if known is not None else self.client.create_experiment(self.experiment)
        earlier = self.client.search_runs([home], f"tags.`gan.key` = '{record.key}'")
        if earlier:
            self.id = earlier[0].info.run_id
            self.client.update_run(self.id, status="RUNNING")
            return
        self.id = self.client.create_run(home, run_name=record.name, tags={"gan.key": record.key}).info.run_id
        self._parameters(record.settings)
        self.client.log_text(self.id, record.config, "config.yaml")

    def _parameters(self, settings: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        told = [Param(name, str(value)[:LONGEST]) for name, value in settings.items()]
        for start in range(0, len(told), PARAMETERS):
            self.client.log_batch(self.id, params=told[start : start + PARAMETERS])

    def _numbers(self, step: int, numbers: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        told = [Metric(_plain(name), float(value), now, step) for name, value in numbers.items()]
        self.client.log_batch(self.id, metrics=told)

    def _picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        self.client.log_image(self.id, pixels, key=_plain(name), step=step)

    def _text(self, step: int, name: str, text: str) -> None:
        self.client.set_tag(self.id, f"gan.{_plain(name)}", text[:LONGEST])

    def _close(self, status: str, best: Mapping[str, Any] | None) -> None:
        if best is not None:
            self.client.set_tag(self.id, "gan.best", f"{best['metric']} {best['value']:.5g} at step {best['step']}")
        self.client.set_terminated(self.id, ENDS[status])


def _plain(name: str) -> str:
    """A name without the signs that MLflow refuses: D(real) becomes D real."""
    return re.sub(r"[^\w\-. :/]+", " ", name).strip()


class Trackio(Tracker):
    """Trackio: a database in $TRACKIO_DIR, else in its own folder; `trackio show` shows it.

    Args:
        project: Its project.
    """

    package = extra = "trackio"

    def __init__(self, project: str = "gan") -> None:
        super().__init__()
        self.project = project

    def _open(self, record: Record) -> None:
        import trackio

        self.run = trackio.init(
            project=self.project,
            name=f"{record.name}-{record.key[:4]}",  # by which it knows the run again
            config=record.settings,
            resume="allow",
            embed=False,
            auto_log_gpu=False,
            auto_log_cpu=False,
        )

    def _numbers(self, step: int, numbers: Mapping[str, float]) -> None:
        self.run.log(dict(numbers), step=step)

    def _picture(self, step: int, name: str, pixels: np.ndarray) -> None:
        import trackio

        self.run.log({name: trackio.Image(pixels)}, step=step)

    def _text(self, step: int, name: str, text: str) -> None:
        import trackio

        self.run.log({name: trackio.Markdown(text)}, step=step)

    def _close(self, status: str, best: Mapping[str, Any] | None) -> None:
        self.run.log({"status": status})
        self.run.finish()
