"""Terms that the discriminator minimises in addition to its loss, and constraints on its weights."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList

from gan_cli.augment.warps import mirrored, per_sample, shifted
from gan_cli.moving import PerUpdate
from gan_cli.types import (
    Clock,
    DiscriminatorOutput,
    Fraction,
    Need,
    NonNegative,
    Positive,
    PositiveInt,
    Round,
    Share,
    Term,
    Weight,
)


def input_gradient(output: DiscriminatorOutput, samples: Tensor) -> Tensor:
    """∇D at each judged input, flattened, `[J, D]`, differentiable once more.

    An input is a sample, or a pack of samples with one judgement. The patches of one discriminator add up; several
    discriminators, `[N, K]`, each have their own gradients, J = N·K.
    """
    logits = output.logits
    packed = len(samples) // len(logits)
    gradients = []
    for column in logits.unbind(1) if logits.ndim == 2 else [logits]:
        (gradient,) = torch.autograd.grad(column.sum(), samples, create_graph=True)
        gradients.append(gradient[: packed * len(logits)].reshape(len(logits), -1))
    return torch.cat(gradients)


class Constraint(nn.Module, ABC):
    """A constraint enforced by projecting a player's weights onto a set after each of its updates."""

    lipschitz = False

    @abstractmethod
    def project(self, player: nn.Module) -> None:
        """Changes the player's weights in place."""


class OfGradients(Term):
    """A penalty on ∇D at single samples, each of which costs another pass forward and back.

    Args:
        share: The part of the batch whose gradients are measured. The mean over the first samples of a batch drawn at
            random has the expectation of the mean over all, and more variance.
    """

    twice = True

    def __init__(self, weight: Weight = 10.0, interval: PositiveInt = 1, share: Share = 1.0) -> None:
        super().__init__(weight, interval)
        self.share = share


class GradientPenalty(OfGradients):
    """WGAN-GP (Gulrajani 2017, arXiv 1704.00028, equation 3): (‖∇D(x̂)‖ - 1)² at x̂ = εx + (1 - ε)G(z), ε ~ U[0, 1].

    The norm is taken over all of a sample's values, and ε is one number per sample. Weight λ = 10 in the paper.
    """

    per_sample = True
    lipschitz = True

    def places(self, current: Round) -> Tensor:
        """x̂, where the gradient is measured."""
        real = current.batch.real
        epsilon = per_sample(real)
        return epsilon * real + (1 - epsilon) * current.fake.detach()

    def cost(self, norm: Tensor) -> Tensor:
        return (norm - 1).square()

    def forward(self, current: Round) -> Tensor:
        places = self.places(current).detach().requires_grad_()
        gradient = input_gradient(current.judge(places, current.batch.label), places)
        return self.cost(torch.linalg.vector_norm(gradient, dim=1))


class OneSidedGradientPenalty(GradientPenalty):
    """max(0, ‖∇D(x̂)‖ - 1)²: slopes below 1 are free (WGAN-LP, Petzka 2018, arXiv 1709.08894, equation 7)."""

    def cost(self, norm: Tensor) -> Tensor:
        return F.relu(norm - 1).square()


class Dragan(GradientPenalty):
    """DRAGAN (Kodali 2017, arXiv 1705.07215, section 2.3): the gradient's norm is kept near 1 around the data.

    x̂ = x + ε·c·σ·u as in the authors' code: σ is the standard deviation of the batch, u ~ U[0, 1] for every value, and
    ε ~ U[0, 1] is one number per sample.

    Args:
        spread: c, ½ in the authors' code.
    """

    lipschitz = False  # only near the data

    def __init__(
        self, weight: Weight = 10.0, interval: PositiveInt = 1, spread: Positive = 0.5, share: Share = 1.0
    ) -> None:
        super().__init__(weight, interval, share)
        self.spread = spread

    def places(self, current: Round) -> Tensor:
        real = current.batch.real
        return real + per_sample(real) * self.spread * real.std(correction=0) * torch.rand_like(real)


class R1(OfGradients):
    """Zero-centred penalty on real samples (Mescheder 2018, arXiv 1801.04406, equation 9): ½‖∇D(x)‖²; weight is γ."""

    needs = frozenset({Need.REAL_GRAD, Need.REAL_OUTPUT})

    def forward(self, current: Round) -> Tensor:
        assert current.real is not None
        assert current.real_output is not None
        return 0.5 * input_gradient(current.real_output, current.real).square().sum(1)


class R2(OfGradients):
    """R1's counterpart on fakes: ½‖∇D(G(z))‖² (arXiv 1801.04406, equation 10); weight is γ."""

    needs = frozenset({Need.FAKE_GRAD})

    def forward(self, current: Round) -> Tensor:
        return 0.5 * input_gradient(current.fake_output, current.fake).square().sum(1)


class LeCam(Term):
    """LeCam regularisation (Tseng 2021, arXiv 2104.03310, equation 4): (D(x) - α_F)² + (D(G(z)) - α_R)².

    α_R and α_F are moving averages of D's logits of real and of fake samples; each kind is pulled towards the other's.

    Args:
        decay: Decay of the moving averages per update.
    """

    needs = frozenset({Need.REAL_OUTPUT})
    anchor_real: Tensor
    anchor_fake: Tensor

    def __init__(self, weight: Weight = 0.3, interval: PositiveInt = 1, decay: Fraction = 0.99) -> None:
        super().__init__(weight, interval)
        self.decay = decay
        self.register_buffer("anchor_real", torch.zeros(()))
        self.register_buffer("anchor_fake", torch.zeros(()))
        self.real_moves, self.fake_moves = PerUpdate(), PerUpdate()

    def advance(self, clock: Clock) -> None:
        self.real_moves.begin()
        self.fake_moves.begin()

    def forward(self, current: Round) -> Tensor:
        assert current.real_output is not None
        real, fake = current.real_output.logits, current.fake_output.logits
        with torch.no_grad():
            self.real_moves.move(self.anchor_real, real.mean().float(), 1 - self.decay, current.update)
            self.fake_moves.move(self.anchor_fake, fake.mean().float(), 1 - self.decay, current.update)
        return (real - self.anchor_fake.clone()).square() + (fake - self.anchor_real.clone()).square()


