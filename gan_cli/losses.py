"""Adversarial losses. A loss sees only logits and returns one value per sample; it owns no network.

`discriminator(real, fake)` and `generator(fake, real)` take the discriminator's logits, of any shape, and return
values of the same shape, to be minimised.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_cli.types import Fraction, Need, Weight


class Loss(nn.Module, ABC):
    """The contract of a loss.

    Args:
        weight: Factor of the generator's loss beside its auxiliaries; a number, or a ramp.
        discriminator_weight: Factor of the discriminator's loss beside its penalties; ½ where a paper or a course
            writes the mean over real and fake instead of the sum.
    """

    needs_real_logits = False  # the generator's loss compares fakes with real samples (relativistic losses)
    needs_lipschitz = False  # meaningless unless the discriminator's slope is bounded
    needs_auxiliary = False  # leaves the generator's objective to the auxiliaries
    provides: frozenset[str] = frozenset()  # `Need.ANCHORED_LOGITS`: their sign says real or fake
    targets: tuple[float, float] | None = None  # of scores for real and fake samples, if they are probabilities
    undecided: float | None = None  # the logit of a sample as likely real as fake; None where no logit says so

    def __init__(self, weight: Weight = 1.0, discriminator_weight: Weight = 1.0) -> None:
        super().__init__()
        self.weight = weight
        self.discriminator_weight = discriminator_weight

    @abstractmethod
    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        """The discriminator's loss for each pair of logits."""

    @abstractmethod
    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        """The generator's loss for each fake logit; `real` is given only if `needs_real_logits`."""

    def score(self, logits: Tensor) -> Tensor:
        """D(x) as the paper plots it: a probability where the loss defines one, else the critic's value."""
        return logits


def cross_entropy(logits: Tensor, target: float) -> Tensor:
    """-[t log σ(l) + (1 - t) log(1 - σ(l))] for each logit l, stable for any l."""
    return target * F.softplus(-logits) + (1 - target) * F.softplus(logits)


class CrossEntropy(Loss):
    """The discriminator's half of the original game (Goodfellow 2014, arXiv 1406.2661, equation 1).

    D minimises -log D(x) - log(1 - D(G(z))), with D = σ(logit).

    Args:
        real_label: The discriminator's target for real samples; 0.9 is one-sided smoothing (Salimans 2016,
            arXiv 1606.03498, section 3.4).
        fake_label: The discriminator's target for fakes; above 0 the smoothing is two-sided.
    """

    provides = frozenset({Need.ANCHORED_LOGITS})

    def __init__(
        self,
        real_label: Fraction = 1.0,
        fake_label: Fraction = 0.0,
        weight: Weight = 1.0,
        discriminator_weight: Weight = 1.0,
    ) -> None:
        super().__init__(weight, discriminator_weight)
        self.real_label = real_label
        self.fake_label = fake_label
        self.targets = (real_label, fake_label)
        middle = (real_label + fake_label) / 2
        self.undecided = math.log(middle / (1 - middle)) if 0 < middle < 1 else None

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return cross_entropy(real, self.real_label) + cross_entropy(fake, self.fake_label)

    def score(self, logits: Tensor) -> Tensor:
        return logits.sigmoid()


class NonSaturating(CrossEntropy):
    """The generator loss that keeps its gradient (arXiv 1406.2661, section 3): G minimises -log D(G(z)).

    Args:
        generator_label: The generator's target for its fakes, which smoothing of D's targets leaves at 1.
    """

    def __init__(
        self,
        real_label: Fraction = 1.0,
        fake_label: Fraction = 0.0,
        weight: Weight = 1.0,
        discriminator_weight: Weight = 1.0,
        generator_label: Fraction = 1.0,
    ) -> None:
        super().__init__(real_label, fake_label, weight, discriminator_weight)
        self.generator_label = generator_label

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return cross_entropy(fake, self.generator_label)


class Minimax(CrossEntropy):
    """The zero-sum game of equation 1 of arXiv 1406.2661: G minimises log(1 - D(G(z))), which saturates early on."""

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return F.logsigmoid(-fake)


class LeastSquares(Loss):
    """LSGAN (Mao 2017, arXiv 1611.04076, equation 9): D minimises ½(D(x) - b)² + ½(D(G(z)) - a)², G ½(D(G(z)) - c)².

    Args:
        real_label: b, the discriminator's target for real samples.
        fake_label: a, its target for fakes.
        generator_label: c, the generator's target for fakes.
    """

    def __init__(
        self,
        real_label: float = 1.0,
        fake_label: float = 0.0,
        generator_label: float = 1.0,
        weight: Weight = 1.0,
        discriminator_weight: Weight = 1.0,
    ) -> None:
        super().__init__(weight, discriminator_weight)
        self.real_label = real_label
        self.fake_label = fake_label
        self.generator_label = generator_label
        self.undecided = (real_label + fake_label) / 2

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * (real - self.real_label).square() + 0.5 * (fake - self.fake_label).square()

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return 0.5 * (fake - self.generator_label).square()


class Wasserstein(Loss):
    """WGAN (Arjovsky 2017, arXiv 1701.07875, equation 3): the critic maximises D(x) - D(G(z)) among 1-Lipschitz D."""

    needs_lipschitz = True

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return fake - real

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake


class Hinge(Loss):
    """Geometric GAN (Lim 2017, arXiv 1705.02894): D minimises max(0, 1 - D(x)) + max(0, 1 + D(G(z))), G -D(G(z))."""

    provides = frozenset({Need.ANCHORED_LOGITS})
    undecided = 0.0

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.relu(1 - real) + F.relu(1 + fake)

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return -fake


class FeatureMatching(CrossEntropy):
    """D plays the original game; G has no adversarial loss and matches D's features instead (arXiv 1606.03498, 3.1).

    Use it with `auxiliary=[feature_matching]`, which is then the generator's whole objective.
    """

    needs_auxiliary = True

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return torch.zeros_like(fake)


class RelativisticPairing(Loss):
    """RpGAN (Jolicoeur-Martineau 2018, arXiv 1807.00734; R3GAN, arXiv 2501.05441, equation 2) with f(t) = -log(1+e⁻ᵗ).

    Each real sample is compared with one fake: D minimises softplus(-(D(x) - D(G(z)))), G softplus(-(D(G(z)) - D(x))).
    """

    needs_real_logits = True

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return F.softplus(fake - real)

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        return F.softplus(_given(real) - fake)


class RelativisticAverage(Loss):
    """RaGAN (arXiv 1807.00734, section 4.2) with cross-entropy: each logit minus the mean logit of the other kind."""

    needs_real_logits = True

    def discriminator(self, real: Tensor, fake: Tensor) -> Tensor:
        return 0.5 * (cross_entropy(real - fake.mean(0), 1) + cross_entropy(fake - real.mean(0), 0))

    def generator(self, fake: Tensor, real: Tensor | None = None) -> Tensor:
        real = _given(real)
        return 0.5 * (cross_entropy(fake - real.mean(0), 1) + cross_entropy(real - fake.mean(0), 0))


def _given(real: Tensor | None) -> Tensor:
    if real is None:
        raise ValueError("a relativistic loss compares with real logits, and none were given")
    return real
