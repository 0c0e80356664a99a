"""The two-player game of Goodfellow 2014, with any loss, penalties, auxiliaries and augmentations."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from gan_cli.losses import Loss
from gan_cli.networks.blocks import mixing_layers, spectrally_normalised
from gan_cli.types import (
    Batch,
    DiscriminatorOutput,
    Incompatible,
    Outcome,
    Phase,
    PositiveInt,
    Projection,
    Round,
    Term,
)

log = logging.getLogger(__name__)


class Due(NamedTuple):
    """The terms that one update applies, and the union of what they read."""

    terms: Mapping[str, Term]
    needs: frozenset[str]


def due(terms: nn.ModuleDict, update: int) -> Due:
    chosen = {name: term for name, term in terms.items() if isinstance(term, Term) and update % term.interval == 0}
    return Due(chosen, frozenset().union(*(term.needs for term in chosen.values())))


def weigh(terms: Mapping[str, Term], round: Round) -> dict[str, Tensor]:
    return {name: term.weight * term.interval * term(round).mean() for name, term in terms.items()}


class Adversarial(nn.Module):
    """The discriminator's phase, `critic_steps` times, then the generator's.

    Args:
        generator: `(latent [N, Z], label [N]) -> samples`.
        discriminator: `(samples, label [N]) -> DiscriminatorOutput`.
        loss: What both players minimise.
        prior: What feeds the generator.
        penalties: The discriminator's terms and projections, by name.
        auxiliaries: The generator's terms, by name.
        augments: What stands between samples and the discriminator, in order; real and fake pass alike.
        critic_steps: Discriminator updates a step.

    Raises:
        Incompatible: A penalty on single samples meets a discriminator whose layers mix samples.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        loss: Loss,
        prior: nn.Module,
        penalties: Mapping[str, Term | Projection] | None = None,
        auxiliaries: Mapping[str, Term] | None = None,
        augments: Mapping[str, nn.Module] | None = None,
        critic_steps: PositiveInt = 1,
    ) -> None:
        super().__init__()
        self.generator = generator
        self.discriminator = discriminator
        self.loss = loss
        self.prior = prior
        self.penalties = nn.ModuleDict({k: v for k, v in (penalties or {}).items() if isinstance(v, Term)})
        self.projections = nn.ModuleDict({k: v for k, v in (penalties or {}).items() if isinstance(v, Projection)})
        self.auxiliaries = nn.ModuleDict(dict(auxiliaries or {}))
        self.augments = nn.ModuleDict(dict(augments or {}))
        self.critic_steps = critic_steps
        self._check()

    def _check(self) -> None:
        mixing = mixing_layers(self.discriminator)
        for name, penalty in self.penalties.items():
            if getattr(penalty, "per_sample", False) and mixing:
                raise Incompatible(
                    f"penalty.{name} measures single samples, but the discriminator's {mixing[0]} mixes the samples of "
                    "a batch: use model.discriminator.norm=layer (or instance, none)"
                )
        constraints = [*self.penalties.values(), *self.projections.values()]
        bounded = any(getattr(c, "lipschitz", False) for c in constraints) or spectrally_normalised(self.discriminator)
        if self.loss.needs_lipschitz and not bounded:
            log.warning(
                "loss %s means nothing unless the critic's slope is bounded: add 'penalty=[gradient_penalty]', "
                "'penalty=[weight_clipping]' or model.discriminator.spectral_norm=true",
                type(self.loss).__name__,
            )

    def players(self) -> Mapping[str, nn.Module]:
        return {"discriminator": self.discriminator, "generator": self.generator}

    def phases(self) -> Sequence[Phase]:
        return (
            Phase("discriminator", self.discriminator_objective, self.critic_steps, self._project, shown=True),
            Phase("generator", self.generator_objective),
        )

    def sample(self, generator: nn.Module, batch: Batch) -> Tensor:
        """Samples of `generator` (often the averaged copy), one a label."""
        samples: Tensor = generator(self.prior(batch), batch.label)
        return samples

    def judge(self, samples: Tensor, label: Tensor) -> DiscriminatorOutput:
        """D as everyone sees it: behind the augmentations."""
        for augment in self.augments.values():
            samples = augment(samples)
        output: DiscriminatorOutput = self.discriminator(samples, label)
        return output

    def discriminator_objective(self, batch: Batch, update: int) -> Outcome:
        penalties, needs = due(self.penalties, update)
        latent = self.prior(batch)
        real = batch.real.detach().requires_grad_("real_grad" in needs)
        fake = self.generator(latent, batch.label).detach().requires_grad_("fake_grad" in needs)
        on_real, on_fake = self.judge(real, batch.label), self.judge(fake, batch.label)
        round = Round(batch, latent, real, fake, on_real, on_fake, self.judge, update)
        loss = self.loss.discriminator(on_real.logits, on_fake.logits).mean()
        readings = {
            "D(real)": self.loss.score(on_real.logits.detach()).mean(),
            "D(fake)": self.loss.score(on_fake.logits.detach()).mean(),
        }
        return Outcome({"loss": loss, **weigh(penalties, round)}, readings)

    def generator_objective(self, batch: Batch, update: int) -> Outcome:
        auxiliaries, needs = due(self.auxiliaries, update)
        latent = self.prior(batch).requires_grad_("latents" in needs)
        fake = self.generator(latent, batch.label)
        on_fake = self.judge(fake, batch.label)
        compares = self.loss.needs_real_logits or "real_output" in needs
        on_real = self.judge(batch.real, batch.label) if compares else None
        round = Round(batch, latent, batch.real, fake, on_real, on_fake, self.judge, update)
        loss = self.loss.generator(on_fake.logits, on_real.logits if on_real else None).mean()
        return Outcome({"loss": loss, **weigh(auxiliaries, round)})

    def _project(self) -> None:
        for projection in self.projections.values():
            assert isinstance(projection, Projection)
            projection.project(self.discriminator)
