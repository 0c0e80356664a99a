"""No adversary: the generator learns by its auxiliaries alone, as SRResNet does before SRGAN (arXiv 1609.04802)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from gan_cli.errors import Incompatible
from gan_cli.games import compatible
from gan_cli.games.adversarial import due, weigh
from gan_cli.games.base import Game
from gan_cli.games.parts import Parts
from gan_cli.games.rehearsal import draws, rows, untouched
from gan_cli.games.trial import play, watched
from gan_cli.types import Batch, DiscriminatorOutput, Need, Outcome, Phase, Round, Term


class Regression(Game):
    """One phase, the generator's; the discriminator is there and idle.

    Args:
        parts: Of these the generator, the prior and the auxiliaries are used.

    Raises:
        Incompatible: There is no auxiliary, or one that reads the discriminator.
    """

    def __init__(self, parts: Parts) -> None:
        super().__init__()
        if not parts.auxiliaries:
            raise Incompatible("game=regression has no objective\n  add 'auxiliary=[l1]'")
        reads = {Need.REAL_OUTPUT, Need.FEATURES, Need.CLASS_LOGITS, Need.SEVERAL_LOGITS}
        for name, part in parts.auxiliaries.items():
            if not isinstance(part, Term) or part.needs & reads:
                raise Incompatible(
                    f"auxiliary.{name} reads the discriminator, and game=regression has none\n"
                    "  leave it out, or use game=adversarial"
                )
        if parts.penalties or parts.augments:
            name = next(name for name, _ in parts.named() if not name.startswith("auxiliary"))
            raise Incompatible(f"{name} is for a discriminator, and game=regression has none\n  leave it out")
        compatible.check(parts)
        self._asks = compatible.asked_of_data(parts)
        self.members: Mapping[str, nn.Module] = dict(parts.named())
        self.generator = parts.generator
        self.prior = parts.prior
        self.auxiliaries = nn.ModuleDict(dict(parts.auxiliaries))
        self.augments = nn.ModuleDict()

    def players(self) -> Mapping[str, nn.Module]:
        return {"generator": self.generator}

    def phases(self) -> Sequence[Phase]:
        return (Phase("generator", self.objective, shown=True),)

    def asks(self) -> frozenset[str]:
        return self._asks

    def targets(self) -> tuple[float, float] | None:
        return None

    def rehearse(self, real: Batch, part: int) -> None:
        n, device = min(part, 2), next(self.parameters()).device
        with untouched(self, device), torch.enable_grad(), watched(self.members, n):
            draws(self, self.generator, real, n, compares=True)
            play(self, rows(real, n, device))

    def objective(self, batch: Batch, update: int) -> Outcome:
        auxiliaries = due(self.auxiliaries, update)
        latent = self.prior(batch)
        fake = self.generator(latent, batch.label)
        silent = DiscriminatorOutput(torch.zeros(len(batch), device=fake.device))

        def judge(samples: Tensor, label: Tensor) -> DiscriminatorOutput:
            return silent

        networks = self.generator, self.generator
        current = Round(batch, latent, batch.images, fake, None, silent, judge, *networks, update)
        return Outcome(weigh(auxiliaries, lambda term: current))
