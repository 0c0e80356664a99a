"""The pool of past fakes."""

from __future__ import annotations

import math
from collections import Counter

import pytest
import torch
from torch import Tensor

from conftest import checked, words
from gan_cli.config import build
from gan_cli.errors import Incompatible
from gan_cli.games.pool import Pool


def numbered(first: int, n: int) -> Tensor:
    """Fakes `[n, 1, 2, 2]` that say which they are."""
    return torch.arange(first, first + n).float().view(n, 1, 1, 1).expand(n, 1, 2, 2)


def numbers(fakes: Tensor) -> list[int]:
    assert (fakes == fakes[:, :, :1, :1]).all()  # nothing is mixed
    return fakes[:, 0, 0, 0].int().tolist()


def test_until_it_is_full_each_fake_is_shown_and_kept() -> None:
    pool = Pool(6, 1, 2)
    assert numbers(pool(numbered(1, 4))) == [1, 2, 3, 4]
    assert numbers(pool(numbered(5, 2))) == [5, 6]
    assert numbers(pool.fakes) == [1, 2, 3, 4, 5, 6]


def test_half_of_what_it_shows_are_past_fakes_of_any_age() -> None:
    """Binomial: within 4 standard deviations; the age of a kept fake is geometric, `size` exchanges in the mean."""
    pool, size, n = Pool(10, 1, 2), 10, 4000
    pool(numbered(0, size))
    shown = [numbers(pool(numbered(size + i, 1)))[0] for i in range(n)]
    ages = [size + i - number for i, number in enumerate(shown)]
    past = [age for age in ages if age > 0]
    assert min(ages) >= 0
    assert abs(len(past) - n / 2) < 4 * math.sqrt(n) / 2
    assert abs(sum(past) / len(past) - 2 * size) < 2  # an exchange happens every other time
    assert len(set(shown)) == len(shown)  # what was exchanged is shown once


@pytest.mark.parametrize("batch", [1, 3, 8])
def test_no_fake_is_lost_doubled_or_changed(batch: int) -> None:
    """What is kept and what was shown are together what came in, each as often."""
    pool, shown = Pool(5, 1, 2), []
    for step in range(30):
        came = numbered(step * batch, batch)
        before = came.clone()
        shown += numbers(pool(came))
        assert torch.equal(came, before)
    first = numbers(numbered(0, 5))  # shown when they came, and kept as well
    assert Counter(shown) + Counter(numbers(pool.fakes)) == Counter(range(30 * batch)) + Counter(first)


def test_what_it_shows_is_its_own_and_has_no_gradient() -> None:
    pool = Pool(2, 1, 2)
    fakes = numbered(1, 2).clone().requires_grad_()
    shown = pool(fakes)
    assert not shown.requires_grad
    shown.fill_(-1)
    assert numbers(pool.fakes) == [1, 2]


def test_it_goes_on_from_what_was_saved() -> None:
    pool, other = Pool(4, 1, 2), Pool(4, 1, 2)
    for i in range(9):
        pool(numbered(i, 1))
    other.load_state_dict(pool.state_dict())
    state = torch.get_rng_state()
    went = [numbers(pool(numbered(i, 2))) for i in range(20, 40, 2)]
    torch.set_rng_state(state)
    assert went == [numbers(other(numbered(i, 2))) for i in range(20, 40, 2)]
    assert torch.equal(pool.fakes, other.fakes)


def test_that_of_the_way_back_has_the_channels_of_its_fakes() -> None:
    pool = Pool(3, 3, (4, 6), back_channels=1)
    pool(torch.ones(2, 3, 4, 6))
    back = pool.turned()
    assert back.fakes.shape == (3, 1, 4, 6)
    assert int(back.count) == back.fakes.abs().sum() == 0
    assert Pool(3, 3, 4).turned().fakes.shape == (3, 3, 4, 4)


@pytest.mark.parametrize("conditioning", ["projection", "acgan"])
def test_a_discriminator_of_classes_is_shown_no_fakes_of_other_classes(conditioning: str) -> None:
    """Half of a full pool's fakes are past ones, and nine in ten of those would be given a wrong label."""
    past = "+game.past={_target_: gan_cli.games.pool.Pool, size: 16, channels: 1, resolution: 16}"
    refused, played = (
        build.trainer(checked(words(*chosen, "loss=hinge", past))) for chosen in ((f"conditioning={conditioning}",), ())
    )  # both are built: what was trained so before can still be drawn from
    with pytest.raises(Incompatible, match="conditioning=none"):
        refused.game.rehearse(refused.data.previewed(8), 8)
    played.game.rehearse(played.data.previewed(8), 8)
