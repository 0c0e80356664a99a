"""The two-player game of Goodfellow 2014, with any loss, penalties, auxiliaries and augmentations."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from torch import Tensor, nn

from gan_cli.games import compatible
from gan_cli.games.rehearsal import rehearse_in_parts
from gan_cli.losses import Loss
from gan_cli.types import (
    Augment,
    Batch,
    DiscriminatorOutput,
    Growing,
    Outcome,
    Phase,
    PositiveInt,
    Prior,
    Projection,
    Ramp,
    Round,
    Term,
    Weighting,
)

log = logging.getLogger(__name__)

READERS = Term | Weighting | Prior  # what declares which samples the generator's phase takes
Judge = Callable[[Tensor, Tensor], DiscriminatorOutput]  # (samples, label)


class Due(NamedTuple):
    """The terms that one update applies, and the union of what they read."""

    terms: Mapping[str, Term]
    needs: frozenset[str]


def due(terms: nn.ModuleDict, update: int) -> Due:
    chosen = {name: term for name, term in terms.items() if isinstance(term, Term) and update % term.interval == 0}
    return Due(chosen, frozenset().union(*(term.needs for term in chosen.values())))


def weigh(terms: Mapping[str, Term], round: Round) -> dict[str, Tensor]:
    return {name: float(term.weight) * term.interval * term(round).mean() for name, term in terms.items()}


class Adversarial(nn.Module):
    """The discriminator's phase, `critic_steps` times, then the generator's.

    Args:
        generator: `(latent [N, Z], label [N]) -> samples`.
        discriminator: `(samples, label [N]) -> DiscriminatorOutput`.
        loss: What both players minimise.
        prior: What feeds the generator.
        penalties: The discriminator's terms and projections, by name.
        auxiliaries: The generator's terms and weightings, by name.
        augments: What stands between samples and the discriminator, in order; real and fake pass alike.
        critic_steps: Discriminator updates a step; a number, or a ramp.

    Raises:
        Incompatible: Two parts cannot work together; see `gan_cli.games.compatible`.
    """

    def __init__(
        self,
        generator: nn.Module,
        discriminator: nn.Module,
        loss: Loss,
        prior: Prior,
        penalties: Mapping[str, Term | Projection] | None = None,
        auxiliaries: Mapping[str, Term | Weighting] | None = None,
        augments: Mapping[str, Augment] | None = None,
        critic_steps: PositiveInt | Ramp = 1,
    ) -> None:
        super().__init__()
        penalties, auxiliaries = penalties or {}, auxiliaries or {}
        self.generator = generator
        self.discriminator = discriminator
        self.loss = loss
        self.prior = prior
        self.penalties = nn.ModuleDict({k: v for k, v in penalties.items() if isinstance(v, Term)})
        self.projections = nn.ModuleDict({k: v for k, v in penalties.items() if isinstance(v, Projection)})
        self.auxiliaries = nn.ModuleDict({k: v for k, v in auxiliaries.items() if isinstance(v, Term)})
        self.weightings = nn.ModuleDict({k: v for k, v in auxiliaries.items() if isinstance(v, Weighting)})
        self.augments = nn.ModuleDict(dict(augments or {}))
        self.critic_steps = critic_steps
        compatible.check(generator, discriminator, loss, prior, penalties, auxiliaries, augments or {})

    def players(self) -> Mapping[str, nn.Module]:
        return {"discriminator": self.discriminator, "generator": self.generator}

    def phases(self) -> Sequence[Phase]:
        runs = max(1, int(float(self.critic_steps)))
        return (
            Phase("discriminator", self.discriminator_objective, runs, self._project, shown=True),
            Phase("generator", self.generator_objective, uses_real=self.compares()),
        )

    def compares(self) -> bool:
        """Whether the generator's phase looks at real samples."""
        parts = [*self.auxiliaries.values(), *self.weightings.values(), self.prior]
        reading = [part for part in parts if isinstance(part, READERS) and part.needs & compatible.OF_REAL]
        return self.loss.needs_real_logits or bool(reading)

    def rehearse(self, shape: Sequence[int], part: int) -> None:
        rehearse_in_parts(self, shape, part)

    def sample(self, generator: nn.Module, batch: Batch) -> Tensor:
        """Samples of `generator` (often the averaged copy), one a label."""
        samples: Tensor = generator(self.prior.sample(batch), batch.label)
        return samples

    def matched(self, batch: Batch) -> Batch:
        """The batch with real samples as detailed as the fakes are by now, where the generator grows."""
        if not isinstance(self.generator, Growing) or batch.images is None:
            return batch
        return replace(batch, images=self.generator.matched(batch.real))

    def augmented(self, samples: Tensor) -> Tensor:
        """What the discriminator sees of samples."""
        for augment in self.augments.values():
            samples = augment(samples)
        return samples

    def judge(self, samples: Tensor, label: Tensor) -> DiscriminatorOutput:
        """D as everyone sees it: behind the augmentations."""
        return DiscriminatorOutput.of(self.discriminator(self.augmented(samples), label))

    def discriminator_objective(self, batch: Batch, update: int) -> Outcome:
        batch = self.matched(batch)
        penalties, needs = due(self.penalties, update)
        latent = self.prior(batch)
        real = batch.real.detach().requires_grad_("real_grad" in needs)
        fake = self.generator(latent, batch.label).detach().requires_grad_("fake_grad" in needs)
        on_real, on_fake = self.judge(real, batch.label), self.judge(fake, batch.label)
        round = Round(
            batch, latent, real, fake, on_real, on_fake, self.judge, self.generator, self.discriminator, update
        )
        loss = self.loss.discriminator(on_real.logits, on_fake.logits).mean()
        for augment in self.augments.values():
            assert isinstance(augment, Augment)
            augment.observe(on_real.logits.detach())
        readings = {
            "D(real)": self.loss.score(on_real.logits.detach()).mean(),
            "D(fake)": self.loss.score(on_fake.logits.detach()).mean(),
        }
        return Outcome({"loss": loss, **weigh(penalties, round)}, readings)

    def generator_objective(self, batch: Batch, update: int) -> Outcome:
        return self.generator_outcome(batch, update, self.judge)

    def generator_outcome(self, batch: Batch, update: int, judge: Judge) -> Outcome:
        """The generator's objective before a discriminator."""
        batch = self.matched(batch)
        auxiliaries, needs = due(self.auxiliaries, update)
        needs = needs.union(*(w.needs for w in self.weightings.values() if isinstance(w, Weighting)))
        latent = self.prior(batch).requires_grad_("latents" in needs)
        fake = self.generator(latent, batch.label)
        on_fake = judge(fake, batch.label)
        judges_real = self.loss.needs_real_logits or "real_output" in needs
        on_real = judge(batch.real, batch.label) if judges_real else None
        round = Round(
            batch, latent, batch.images, fake, on_real, on_fake, judge, self.generator, self.generator, update
        )
        values = self.loss.generator(on_fake.logits, on_real.logits if on_real else None)
        for weighting in self.weightings.values():
            values = values * weighting(values, round)
        return Outcome({"loss": values.mean(), **weigh(auxiliaries, round)})

    def _project(self) -> None:
        for projection in self.projections.values():
            assert isinstance(projection, Projection)
            projection.project(self.discriminator)
