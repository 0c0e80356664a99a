"""Measuring while training: cheap, on the same latents every time, without touching the random state."""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from gan_cli.callbacks import Callback, Session
from gan_cli.callbacks.watched import Metrics, OfFeatures, OfPairs, Watched
from gan_cli.metrics import NotMeasurable, PairMetric
from gan_cli.metrics.detectors import Detector
from gan_cli.metrics.measure import Plan, Reference
from gan_cli.store.rows import read_rows
from gan_cli.training.limits import images_in
from gan_cli.types import Data, Positive, PositiveInt

log = logging.getLogger(__name__)

BATCH = 250  # images per pass of the detector
TRAINED_ON = "training data"  # a reference's name in records where none was named


def short(reference: str) -> str:
    """A reference's name as a part of a name: `digits_test` for digits:test, `photos` for a folder of that name."""
    return re.sub(r"[^\w.-]+", "_", reference if ":" in reference else Path(reference).name) or "files"


class Evaluation(Callback):
    """Measures the averaged generator against the training data or others, keeps best.pt, may end the run early.

    Args:
        every_steps: Steps between measurements; None for none.
        n: Samples, and at most as many real images of a data set.
        metric: The value to watch.
        detector: Turns the images into features.
        patience: End the run after this many measurements without an improvement.
        cache: Where features of the data are kept.
        metrics: The metrics, by their values that can be watched.
        opens: Finds what to compare with: (`reference`, the run's data) -> it.
        every_epochs: Epochs between measurements; where set, it replaces `every_steps`.
        reference: NAME:SPLIT of a data set, images or statistics in files; the training data when None. Of a data set
            that gives pictures to draw from, translators draw from those.
    """

    def __init__(
        self,
        every_steps: PositiveInt | None,
        n: PositiveInt,
        metric: str,
        detector: Detector,
        patience: PositiveInt | None,
        cache: str,
        metrics: Metrics,
        opens: Callable[[str | None, Data], Reference],
        every_epochs: Positive | None = None,
        reference: str | None = None,
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
        self.patience = patience
        self.opens = opens
        self.reference = reference
        self.opened: Reference | None = None
        found = metrics[metric]
        self.watched: Watched = (
            OfPairs(metric, found, n)
            if isinstance(found, PairMetric)
            else OfFeatures(metric, metrics, n, detector, Plan(rows=n, batch_size=BATCH, cache=Path(cache)))
        )
        named = [] if reference is None else [short(reference)]
        self.name = "_".join([self.watched.name, *named, str(n)])

    def foresee(self, session: Session) -> Sequence[str]:
        if self.never:
            return ()
        self.watched.check(session, self._against(session))
        limits = session.trainer.limits
        if self.every_epochs is not None:
            first, last = images_in(self.every_epochs, len(session.trainer.data)), limits.max_images
            asked, end = f"evaluation.every_epochs={self.every_epochs:g}", f"after {last} images"
        else:
            first, last = self.every_steps or 0, limits.max_steps
            asked, end = f"evaluation.every_steps={self.every_steps}", f"at step {last}"
        return [f"{asked} measures nothing: the run ends {end}; lower it to get measurements"] if first > last else ()

    def _against(self, session: Session) -> Reference:
        if self.opened is None:
            self.opened = self.opens(self.reference, session.trainer.data)
        return self.opened

    def on_start(self, session: Session) -> None:
        if self.never:
            return
        # The best of earlier sessions is in the history; lines after the checkpoint do not count.
        rows = [r for r in read_rows(session.run.metrics) if r["step"] <= session.clock.step]
        self.history = [(row[self.name], row["step"]) for row in rows if self.name in row]
        if self.history:
            session.note_best(self._as_record(*self._best()))

    def _best(self) -> tuple[float, int]:
        """The best measurement, the first one if tied: value and step."""
        return min(self.history, key=lambda measured: self.watched.better.cost(measured[0]))

    def _as_record(self, value: float, step: int) -> dict[str, float | str]:
        reference = self.reference or TRAINED_ON
        return {
            "metric": self.name,
            "value": value,
            "step": step,
            "better": self.watched.better,
            "reference": reference,
        }

    @torch.no_grad()
    def contribute(self, session: Session, part: int) -> None:
        """Another process's part of what rank 0 measures."""
        self.watched.contribute(session, self._against(session), part)

    @torch.no_grad()
    def on_step(self, session: Session) -> None:
        if not session.due(self.every_steps, self.every_epochs):
            return
        try:
            value = self.watched.measured(session, self._against(session))
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
