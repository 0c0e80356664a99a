"""How labels reach the networks. A network asks its conditioning for the modules where labels may enter.

In a generator, the label may be joined to the latent or enter the normalisations; in a discriminator, it may be joined
to the sample or enter the head. Every module here is called with `(tensor, label [N])`, whether it reads the label or
not.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from gan_cli.errors import Incompatible, two_lines
from gan_cli.types import Need, NonNegativeInt, PositiveInt

Wrap = Callable[[nn.Module], nn.Module]
Norm = Callable[..., nn.Module]  # (channels, affine=True)


def checked_classes(classes: int, conditioning: str) -> int:
    """Raises Incompatible unless there are classes to tell apart."""
    if classes < 2:
        what = f"conditioning={conditioning} needs labels, and dataset.classes={classes}"
        remedy = "set dataset.classes to the number of classes of labelled data, or use conditioning=none"
        raise Incompatible(two_lines(what, remedy))
    return classes


class Unread(nn.Module):
    """A module that does not read the label."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, values: Tensor, label: Tensor) -> Tensor:
        output: Tensor = self.module(values)
        return output


class JoinedVector(nn.Module):
    """Vectors `[N, D]` with an embedding of the label: `[N, D + width]`."""

    def __init__(self, classes: int, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, width)

    def forward(self, values: Tensor, label: Tensor) -> Tensor:
        return torch.cat([values, self.embedding(label)], 1)


class JoinedMap(nn.Module):
    """Images `[N, C, H, W]` with one more channel, an image-sized embedding of the label: `[N, C + 1, H, W]`."""

    def __init__(self, classes: int, height: int, width: int) -> None:
        super().__init__()
        self.size = (1, height, width)
        self.embedding = nn.Embedding(classes, height * width)

    def forward(self, values: Tensor, label: Tensor) -> Tensor:
        return torch.cat([values, self.embedding(label).view(-1, *self.size)], 1)


class ConditionalNormalisation(nn.Module):
    """Normalisation whose gain and bias depend on the class (de Vries 2017, arXiv 1707.00683; Miyato 2018)."""

    def __init__(self, norm: nn.Module, classes: int, channels: int) -> None:
        super().__init__()
        self.norm = norm
        self.gain = nn.Embedding(classes, channels)
        self.bias = nn.Embedding(classes, channels)
        nn.init.ones_(self.gain.weight)
        nn.init.zeros_(self.bias.weight)

    def forward(self, values: Tensor, label: Tensor) -> Tensor:
        shape = (values.shape[0], -1, *[1] * (values.ndim - 2))  # `len` would fix the batch of a traced graph
        return self.norm(values) * self.gain(label).view(shape) + self.bias(label).view(shape)


class Input(NamedTuple):
    """What comes before a network's first layer, and the width of its output."""

    module: nn.Module
    width: int  # features of a vector, channels of an image


class Judgement(NamedTuple):
    """The output of a head."""

    logits: Tensor  # [N]
    class_logits: Tensor | None = None  # [N, classes]


class Head(nn.Module, ABC):
    """Features `[N, F]` to a judgement, computed outside autocast: bfloat16 keeps three digits of a logit, and losses
    read differences of logits."""

    def forward(self, features: Tensor, label: Tensor) -> Judgement:
        with torch.autocast(features.device.type, enabled=False):
            return self.judge(features.to(next(self.parameters()).dtype), label)

    @abstractmethod
    def judge(self, features: Tensor, label: Tensor) -> Judgement: ...


class LinearHead(Head):
    """One logit, whatever the label."""

    def __init__(self, features: int, wrap: Wrap) -> None:
        super().__init__()
        self.linear = wrap(nn.Linear(features, 1))

    def judge(self, features: Tensor, label: Tensor) -> Judgement:
        return Judgement(self.linear(features).squeeze(1))


class ProjectionHead(LinearHead):
    """logit = linear(φ) + <embedding(y), φ> (Miyato 2018, arXiv 1802.05637, equation 3)."""

    def __init__(self, features: int, wrap: Wrap, classes: int) -> None:
        super().__init__(features, wrap)
        embedding = nn.Embedding(classes, features)
        nn.init.normal_(embedding.weight, 0.0, 0.02)
        self.embedding = wrap(embedding)

    def judge(self, features: Tensor, label: Tensor) -> Judgement:
        logits = super().judge(features, label).logits
        return Judgement(logits + (self.embedding(label) * features).sum(1))


