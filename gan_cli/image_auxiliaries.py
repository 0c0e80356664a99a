"""What a generator of images pays in addition to its adversarial loss, most of all one that is given an image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch
from torch import Tensor

from gan_cli.errors import Incompatible, two_lines
from gan_cli.types import Batch, Need, PositiveInt, Round, Term, Weight


def _distance(a: Tensor, b: Tensor) -> Tensor:
    """The mean absolute difference of each sample, `[N]`, float32 at least."""
    return (a.float() - b.float()).abs().flatten(1).mean(1)


def _sides(images: Tensor) -> str:
    return " x ".join(map(str, images.shape[1:]))


class Cycle(Term):
    """‖F(G(x)) - x‖₁ a value: what was drawn leads back to what it was drawn from (CycleGAN, arXiv 1703.10593,
    equation 2)."""

    needs = frozenset({Need.GIVEN, Need.BACK})

    def __init__(self, weight: Weight = 10.0, interval: PositiveInt = 1) -> None:
        super().__init__(weight, interval)

    def forward(self, current: Round) -> Tensor:
        given = current.batch.given
        assert given is not None
        assert current.back is not None
        returned = current.back(current.fake, current.batch.label)
        if returned.shape != given.shape:
            what = f"auxiliary=[cycle]: the way back draws {_sides(returned)}, and {_sides(given)} was given"
            raise Incompatible(two_lines(what, "give the generator of the way back the size of what is given"))
        return _distance(returned, given)


class Identity(Term):
    """‖G(y) - y‖₁ a value, y being real: what is of the target domain already stays as it is (CycleGAN, arXiv
    1703.10593, section 5.2).

    Raises Incompatible where what is given and what is drawn have different shapes.
    """

    needs = frozenset({Need.GIVEN, Need.REAL})

    def __init__(self, weight: Weight = 5.0, interval: PositiveInt = 1) -> None:
        super().__init__(weight, interval)

    def suits(self, real: Batch) -> None:
        self._check(real.source, real.real)

    def _check(self, given: Tensor, real: Tensor) -> None:
        if given.shape[1:] != real.shape[1:]:
            what = f"auxiliary=[identity] gives the generator real images of {_sides(real)}, and it takes"
            remedy = "leave identity out: 'auxiliary=[cycle]'; or give both sides one size and as many channels"
            raise Incompatible(two_lines(f"{what} {_sides(given)}", remedy))

    def forward(self, current: Round) -> Tensor:
        real = current.batch.real
        self._check(current.batch.source, real)
        return _distance(current.generate(real, current.batch.label), real)


class TotalVariation(Term):
    """Mean |xᵢ₊₁ - xᵢ| over neighbours in a row, and over those in a column: smooth samples (anisotropic; Mahendran
    2015, arXiv 1412.0035, section 3).

    Papers of super-resolution weigh it by some 1e-8 ... 1e-6, against noise alone; 1e-2 is plain to see.
    """

    needs = frozenset({Need.IMAGES})

    def __init__(self, weight: Weight = 1e-6, interval: PositiveInt = 1) -> None:
        super().__init__(weight, interval)

    def forward(self, current: Round) -> Tensor:
        fake = current.fake.float()
        variation = fake.new_zeros(len(fake))
        for dim in (2, 3):
            if fake.shape[dim] > 1:
                variation = variation + fake.diff(dim=dim).abs().flatten(1).mean(1)
        return variation


class FeatureNetwork(Protocol):
    """A fixed network, as a term sees with it; see `gan_cli.metrics.backbones`."""

    convention: str  # what it is, and what happens to images before it
    layers: Mapping[str, float]  # those that are looked at, each with its weight

    def load(self) -> None:
        """Reads its weights, where it has not. Raises Refused."""

    def features(self, images: Tensor) -> Sequence[Tensor]:
        """What its `layers` see in images `[N, C, H, W]` in [-1, 1]; gradients pass to the images."""
        ...


class Perceptual(Term):
    """Σ λᵢ ‖φᵢ(x) - φᵢ(G(·))‖₁ a value, φᵢ being layers of a fixed network and x the real sample of the same row
    (Johnson 2016, arXiv 1603.08155; with layers before their ReLU: ESRGAN, arXiv 1809.00219, section 3.3).

    The network is no part of the game: it is not trained, not saved, and read when training begins.

    Args:
        network: What sees the images; its layers have the weights λᵢ.
    """

    needs = frozenset({Need.PAIRS, Need.REAL, Need.IMAGES})

    def __init__(self, network: FeatureNetwork, weight: Weight = 1.0, interval: PositiveInt = 1) -> None:
        super().__init__(weight, interval)
        self.network = network  # no module, so that no checkpoint carries it

    def prepare(self) -> str:
        self.network.load()
        return f"the perceptual distance is that of {self.network.convention}"

    def forward(self, current: Round) -> Tensor:
        with torch.no_grad():
            wanted = self.network.features(current.batch.real)
        found = self.network.features(current.fake)
        weights = self.network.layers.values()
        distances = [w * _distance(a, b) for w, a, b in zip(weights, found, wanted, strict=True)]
        return torch.stack(distances).sum(0)
