"""Measuring while training: cheap, on the same latents every time, without a trace in the random state."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from gan_cli import pictures
from gan_cli.callbacks import Callback, Session
from gan_cli.files import read_json_lines
from gan_cli.metrics import Context, Sized
from gan_cli.metrics.cache import Cache
from gan_cli.metrics.detectors import Detector
from gan_cli.metrics.features import Collector, Features
from gan_cli.metrics.frechet import Frechet
from gan_cli.metrics.kernel import Kernel
from gan_cli.types import PositiveInt

log = logging.getLogger(__name__)

METRICS: dict[str, Sized] = {"kid": Kernel(subsets=False), "fid": Frechet()}
BATCH = 250  # images a pass of the detector


class Evaluation(Callback):
    """Measures the averaged generator against the training data, keeps best.pt, and may end the run early.

    Args:
        every_steps: Steps between measurements; None for none.
        n: Samples, and at most as many real images.
        metric: kid | fid.
        detector: What sees the images.
        patience: Measurements without a better one after which the run ends.
        cache: Where features of the data are kept.
    """

    def __init__(
        self,
        every_steps: PositiveInt | None,
        n: PositiveInt,
        metric: str,
        detector: Detector,
        patience: PositiveInt | None,
        cache: str,
    ) -> None:
        if metric not in METRICS:
            raise ValueError(f"evaluation.metric={metric} is unknown: choose one of {', '.join(METRICS)}")
        if every_steps is None and patience is not None:
            raise ValueError(
                f"evaluation.patience={patience} waits for measurements, and evaluation.every_steps=null takes none\n"
                "  set evaluation.every_steps, or leave evaluation.patience out"
            )
        if every_steps is not None and n < METRICS[metric].least:
            raise ValueError(
                f"evaluation.n={n} is too few for {metric}, which needs {METRICS[metric].least} samples\n"
                f"  set evaluation.n={METRICS[metric].least} or more"
            )
        self.every_steps = every_steps
        self.n = n
        self.metric = METRICS[metric]
        suffix = f"_{detector.name}" if detector.name else ""
        self.short = metric
        self.name = f"{'fd' if metric == 'fid' and suffix else metric}{suffix}_{n}"
        self.detector = detector
        self.patience = patience
        self.cache = Cache(Path(cache))
        self.real: Features | None = None

    def foresee(self, session: Session) -> Sequence[str]:
        if self.every_steps is None:
            return ()
        least = self.metric.least
        if (size := len(session.trainer.data)) < least:
            raise ValueError(
                f"evaluation.metric={self.short} needs {least} real samples, and the data have {size}\n"
                "  use evaluation.metric=fid or evaluation.every_steps=null"
            )
        if self.every_steps <= session.trainer.limits.max_steps:
            return ()
        asked, last = f"evaluation.every_steps={self.every_steps}", session.trainer.limits.max_steps
        return [f"{asked} measures nothing: the run ends at step {last}; lower it to get measurements"]

    def on_start(self, session: Session) -> None:
        if self.every_steps is None:
            return
        self.detector.to(session.trainer.runtime.device)
        # What was best before a resumed session is in its history; lines after its checkpoint do not count.
        rows = [r for r in read_json_lines(session.run.metrics) if r["step"] <= session.clock.step]
        self.history = [(row[self.name], row["step"]) for row in rows if self.name in row]
        session.rank(self._best())

    def _best(self) -> dict[str, float | str] | None:
        if not self.history:
            return None
        value, step = min(self.history)
        return {"metric": self.name, "value": value, "step": step}

    def _collect(self, batches: Iterator[Tensor]) -> Features:
        collector = Collector(self.detector, rows=self.n if "rows" in self.metric.needs else 0)
        for images in batches:
            collector.add(images)
        return collector.finish()

    def _reference(self, session: Session) -> Features:
        if self.real is None:
            images = session.trainer.data.quantised(self.n)
            facts = {
                "data": session.trainer.data.fingerprint(),
                "n": len(images),
                "indices": f"spread:{self.n}",
                "detector": self.detector.name or "inception",
                "preprocessing": self.detector.convention,
                "weights": self.detector.digest,
                "dtype": "float32 features, float64 moments",
                "collected": sorted(self.metric.needs),
                "rows": self.n,
                "passes": f"{BATCH} images on {self.detector.device.type}",
            }
            self.real = self.cache.get(facts, lambda _: self._collect(iter(images.split(BATCH))))
        return self.real

    def _samples(self, session: Session) -> Iterator[Tensor]:
        for block in session.samples(self.n):
            yield (pictures.to_uint8(block) if block.ndim == 4 else block).cpu()

    @torch.no_grad()
    def on_step(self, session: Session) -> None:
        if self.every_steps is None or session.clock.step % self.every_steps:
            return
        found = self.metric.compute(self._collect(self._samples(session)), self._reference(session), Context())
        value = found[self.short].value
        if not math.isfinite(value):
            return
        better = not self.history or value < min(self.history)[0]
        self.history.append((value, session.clock.step))
        session.rank(self._best())
        session.publish({self.name: value})
        if better:
            session.save(session.run.checkpoints / "best.pt")
        steps = [step for _, step in self.history]
        if self.patience is not None and len(steps) - 1 - steps.index(min(self.history)[1]) >= self.patience:
            log.info("no better %s for %d measurements: the run ends here", self.name, self.patience)
            session.end_early()