class BilinearHead(Head):
    """logit = <W φ, embedding(y)>: no logit without a label (R3GAN, arXiv 2501.05441, as published)."""

    def __init__(self, features: int, wrap: Wrap, classes: int) -> None:
        super().__init__()
        self.linear = wrap(nn.Linear(features, features, bias=False))
        embedding = nn.Embedding(classes, features)
        nn.init.normal_(embedding.weight, 0.0, (features * classes) ** -0.5)
        self.embedding = wrap(embedding)

    def judge(self, features: Tensor, label: Tensor) -> Judgement:
        return Judgement((self.linear(features) * self.embedding(label)).sum(1))


class ClassHead(LinearHead):
    """One logit, plus one for each class (AC-GAN, arXiv 1610.09585)."""

    def __init__(self, features: int, wrap: Wrap, classes: int) -> None:
        super().__init__(features, wrap)
        self.classifier = wrap(nn.Linear(features, classes))

    def judge(self, features: Tensor, label: Tensor) -> Judgement:
        return Judgement(super().judge(features, label).logits, self.classifier(features))


class GeneratorConditioning:
    """A generator without labels."""

    classes = 0  # drawn on demand

    def latent(self, latent_dim: int) -> Input:
        """What comes between the latent and the first layer."""
        return Input(Unread(nn.Identity()), latent_dim)

    def norm(self, norm: Norm, channels: int) -> nn.Module:
        """A normalisation of `channels`."""
        return Unread(norm(channels))

    def context(self, latent_dim: int, embedding: int) -> Input:
        """What joins the label, embedded in `embedding` numbers, to the part of the latent that normalisations read."""
        return Input(Unread(nn.Identity()), latent_dim)


class ConcatLatent(GeneratorConditioning):
    """An embedding of the label joined to the latent (conditional GAN, Mirza 2014, arXiv 1411.1784)."""

    def __init__(self, classes: NonNegativeInt, width: PositiveInt = 32) -> None:
        self.classes = checked_classes(classes, "concat")
        self.width = width

    def latent(self, latent_dim: int) -> Input:
        return Input(JoinedVector(self.classes, self.width), latent_dim + self.width)


class ConditionalNorm(GeneratorConditioning):
    """Gains and biases of every normalisation depend on the class."""

    def __init__(self, classes: NonNegativeInt) -> None:
        self.classes = checked_classes(classes, "projection")

    def norm(self, norm: Norm, channels: int) -> nn.Module:
        return ConditionalNormalisation(norm(channels, affine=False), self.classes, channels)

    def context(self, latent_dim: int, embedding: int) -> Input:
        return Input(JoinedVector(self.classes, embedding), latent_dim + embedding)


class DiscriminatorConditioning:
    """A discriminator without labels."""

    provides: frozenset[str] = frozenset()
    reads_labels = False

    def sample(self, shape: tuple[int, ...]) -> Input:
        """What comes between a sample of shape `shape` and the first layer."""
        return Input(Unread(nn.Identity()), shape[0])

    def head(self, features: int, wrap: Wrap) -> Head:
        """What turns the last features into a judgement; `wrap` is applied to every layer with weights."""
        return LinearHead(features, wrap)


class ConcatSample(DiscriminatorConditioning):
    """An embedding of the label joined to the sample: a channel of an image, `width` coordinates of a point."""

    reads_labels = True

    def __init__(self, classes: NonNegativeInt, width: PositiveInt = 32) -> None:
        self.classes = checked_classes(classes, "concat")
        self.width = width

    def sample(self, shape: tuple[int, ...]) -> Input:
        if len(shape) == 3:
            return Input(JoinedMap(self.classes, *shape[1:]), shape[0] + 1)
        return Input(JoinedVector(self.classes, self.width), shape[0] + self.width)


class Projection(DiscriminatorConditioning):
    """A head that adds the inner product of the features with an embedding of the label."""

    reads_labels = True

    def __init__(self, classes: NonNegativeInt) -> None:
        self.classes = checked_classes(classes, "projection")

    def head(self, features: int, wrap: Wrap) -> Head:
        return ProjectionHead(features, wrap, self.classes)


class Bilinear(DiscriminatorConditioning):
    """A head whose logit is a bilinear form of the features and an embedding of the label."""

    reads_labels = True

    def __init__(self, classes: NonNegativeInt) -> None:
        self.classes = checked_classes(classes, "bilinear")

    def head(self, features: int, wrap: Wrap) -> Head:
        return BilinearHead(features, wrap, self.classes)


class AuxiliaryClassifier(DiscriminatorConditioning):
    """A head that also classifies; the classification terms of both players read its class logits."""

    provides = frozenset({Need.CLASS_LOGITS})

    def __init__(self, classes: NonNegativeInt) -> None:
        self.classes = checked_classes(classes, "acgan")

    def head(self, features: int, wrap: Wrap) -> Head:
        return ClassHead(features, wrap, self.classes)
