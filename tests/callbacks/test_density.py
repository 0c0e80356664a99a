"""The optimal discriminator beside the learned one: against closed forms, and in runs."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from conftest import same, weights
from gan_cli import train
from gan_cli.callbacks.density import Axes, Judged
from gan_cli.errors import Refused
from gan_cli.store.rows import read_rows

RUN = ("experiment=optimal_discriminator", "trainer.max_minutes=null", "trainer.device=cpu")
FEW = ("callback=[history,checkpoints,density]", "callback.density.cells=40", "trainer.log_every=10")


def judged(p: torch.distributions.Distribution, q: torch.distributions.Distribution, cells: int = 2000) -> Judged:
    """On a line, by the discriminator that always says one half."""
    axes = Axes.around(torch.tensor([[-10.0], [10.0]]), cells)
    x = axes.points()[:, 0]
    log_p, log_q = p.log_prob(x), q.log_prob(x)
    return Judged(axes, log_p.exp(), log_q.exp(), torch.full_like(x, 0.5), (log_p - log_q).sigmoid())


def normal(mean: float, std: float) -> torch.distributions.Normal:
    return torch.distributions.Normal(torch.tensor(mean).double(), torch.tensor(std).double())


def test_a_grid_holds_its_samples_and_cells_of_one_volume() -> None:
    axes = Axes.around(torch.tensor([[0.0, -1.0], [1.0, 3.0]]), 11)
    points = axes.points()
    assert points.shape == (121, 2)
    assert points.amin(0).tolist() == pytest.approx([-0.1, -1.4])
    assert points.amax(0).tolist() == pytest.approx([1.1, 3.4])
    assert axes.cell == pytest.approx(0.12 * 0.48)


def test_the_divergence_of_one_half_and_of_the_optimum() -> None:
    """Equal densities have none, apart ones log 2; D = 1/2 learns of none."""
    alike, apart = judged(normal(0, 1), normal(0, 1)), judged(normal(-5, 0.5), normal(5, 0.5))
    assert alike.numbers() == pytest.approx({"optimal_difference": 0, "js": 0, "js_learned": 0}, abs=1e-9)
    assert apart.numbers() == pytest.approx({"optimal_difference": 0.5, "js": math.log(2), "js_learned": 0}, abs=1e-6)
    assert apart.held() == pytest.approx(1, abs=1e-6)


def test_no_discriminator_measures_more_than_the_optimal_one() -> None:
    found = judged(normal(0, 1), normal(1, 2))
    mean = (found.p + found.q) / 2
    entropies = [float(-torch.xlogy(f, f).sum()) * found.axes.cell for f in (mean, found.p, found.q)]
    assert found.divergence(found.optimal) == pytest.approx(entropies[0] - sum(entropies[1:]) / 2, abs=1e-6)
    for _ in range(20):
        other = (found.optimal.logit() + 0.3 * torch.randn_like(found.optimal)).sigmoid()
        assert found.divergence(other) < found.divergence(found.optimal)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("dataset=ring", "dataset.density.std=0.5"),
        ("loss.real_label=0.9", "loss.fake_label=0.1"),
        ("panel=jury", "augment=[instance_noise]"),
    ],
    ids=" ".join,
)
def test_d_learns_towards_it_and_the_generator_stays(here: Path, words: tuple[str, ...]) -> None:
    run = train(*RUN, *FEW, "trainer.max_steps=60", "callback.density.every_steps=20", *words).folder
    rows = [row for row in read_rows(run / "metrics.jsonl") if "js" in row]
    assert [row["step"] for row in rows] == [20, 40, 60]
    assert rows[-1]["optimal_difference"] < 0.9 * rows[0]["optimal_difference"]
    assert rows[0]["js_learned"] < rows[-1]["js_learned"] < rows[-1]["js"]
    assert len({row["js"] for row in rows}) == 1
    assert (run / "plots" / "density.png").read_bytes()[:4] == b"\x89PNG"
    kept = weights(run)
    assert torch.equal(kept["/game/generator.affine.weight"], 1.5 * torch.eye(len(kept["/game/generator.affine.bias"])))


def test_it_changes_nothing_and_follows_a_generator_that_learns(here: Path) -> None:
    learning = (*RUN, "trainer.max_steps=6", "trainer.log_every=10", "optimizer.generator.lr=0.05")
    learning += ("model.discriminator.dropout=0.5", "model.discriminator.norm=batch")
    looked = train(*learning, "callback=[history,checkpoints,density]", "callback.density.every_steps=2").folder
    alone = train(*learning, "callback=[history,checkpoints]").folder
    assert same(weights(looked), weights(alone))
    assert len({row["js"] for row in read_rows(looked / "metrics.jsonl") if "js" in row}) == 3


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (("dataset=swiss_roll",), "use dataset=line, ring or grid, or leave it out"),
        (("experiment=null", "dataset=digits"), "use dataset=line, ring or grid"),
        (("experiment=null", "dataset=ring", "model=mlp"), "use model=affine prior=normal"),
        (("prior=uniform",), "use model=affine prior=normal"),
        (("model.latent_dim=2",), "use model.latent_dim=1 conditioning=none"),
        (("loss=hinge",), "use loss=nonsaturating"),
        (("loss.real_label=0.5", "loss.fake_label=0.5"), "use loss=nonsaturating"),
        (("augment=[packing]",), r"no augment=\[packing\]"),
        (("dataset.classes=2", "conditioning=projection"), "conditioning=none"),
    ],
    ids=str,
)
def test_where_nothing_is_known_it_is_refused(here: Path, words: tuple[str, ...], remedy: str) -> None:
    with pytest.raises(Refused, match=remedy) as caught:
        train(*RUN, *FEW, "trainer.max_steps=2", *words)
    assert len(str(caught.value).splitlines()) == 2
    assert not any(here.iterdir())


def test_a_grid_that_is_too_coarse_says_so(here: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(*RUN, *FEW, "trainer.max_steps=1", "dataset.density.std=0.01")
    assert "use more cells" in caplog.text
