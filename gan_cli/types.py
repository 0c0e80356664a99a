"""The vocabulary: what games, networks, losses, data and the trainer say to each other.

Images are float in [-1, 1], `[N, C, H, W]`; points are float `[N, D]`; labels are int64 `[N]` (zeros when unlabelled).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, Any, NamedTuple, Protocol, runtime_checkable

import torch
from annotated_types import Ge, Gt, Interval
from torch import Tensor, nn

from gan_cli.errors import Incompatible as Incompatible

# Ranges of settings. A constructor declares them in its signature; a run is checked against them before it starts.
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Fraction = Annotated[float, Interval(ge=0, le=1)]
LARGEST = 2**53  # beyond it, a count is no longer exact where it is a float64
PositiveInt = Annotated[int, Interval(gt=0, le=LARGEST)]
NonNegativeInt = Annotated[int, Interval(ge=0, le=LARGEST)]


class Need(StrEnum):
    """What a term may ask of the update that it is part of, or of the other parts; the plain words mean the same."""

    # What an update can hold.
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
        """What a discriminator said; one that returns a plain tensor means its logits. Raises TypeError."""
        if isinstance(answer, cls):
            return answer
        if isinstance(answer, Tensor):
            return cls(answer)
        raise TypeError(f"it gave {type(answer).__name__}")


@dataclass(frozen=True)
class Batch:
    """What one objective is computed from. A sampling batch has no real samples."""

    label: Tensor  # int64 [N]
    images: Tensor | None = None  # real samples: [N, C, H, W] in [-1, 1], or points [N, D]
    given: Tensor | None = None  # what the generator is given besides latents: [N, C', H', W'] in [-1, 1]

    def __len__(self) -> int:
        return len(self.label)

    @property
    def real(self) -> Tensor:
        """The real samples. Raises ValueError for a sampling batch, which has none."""
        if self.images is None:
            raise ValueError('this batch carries no real samples: a part that reads them declares needs={"real"}')
        return self.images

    def split(self, parts: int) -> list[Batch]:
        """`parts` batches of nearly equal size, in order."""
        columns = [[None] * parts if value is None else value.tensor_split(parts) for value in vars(self).values()]
        return [type(self)(*row) for row in zip(*columns, strict=True)]


@dataclass(frozen=True)
class Clock:
    """How far a run is. Everything that follows progress is a function of this."""

    step: int = 0  # generator updates completed
    images: int = 0  # real images shown to the discriminator
    seconds: float = 0.0  # time spent training, all sessions together
    done: float = 0.0  # the fraction of the run, which follows from the others and from the run's limits

    def saved(self) -> dict[str, Any]:
        """What checkpoints and records hold of it."""
        return {"step": self.step, "images": self.images, "seconds": self.seconds}


Judge = Callable[[Tensor, Tensor], DiscriminatorOutput]  # (samples, label) -> what D says of them


@dataclass(frozen=True)
class Round:
    """What one update has computed so far; what a term may read."""

    batch: Batch
    latent: Tensor
    real: Tensor | None  # the real samples, a leaf with a gradient where a term needs one; None in a sampling batch
    fake: Tensor
    real_output: DiscriminatorOutput | None
    fake_output: DiscriminatorOutput
    judge: Judge  # the discriminator of this batch, behind its augmentations
    generate: Callable[[Tensor, Tensor], Tensor]  # the generator: (latent, label) -> samples
    player: nn.Module  # the network that is being updated
    update: int


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
            update's step: there are no further ones that Adam would have to be corrected for.
    """

    needs: frozenset[str] = frozenset()  # words of `Need`
    per_sample = False  # a penalty on single samples, which layers that mix samples would falsify
    lipschitz = False  # bounds the discriminator's slope
    of_weights = False  # reads weights and no samples: no objective by itself

    def __init__(self, weight: Weight = 1.0, interval: PositiveInt = 1) -> None:
        super().__init__()
        self.weight = weight
        self.interval = interval

    @abstractmethod
    def forward(self, current: Round) -> Tensor:
        """The unweighted term of each sample or judgement, `[N]`, or one value `[]`."""


class Weighting(nn.Module, ABC):
    """Decides how much each sample counts in the generator's loss: an auxiliary that multiplies instead of adding."""

    needs: frozenset[str] = frozenset()  # as those of a term

    @abstractmethod
    def forward(self, values: Tensor, current: Round) -> Tensor:
        """Factors of the loss `values`, of their shape and with mean 1; they carry no gradient."""


class Augment(nn.Module, ABC):
    """What stands between samples and the discriminator; real and fake pass alike, and gradients pass through."""

    needs: frozenset[str] = frozenset()  # as those of a term
    hides: frozenset[str] = frozenset()  # what the discriminator provides no longer behind it
    mixes_samples = False  # one sample of a batch reaches the judgement of another
    merges_samples = False  # several samples get one judgement, which can have no label
    least = 1  # samples that it needs at once

    @abstractmethod
    def forward(self, samples: Tensor) -> Tensor:
        """What the discriminator sees of `samples`."""

    def observe(self, real_logits: Tensor) -> None:
        """Called with D's logits of each real batch; what adapts to them does it here."""


