"""What networks declare, and what all generators and all discriminators here have in common.

A generator is called with `(latent [N, Z], label [N])`, a discriminator with `(samples, label [N])`. A user's own may
be any module: `declared` reads what a network says about itself; one that says nothing gets the defaults.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from inspect import get_annotations
from typing import NamedTuple, Protocol, TypeGuard, TypeVar

from torch import Tensor, nn

from gan_cli.networks.conditioning import DiscriminatorConditioning, GeneratorConditioning, Head
from gan_cli.types import DiscriminatorOutput, Need, sample_shape

Contract = TypeVar("Contract")


class Declared(NamedTuple):
    """What other parts may know about a network; the defaults hold for a network that declares nothing."""

    provides: frozenset[str] = frozenset()  # values of `Need`
    classes: int = 0  # of a generator: how many classes it draws on demand
    reads_labels: bool = False  # of a discriminator: whether its logits depend on them
    latent_layers: tuple[nn.Module, ...] = ()  # of a generator: those the latent enters


class Provides(Protocol):
    provides: Collection[str]


class Conditional(Protocol):
    classes: int


class ReadsLabels(Protocol):
    reads_labels: bool


class EnteredByLatents(Protocol):
    latent_layers: Sequence[nn.Module]


def has(network: nn.Module, contract: Callable[..., Contract]) -> TypeGuard[Contract]:
    """Whether a network has the attributes of a protocol.

    Since Python 3.12 `isinstance` does not see those that are modules, parameters or buffers of the network.
    """
    return all(hasattr(network, name) for name in get_annotations(contract))


def declared(network: nn.Module) -> Declared:
    """What a network declares, in attributes of these names."""
    return Declared(
        frozenset(network.provides) if has(network, Provides) else frozenset(),
        int(network.classes) if has(network, Conditional) else 0,
        bool(network.reads_labels) if has(network, ReadsLabels) else False,
        tuple(network.latent_layers) if has(network, EnteredByLatents) else (),
    )


class BaseGenerator(nn.Module):
    """A generator that asks its `conditioning` for the modules where labels may enter.

    Every architecture takes these, before and after settings of its own:

    Args:
        latent_dim: Z.
        channels: C of images; the number of coordinates of points.
        resolution: Side or [height, width] of images; empty for points.
        conditioning: How labels enter; not at all when not given.
    """

    provides: frozenset[str] = frozenset()
    classes: int

    def __init__(self, conditioning: GeneratorConditioning | None) -> None:
        super().__init__()
        self.conditioning = conditioning or GeneratorConditioning()
        self.classes = self.conditioning.classes


class BaseDiscriminator(nn.Module, ABC):
    """A discriminator: samples to features, the last features to a vector, the vector to a judgement.

    An architecture defines how features are made and summarised, and builds its `head` for the summary's width.
    `entering` channels (or coordinates) reach its first layer, once the label has been joined to the sample.

    Args:
        channels: C of images; the number of coordinates of points.
        resolution: Side or [height, width] of images; empty for points.
        conditioning: How labels enter; not at all when not given.
    """

    provides: frozenset[str]
    reads_labels: bool
    head: Head

    def __init__(
        self, channels: int, resolution: int | Sequence[int], conditioning: DiscriminatorConditioning | None
    ) -> None:
        super().__init__()
        self.shape = sample_shape(channels, resolution)
        self.conditioning = conditioning or DiscriminatorConditioning()
        images = {Need.IMAGES} if len(self.shape) == 3 else set()
        self.provides = self.conditioning.provides | {Need.FEATURES} | images
        self.reads_labels = self.conditioning.reads_labels
        self.sample, self.entering = self.conditioning.sample(self.shape)

    @abstractmethod
    def features(self, samples: Tensor) -> Sequence[Tensor]:
        """Features of the samples, layer by layer."""

    @abstractmethod
    def summary(self, features: Tensor) -> Tensor:
        """The last features as vectors `[N, F]`."""

    def forward(self, samples: Tensor, label: Tensor) -> DiscriminatorOutput:
        features = self.features(self.sample(samples, label))
        judgement = self.head(self.summary(features[-1]), label)
        return DiscriminatorOutput(judgement.logits, judgement.class_logits, tuple(features))


class StagedDiscriminator(BaseDiscriminator):
    """A discriminator whose features are the outputs of its `stages`, one after the other."""

    stages: nn.ModuleList

    def seen(self, samples: Tensor) -> Tensor:
        """The input of the first stage."""
        return samples

    def features(self, samples: Tensor) -> Sequence[Tensor]:
        values = self.seen(samples)
        features = []
        for stage in self.stages:
            values = stage(values)
            features.append(values)
        return features
