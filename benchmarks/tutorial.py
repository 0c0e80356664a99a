"""The loop of a tutorial, for any of our networks: what `gan train` is compared with.

It is the loop of PyTorch's DCGAN tutorial: a `DataLoader` of tensors that lie ready in memory, float32,
`torch.optim.Adam` with its defaults, `.item()` of losses and scores at each step, no averaged generator. The
discriminator is not frozen while the generator learns. The fakes of the discriminator's last update are the
generator's too (`draws="once"`, as that tutorial has it), or the generator draws others (`draws="twice"`, as ours does
unless told otherwise).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

Judge = Callable[[Tensor], Tensor]  # samples -> logits


class Recipe(NamedTuple):
    """A paper's losses, as its tutorials write them."""

    discriminator: Callable[[Tensor, Tensor], Tensor]  # logits of real samples and of fakes
    generator: Callable[[Tensor, Tensor], Tensor]  # logits of fakes, and of real samples if it `compares`
    penalty: Callable[[Judge, Tensor, Tensor, Tensor, Tensor], Tensor] | None = None  # D, real, fake and their logits
    leaves: tuple[bool, bool] = (False, False)  # whether the penalty differentiates by the real samples, by the fakes
    compares: bool = False


def _entropy(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def _slopes(logits: Tensor, samples: Tensor) -> Tensor:
    (slopes,) = torch.autograd.grad(logits.sum(), samples, create_graph=True)
    return slopes.flatten(1)


def _gradient_penalty(judge: Judge, real: Tensor, fake: Tensor, on_real: Tensor, on_fake: Tensor) -> Tensor:
    share = torch.rand(len(real), *[1] * (real.ndim - 1), device=real.device)
    mixed = (share * real + (1 - share) * fake).requires_grad_()
    return 10 * (_slopes(judge(mixed), mixed).norm(dim=1) - 1).square().mean()


def _r1(judge: Judge, real: Tensor, fake: Tensor, on_real: Tensor, on_fake: Tensor) -> Tensor:
    return 10 / 2 * _slopes(on_real, real).square().sum(1).mean()


def _r1_and_r2(judge: Judge, real: Tensor, fake: Tensor, on_real: Tensor, on_fake: Tensor) -> Tensor:
    squares = _slopes(on_real, real).square().sum(1) + _slopes(on_fake, fake).square().sum(1)
    return 1 / 2 * squares.mean()


DCGAN = Recipe(lambda real, fake: _entropy(real, 1) + _entropy(fake, 0), lambda fake, real: _entropy(fake, 1))
STYLEGAN2 = DCGAN._replace(penalty=_r1, leaves=(True, False))
HINGE = Recipe(lambda real, fake: F.relu(1 - real).mean() + F.relu(1 + fake).mean(), lambda fake, real: -fake.mean())
WGAN_GP = Recipe(lambda real, fake: fake.mean() - real.mean(), lambda fake, real: -fake.mean(), _gradient_penalty)
R3GAN = Recipe(
    lambda real, fake: F.softplus(fake - real).mean(),
    lambda fake, real: F.softplus(real - fake).mean(),
    penalty=_r1_and_r2,
    leaves=(True, True),
    compares=True,
)


class Tutorial:
    """Takes steps of the loop.

    Args:
        generator, discriminator: Our networks; called with samples and labels, as all of them are.
        samples: All real samples, float32 `[N, ...]`, on the CPU.
        batch_size: Samples at once.
        latent_dim: Numbers in a latent.
        recipe: Losses and penalty.
        critic_steps: Updates of the discriminator, each on a new batch, before one of the generator.
        draws: once | twice: fakes a step, where `critic_steps` is 1.
        lr, betas: Of both players' Adam.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        samples: Tensor,
        batch_size: int,
        latent_dim: int,
        recipe: Recipe,
        critic_steps: int,
        draws: str,
        lr: float,
        betas: tuple[float, float],
        device: torch.device,
    ) -> None:
        self.generator, self.discriminator = generator.to(device), discriminator.to(device)
        data = TensorDataset(samples, torch.zeros(len(samples), dtype=torch.int64))
        self.loader = DataLoader(data, batch_size=batch_size, shuffle=True, drop_last=True)
        self.batches = self._forever()
        self.latent_dim, self.recipe, self.critic_steps, self.draws = latent_dim, recipe, critic_steps, draws
        self.device = device
        self.of_generator = torch.optim.Adam(self.generator.parameters(), lr=lr, betas=betas)
        self.of_discriminator = torch.optim.Adam(self.discriminator.parameters(), lr=lr, betas=betas)
        self.told: list[tuple[float, ...]] = []

    def _forever(self) -> Iterator[list[Tensor]]:
        while True:
            yield from self.loader

    def draw(self, label: Tensor) -> Tensor:
        fakes: Tensor = self.generator(torch.randn(len(label), self.latent_dim, device=self.device), label)
        return fakes

    def against(self, label: Tensor) -> Judge:
        """The discriminator for samples of these labels."""

        def judge(samples: Tensor) -> Tensor:
            logits: Tensor = self.discriminator(samples, label).logits
            return logits

        return judge

    def discriminator_loss(self, real: Tensor, label: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The loss with its penalty; the fakes, and the logits of both kinds."""
        recipe, judge, fake = self.recipe, self.against(label), self.draw(label)
        real, shown = real.requires_grad_(recipe.leaves[0]), fake.detach().requires_grad_(recipe.leaves[1])
        on_real, on_fake = judge(real), judge(shown)
        loss = recipe.discriminator(on_real, on_fake)
        if recipe.penalty is not None:
            loss = loss + recipe.penalty(judge, real, shown, on_real, on_fake)
        return loss, fake, on_real, on_fake

    def generator_loss(self, fake: Tensor, real: Tensor, label: Tensor) -> Tensor:
        judge = self.against(label)
        on_fake = judge(fake)
        return self.recipe.generator(on_fake, judge(real.detach()) if self.recipe.compares else on_fake)

    def step(self) -> None:
        """The discriminator's updates, then the generator's."""
        for _ in range(self.critic_steps):
            real, label = (part.to(self.device) for part in next(self.batches))
            self.of_discriminator.zero_grad()
            loss, fake, on_real, on_fake = self.discriminator_loss(real, label)
            loss.backward()
            self.of_discriminator.step()
        self.of_generator.zero_grad()
        answer = self.generator_loss(fake if self.draws == "once" else self.draw(label), real, label)
        answer.backward()
        self.of_generator.step()
        self.told.append((loss.item(), answer.item(), on_real.mean().item(), on_fake.mean().item()))
