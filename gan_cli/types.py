"""The vocabulary: what games, networks, losses, data and the trainer say to each other.

Images are float in [-1, 1], `[N, C, H, W]`; points are float `[N, D]`; labels are int64 `[N]` (zeros when unlabelled).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from math import inf
from typing import Annotated, Any, NamedTuple, Protocol, runtime_checkable

import torch
from annotated_types import Ge, Gt, Interval
from torch import Tensor, nn

# Ranges of settings. A constructor declares them in its signature; a run is checked against them before it starts.
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Interval(ge=0, lt=inf)]
Amount = Annotated[float, Ge(0)]  # inf: as much as there is
Fraction = Annotated[float, Interval(ge=0, le=1)]
Share = Annotated[float, Interval(gt=0, le=1)]
LARGEST = 2**53  # beyond it, a count is not exact in float64
PositiveInt = Annotated[int, Interval(gt=0, le=LARGEST)]
NonNegativeInt = Annotated[int, Interval(ge=0, le=LARGEST)]
NARROWEST, WIDEST = 0.01, 0.28  # widths of power-function averages; the mean of a whole run has 12^-1/2 = 0.289
MOST_AVERAGES = 8  # that a run keeps
Width = Annotated[float, Interval(ge=NARROWEST, le=WIDEST)]


class Need(StrEnum):
    """What a term may need from its update, or from the other parts; the plain strings mean the same."""

    # What an update can provide.
    REAL = "real"  # the real samples
    REAL_GRAD = "real_grad"  # as a leaf with a gradient
    FAKE_GRAD = "fake_grad"  # the fakes as a leaf with a gradient
    REAL_OUTPUT = "real_output"  # D's judgement of the real samples
    LATENT_GRAD = "latent_grad"  # the latents as a leaf with a gradient
    # What a prior, a network or a loss provides.
    LATENTS = "latents"  # the generator is fed with latents
    STYLES = "styles"  # the generator maps them to styles first
    IMAGES = "images"  # samples have pixels
    FEATURES = "features"  # D returns what its layers saw
    CLASS_LOGITS = "class_logits"  # D has a class head
    SEVERAL_LOGITS = "several_logits"  # D gives several judgements of a sample
    ANCHORED_LOGITS = "anchored_logits"  # D's logits are positive for real samples
    GIVEN = "given"  # the generator is given an image
    PAIRS = "pairs"  # what is given belongs to the real sample of the same row
    ALONE = "alone"  # D judges samples by themselves, not beside what they were drawn from
    BACK = "back"  # there is a generator of the way back


def sample_shape(channels: int, resolution: int | Sequence[int]) -> tuple[int, ...]:
    """The shape of one sample: `(C, H, W)` for images, `(C,)` when the resolution is empty (points)."""
    sides = (resolution, resolution) if isinstance(resolution, int) else tuple(resolution)
    return (channels, *sides)


class DiscriminatorOutput(NamedTuple):
    """What every discriminator returns."""

    logits: Tensor  # [N], [N, K] or patches [N, 1, h, w]
    class_logits: Tensor | None = None  # [N, classes]
    features: tuple[Tensor, ...] = ()

    @classmethod
    def of(cls, answer: DiscriminatorOutput | Tensor) -> DiscriminatorOutput:
        """A discriminator's output; a plain tensor means logits. Raises TypeError."""
        if isinstance(answer, cls):
            return answer
        if isinstance(answer, Tensor):
            return cls(answer)
        raise TypeError(f"it gave {type(answer).__name__}")

    def rows(self, which: Callable[[Tensor], Tensor]) -> DiscriminatorOutput:
        """The judgements of some of the samples; `which` cuts them out of a tensor of all, `[N, ...]`."""
        class_logits = None if self.class_logits is None else which(self.class_logits)
        return DiscriminatorOutput(which(self.logits), class_logits, tuple(map(which, self.features)))

    def first(self, share: float) -> DiscriminatorOutput:
        """The judgements of the first samples, that share of them."""
        return self.rows(lambda values: values[: round(share * len(values))])

    def in_turns(self) -> tuple[DiscriminatorOutput, DiscriminatorOutput]:
        """The judgements of samples 0, 2, 4, ... and those of 1, 3, 5, ..."""
        return self.rows(lambda values: values[0::2]), self.rows(lambda values: values[1::2])