class Consistency(Term):
    """bCR (Zhao 2020, arXiv 2002.04724, algorithm 1): (D(x) - D(T(x)))² + fakes·(D(G(z)) - D(T(G(z))))².

    T mirrors left to right half of the time and shifts by up to `shift` of the side. Without the part on fakes it is
    consistency regularisation (Zhang 2020, arXiv 1910.12027).

    Args:
        fakes: Weight of the part on fakes relative to that on real samples; 0 gives CR.
        shift: Largest shift, as a fraction of the side.
    """

    needs = frozenset({Need.REAL_OUTPUT, Need.IMAGES, Need.ALONE})  # it moves samples, and no source with them

    def __init__(
        self, weight: Weight = 10.0, interval: PositiveInt = 1, fakes: NonNegative = 1.0, shift: Fraction = 0.125
    ) -> None:
        super().__init__(weight, interval)
        self.fakes = fakes
        self.shift = shift

    def moved(self, images: Tensor) -> Tensor:
        """T(x), filled with black."""
        return shifted(mirrored(images), self.shift, -1.0)

    def forward(self, current: Round) -> Tensor:
        assert current.real_output is not None
        label = current.batch.label
        on_real = current.judge(self.moved(current.batch.real), label).logits
        difference = (current.real_output.logits - on_real).square()
        if self.fakes == 0:
            return difference
        on_fake = current.judge(self.moved(current.fake.detach()), label).logits
        return difference + self.fakes * (current.fake_output.logits - on_fake).square()


class Drift(Term):
    """D(x)²: keeps the critic's values near zero (Karras 2018, arXiv 1710.10196, appendix A.1; weight 0.001)."""

    needs = frozenset({Need.REAL_OUTPUT})

    def __init__(self, weight: Weight = 1e-3, interval: PositiveInt = 1) -> None:
        super().__init__(weight, interval)

    def forward(self, current: Round) -> Tensor:
        assert current.real_output is not None
        return current.real_output.logits.square()


def matrix(layer: nn.Module) -> Tensor | None:
    """The weight of a linear layer or a convolution, one row per output channel; None for other modules."""
    match layer:
        case nn.ConvTranspose2d():
            return layer.weight.transpose(0, 1).flatten(1)
        case nn.Linear() | nn.Conv2d():
            return layer.weight.flatten(1)
    return None


class Orthogonal(Term):
    """‖WᵀW ⊙ (1 - I)‖²_F over the player's layers (BigGAN, arXiv 1809.11096, equation 3; weight 1e-4).

    A layer's matrix has one row per output channel; scales stay free, since the diagonal does not count. W is the
    effective weight: after the scale of an equalised learning rate, or spectral normalisation. The authors' code adds
    half of this gradient, and that of the raw weights: its 1e-4 is 5e-5 here.
    """

    of_weights = True

    def __init__(self, weight: Weight = 1e-4, interval: PositiveInt = 1) -> None:
        super().__init__(weight, interval)

    def forward(self, current: Round) -> Tensor:
        matrices = [rows for rows in map(matrix, current.player.modules()) if rows is not None]
        with torch.autocast(matrices[0].device.type, enabled=False):
            grams = [rows @ rows.T for rows in matrices]
        return torch.stack([(gram - gram.diag().diag()).square().sum() for gram in grams]).sum()


class Classification(Term):
    """-log C(y | x) - log C(y | G(z, y)): the class head learns on real and on fake samples (AC-GAN, arXiv 1610.09585,
    equation 3).

    Args:
        fakes: Weight of the part on fakes; 0 trains the class head on real samples only, as many successors do.
    """

    needs = frozenset({Need.REAL_OUTPUT, Need.CLASS_LOGITS})

    def __init__(self, weight: Weight = 1.0, interval: PositiveInt = 1, fakes: NonNegative = 1.0) -> None:
        super().__init__(weight, interval)
        self.fakes = fakes

    def forward(self, current: Round) -> Tensor:
        assert current.real_output is not None
        assert current.real_output.class_logits is not None
        assert current.fake_output.class_logits is not None
        label = current.batch.label
        on_real = F.cross_entropy(current.real_output.class_logits, label, reduction="none")
        on_fake = F.cross_entropy(current.fake_output.class_logits, label, reduction="none")
        return on_real + self.fakes * on_fake


def scale(module: nn.Module) -> float:
    """The factor between the raw weights of `module` and the effective ones; 1 without an equalised learning rate."""
    readers = module if isinstance(module, ParametrizationList) else ()
    return math.prod(float(getattr(reader, "factor", 1.0)) for reader in readers)


class WeightClipping(Constraint):
    """Keeps every weight of the critic in [-bound, bound] (WGAN, arXiv 1701.07875, algorithm 1, line 7).

    With an equalised learning rate these are the effective, scaled weights.
    """

    lipschitz = True

    def __init__(self, bound: Positive = 0.01) -> None:
        super().__init__()
        self.bound = bound

    @torch.no_grad()
    def project(self, player: nn.Module) -> None:
        for module in player.modules():
            bound = self.bound / scale(module)
            for parameter in module.parameters(recurse=False):
                parameter.clamp_(-bound, bound)
