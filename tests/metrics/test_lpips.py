"""LPIPS against its formula, with made-up weights in files of the published form."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from conftest import backbone
from gan_cli.metrics import Context, NotMeasurable
from gan_cli.metrics.lpips import AlexNetLpips, Lpips, Vgg16Lpips, distance

# torchvision's index of the last layer of each of the authors' slices, its features, and what the values are called
AUTHORS = {
    AlexNetLpips: ("alexnet", (1, 4, 7, 9, 11), (64, 192, 384, 256, 256), "lpips"),
    Vgg16Lpips: ("vgg16", (3, 8, 15, 22, 29), (64, 128, 256, 512, 512), "lpips_vgg"),
}


@pytest.fixture
def made(here: Path) -> dict[type[Lpips], tuple[nn.Sequential, list[Tensor]]]:
    found = {}
    for kind, (name, _, channels, _) in AUTHORS.items():
        network = backbone(name)
        linear = [torch.rand(1, width, 1, 1) for width in channels]
        torch.save({f"features.{key}": value for key, value in network.state_dict().items()}, f"{name}.pth")
        torch.save({f"lin{i}.model.1.weight": value for i, value in enumerate(linear)}, f"{name}-linear.pth")
        found[kind] = (network, linear)
    return found


def pictures(*shape: int) -> tuple[Tensor, Tensor]:
    a, b = (torch.randint(0, 256, shape, dtype=torch.uint8) for _ in range(2))
    return a, b


def context(*pairs: tuple[Tensor, Tensor]) -> Context:
    return Context(pairs=lambda: ((a, b, b) for a, b in pairs))


def as_authors_have_it(
    network: nn.Sequential, ends: tuple[int, ...], linear: list[Tensor], a: Tensor, b: Tensor
) -> float:
    """lpips/lpips.py, step by step: the scaling layer, the slices, normalize_tensor, the squares, the linear layers,
    the mean over places, the sum over layers."""
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
    x, y = ((images.float() / 127.5 - 1 - shift) / scale for images in (a, b))
    total = 0.0
    for i, layer in enumerate(network[: ends[-1] + 1]):
        x, y = (layer(values) for values in (x, y))
        if i in ends:
            first, second = (v / (v.pow(2).sum(1, keepdim=True).sqrt() + 1e-10) for v in (x, y))
            weighted = (linear[ends.index(i)] * (first - second) ** 2).sum(1)
            total += float(weighted.mean())
    return total


@pytest.mark.parametrize("kind", AUTHORS)
def test_lpips_is_the_authors_formula(
    made: dict[type[Lpips], tuple[nn.Sequential, list[Tensor]]], kind: type[Lpips]
) -> None:
    name, ends, _, value = AUTHORS[kind]
    pairs = [pictures(1, 3, 40, 64), pictures(1, 3, 33, 31)]
    expected = [as_authors_have_it(made[kind][0], ends, made[kind][1], *pair) for pair in pairs]
    found = kind(f"{name}.pth", f"{name}-linear.pth").compute(context(*pairs))[value]
    assert found.value == pytest.approx(sum(expected) / 2, rel=1e-4)
    assert found.se == pytest.approx(abs(expected[0] - expected[1]) / 2, rel=1e-2)
    assert found.n_fake == 2
    assert found.weights is not None
    assert name in found.convention


def test_equals_are_at_no_distance_and_grey_is_seen_as_colour(
    made: dict[type[Lpips], tuple[nn.Sequential, list[Tensor]]],
) -> None:
    metric = AlexNetLpips("alexnet.pth", "alexnet-linear.pth")
    (grey, other) = pictures(1, 1, 32, 32)
    assert metric.compute(context((grey, grey)))["lpips"].value == 0
    coloured = (grey.expand(-1, 3, -1, -1), other.expand(-1, 3, -1, -1))
    found = [metric.compute(context(pair))["lpips"].value for pair in ((grey, other), coloured)]
    assert found[0] == found[1] > 0


def test_orthogonal_features_are_at_twice_their_weight() -> None:
    a, b = torch.zeros(2, 1, 2, 3, 3)
    a[:, 0], b[:, 1] = 5.0, 0.1
    weights = torch.tensor([0.25, 0.5]).view(1, 2, 1, 1)
    assert distance([a, a], [b, a], [weights, weights]).item() == pytest.approx(0.75)


def test_what_is_not_there_is_told_with_where_to_put_it(
    made: dict[type[Lpips], tuple[nn.Sequential, list[Tensor]]], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(here / "hub"))
    for variable in ("GAN_ALEXNET", "GAN_LPIPS_ALEX"):
        monkeypatch.delenv(variable, raising=False)
    colour, small, four = pictures(1, 3, 32, 32), pictures(1, 3, 30, 64), pictures(1, 4, 32, 32)
    for metric, given, reason in (
        (AlexNetLpips(), context(colour), r"no weights at .*alexnet-owt-7be5be79\.pth\n  put .* \$GAN_ALEXNET"),
        (AlexNetLpips("alexnet.pth"), context(colour), r"no weights at .*alex\.pth\n  put .* \$GAN_LPIPS_ALEX"),
        (AlexNetLpips("alexnet.pth", "alexnet.pth"), context(colour), "holds no weights of LPIPS"),
        (AlexNetLpips("vgg16.pth"), context(colour), "weights of another network"),
        (AlexNetLpips("alexnet.pth", "alexnet-linear.pth"), context(small), "31 pixels or more"),
        (AlexNetLpips("alexnet.pth", "alexnet-linear.pth"), context(four), "grey and colour"),
        (AlexNetLpips("alexnet.pth", "alexnet-linear.pth"), context((colour[0], small[0])), "one size"),
        (AlexNetLpips("alexnet.pth", "alexnet-linear.pth"), context(), "there are none"),
        (AlexNetLpips(), Context(), "these have none"),
    ):
        with pytest.raises(NotMeasurable, match=reason) as caught:
            metric.compute(given)
        assert len(str(caught.value).splitlines()) <= 2
    monkeypatch.setenv("GAN_ALEXNET", "alexnet.pth")
    monkeypatch.setenv("GAN_LPIPS_ALEX", "alexnet-linear.pth")
    assert AlexNetLpips().compute(context(colour))["lpips"].value > 0
