"""One evaluation: every image passes once through every detector; every metric uses what was collected."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from html import escape
from typing import Any

import torch

from gan_cli.errors import NotComparable, two_lines
from gan_cli.evaluation.samples import Source
from gan_cli.metrics import Context, Estimate, Metric, NotMeasurable, PairMetric
from gan_cli.metrics.detectors import Detector
from gan_cli.metrics.features import Features
from gan_cli.metrics.measure import Plan, Reference, SampleSet, collect, full_name, part_of, reference_features


@dataclass(frozen=True)
class Value:
    """A measured number and everything that defines it."""

    value: float
    se: float | None  # standard error, where one is known
    n_fake: int
    n_real: int | None  # None where statistics do not say how many
    convention: str
    reference: str
    detector: str
    weights_sha256: str | None
    drawn: str | None  # how a generator drew the samples; None for files
    reference_content: str | None  # fingerprint of what the reference's name stands for

    @property
    def n(self) -> int:
        """The number of samples measured."""
        return self.n_fake

    def cells(self) -> tuple[str, str, str]:
        """Value ± standard error, sizes, and what it is."""
        number = f"{self.value:.5g}" + (f" ± {self.se:.2g}" if self.se is not None else "")
        return number, f"n={self.n_fake}/{self.n_real or 'unknown'}", self.convention


class Evaluation(dict[str, Value]):
    """Values by name; each is also an attribute: `evaluation.fid.value`.

    Attributes:
        source, step, seed: What was measured.
        time: When, in ISO 8601, UTC.
        refused: Metrics that are meaningless here, and why.
        absent: Detectors that are not there or have nothing to say here, and what would help.
        pictures: Pictures that metrics drew, uint8 by name.
    """

    def __init__(self, source: str, step: int | None, seed: int) -> None:
        super().__init__()
        self.source = source
        self.step = step
        self.seed = seed
        self.time = datetime.now(UTC).isoformat()
        self.refused: dict[str, str] = {}
        self.absent: dict[str, str] = {}
        self.pictures: dict[str, torch.Tensor] = {}

    def _repr_html_(self) -> str:
        """The table that a notebook shows."""
        rows = [(name, *value.cells()) for name, value in self.items()]
        rows += [(name, "not measured", "", reason) for name, reason in self.refused.items()]
        body = "".join(f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows)
        against = ", ".join(sorted({value.reference for value in self.values()}))
        head = "".join(f"<th>{word}</th>" for word in ("metric", "value", "samples/real", "convention"))
        caption = escape(f"{self.source} against {against}")
        return f"<table><caption>{caption}</caption><tr>{head}</tr>{body}</table>"

    def __getattr__(self, name: str) -> Value:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{name} was not measured, only {', '.join(self) or 'nothing'}") from None


def measure(
    source: Source,
    reference: Reference,
    detectors: Mapping[str, Detector],
    metrics: Mapping[str, Metric | PairMetric],
    plan: Plan,
    evaluation: Evaluation,
) -> Evaluation:
    """Fills `evaluation` with every metric of every detector, prepared for the reference, and with those of pairs once;
    what cannot be measured is noted with its reason."""
    of_features = {name: metric for name, metric in metrics.items() if not isinstance(metric, PairMetric)}
    of_pairs = {name: metric for name, metric in metrics.items() if isinstance(metric, PairMetric)}
    if of_features:
        _measure_features(source, reference, detectors, of_features, plan, evaluation)
    context = Context(
        evaluation.seed,
        pairs=source.pairs,
        round_trips=source.round_trips,
        drawn=None if source.points else partial(_pictures, source, plan),
        real=None if reference.points or reference.statistics is not None else partial(_pictures, reference, plan),
    )
    for name, metric in of_pairs.items():
        for short, estimate in _estimates(name, partial(metric.compute, context), evaluation).items():
            evaluation[short] = Value(
                estimate.value,
                estimate.se,
                estimate.n_fake or 0,
                estimate.n_real,
                "; ".join(filter(None, (reference.prepared, estimate.convention))),
                reference.name,
                metric.detector,
                estimate.weights,
                source.drawn,
                reference.fingerprint,
            )
    return evaluation


def _pictures(side: SampleSet, plan: Plan) -> Iterator[torch.Tensor]:
    return (images for images, _ in side.batches(plan.batch_size))


def _estimates(
    name: str, compute: Callable[[], Mapping[str, Estimate]], evaluation: Evaluation
) -> Mapping[str, Estimate]:
    """What a metric says; nothing, with the reason noted, where it cannot be measured."""
    try:
        return compute()
    except NotMeasurable as reason:
        evaluation.refused[name] = str(reason)
        return {}


def _measure_features(
    source: Source,
    reference: Reference,
    detectors: Mapping[str, Detector],
    metrics: Mapping[str, Metric],
    plan: Plan,
    evaluation: Evaluation,
) -> None:
    """Every metric of features, of every detector."""
    needs: frozenset[str] = frozenset().union(*(metric.needs for metric in metrics.values()))
    if reference.statistics is not None:
        blind = [name for name, metric in metrics.items() if metric.needs - {"groups", "logits"}]
        what, remedy = f"{reference.name} holds statistics only", "give images as the reference"
        evaluation.refused |= {name: two_lines(f"{what}, {name} needs images", remedy) for name in blind}
    reference = part_of(reference, plan.most)
    for ready in detectors.values():
        real = reference_features(reference, ready, needs, plan)
        fake = collect(source, ready, needs, plan)
        _check_widths(fake, real, reference)
        classes = reference.labelled.classes if reference.labelled is not None else 0
        mixture = None if reference.mixture is None else (reference.mixture.centres, reference.mixture.std)
        context = Context(evaluation.seed, classes, mixture, ready, source.paths)
        for name, metric in metrics.items():
            if name in evaluation.refused:
                continue
            found = _estimates(name, partial(metric.compute, fake, real, context), evaluation)
            for short, estimate in found.items():
                evaluation[full_name(short, ready.name)] = Value(
                    estimate.value,
                    estimate.se,
                    fake.n if estimate.n_fake is None else estimate.n_fake,
                    (real.n or None) if estimate.n_real is None else estimate.n_real,
                    "; ".join(filter(None, (ready.convention, reference.prepared, estimate.convention))),
                    reference.name,
                    ready.name or "inception",
                    ready.digest,
                    source.drawn,
                    reference.fingerprint,
                )
        evaluation.pictures |= context.scratch


def _check_widths(fake: Features, real: Features, reference: Reference) -> None:
    if len(fake.moments.mean) != len(real.moments.mean):
        what = f"the samples have {len(fake.moments.mean)} features and {reference.name} has {len(real.moments.mean)}"
        raise NotComparable(two_lines(what, "images must have one size and number of channels for this detector"))


def _plain(fact: Any) -> Any:
    """JSON has no infinity and no NaN: they are written as words, which float() reads."""
    return str(fact) if isinstance(fact, float) and not math.isfinite(fact) else fact


def as_record(evaluation: Evaluation) -> dict[str, Any]:
    """The content of evals/<stamp>.json."""
    return {
        "source": evaluation.source,
        "step": evaluation.step,
        "time": evaluation.time,
        "seed": evaluation.seed,
        "metrics": {name: {k: _plain(v) for k, v in vars(value).items()} for name, value in evaluation.items()},
        "refused": evaluation.refused,
        "absent": evaluation.absent,
    }