class Projection(nn.Module, ABC):
    """A constraint kept by moving a player's weights back into a set after each of its updates."""

    lipschitz = False

    @abstractmethod
    def project(self, player: nn.Module) -> None:
        """Changes the player's weights in place."""


class Outcome(NamedTuple):
    """What an objective returns."""

    terms: Mapping[str, Tensor]  # weighted scalars; their sum is minimised
    readings: Mapping[str, Tensor] = {}  # scalars that are only watched


def nothing() -> None:
    """The projection of a player without constraints."""


@dataclass(frozen=True)
class Phase:
    """One player's turn within a step."""

    player: str  # key into `Game.players()` and into the optimizers
    objective: Callable[[Batch, int], Outcome]  # (batch, update index) -> outcome
    runs: int = 1  # updates in a row, each on a new batch
    project: Callable[[], None] = field(default=nothing)  # after each optimizer step
    shown: bool = False  # its real images count as shown to the discriminator
    uses_real: bool = True  # else its batches are sampling batches, and no image is drawn that nobody sees


class Least(NamedTuple):
    """The fewest samples that may come at once, and the part that asks for them."""

    samples: int
    part: str  # as the config names it; empty where none does


class Game(nn.Module, ABC):
    """The rules: who plays, in which order, for which objective; and what a trained generator draws."""

    prior: Prior  # what feeds the generator
    augments: nn.ModuleDict  # what stands between samples and the discriminator, by name, in order

    @abstractmethod
    def players(self) -> Mapping[str, nn.Module]:
        """`generator` and `discriminator`; where there are several of a kind, as one module."""

    @abstractmethod
    def phases(self) -> Sequence[Phase]:
        """What the next step consists of, in order."""

    @abstractmethod
    def sample(self, generator: nn.Module, batch: Batch) -> Tensor:
        """Samples of `generator` (often the averaged copy), one a row of a sampling batch."""

    @abstractmethod
    def targets(self) -> tuple[float, float] | None:
        """What D's scores of real samples and of fakes aim at; None where they have no bound."""

    @abstractmethod
    def rehearse(self, shape: Sequence[int], part: int) -> None:
        """Tries the players on samples of `shape`, at most `part` at once as a step gives them, and changes nothing.

        Raises:
            Incompatible: Something does not fit.
        """

    def augmentations(self) -> Iterator[tuple[str, Augment]]:
        """The augmentations by name, in order."""
        yield from ((name, augment) for name, augment in self.augments.items() if isinstance(augment, Augment))

    def seen(self, samples: Tensor) -> Tensor:
        """What the discriminator sees of samples."""
        for _, augment in self.augmentations():
            samples = augment(samples)
        return samples

    def least(self) -> Least:
        """The fewest samples at once that its augmentations work with."""
        return max((Least(a.least, f"augment.{name}") for name, a in self.augmentations()), default=Least(1, ""))


@runtime_checkable
class Growing(Protocol):
    """A generator whose images gain detail while it is trained."""

    def matched(self, real: Tensor) -> Tensor:
        """Real images with as much detail as those that it draws now."""
        ...

    def complete(self) -> int:
        """Images shown when it draws with all its detail."""
        ...


class Prior(nn.Module, ABC):
    """What feeds the generator: latents `[N, latent_dim]`, drawn where the batch lives."""

    provides: frozenset[str] = frozenset({Need.LATENTS})
    needs: frozenset[str] = frozenset()  # `Need.REAL` where they are made of the real samples of a batch in training

    def __init__(self, latent_dim: PositiveInt) -> None:
        super().__init__()
        self.latent_dim = latent_dim

    @abstractmethod
    def forward(self, batch: Batch) -> Tensor:
        """The latents of a batch in training."""

    def sample(self, batch: Batch) -> Tensor:
        """Those of a sampling batch, where they differ (truncation)."""
        latent: Tensor = self(batch)
        return latent

    def beside(self, samples: Tensor, batch: Batch) -> Tensor:
        """What is put before the discriminator with samples: joined with what the generator was given, where D shall
        judge the pair. Augmentations come after it."""
        return samples

    def truncated(self, bound: float) -> Prior:
        """This prior without its tails beyond `bound`. Raises Incompatible when it has none."""
        raise Incompatible(
            f"truncation={bound}: {type(self).__name__} latents have no tails to cut\n"
            "  leave it out, or train with prior=normal"
        )


@runtime_checkable
class Scheduled(Protocol):
    """Behaviour that follows progress; called at the start of every step."""

    def advance(self, clock: Clock) -> None: ...


class Data(Protocol):
    """Real samples. `batch` is a pure function of (seed, draw, rank); so is `sampling`, whose batches have labels only,
    each as often as among the real samples."""

    classes: int
    batch_size: int
    shape: tuple[int, ...]

    def __len__(self) -> int: ...
    def place(self, device: torch.device, seed: int, rank: int = 0, world: int = 1) -> None: ...
    def batch(self, draw: int) -> Batch: ...
    def sampling(self, draw: int) -> Batch: ...
    def preview(self, n: int) -> Tensor: ...
    def quantised(self, n: int) -> Tensor: ...
    def fingerprint(self) -> str: ...


@runtime_checkable
class Named(Protocol):
    """Data that know what their classes are called and what was read."""

    class_names: tuple[str, ...]
    described: Mapping[str, Any]  # for the manifest; see `gan_cli.data.described`
