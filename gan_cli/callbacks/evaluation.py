"""Measuring while training: cheap, on the same latents every time, without touching the random state."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from gan_cli.callbacks import Callback, Session
from gan_cli.metrics import Context, Metric, NotMeasurable
from gan_cli.metrics.detectors import Detector
from gan_cli.metrics.features import Features
from gan_cli.metrics.measure import Plan, SampleSet, collect, drawn, full_name, reference_features
from gan_cli.store.rows import read_rows
from gan_cli.training.limits import images_in
from gan_cli.types import Positive, PositiveInt

log = logging.getLogger(__name__)

BATCH = 250  # images per pass of the detector


class Evaluation(Callback):
    """Measures the averaged generator against the training data, keeps best.pt, and may end the run early.

    Args:
        every_steps: Steps between measurements; None for none.
        n: Samples, and at most as many real images.
        metric: The value to watch.
        detector: Turns the images into features.
        patience: End the run after this many measurements without an improvement.
        cache: Where features of the data are kept.
        metrics: The metrics, by their values that can be watched.
        every_epochs: Epochs between measurements; where set, it replaces `every_steps`.
    """

    def __init__(
        self,
        every_steps: PositiveInt | None,
        n: PositiveInt,
        metric: str,
        detector: Detector,
        patience: PositiveInt | None,
        cache: str,
        metrics: Mapping[str, Metric],
        every_epochs: Positive | None = None,
    ) -> None:
        if metric not in metrics:
            raise ValueError(
                f"evaluation.metric={metric} cannot be watched while training\n  choose one of {', '.join(metrics)}"
            )
        self.never = every_steps is None and every_epochs is None
        if self.never and patience is not None:
            raise ValueError(
                f"evaluation.patience={patience} waits for measurements, and evaluation.every_steps=null takes none\n"
                "  set evaluation.every_steps or evaluation.every_epochs, or leave evaluation.patience out"
            )
        self.every_steps = every_steps
        self.every_epochs = every_epochs
        self.n = n
        self.short = metric
        self.metric = metrics[metric]
        self.better = self.metric.better[metric]
        self.name = f"{full_name(metric, detector.name)}_{n}"
        self.detector = detector
        self.patience = patience
        self.plan = Plan(rows=n, batch_size=BATCH, cache=Path(cache))
        self.real: Features | None = None

    def foresee(self, session: Session) -> Sequence[str]:
        if self.never:
            return ()
        self._check_enough(session)
        limits = session.trainer.limits
        if self.every_epochs is not None:
            first, last = images_in(self.every_epochs, len(session.trainer.data)), limits.max_images
            asked, end = f"evaluation.every_epochs={self.every_epochs:g}", f"after {last} images"
        else:
            first, last = self.every_steps or 0, limits.max_steps
            asked, end = f"evaluation.every_steps={self.every_steps}", f"at step {last}"
        return [f"{asked} measures nothing: the run ends {end}; lower it to get measurements"] if first > last else ()

    def _check_enough(self, session: Session) -> None:
        """Raises ValueError if the metric cannot be computed with this detector, or from so few samples."""
        try:
            detector = self.detector.to(session.trainer.runtime.device).prepare(None)
            least = self.metric.least(detector(session.trainer.data.quantised(2)))
        except NotMeasurable as reason:
            raise ValueError(
                f"evaluation.metric={self.short} cannot be watched: {str(reason).splitlines()[0]}\n"
                "  use another evaluation.metric, or another evaluation.detector"
            ) from reason
        if self.n < least:
            raise ValueError(
                f"evaluation.n={self.n} is too few for {self.short}, which needs {least} samples\n"
                f"  set evaluation.n={least} or more"
            )
        if (size := len(session.trainer.data)) < least:
            raise ValueError(
                f"evaluation.metric={self.short} needs {least} real samples, and the data have {size}\n"
                "  use evaluation.metric=fid or evaluation.every_steps=null"
            )

    def on_start(self, session: Session) -> None:
        if self.never:
            return
        self.detector.to(session.trainer.runtime.device)
        # The best of earlier sessions is in the history; lines after the checkpoint do not count.
        rows = [r for r in read_rows(session.run.metrics) if r["step"] <= session.clock.step]
        self.history = [(row[self.name], row["step"]) for row in rows if self.name in row]
        if self.history:
            session.note_best(self._as_record(*self._best()))

    def _best(self) -> tuple[float, int]:
        """The best measurement, the first one if tied: value and step."""
        return min(self.history, key=lambda measured: self.better.cost(measured[0]))

    def _as_record(self, value: float, step: int) -> dict[str, float | str]:
        return {"metric": self.name, "value": value, "step": step, "better": self.better}

    def _reference(self, session: Session) -> Features:
        if self.real is None:
            images = session.trainer.data.quantised(self.n)

            def batches(size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
                return ((piece, None) for piece in images.split(size))

            fingerprint = session.trainer.data.fingerprint()
            source = SampleSet("the data", len(images), batches, fingerprint, indices=f"spread:{self.n}")
            self.real = reference_features(source, self.detector, self.metric.needs, self.plan)
        return self.real

    def _measured(self, session: Session) -> float:
        """The value at this step. Raises NotMeasurable."""
        trainer = session.trainer
        draws, n = session.draws, self.n
        if draws.given is not None:  # a picture of each that the data give
            seen = trainer.data.previewed(n)
            draws, n = replace(draws, given=seen.given), len(seen)
        batches = drawn(trainer.game, trainer.ema.network, draws, n)
        fake = collect(SampleSet("samples", n, batches), self.detector, self.metric.needs, self.plan)
        context = Context(only=self.short)
        return self.metric.compute(fake, self._reference(session), context)[self.short].value

    @torch.no_grad()
    def on_step(self, session: Session) -> None:
        if not session.due(self.every_steps, self.every_epochs):
            return
        try:
            value = self._measured(session)
        except NotMeasurable as reason:
            log.warning("%s was not measured at step %d: %s", self.name, session.clock.step, reason)
            return
        if not math.isfinite(value):
            return
        self.history.append((value, session.clock.step))
        best = self._best()
        session.note_best(self._as_record(*best))
        session.publish({self.name: value})
        if best == self.history[-1]:
            session.save(session.run.checkpoints / "best.pt")
        if self.patience is not None and len(self.history) - 1 - self.history.index(best) >= self.patience:
            log.info("no better %s for %d measurements: the run ends here", self.name, self.patience)
            session.end_early()