@dataclass(frozen=True)
class Batch:
    """The inputs of one objective. A sampling batch has no real samples."""

    label: Tensor  # int64 [N]
    images: Tensor | None = None  # real samples: [N, C, H, W] in [-1, 1], or points [N, D]
    given: Tensor | None = None  # given to the generator in addition to latents: [N, C', H', W'] in [-1, 1]

    def __len__(self) -> int:
        return len(self.label)

    @property
    def real(self) -> Tensor:
        """The real samples. Raises ValueError for a sampling batch, which has none."""
        if self.images is None:
            raise ValueError('this batch carries no real samples: a part that reads them declares needs={"real"}')
        return self.images

    @property
    def source(self) -> Tensor:
        """What the generator is given. Raises ValueError for a batch without, of data that give nothing."""
        if self.given is None:
            raise ValueError("this batch carries no images to draw from: these data give none")
        return self.given

    def swapped(self) -> Batch:
        """For the way back: what was given is real, and what was real is given."""
        return Batch(self.label, self.given, self.images)

    def first(self, count: int) -> Batch:
        """The first samples."""
        columns: list[Any] = [None if value is None else value[:count] for value in vars(self).values()]
        return type(self)(*columns)

    def split(self, parts: int) -> list[Batch]:
        """`parts` batches of nearly equal size, in order."""
        columns = [[None] * parts if value is None else value.tensor_split(parts) for value in vars(self).values()]
        return [type(self)(*row) for row in zip(*columns, strict=True)]


@dataclass(frozen=True)
class Clock:
    """The progress of a run. Everything that follows progress is a function of it."""

    step: int = 0  # generator updates completed
    images: int = 0  # real images shown to the discriminator
    seconds: float = 0.0  # time spent training, over all sessions
    done: float = 0.0  # the fraction of the run, which follows from the above and the run's limits

    def saved(self) -> dict[str, Any]:
        """Its values as checkpoints and records hold them."""
        return {"step": self.step, "images": self.images, "seconds": self.seconds}


Judge = Callable[[Tensor, Tensor], DiscriminatorOutput]  # (samples, label) -> D's output


@dataclass(frozen=True)
class Round:
    """What one update has computed so far, for terms to read."""

    batch: Batch
    latent: Tensor
    real: Tensor | None  # the real samples, a leaf with a gradient where a term needs one; None in a sampling batch
    fake: Tensor
    real_output: DiscriminatorOutput | None
    fake_output: DiscriminatorOutput
    judge: Judge  # the discriminator on this batch, after the augmentations
    generate: Callable[[Tensor, Tensor], Tensor]  # the generator: (latent, label) -> samples
    player: nn.Module  # the network that is being updated
    update: int
    back: Callable[[Tensor, Tensor], Tensor] | None = None  # the generator of the way back: (samples, label) -> sources


class Ramp(nn.Module, ABC):
    """A number that follows progress, in images shown or as a fraction of the run; a term's weight may be one."""

    def __init__(self) -> None:
        super().__init__()
        self.advance(Clock())

    @abstractmethod
    def at(self, images: int, done: float = 0.0) -> float:
        """The number once `images` were shown, and the fraction `done` of the run."""

    def advance(self, clock: Clock) -> None:
        self.value = self.at(clock.images, clock.done)

    def __float__(self) -> float:
        return float(self.value)


Weight = NonNegative | Ramp


