"""Metrics that come from a classifier's logits: Inception Score, modes, classes on demand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from gan_cli.errors import two_lines
from gan_cli.metrics import ON_DEMAND, Better, Context, Estimate, Metric, NotMeasurable
from gan_cli.metrics.features import Features, Seen
from gan_cli.types import Fraction, PositiveInt

INCEPTION = 1008  # logits of the network of 2015-12-05
NO_LOGITS = two_lines(
    f"inception_score needs Inception's {INCEPTION} logits, and this detector gives none",
    "put the name of weights that have the layer fc (pt_inception-2015-12-05-6726825d.pth; nofc files lack it) into "
    "$GAN_INCEPTION, or measure classifier_score, of labelled data",
)
NO_CLASSES = two_lines("modes needs a detector that classifies the data", "use detector=classifier")


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
    """`inception_score`: the score of the 1008 logits of Inception, without bias; refused for those of others.

    Args:
        splits: The score is the mean over so many parts of the samples, and its error bar theirs.
    """

    needs = frozenset({"logits"})
    name = "inception_score"
    better = MappingProxyType({"inception_score": Better.LARGER})

    def __init__(self, splits: PositiveInt = 10) -> None:
        self.splits = splits

    def check(self, logits: Tensor | None) -> Tensor:
        """The logits. Raises NotMeasurable where they are not of the network that the score is named after."""
        if logits is None:
            raise NotMeasurable(NO_LOGITS)
        if logits.shape[1] != INCEPTION:
            what = f"inception_score is of Inception's {INCEPTION} logits, and this detector has {logits.shape[1]}"
            raise NotMeasurable(two_lines(what, "use classifier_score"))
        return logits

    def least(self, seen: Seen) -> int:
        self.check(seen.logits)
        return max(self.splits, super().least(seen))

    def compute(self, fake: Features, real: Features, context: Context) -> Mapping[str, Estimate]:
        logits = self.check(fake.logits)
        if fake.n < self.splits:
            raise NotMeasurable(
                two_lines(
                    f"{self.name} with {self.splits} splits needs as many samples, not {fake.n}",
                    f"give at least n={self.splits}",
                )
            )
        value, spread = inception_score(logits, self.splits)
        se = spread / math.sqrt(self.splits - 1) if self.splits > 1 else None
        return {self.name: Estimate(value, se, f"{self.splits} splits, {logits.shape[1]} logits")}


class ClassifierScore(InceptionScore):
    """`classifier_score`: the same of a classifier of the data's own classes, from 1 to their number.

    It stands in for the Inception Score where Inception means nothing, on digits say, and is not comparable with it.
    """

    name = "classifier_score"
    better = MappingProxyType({"classifier_score": Better.LARGER})

    def check(self, logits: Tensor | None) -> Tensor:
        if logits is None or logits.shape[1] == INCEPTION:
            raise NotMeasurable(
                two_lines(
                    "classifier_score needs a detector that classifies the data",
                    "use the classifier of labelled data: detector=classifier",
                )
            )
        return logits


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
            raise NotMeasurable(
                two_lines("on_demand needs a detector that classifies the data", "use detector=classifier")
            )
        if context.classes < 2 or fake.logit_labels is None or len(fake.logit_labels.unique()) < 2:
            raise NotMeasurable(
                two_lines("on_demand needs a generator that draws classes on demand and labelled data", ON_DEMAND)
            )
        share = float((fake.logits.argmax(1) == fake.logit_labels).double().mean())
        return {"on_demand": Estimate(share, math.sqrt(share * (1 - share) / fake.n), "share classified as asked for")}


class Labels(NamedTuple):
    """Images and their classes."""

    images: Tensor  # uint8 [N, C, H, W]
    labels: Tensor  # int64 [N]


class ClassificationAccuracy(Metric):
    """How well a classifier recognises real images that it has not seen: `cas`, trained on samples alone (Ravuri 2019,
    arXiv 1905.10887); `cas_real`, on the real images that are not held out; `cas_both`, on both together.

    The second says what the first could be, the third whether samples are worth adding to a training set.

    Args:
        steps: Updates of each classifier.
        held_out: The share of real images that all three are tested on, chosen by content.
    """

    needs = frozenset({"rows", "labels", "images"})

    def __init__(self, steps: PositiveInt = 1000, held_out: Fraction = 0.2) -> None:
        self.steps = steps
        self.held_out = held_out

    def compute(self, fake: Features, real: Features, context: Context) -> Mapping[str, Estimate]:
        if context.classes < 2 or fake.row_labels is None or len(fake.row_labels.unique()) < 2:
            raise NotMeasurable(
                two_lines("cas needs a generator that draws classes on demand and labelled data", ON_DEMAND)
            )
        tested = round(self.held_out * (0 if real.row_images is None else len(real.row_images)))
        if real.row_images is None or real.row_labels is None or not 0 < tested < len(real.row_images):
            raise NotMeasurable(
                two_lines(
                    f"cas holds out a share of {self.held_out:g} of the real images, and they are too few",
                    "give more real images",
                )
            )
        assert fake.row_images is not None
        # Rows are ordered by content: any part of them is a fair one.
        held_out = Labels(real.row_images[:tested], real.row_labels[:tested])
        samples = Labels(fake.row_images, fake.row_labels)
        others = Labels(real.row_images[tested:], real.row_labels[tested:])
        both = Labels(torch.cat([samples.images, others.images]), torch.cat([samples.labels, others.labels]))
        s, r = len(samples.images), len(others.images)
        trained = {
            "cas": (samples, f"{s} samples", s, 0),
            "cas_real": (others, f"{r} real images", 0, r),
            "cas_both": (both, f"{s} samples and {r} real images", s, r),
        }
        found = {}
        for name, (seen, what, n_fake, n_real) in trained.items():
            right = self._right(seen, held_out, context.classes, what)
            se = math.sqrt(right * (1 - right) / tested)
            note = f"small convolutional network trained on {what}, {self.steps} steps; accuracy on {tested} others"
            found[name] = Estimate(right, se, note, n_fake, n_real + tested)
        return found

    def _right(self, seen: Labels, held_out: Labels, classes: int, what: str) -> float:
        from gan_cli.metrics.classifier import accuracy, fit

        network = fit(*seen, classes, torch.device("cpu"), self.steps, what)
        return accuracy(lambda x: network(x.float()), *held_out)
