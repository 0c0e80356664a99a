"""What the discriminator pays besides its loss, and the sets that its weights are kept in."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gan_cli.types import DiscriminatorOutput, NonNegative, Positive, PositiveInt, Projection, Round, Term


def input_gradient(output: DiscriminatorOutput, samples: Tensor) -> Tensor:
    """∇D at each sample, flattened to `[N, D]`, differentiable once more. Logits of several heads or patches add up."""
    (gradient,) = torch.autograd.grad(output.logits.sum(), samples, create_graph=True)
    return gradient.flatten(1)


class GradientPenalty(Term):
    """WGAN-GP (Gulrajani 2017, arXiv 1704.00028, equation 3): (‖∇D(x̂)‖ - 1)² at x̂ = εx + (1 - ε)G(z), ε ~ U[0, 1].

    The norm runs over all of a sample's values, and ε is one number a sample. Weight λ = 10 in the paper.
    """

    needs = frozenset({"real_output"})
    per_sample = True
    lipschitz = True

    def __init__(self, weight: NonNegative = 10.0, interval: PositiveInt = 1) -> None:
        super().__init__(weight, interval)

    def forward(self, round: Round) -> Tensor:
        real, fake = round.batch.real, round.fake.detach()
        epsilon = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
        between = (epsilon * real + (1 - epsilon) * fake).requires_grad_()
        gradient = input_gradient(round.judge(between, round.batch.label), between)
        return (torch.linalg.vector_norm(gradient, dim=1) - 1).square()


class R1(Term):
    """Zero-centred penalty on real samples (Mescheder 2018, arXiv 1801.04406, equation 9): ½‖∇D(x)‖²; weight is γ."""

    needs = frozenset({"real_grad", "real_output"})

    def __init__(self, weight: NonNegative = 10.0, interval: PositiveInt = 1) -> None:
        super().__init__(weight, interval)

    def forward(self, round: Round) -> Tensor:
        assert round.real is not None
        assert round.real_output is not None
        return 0.5 * input_gradient(round.real_output, round.real).square().sum(1)


class WeightClipping(Projection):
    """Keeps every weight of the critic in [-bound, bound] (WGAN, arXiv 1701.07875, algorithm 1, line 7)."""

    lipschitz = True

    def __init__(self, bound: Positive = 0.01) -> None:
        super().__init__()
        self.bound = bound

    @torch.no_grad()
    def project(self, player: nn.Module) -> None:
        for parameter in player.parameters():
            parameter.clamp_(-self.bound, self.bound)
