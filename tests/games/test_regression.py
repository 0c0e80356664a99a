"""A generator that learns by its auxiliaries alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from gan_cli.augment.diffaugment import DiffAugment
from gan_cli.auxiliaries import L1, FeatureMatching, ModeSeeking
from gan_cli.errors import Incompatible
from gan_cli.games.parts import Parts
from gan_cli.games.regression import Regression
from gan_cli.losses import Hinge
from gan_cli.penalties import R1
from gan_cli.priors import Source
from gan_cli.types import Batch


class Plus(nn.Module):
    """x -> x + b."""

    def __init__(self, shift: float = 0.0) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.tensor(shift))

    def forward(self, images: Tensor, label: Tensor) -> Tensor:
        return images + self.shift


def game(shift: float = 0.0, **settings: object) -> Regression:
    usual = {"auxiliaries": {"l1": L1(1.0)}}
    return Regression(Parts(Plus(shift), nn.Identity(), Hinge(), Source(), **{**usual, **settings}))  # type: ignore[arg-type]


def batch() -> Batch:
    images = torch.rand(3, 1, 4, 4)
    return Batch(torch.zeros(3, dtype=torch.int64), images, images.clone())


def test_its_objective_is_the_distance_and_nothing_else() -> None:
    assert {name: float(value) for name, value in game().objective(batch(), 0).terms.items()} == {"l1": 0.0}
    terms = game(0.25).objective(batch(), 0).terms
    torch.testing.assert_close(terms["l1"], torch.tensor(0.25))


def test_only_the_generator_plays_and_it_finds_the_shift() -> None:
    played = game(0.5)
    assert list(played.players()) == ["generator"]
    (phase,) = played.phases()
    assert phase.shown
    assert phase.uses_real
    assert played.targets() is None
    optimizer = torch.optim.SGD(played.parameters(), lr=0.1)
    for step in range(5):
        optimizer.zero_grad()
        sum(phase.objective(batch(), step).terms.values()).backward()  # type: ignore[union-attr]
        optimizer.step()
    assert abs(float(played.generator.shift)) < 1e-6  # type: ignore[arg-type]


def test_a_rehearsal_tries_its_generator() -> None:
    game().rehearse(batch(), 8)
    wrong = game()
    wrong.generator = nn.Bilinear(1, 1, 1)
    with pytest.raises(Incompatible, match=r"model\.generator \(Bilinear\)"):
        wrong.rehearse(batch(), 8)


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"auxiliaries": {}}, r"has no objective\n  add 'auxiliary=\[l1\]'"),
        (
            {"auxiliaries": {"fm": FeatureMatching()}},
            r"auxiliary\.fm reads the discriminator, .*\n  leave it out, or use",
        ),
        ({"auxiliaries": {"l1": L1(), "m": ModeSeeking()}}, r"auxiliary\.m needs latents, .*\n  .* leave it out"),
        ({"penalties": {"r1": R1()}}, r"penalty\.r1 is for a discriminator, .*\n  leave it out"),
        ({"augments": {"d": DiffAugment()}}, r"augment\.d is for a discriminator, .*\n  leave it out"),
    ],
    ids=["none", "features", "latents", "penalty", "augmentation"],
)
def test_what_needs_an_adversary_is_refused(settings: dict[str, object], match: str) -> None:
    with pytest.raises(Incompatible, match=match):
        game(**settings)
