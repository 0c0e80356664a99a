"""Directions that are learned: from samples, and what a classifier or the generator's own labels say of them."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Interval
from torch import Tensor

from gan_cli import pictures, sampling
from gan_cli.data.class_names import folders_for
from gan_cli.data.images import Images
from gan_cli.errors import Incompatible, NotMeasurable, two_lines
from gan_cli.latent import Subject
from gan_cli.latent.directions import Along, Direction
from gan_cli.latent.styling import space, styled
from gan_cli.metrics.detectors import Detector, Labelled
from gan_cli.sampling import in_blocks
from gan_cli.types import Positive, PositiveInt

log = logging.getLogger(__name__)

CHANCE = 0.6  # of samples on their side, of a direction not worth the name
Half = Annotated[float, Interval(gt=0, le=0.5)]


def log_odds(logits: Tensor) -> Tensor:
    """log p / (1 - p) of each class, float64 `[N, K]`."""
    log_p = logits.double().log_softmax(1)
    others = torch.stack(
        [torch.cat([log_p[:, :k], log_p[:, k + 1 :]], 1).logsumexp(1) for k in range(log_p.shape[1])], 1
    )
    return log_p - others


def difference_of_means(points: Tensor, scores: Tensor) -> Tensor:
    """From the mean of the points `[N, W]` whose scores `[N]` are below 0 to that of the others: `[W]`."""
    return points[scores > 0].mean(0) - points[scores <= 0].mean(0)


def normal_of_boundary(points: Tensor, scores: Tensor, share: float, decay: float) -> Tensor:
    """The normal `[W]` of the plane that best parts the `share` of points `[N, W]` with the highest scores `[N]` from
    the share with the lowest: logistic regression, which stands in for the linear SVM of InterFaceGAN (Shen 2019, arXiv
    1907.10786, section 3.2). `decay` is the weight of |normal|² / 2 beside the mean loss, of points in units of their
    spread.
    """
    n = max(1, round(share * len(points)))
    order = scores.argsort(stable=True)
    rows = torch.cat([order[-n:], order[:n]])
    middle = points.mean(0)
    x = (points[rows] - middle) / (points - middle).square().mean().sqrt()
    y = torch.cat([torch.ones(n), torch.zeros(n)]).to(x)
    normal, offset = torch.zeros_like(x[0]), torch.zeros_like(x[0, 0])
    for tensor in (normal, offset):
        tensor.requires_grad_()
    optimizer = torch.optim.LBFGS([normal, offset], max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = F.binary_cross_entropy_with_logits(x @ normal + offset, y) + decay / 2 * normal.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(loss)
    return normal.detach()


def told_apart(points: Tensor, scores: Tensor, vector: Tensor) -> float:
    """The share of points that lie on their side of the middle between both means, each side weighing the same."""
    along, high = points @ vector, scores > 0
    middle = (along[high].mean() + along[~high].mean()) / 2
    return float(((along[high] > middle).double().mean() + (along[~high] <= middle).double().mean()) / 2)


def _doubt(right: float) -> str:
    """A remark where a direction says next to nothing, as in a generator that is told the class beside its latents."""
    return "" if right > CHANCE else ", hardly more than by chance: these latents do not tell it"


class Learned(Along):
    """One direction for each class, towards it, called as the class is.

    Args:
        samples: Samples to learn from.
        judge: A detector with logits, whose classes are looked for among the samples; when null, the labels that the
            samples were drawn with, which only latents with styles (w) know of.
    """

    def __init__(self, samples: PositiveInt, judge: Detector | None) -> None:
        self.samples = samples
        self.judge = judge

    @abstractmethod
    def vector(self, points: Tensor, scores: Tensor) -> Tensor:
        """The direction `[W]`, of any length, in which the scores `[N]` of the points float64 `[N, W]` rise."""

    def find(self, subject: Subject) -> Iterator[Direction]:
        if self.judge is None and (styled(subject.generator) is None or not sampling.on_demand(subject.generator)):
            raise Incompatible(
                two_lines(
                    "along.judge=null: the latents of this generator do not know of labels",
                    "leave it out to ask a classifier; mode=classes draws one latent with every label",
                )
            )
        if self.judge is not None and subject.points:
            raise Incompatible(two_lines("along: a classifier looks at images, and these are points", "use along=sefa"))
        return self._found(subject)

    @torch.no_grad()
    def _found(self, subject: Subject) -> Iterator[Direction]:
        latent, label = subject.latents(self.samples)
        _, encode, decode = space(subject.generator)
        w = encode(latent, label)
        names: Sequence[str]
        if self.judge is None:
            scores, names = F.one_hot(label.cpu()).double() - 0.5, subject.class_names
        else:
            scores, names = self._judged(subject, in_blocks(decode, w, label))
        points = (w.mean(1) if w.ndim == 3 else w).double().cpu()
        told = [
            k for k in range(scores.shape[1]) if min(int((scores[:, k] > 0).sum()), int((scores[:, k] <= 0).sum())) > 1
        ]
        if not told:
            what = f"all {self.samples} samples are of one class, so there is no direction to another"
            raise Incompatible(two_lines(what, "take more samples: along.samples=10000; or use along=sefa"))
        for k, name in folders_for(told, names).items():
            vector = F.normalize(self.vector(points, scores[:, k]), dim=0)
            right = told_apart(points, scores[:, k], vector)
            log.info("direction %s: %.0f%% of the samples lie on their side%s", name, 100 * right, _doubt(right))
            yield Direction(name, vector.to(w))

    def _judged(self, subject: Subject, samples: Tensor) -> tuple[Tensor, Sequence[str]]:
        """The log odds of the judge's classes `[N, K]`, above 0 for one class of each sample, and their names."""
        assert self.judge is not None
        data = subject.data()
        labelled = None
        if isinstance(data, Images) and data.classes > 1:
            labelled = Labelled(lambda: data.images, data.labels, data.classes, data.fingerprint())
        try:
            judge = self.judge.to(subject.device).prepare(labelled)
        except NotMeasurable as error:
            raise Incompatible(
                two_lines(
                    "along: the classifier learns from labelled images, and the data of this run have no labels",
                    "use along=sefa, or name a classifier of your own: along.judge._target_=...",
                )
            ) from error
        seen = [judge(piece).logits for piece in pictures.to_uint8(samples).split(sampling.BLOCK)]
        logits = [piece.cpu() for piece in seen if piece is not None]
        if not logits:
            raise Incompatible(two_lines("along.judge: this detector classifies nothing", "name one with logits"))
        odds = log_odds(torch.cat(logits))
        # Of no class likelier than not, the likeliest still counts: each sample is on the near side of one.
        first = F.one_hot(odds.argmax(1), odds.shape[1]).bool()
        names = data.class_names if isinstance(data, Images) and len(data.class_names) == odds.shape[1] else ()
        return torch.where(first, odds.clamp_min(1e-9), odds.clamp_max(-1e-9)), names


class ClassMeans(Learned):
    """From the mean of all other samples to the mean of those of a class."""

    def vector(self, points: Tensor, scores: Tensor) -> Tensor:
        return difference_of_means(points, scores)


class Boundaries(Learned):
    """Across the plane that parts the samples which are most from those which are least of a class (InterFaceGAN: Shen
    2019, arXiv 1907.10786).

    Args:
        samples, judge: See `Learned`.
        share: The share of the samples that count as most, and as least, of a class.
        decay: See `normal_of_boundary`.
    """

    def __init__(self, samples: PositiveInt, judge: Detector | None, share: Half = 0.1, decay: Positive = 0.01) -> None:
        super().__init__(samples, judge)
        self.share = share
        self.decay = decay

    def vector(self, points: Tensor, scores: Tensor) -> Tensor:
        return normal_of_boundary(points, scores, self.share, self.decay)
