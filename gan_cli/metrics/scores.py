"""Metrics that come from a classifier's logits: Inception Score, modes, classes on demand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from gan_cli.metrics import Better, Context, Estimate, Metric, NotMeasurable
from gan_cli.metrics.features import Features, Seen
from gan_cli.types import PositiveInt

NO_LOGITS = (
    "inception_score needs logits, and this detector has none: the weights lack the fc layer "
    "(use pt_inception-2015-12-05-6726825d.pth)"
)
NO_CLASSES = "modes needs a detector that classifies the data: use detector=classifier"


def inception_score(logits: Tensor, splits: int) -> tuple[float, float]:
    """exp E KL(p(y|x) ‖ p(y)) (arXiv 1606.03498, section 4): mean and standard deviation over equal splits."""
    values = []
    for piece in logits.double().tensor_split(splits):
        log_p = piece.log_softmax(1)
        log_marginal = log_p.logsumexp(0) - math.log(len(piece))
        values.append((log_p.exp() * (log_p - log_marginal)).sum(1).mean().exp())
    stacked = torch.stack(values)
    return float(stacked.mean()), float(stacked.std(correction=0)) if splits > 1 else 0.0


class InceptionScore(Metric):
    """`inception_score`: 10 splits, the detector's logits without bias."""

    needs = frozenset({"logits"})
    better = MappingProxyType({"inception_score": Better.LARGER})

    def __init__(self, splits: PositiveInt = 10) -> None:
        self.splits = splits

    def least(self, seen: Seen) -> int:
        if seen.logits is None:
            raise NotMeasurable(NO_LOGITS)
        return max(self.splits, super().least(seen))

    def compute(self, fake: Features, real: Features, context: Context) -> Mapping[str, Estimate]:
        if fake.logits is None:
            raise NotMeasurable(NO_LOGITS)
        if fake.n < self.splits:
            raise NotMeasurable(f"inception_score with {self.splits} splits needs as many samples, not {fake.n}")
        value, spread = inception_score(fake.logits, self.splits)
        classes = fake.logits.shape[1]
        se = spread / math.sqrt(self.splits - 1) if self.splits > 1 else None
        return {"inception_score": Estimate(value, se, f"{self.splits} splits, {classes} logits")}


def kl_from_counts(counts: Tensor, reference: Tensor) -> float:
    """KL(counts ‖ reference) in nats, both as histograms over modes."""
    p, q = counts.double() / counts.sum(), reference.double() / reference.sum()
    seen = p > 0
    return float((p[seen] * (p[seen] / q[seen]).log()).sum())


class Modes(Metric):
    """`modes` and `mode_kl`: the classes that a classifier finds among the samples, compared with a uniform mixture.

    With the stacked classifier, each channel of a colour image is a digit and the modes are their combinations
    (Stacked MNIST, Unrolled GAN, arXiv 1611.02163, section 3.3.1).
    """

    needs = frozenset({"logits"})
    better = MappingProxyType({"modes": Better.LARGER, "mode_kl": Better.SMALLER})

    def least(self, seen: Seen) -> int:
        if seen.logits is None:
            raise NotMeasurable(NO_CLASSES)
        return super().least(seen)

    def compute(self, fake: Features, real: Features, context: Context) -> Mapping[str, Estimate]:
        if fake.logits is None:
            raise NotMeasurable(NO_CLASSES)
        counts = fake.logits.argmax(1).bincount(minlength=fake.logits.shape[1])
        return {
            "modes": Estimate(float((counts > 0).sum()), None, f"of {len(counts)}"),
            "mode_kl": Estimate(kl_from_counts(counts, torch.ones_like(counts)), None, "against uniform, nats"),
        }


class OnDemand(Metric):
    """`on_demand`: the share of samples that are classified as the class asked for."""

    needs = frozenset({"logits"})

    def compute(self, fake: Features, real: Features, context: Context) -> Mapping[str, Estimate]:
        if fake.logits is None:
            raise NotMeasurable("on_demand needs a detector that classifies the data: use detector=classifier")
        if context.classes < 2 or fake.logit_labels is None or len(fake.logit_labels.unique()) < 2:
            raise NotMeasurable("on_demand needs a generator that draws classes on demand and labelled data")
        share = float((fake.logits.argmax(1) == fake.logit_labels).double().mean())
        return {"on_demand": Estimate(share, math.sqrt(share * (1 - share) / fake.n), "share classified as asked for")}


class ClassificationAccuracy(Metric):
    """`cas`: how well a classifier trained only on samples recognises real images (Ravuri 2019, arXiv 1905.10887).

    Args:
        steps: Updates of the classifier.
    """

    needs = frozenset({"rows", "labels", "images"})

    def __init__(self, steps: PositiveInt = 1000) -> None:
        self.steps = steps

    def compute(self, fake: Features, real: Features, context: Context) -> Mapping[str, Estimate]:
        from gan_cli.metrics.classifier import accuracy, fit

        if context.classes < 2 or fake.row_labels is None or len(fake.row_labels.unique()) < 2:
            raise NotMeasurable("cas needs a generator that draws classes on demand and labelled data")
        assert fake.row_images is not None
        assert real.row_images is not None
        assert real.row_labels is not None
        network = fit(fake.row_images, fake.row_labels, context.classes, torch.device("cpu"), self.steps)
        right = accuracy(lambda x: network(x.float()), real.row_images, real.row_labels)
        n = len(real.row_images)
        note = "small convolutional network trained on the samples, accuracy on the reference"
        return {"cas": Estimate(right, math.sqrt(right * (1 - right) / n), note, len(fake.row_images), n)}
