"""What is watched while training: a value of features, or of pairs; on the same draws every time."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from gan_cli.callbacks import Session
from gan_cli.errors import NotMeasurable, Refused, two_lines
from gan_cli.latent.sources import OfData
from gan_cli.latent.translate import Translating
from gan_cli.metrics import PAIRS, Better, Context, Estimate, Metric, PairMetric
from gan_cli.metrics.detectors import Detector
from gan_cli.metrics.features import Features, Seen
from gan_cli.metrics.measure import (
    Plan,
    Reference,
    SampleSet,
    as_measured,
    collector_of,
    full_name,
    reference_features,
)
from gan_cli.networks.panel import Both
from gan_cli.progress import tracked
from gan_cli.sampling import Computed, Deal, in_order, made
from gan_cli.training import together
from gan_cli.types import Data, Need

Metrics = Mapping[str, Metric | PairMetric]  # each under every value of it that can be watched


class Watched(ABC):
    """A value that is measured while training."""

    better: Better
    name: str  # with the detector's

    @abstractmethod
    def check(self, session: Session, against: Reference) -> None:
        """Before the first step: raises ValueError, in two lines, if it cannot be measured in this run."""

    @abstractmethod
    def measured(self, session: Session, against: Reference) -> float:
        """The value for the averaged generator as it is now, at rank 0; all ranks draw and look. Raises
        NotMeasurable."""

    @abstractmethod
    def contribute(self, session: Session, against: Reference, part: int) -> None:
        """What another rank does of it meanwhile."""


def spread(data: Data, n: int) -> SampleSet:
    """At most `n` real samples, spread over the data."""
    images = data.quantised(n)

    def batches(size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        return ((piece, None) for piece in images.split(size))

    return SampleSet("the data", len(images), batches, data.fingerprint(), indices=f"spread:{n}")


class OfFeatures(Watched):
    """A value that compares the features of samples with those of real images or points."""

    def __init__(self, value: str, metrics: Metrics, n: int, detector: Detector, plan: Plan) -> None:
        metric = metrics[value]
        assert isinstance(metric, Metric)
        self.value, self.metric, self.metrics = value, metric, metrics
        self.n, self.detector, self.plan = n, detector, plan
        self.better = metric.better[value]
        self.name = full_name(value, detector.name)
        self.ready = False  # the detector, for this reference
        self.real: Features | None = None

    def check(self, session: Session, against: Reference) -> None:
        data = session.trainer.data
        _check_alike(data, against)
        seen = None
        try:
            seen = self._prepared(session, against)(data.quantised(2))
            least = self.metric.least(seen)
        except NotMeasurable as reason:
            raise ValueError(self._refusal(reason, seen)) from reason
        if self.n < least:
            raise ValueError(
                f"evaluation.n={self.n} is too few for {self.value}, which needs {least} samples\n"
                f"  set evaluation.n={least} or more"
            )
        if against.statistics is not None:
            self._check_statistics(against, seen)
        elif (size := against.n if against.data is None else len(against.data)) < least:
            raise ValueError(
                f"evaluation.metric={self.value} needs {least} real samples, and {against.name} has {size}\n"
                "  use evaluation.metric=fid or evaluation.every_steps=null"
            )

    def _refusal(self, reason: NotMeasurable, seen: Seen | None) -> str:
        why, _, remedy = str(reason).partition("\n  ")
        others = "" if seen is None else f"; or evaluation.metric={', '.join(self._others(seen))}"
        what = f"evaluation.metric={self.value} cannot be watched: {why}"
        return two_lines(what, f"{remedy or 'use another evaluation.detector'}{others}")

    def _others(self, seen: Seen) -> Iterator[str]:
        """The values that can be watched with such features."""
        for value, metric in self.metrics.items():
            try:
                if isinstance(metric, Metric):
                    metric.least(seen)
                    yield value
            except NotMeasurable:
                continue

    def _check_statistics(self, against: Reference, seen: Seen) -> None:
        assert against.statistics is not None
        if self.metric.needs - {"groups", "logits"}:
            raise ValueError(
                f"evaluation.reference={against.name} holds statistics only, and {self.value} needs images\n"
                "  use evaluation.metric=fid, or name images"
            )
        theirs, ours = len(against.statistics.mean), seen.features.shape[1]
        if theirs != ours:
            raise ValueError(
                f"evaluation.reference={against.name} has {theirs} features, and evaluation.detector gives {ours}\n"
                "  name statistics of the same detector, or images"
            )

    def _prepared(self, session: Session, against: Reference) -> Detector:
        if not self.ready:
            self.detector = self.detector.to(session.trainer.runtime.device).prepare(against.labelled)
            self.ready = True
        return self.detector

    def measured(self, session: Session, against: Reference) -> float:
        detector, needs = self._prepared(session, against), self.metric.needs
        if self.real is None:
            real = against if against.data is None else spread(against.data, self.n)
            self.real = reference_features(real, detector, needs, self.plan)
        collector = collector_of(detector, needs, self.plan.rows)
        with closing(self._looked_at(session, against, together.measured(0))) as looked_at:
            for (images, *seen), label in tracked(looked_at, self.n, "measuring samples", lambda block: len(block[1])):
                collector.take(images, Seen(*seen), label.cpu())
        return self.metric.compute(collector.finish(), self.real, Context(only=self.value))[self.value].value

    def contribute(self, session: Session, against: Reference, part: int) -> None:
        for _ in self._looked_at(session, against, together.contributed):
            pass

    def _looked_at(
        self, session: Session, against: Reference, deal: Deal
    ) -> Generator[tuple[Computed, Tensor], None, None]:
        """Samples block by block, each with what the detector says of it and with its labels."""
        trainer, detector = session.trainer, self._prepared(session, against)
        draws, n = session.draws, self.n
        if draws.given is not None:  # a picture of each that the data give
            held_out = against.data is not None and Need.GIVEN in against.data.provides
            seen = (against.data if held_out and against.data is not None else trainer.data).previewed(n)
            draws, n = replace(draws, given=seen.given), len(seen)

        def look(samples: Tensor) -> Computed:
            images = as_measured(samples)
            features, logits = detector(images)
            return (images, features) if logits is None else (images, features, logits)

        return made(trainer.game, trainer.ema.network, draws, n, look, deal)


def _check_alike(data: Data, against: Reference) -> None:
    """Raises ValueError where one are points and the other images, or images of another size."""
    named = f"evaluation.reference={against.name}"
    if against.statistics is None and against.points is not (len(data.shape) == 1):
        raise ValueError(
            two_lines(
                f"{named} and the data cannot be compared: one holds points, one images",
                "leave it out, or name a reference of the same kind",
            )
        )
    if against.shape is not None and against.shape != tuple(data.shape):
        theirs, ours = (" x ".join(map(str, shape)) for shape in (against.shape, data.shape))
        raise ValueError(
            two_lines(f"{named} holds images of {theirs}, and the data {ours}", "bring them to one size first")
        )


class OfPairs(Watched):
    """A value that compares what is drawn of each picture with its own target, or with the picture itself."""

    def __init__(self, value: str, metric: PairMetric, n: int) -> None:
        self.value, self.metric, self.n = value, metric, n
        self.better = metric.better[value]
        self.name = value

    def check(self, session: Session, against: Reference) -> None:
        what = f"evaluation.metric={self.value} cannot be watched"
        try:
            found = self._estimates(session, against, 1, lambda part: in_order)
        except (NotMeasurable, Refused) as reason:
            first, _, remedy = str(reason).partition("\n  ")
            raise ValueError(two_lines(f"{what}: {first}", remedy or PAIRS)) from reason
        if self.value not in found:
            raise ValueError(two_lines(f"{what}: these pictures give {', '.join(found)}", "use one of these"))

    def measured(self, session: Session, against: Reference) -> float:
        return self._estimates(session, against, self.n, together.measured)[self.value].value

    def contribute(self, session: Session, against: Reference, part: int) -> None:
        with self._drawing(session, against, self.n) as drawing:
            for _ in together.contributed(drawing.compute[part], len(drawing.sources)):
                pass

    def _estimates(
        self, session: Session, against: Reference, n: int, deal: Callable[[int], Deal]
    ) -> Mapping[str, Estimate]:
        with self._drawing(session, against, n) as drawing, ExitStack() as held:

            def part(k: int) -> Callable[[], Iterator[Any]]:
                return lambda: held.enter_context(closing(deal(k)(drawing.compute[k], len(drawing.sources))))

            return self.metric.compute(
                Context(
                    pairs=part(PAIRED) if drawing.paired else None,
                    round_trips=part(AND_BACK) if drawing.translating.back is not None else None,
                )
            )

    @contextmanager
    def _drawing(self, session: Session, against: Reference, n: int) -> Iterator[Drawing]:
        """What is drawn of `n` pictures of the data. Raises NotMeasurable where they are no such data."""
        game, network, data = session.trainer.game, session.trainer.ema.network, against.data
        if data is None or Need.GIVEN not in data.provides & game.prior.provides:
            raise NotMeasurable(two_lines("it is of pictures drawn from pictures", PAIRS))
        device = next(network.parameters()).device
        back = (game.turned(), network.turned()) if isinstance(network, Both) else None
        translating = Translating(game, network, back, session.trainer.seed, device)
        training = network.training
        network.eval()
        try:
            yield Drawing(translating, OfData(data, n), Need.PAIRS in data.provides)
        finally:
            network.train(training)


PAIRED, AND_BACK = 0, 1  # the parts of a measurement of pairs


@dataclass(frozen=True)
class Drawing:
    """Pictures to draw from, and how."""

    translating: Translating
    sources: OfData
    paired: bool  # whether each has a target

    @property
    def compute(self) -> Sequence[Callable[[int], Computed]]:
        """By part: what is drawn of the k-th picture, its target and source; its source, and what comes back of it."""
        pairs, round_trips = self.translating.pairs, self.translating.round_trips
        return (
            lambda k: next(pairs([self.sources.example(k)])),
            lambda k: next(round_trips([self.sources.example(k)])),
        )
