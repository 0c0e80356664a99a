"""CycleGAN (Zhu 2017, arXiv 1703.10593): two domains without pairs, a generator and a discriminator for each way."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

from torch import Tensor, nn

from gan_cli.errors import Incompatible
from gan_cli.games.adversarial import Adversarial
from gan_cli.games.base import Game
from gan_cli.games.fakes import Through, afresh
from gan_cli.games.parts import Parts
from gan_cli.games.pool import Pool
from gan_cli.networks.panel import Both
from gan_cli.types import Batch, Need, Outcome, Phase, PositiveInt, Ramp

ORDER = ("generator", "discriminator")


def both(there: Outcome, back: Outcome) -> Outcome:
    """The outcomes of the two ways as one; names of the way back begin with `back/`."""
    terms = {**there.terms, **{f"back/{name}": value for name, value in back.terms.items()}}
    return Outcome(terms, {**there.readings, **{f"back/{name}": value for name, value in back.readings.items()}})


class Cycle(Game):
    """Two ordinary games, one each way, played as one: the generators' phase first, then the discriminators'.

    What ties them is `auxiliary=[cycle]`, which reads the way back. Parts with a state of their own (adaptive
    augmentation, moving averages, past fakes) are there once for each way.

    Args:
        parts: The players and everything that they play with; each player is a `Both`.
        critic_steps: Discriminator updates a step; a number, or a ramp.
        fakes: fresh | reused, as in `Adversarial`; the authors' code reuses them.
        judged: apart | together, as in `Adversarial`.
        past: Shows the discriminators fakes of earlier updates too.

    Raises:
        Incompatible: The players are not two each, the discriminators judge pairs, or as in `Adversarial`.
    """

    def __init__(
        self,
        parts: Parts,
        critic_steps: PositiveInt | Ramp = 1,
        fakes: str = "fresh",
        judged: str = "apart",
        past: Pool | None = None,
    ) -> None:
        super().__init__()
        generators, discriminators = parts.generator, parts.discriminator
        if not isinstance(generators, Both) or not isinstance(discriminators, Both):
            raise Incompatible("game=cycle needs two networks of a kind\n  set cast as conf/game/cycle.yaml does")
        if Need.GIVEN not in parts.prior.provides or Need.ALONE in parts.prior.hides:
            raise Incompatible("game=cycle translates images that have no partners\n  use prior=source")
        pools = past, None if past is None else past.turned()

        def way(i: int) -> Adversarial:
            own = copy.deepcopy(replace(parts, generator=nn.Identity(), discriminator=nn.Identity()))
            own = replace(own, generator=generators[i], discriminator=discriminators[i])
            ends = pools[i], generators[1 - i].__call__
            return Adversarial(own, copy.deepcopy(critic_steps), 1, ORDER, fakes, judged, *ends)

        self.there, self.back = way(0), way(1)
        self.prior, self.augments = self.there.prior, self.there.augments
        # Not registered: their weights are the ways'.
        self._players = ({"generator": generators, "discriminator": discriminators},)

    def players(self) -> Mapping[str, nn.Module]:
        return self._players[0]

    def phases(self) -> Sequence[Phase]:
        turns = self.there.turns()
        critic = replace(turns["discriminator"], objective=self.discriminator_objective, project=self._project)
        drawer = Phase("generator", self.generator_objective, twice=turns["generator"].twice)
        return self.there.fakes(drawer, critic, self.there.latent_needs())

    def asks(self) -> frozenset[str]:
        return self.there.asks()

    def targets(self) -> tuple[float, float] | None:
        return self.there.targets()

    def rehearse(self, real: Batch, part: int) -> None:
        self.there.rehearse(real, part)
        self.back.rehearse(real.swapped(), part)

    def turned(self) -> Cycle:
        """The same weights with the ways exchanged; for sampling."""
        other = copy.copy(self)
        other._modules = dict(self._modules)
        other.there, other.back = self.back, self.there
        other._players = ({name: pair.turned() for name, pair in self._players[0].items()},)
        return other

    def sample(self, generator: nn.Module, batch: Batch) -> Tensor:
        assert isinstance(generator, Both)
        return self.there.sample(generator[0], batch)

    def generator_objective(self, batch: Batch, update: int, through: Through = afresh) -> Outcome:
        ways = (self.there, batch), (self.back, batch.swapped())
        return both(*(way.generator_objective(seen, update, through) for way, seen in ways))

    def discriminator_objective(self, batch: Batch, update: int, through: Through = afresh) -> Outcome:
        ways = (self.there, batch), (self.back, batch.swapped())
        return both(*(way.discriminator_objective(seen, update, through) for way, seen in ways))

    def _project(self) -> None:
        for way in (self.there, self.back):
            way.turns()["discriminator"].project()
