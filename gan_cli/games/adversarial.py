"""The two-player game of Goodfellow 2014, with any loss, penalties, auxiliaries and augmentations."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar, cast

from torch import Tensor, nn

from gan_cli.auxiliaries import Weighting
from gan_cli.errors import ConfigError, Incompatible
from gan_cli.games import compatible
from gan_cli.games.base import Game
from gan_cli.games.fakes import FAKES, Drawn, Through, afresh
from gan_cli.games.judging import JUDGED
from gan_cli.games.parts import Parts
from gan_cli.games.pool import Pool
from gan_cli.games.rehearsal import rehearse_in_parts
from gan_cli.networks.base import declared
from gan_cli.penalties import Constraint
from gan_cli.priors import Prior
from gan_cli.types import (
    Batch,
    DiscriminatorOutput,
    Growing,
    Judge,
    Need,
    Outcome,
    Phase,
    PositiveInt,
    Ramp,
    Round,
    Term,
)

T = TypeVar("T")
READERS = Term | Weighting | Prior  # what may declare that the generator's phase needs real samples
Generate = Callable[[Tensor, Tensor], Tensor]  # (latent or source, label) -> samples


def due(terms: nn.ModuleDict, update: int) -> dict[str, Term]:
    """The terms that one update applies."""
    return {name: term for name, term in terms.items() if isinstance(term, Term) and update % term.interval == 0}


def needed(terms: Iterable[Term]) -> frozenset[str]:
    """What terms read of the update itself; those on a share of the batch have it computed again."""
    return frozenset().union(*(term.needs for term in terms if term.share == 1))


def twice(terms: nn.ModuleDict, update: int) -> bool:
    """Whether one update differentiates twice."""
    return any(term.twice for term in due(terms, update).values())


def whole(count: int | Ramp) -> int:
    """Updates in a row; at least one."""
    return max(1, int(float(count)))


def chosen(ways: Mapping[str, T], setting: str, name: str) -> T:
    """`ways[name]`. Raises ConfigError for a name that is not there."""
    if name not in ways:
        raise ConfigError(f"game.{setting}={name} is unknown\n  choose one of {', '.join(ways)}")
    return ways[name]


def weigh(terms: Mapping[str, Term], rounds: Callable[[Term], Round]) -> dict[str, Tensor]:
    return {name: float(term.weight) * term.interval * term(rounds(term)).mean() for name, term in terms.items()}


class Adversarial(Game):
    """The discriminator's phase, `critic_steps` times, then the generator's, `generator_steps` times.

    Args:
        parts: The players and everything that they play with.
        critic_steps: Discriminator updates per step; a number, or a ramp.
        generator_steps: Generator updates per step; a number, or a ramp.
        order: Who moves first.
        fakes: fresh: each update draws its own; reused: where the players meet within a step, both see the same fakes.
            Equal in law, and one pass of the generator less; see `gan_cli.games.fakes`.
        judged: apart: the discriminator judges its real samples, then its fakes; together: both in one pass; see
            `gan_cli.games.judging`.
        past: Shows D fakes of earlier updates too.
        back: The generator of the way back, `(samples, label) -> sources`, where there is one.

    Raises:
        Incompatible: Two parts cannot work together; see `gan_cli.games.compatible`.
    """

    def __init__(
        self,
        parts: Parts,
        critic_steps: PositiveInt | Ramp = 1,
        generator_steps: PositiveInt | Ramp = 1,
        order: Sequence[str] = ("discriminator", "generator"),
        fakes: str = "fresh",
        judged: str = "apart",
        past: Pool | None = None,
        back: Generate | None = None,
    ) -> None:
        super().__init__()
        if sorted(order) != ["discriminator", "generator"]:
            raise ConfigError(
                f"game.order=[{','.join(map(str, order))}] does not name each player once\n"
                "  use 'game.order=[discriminator,generator]' or 'game.order=[generator,discriminator]'"
            )
        self.fakes, judging = chosen(FAKES, "fakes", fakes), chosen(JUDGED, "judged", judged)
        compatible.check(parts, frozenset({Need.BACK} if back is not None else ()))
        judging.suits(parts)
        if past is not None and Need.ALONE in parts.prior.hides:
            raise Incompatible(
                "game.past shows D fakes of other sources, and prior=pair judges each fake beside its own\n"
                "  use prior=source, or game.past=null"
            )
        self.past = past
        self.back = back
        self._asks = compatible.asked_of_data(parts)
        self.members: Mapping[str, nn.Module] = dict(parts.named())
        self.generator = parts.generator
        self.discriminator = parts.discriminator
        self._growing = isinstance(parts.generator, Growing)  # asked once: what is asked is a protocol, which is slow
        self.loss = parts.loss
        self.prior = parts.prior
        self.penalties = nn.ModuleDict({k: v for k, v in parts.penalties.items() if isinstance(v, Term)})
        self.constraints = nn.ModuleDict({k: v for k, v in parts.penalties.items() if isinstance(v, Constraint)})
        self.auxiliaries = nn.ModuleDict({k: v for k, v in parts.auxiliaries.items() if isinstance(v, Term)})
        self.weightings = nn.ModuleDict({k: v for k, v in parts.auxiliaries.items() if isinstance(v, Weighting)})
        self.augments = nn.ModuleDict(dict(parts.augments))
        self.critic_steps = critic_steps
        self.generator_steps = generator_steps
        self.order = tuple(order)
        self._judged = judging.judge

    def players(self) -> Mapping[str, nn.Module]:
        return {"discriminator": self.discriminator, "generator": self.generator}

    def turns(self) -> Mapping[str, Phase]:
        """Each player's updates of the next step."""
        return {
            "discriminator": Phase(
                "discriminator",
                self.discriminator_objective,
                whole(self.critic_steps),
                self._project,
                shown=True,
                twice=partial(twice, self.penalties),
            ),
            "generator": Phase(
                "generator",
                self.generator_objective,
                whole(self.generator_steps),
                uses_real=self.compares(),
                twice=partial(twice, self.auxiliaries),
            ),
        }

    def phases(self) -> Sequence[Phase]:
        turns = self.turns()
        first, second = (turns[player] for player in self.order)
        return self.fakes(first, second, self.latent_needs())

    def latent_needs(self) -> frozenset[str]:
        """What the generator's terms may need of the latents, at this update or another."""
        return frozenset().union(*(term.needs for term in self.auxiliaries.values() if isinstance(term, Term)))

    def asks(self) -> frozenset[str]:
        return self._asks

    def compares(self) -> bool:
        """Whether the generator's phase looks at real samples, or at what is given with them."""
        parts = [*self.auxiliaries.values(), *self.weightings.values(), self.prior]
        reading = [part for part in parts if isinstance(part, READERS) and part.needs & compatible.OF_REAL]
        return self.loss.needs_real_logits or bool(reading)

    def targets(self) -> tuple[float, float] | None:
        return self.loss.targets

    def rehearse(self, real: Batch, part: int) -> None:
        judging = declared(self.discriminator)
        # Told here and not above: what was trained so can still be drawn from.
        if self.past is not None and (judging.reads_labels or Need.CLASS_LOGITS in judging.provides):
            raise Incompatible(
                "game.past shows D fakes of earlier updates, which were drawn for other labels than those it is given\n"
                "  use conditioning=none, or game.past=null"
            )
        rehearse_in_parts(self, self.loss, self.members, real, part, self.compares())

    def matched(self, batch: Batch) -> Batch:
        """The batch with real samples only as detailed as the fakes are so far, if the generator grows."""
        if not self._growing or batch.images is None:
            return batch
        generator = cast(Growing, self.generator)
        return replace(batch, images=generator.matched(batch.real))

    def judge(self, batch: Batch, samples: Tensor, label: Tensor) -> DiscriminatorOutput:
        """D as all terms call it: on samples joined to what was given with the batch, after the augmentations."""
        return DiscriminatorOutput.of(self.discriminator(self.seen(samples, batch), label))

    def draw(self, batch: Batch, needs: frozenset[str]) -> Drawn:
        """Fakes for an update on this batch."""
        batch = self.matched(batch)
        latent = self.prior(batch)
        latent = latent.requires_grad_() if Need.LATENT_GRAD in needs else latent
        return Drawn(batch, latent, self.generator(latent, batch.label))

    def discriminator_objective(self, batch: Batch, update: int, through: Through = afresh) -> Outcome:
        penalties = due(self.penalties, update)
        needs = needed(penalties.values())
        batch, latent, fake = through(self.draw, batch, needs)
        real = batch.real.detach().requires_grad_(Need.REAL_GRAD in needs)
        fake = fake.detach()
        fake = (fake if self.past is None else self.past(fake)).requires_grad_(Need.FAKE_GRAD in needs)
        on_real, on_fake = self._judged(self.judge, batch, real, fake)
        judge, networks = partial(self.judge, batch), (self.generator, self.discriminator)
        current = Round(batch, latent, real, fake, on_real, on_fake, judge, *networks, update, self.back)
        loss = float(self.loss.discriminator_weight) * self.loss.discriminator(on_real.logits, on_fake.logits).mean()
        for _, augment in self.augmentations():
            augment.follow(on_real.logits.detach(), update)
        readings = self.readings(on_real.logits.detach(), on_fake.logits.detach())
        return Outcome({"loss": loss, **weigh(penalties, partial(self.shared_with, current))}, readings)

    def readings(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """D's mean scores of real samples and fakes, and the share of both that it judges rightly; ½ is a guess."""
        scores = {"D(real)": self.loss.score(real).mean(), "D(fake)": self.loss.score(fake).mean()}
        if self.loss.undecided is None:
            return scores
        right = (real > self.loss.undecided).float().mean() + (fake < self.loss.undecided).float().mean()
        return {**scores, "D(accuracy)": right / 2}

    def shared_with(self, current: Round, term: Term) -> Round:
        """The discriminator's round as a term is to see it: whole, or of the first samples only, which are judged again
        where the term needs their gradients."""
        if term.share == 1:
            return current
        least, n = self.least().samples, len(current.batch)
        count = min(n, -(-math.ceil(term.share * n) // least) * least)
        batch, share = current.batch.first(count), count / n
        judge = partial(self.judge, batch)
        real = batch.real.detach().requires_grad_(Need.REAL_GRAD in term.needs)
        fake = current.fake[:count].detach().requires_grad_(Need.FAKE_GRAD in term.needs)
        assert current.real_output is not None
        return replace(
            current,
            batch=batch,
            latent=current.latent[:count],
            real=real,
            fake=fake,
            real_output=judge(real, batch.label) if real.requires_grad else current.real_output.first(share),
            fake_output=judge(fake, batch.label) if fake.requires_grad else current.fake_output.first(share),
            judge=judge,
        )

    def generator_objective(self, batch: Batch, update: int, through: Through = afresh) -> Outcome:
        drawn = through(self.draw, batch, self.needed(update))
        return self.generator_outcome(drawn, update, partial(self.judge, drawn.batch))

    def needed(self, update: int) -> frozenset[str]:
        """What the generator's terms need at this update."""
        weightings = (w.needs for w in self.weightings.values() if isinstance(w, Weighting))
        return needed(due(self.auxiliaries, update).values()).union(*weightings)

    def generator_outcome(self, drawn: Drawn, update: int, judge: Judge) -> Outcome:
        """The generator's objective for these fakes against a discriminator on their batch."""
        auxiliaries, needs = due(self.auxiliaries, update), self.needed(update)
        batch, latent, fake = drawn
        on_fake = judge(fake, batch.label)
        judges_real = self.loss.needs_real_logits or Need.REAL_OUTPUT in needs
        on_real = judge(batch.real, batch.label) if judges_real else None
        networks = self.generator, self.generator
        current = Round(batch, latent, batch.images, fake, on_real, on_fake, judge, *networks, update, self.back)
        values = self.loss.generator(on_fake.logits, on_real.logits if on_real else None)
        for weighting in self.weightings.values():
            values = values * weighting(values, current)
        return Outcome({"loss": float(self.loss.weight) * values.mean(), **weigh(auxiliaries, lambda term: current)})

    def _project(self) -> None:
        for constraint in self.constraints.values():
            assert isinstance(constraint, Constraint)
            constraint.project(self.discriminator)