class Term(nn.Module, ABC):
    """A weighted addition to a player's objective: penalties for the discriminator, auxiliaries for the generator.

    Args:
        weight: Factor of the mean over the batch; a number, or a ramp over the images shown.
        interval: Lazy regularisation (StyleGAN2, arXiv 1912.04958, appendix B): the term is applied at every
            `interval`-th update and scaled by `interval`, so that its mean strength does not change. It shares that
            update's step: there are no additional steps that Adam would have to be corrected for.
    """

    needs: frozenset[str] = frozenset()  # values of `Need`
    per_sample = False  # a penalty on single samples, which is wrong with layers that mix samples
    lipschitz = False  # bounds the discriminator's slope
    of_weights = False  # reads weights but no samples: not an objective on its own
    share: float = 1.0  # of the batch, which it is measured on
    twice = False  # is made of gradients, so that an update differentiates the networks twice

    def __init__(self, weight: Weight = 1.0, interval: PositiveInt = 1) -> None:
        super().__init__()
        self.weight = weight
        self.interval = interval

    def prepare(self) -> str:
        """Before the first step of a run, and not where samples are drawn: loads what only training reads.

        Returns what is to be said of it. Raises Refused.
        """
        return ""

    def suits(self, real: Batch) -> None:
        """Before the first step: raises Incompatible where a batch like this one has what the term cannot use."""

    def reads(self, output: DiscriminatorOutput) -> None:
        """Before the first step: raises Incompatible where a judgement like this one lacks what the term reads."""

    @abstractmethod
    def forward(self, current: Round) -> Tensor:
        """The unweighted term for each sample or judgement, `[N]`, or one value `[]`."""


class Alike(nn.Module):
    """A module whose buffers are the same in all processes that share a batch, by what it computes."""


class Outcome(NamedTuple):
    """The result of an objective."""

    terms: Mapping[str, Tensor]  # weighted scalars; their sum is minimised
    readings: Mapping[str, Tensor] = {}  # scalars that are only reported


def nothing() -> None:
    """The projection of a player without constraints."""


def never(update: int) -> bool:
    """No update differentiates twice."""
    return False


@dataclass(frozen=True)
class Phase:
    """One player's turn within a step."""

    player: str  # key into `Game.players()` and into the optimizers
    objective: Callable[[Batch, int], Outcome]  # (batch, update index) -> outcome
    runs: int = 1  # updates in a row, each on a new batch
    project: Callable[[], None] = field(default=nothing)  # after each optimizer step
    shown: bool = False  # its real images count as shown to the discriminator
    uses_real: bool = True  # else its batches are sampling batches, so that no unused image is drawn
    twice: Callable[[int], bool] = field(default=never)  # whether an update differentiates the networks twice
    builds: frozenset[str] = frozenset()  # other players whose graph it builds, for a later phase to go back through


@runtime_checkable
class Growing(Protocol):
    """A generator whose images gain detail during training."""

    def matched(self, real: Tensor) -> Tensor:
        """Real images with as much detail as it draws now."""
        ...

    def complete(self) -> int:
        """Images shown by the time it draws in full detail."""
        ...


@runtime_checkable
class Scheduled(Protocol):
    """Behaviour that follows progress; called at the start of every step."""

    def advance(self, clock: Clock) -> None: ...


@runtime_checkable
class Dense(Protocol):
    """A distribution of points whose density is known."""

    def log_density(self, points: Tensor) -> Tensor:
        """At points `[N, D]`: `[N]`."""
        ...


@runtime_checkable
class Forced(Protocol):
    """A network that moves its weights back to where they belong; called after each of its player's updates."""

    def force(self) -> None: ...


class Data(Protocol):
    """Real samples. `batch` is a pure function of (seed, draw, rank); so is `sampling`, whose batches have labels only,
    each as often as among the real samples. `previewed` is a batch of some that are always the same; `example(i)` is
    the i-th of `pictures()` to draw from, whole, in a batch of one."""

    classes: int
    batch_size: int
    shape: tuple[int, ...]
    provides: frozenset[str]  # words of `Need`: given, pairs

    def __len__(self) -> int: ...
    def place(self, device: torch.device, seed: int, rank: int = 0, world: int = 1) -> None: ...
    def batch(self, draw: int) -> Batch: ...
    def sampling(self, draw: int) -> Batch: ...
    def previewed(self, n: int) -> Batch: ...
    def pictures(self) -> int: ...
    def called(self, i: int) -> str: ...
    def given_how(self) -> str: ...
    def example(self, i: int) -> Batch: ...
    def quantised(self, n: int) -> Tensor: ...
    def fingerprint(self) -> str: ...


@runtime_checkable
class Named(Protocol):
    """Data that know the names of their classes and what was read."""

    class_names: tuple[str, ...]
    described: Mapping[str, Any]  # for the manifest; see `gan_cli.data.described`
