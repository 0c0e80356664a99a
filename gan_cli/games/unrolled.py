"""Unrolled GAN: the generator looks ahead at how the discriminator would answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor
from torch.func import functional_call

from gan_cli.games.adversarial import Adversarial
from gan_cli.games.fakes import Through, afresh
from gan_cli.games.parts import Parts
from gan_cli.types import Batch, DiscriminatorOutput, NonNegativeInt, Outcome, Phase, Positive, PositiveInt, Ramp


class Unrolled(Adversarial):
    """The generator's loss is taken against a discriminator that has made `unroll_steps` more steps.

    These steps are simulated, and the generator's gradient runs through them (Metz 2017, arXiv 1611.02163,
    equations 5 to 8): θ_D ← θ_D - η ∇f, f being D's loss without its penalties, on new fakes each time.

    Args:
        unroll_steps: K; 0 is the usual game.
        unroll_lr: η, the rate of the simulated gradient steps.
    """

    def __init__(
        self,
        parts: Parts,
        critic_steps: PositiveInt | Ramp = 1,
        generator_steps: PositiveInt | Ramp = 1,
        order: Sequence[str] = ("discriminator", "generator"),
        unroll_steps: NonNegativeInt = 5,
        unroll_lr: Positive = 0.01,
    ) -> None:
        super().__init__(parts, critic_steps, generator_steps, order)
        self.unroll_steps = unroll_steps
        self.unroll_lr = unroll_lr

    def judge_with(
        self, batch: Batch, weights: Mapping[str, Tensor], samples: Tensor, label: Tensor
    ) -> DiscriminatorOutput:
        """D with other weights."""
        shown = self.seen(samples, batch)
        return DiscriminatorOutput.of(functional_call(self.discriminator, dict(weights), (shown, label)))

    def turns(self) -> Mapping[str, Phase]:
        turns = super().turns()
        return {**turns, "generator": replace(turns["generator"], twice=lambda update: True)}

    def compares(self) -> bool:
        return self.unroll_steps > 0 or super().compares()

    def looked_ahead(self, batch: Batch) -> dict[str, Tensor]:
        """D's weights after the simulated steps, differentiable in the generator's weights."""
        weights = {name: p.detach().requires_grad_() for name, p in self.discriminator.named_parameters()}
        for _ in range(self.unroll_steps):
            fake = self.generator(self.prior(batch), batch.label)
            on_real = self.judge_with(batch, weights, batch.real, batch.label)
            on_fake = self.judge_with(batch, weights, fake, batch.label)
            loss = self.loss.discriminator(on_real.logits, on_fake.logits).mean()
            slopes = torch.autograd.grad(loss, list(weights.values()), create_graph=True, materialize_grads=True)
            weights = {
                name: weight - self.unroll_lr * slope
                for (name, weight), slope in zip(weights.items(), slopes, strict=True)
            }
        return weights

    def generator_objective(self, batch: Batch, update: int, through: Through = afresh) -> Outcome:
        weights = self.looked_ahead(self.matched(batch))
        drawn = through(self.draw, batch, self.needed(update))
        return self.generator_outcome(drawn, update, partial(self.judge_with, drawn.batch, weights))
