"""Point sets have the moments of their densities."""

from __future__ import annotations

import pytest
import torch

from gan_cli import rng
from gan_cli.data import points


def draw(density: points.Density, n: int = 50_000) -> tuple[torch.Tensor, torch.Tensor]:
    return density(n, rng.generator("test"))


def test_ring_has_eight_equal_modes_at_its_radius() -> None:
    x, component = draw(points.ring())
    assert torch.bincount(component).tolist() == pytest.approx([6250] * 8, rel=0.06)
    assert x.norm(dim=1).mean().item() == pytest.approx(2.0, abs=1e-3)
    centre = points.ring_centres(8, 2.0)[component]
    assert (x - centre).std().item() == pytest.approx(0.02, rel=0.02)


def test_grid_has_twenty_five_modes_around_the_origin() -> None:
    x, component = draw(points.grid())
    assert len(component.unique()) == 25
    assert x.mean(0).abs().max().item() < 0.06
    # variance of a 5-point lattice of spacing 2 is 8, and the noise adds its own
    assert x.var(0).mean().item() == pytest.approx(8 + 0.05**2, rel=0.02)


def test_swiss_roll_radius_grows_with_the_angle() -> None:
    x, _ = draw(points.swiss_roll(noise=0.0))
    radius = x.norm(dim=1) / 0.15
    assert radius.min().item() == pytest.approx(1.5 * torch.pi, rel=0.01)
    assert radius.max().item() == pytest.approx(4.5 * torch.pi, rel=0.01)
    torch.testing.assert_close(x[:, 0], 0.15 * radius * radius.cos(), atol=1e-3, rtol=0)


def test_batches_are_pure() -> None:
    data = points.Points(points.ring(), batch_size=16, classes=8)
    data.place(torch.device("cpu"), seed=1)
    assert torch.equal(data.batch(3).real, data.batch(3).real)
    assert not torch.equal(data.batch(3).real, data.batch(4).real)
    assert data.batch(3).label.max() > 0
    assert points.Points(points.ring()).batch(0).label.max() == 0
    with pytest.raises(ValueError, match=r"dataset\.channels=2"):
        points.Points(points.ring(), channels=3)
    with pytest.raises(ValueError, match=r"dataset\.channels=1"):
        points.Points(points.line(), channels=2)


def test_points_on_a_line_have_one_coordinate() -> None:
    x, component = draw(points.line(modes=3, spacing=2.0, std=0.1))
    assert x.shape == (50_000, 1)
    assert [x[component == k].mean().item() for k in range(3)] == pytest.approx([-2, 0, 2], abs=0.01)
    assert x.var().item() == pytest.approx(8 / 3 + 0.01, rel=0.02)
    assert points.Points(points.line(), channels=1, batch_size=8).batch(0).real.shape == (8, 1)


@pytest.mark.parametrize("mixture", [points.line(3, 1.5, 0.3), points.ring(5, 1.0, 0.4), points.grid(2, 2.0, 0.7)])
def test_the_density_of_a_mixture_is_that_of_its_points(mixture: points.Mixture) -> None:
    """log p as torch.distributions has it; and E 1/p over a box of points is the volume of the box."""
    count = len(mixture.centres)
    parts = torch.distributions.Independent(torch.distributions.Normal(mixture.centres, mixture.std), 1)
    known = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(torch.ones(count)), parts)
    x, _ = draw(mixture, 200_000)
    torch.testing.assert_close(mixture.log_density(x), known.log_prob(x), rtol=1e-4, atol=1e-4)
    inside = (x - mixture.centres[0]).abs().amax(1) < mixture.std
    volume = (inside / mixture.log_density(x).exp()).mean().item()
    assert volume == pytest.approx((2 * mixture.std) ** x.shape[1], rel=0.03)
