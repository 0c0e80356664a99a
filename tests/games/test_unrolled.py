"""The game that looks ahead, with a generator and a discriminator for which the look ahead has a closed form."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gan_cli.games.adversarial import Adversarial
from gan_cli.games.parts import Parts
from gan_cli.games.unrolled import Unrolled
from gan_cli.losses import NonSaturating, Wasserstein
from gan_cli.networks import mlp
from gan_cli.priors import Normal
from gan_cli.types import Batch, DiscriminatorOutput

W, C, REAL = torch.tensor([0.7, -0.2]), torch.tensor([1.5, 0.5]), torch.tensor([-1.0, 2.0])


class Constant(nn.Module):
    """G(z) = c."""

    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Parameter(C.clone())

    def forward(self, latent: Tensor, label: Tensor) -> Tensor:
        return self.c.expand(len(latent), 2)


class Linear(nn.Module):
    """D(x) = w·x."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(W.clone())

    def forward(self, samples: Tensor, label: Tensor) -> DiscriminatorOutput:
        return DiscriminatorOutput(samples @ self.w)


def batch(n: int = 6) -> Batch:
    return Batch(torch.zeros(n, dtype=torch.int64), REAL.expand(n, 2))


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_the_loss_and_its_gradient_run_through_the_simulated_steps(steps: int) -> None:
    """f(w) = w·(c - r), so w_K = w - Kη(c - r) and G's loss is -w_K·c, with the gradient -w + Kη(2c - r) in c."""
    rate = 0.1
    game = Unrolled(Parts(Constant(), Linear(), Wasserstein(), Normal(2)), unroll_steps=steps, unroll_lr=rate)
    game.discriminator.requires_grad_(False)  # as the trainer holds it in the generator's phase
    loss = game.generator_objective(batch(), 0).terms["loss"]
    assert loss.item() == pytest.approx(-((W - steps * rate * (C - REAL)) @ C).item(), rel=1e-5)
    loss.backward()
    torch.testing.assert_close(game.generator.c.grad, -W + steps * rate * (2 * C - REAL))
    assert torch.equal(game.discriminator.w, W)
    assert game.discriminator.w.grad is None


def test_looking_no_step_ahead_is_the_usual_game() -> None:
    networks = mlp.Generator(3, 2, (), (8,)), mlp.Discriminator(2, (), (8,))
    parts = Parts(*networks, NonSaturating(), Normal(3))
    losses = []
    for game in (
        Adversarial(parts),
        Unrolled(parts, unroll_steps=0),
    ):
        torch.manual_seed(1)
        losses.append(game.generator_objective(batch(), 0).terms["loss"].item())
    assert losses[0] == losses[1]
