"""Terms that the generator minimises in addition to its adversarial loss, and weightings of its samples in it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_cli.errors import Incompatible
from gan_cli.moving import PerUpdate
from gan_cli.types import Clock, DiscriminatorOutput, Fraction, Need, NonNegative, PositiveInt, Round, Term, Weight


class Weighting(nn.Module, ABC):
    """Decides how much each sample counts in the generator's loss: an auxiliary that multiplies instead of adding."""

    needs: frozenset[str] = frozenset()  # as for a term

    @abstractmethod
    def forward(self, values: Tensor, current: Round) -> Tensor:
        """Factors of the loss `values`, of their shape and with mean 1; they carry no gradient."""


class FeatureMatching(Term):
    """‖E f(x) - E f(G(z))‖² over D's features (Salimans 2016, arXiv 1606.03498, section 3.1).

    Each layer's squared distance is averaged over its values; those of the layers are added.

    Args:
        layers: The layers of D to match, from 0, or from the end as -1; None for all.

    Raises:
        Incompatible: D has no such layer.
    """

    needs = frozenset({Need.REAL_OUTPUT, Need.FEATURES})

    def __init__(self, weight: Weight = 1.0, interval: PositiveInt = 1, layers: Sequence[int] | None = None) -> None:
        super().__init__(weight, interval)
        self.layers = None if layers is None else tuple(layers)

    def chosen(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The features of the layers to match."""
        if self.layers is None:
            return features
        try:
            return tuple(features[layer] for layer in self.layers)
        except IndexError:
            raise Incompatible(
                f"auxiliary.feature_matching.layers={list(self.layers)}, and this discriminator has "
                f"{len(features)}\n  choose from 0 to {len(features) - 1}, or from -{len(features)} to -1"
            ) from None

    def reads(self, output: DiscriminatorOutput) -> None:
        self.chosen(output.features)

    def forward(self, current: Round) -> Tensor:
        assert current.real_output is not None
        real, fake = (self.chosen(seen.features) for seen in (current.real_output, current.fake_output))
        pairs = zip(real, fake, strict=True)
        return torch.stack([(real.mean(0).detach() - fake.mean(0)).square().mean() for real, fake in pairs]).sum()


class ModeSeeking(Term):
    """‖z₁ - z₂‖₁ / ‖G(z₁) - G(z₂)‖₁: distant latents should give distant samples (MSGAN, arXiv 1903.05628, equation 3).

    Both distances are means over the values. Neighbours in the batch are compared, with the first one's label.
    """

    needs = frozenset({Need.LATENTS})

    def forward(self, current: Round) -> Tensor:
        other = current.latent.roll(1, 0)
        second = current.generate(other, current.batch.label)
        samples = (current.fake - second).abs().flatten(1).mean(1)
        latents = (current.latent - other).abs().flatten(1).mean(1)
        return latents / (samples + 1e-5)


class Classification(Term):
    """-log C(y | G(z, y)): fakes should be classified as the class asked for (AC-GAN, arXiv 1610.09585, equation 3)."""

    needs = frozenset({Need.CLASS_LOGITS})

    def forward(self, current: Round) -> Tensor:
        assert current.fake_output.class_logits is not None
        return F.cross_entropy(current.fake_output.class_logits, current.batch.label, reduction="none")


class PathLength(Term):
    """(‖Jᵀy‖ - a)², y ~ N(0, I) on the sample's values, a the moving average of the norm (StyleGAN2, arXiv 1912.04958,
    equation 4): equal steps in the latent give equal steps in the sample.

    y is divided by the square root of the number of pixels, as in the authors' code.

    Args:
        decay: Weight of an update's norm in the moving average.
    """

    needs = frozenset({Need.LATENTS, Need.LATENT_GRAD})
    twice = True
    mean: Tensor

    def __init__(self, weight: Weight = 2.0, interval: PositiveInt = 4, decay: Fraction = 0.01) -> None:
        super().__init__(weight, interval)
        self.decay = decay
        self.register_buffer("mean", torch.zeros(()))
        self.moves = PerUpdate()

    def advance(self, clock: Clock) -> None:
        self.moves.begin()

    def path(self, current: Round) -> tuple[Tensor, Tensor]:
        """What to differentiate by, `[N, Z]`, or `[N, L, Z]` in L layers, and the samples that depend on it."""
        return current.latent, current.fake

    def forward(self, current: Round) -> Tensor:
        start, samples = self.path(current)
        places = samples[0, 0].numel()
        noise = torch.randn_like(samples) / places**0.5
        (gradient,) = torch.autograd.grad((samples * noise).sum(), start, create_graph=True)
        layers = start[0].numel() / start.shape[-1]  # squared norms are averaged over layers
        lengths = torch.linalg.vector_norm(gradient.flatten(1), dim=1) / layers**0.5
        with torch.no_grad():
            self.moves.move(self.mean, lengths.mean().float(), self.decay, current.update)
        return (lengths - self.mean.clone()).square()


class StylePathLength(PathLength):
    """The same in w, the space of styles, as in the paper: J is the Jacobian of the synthesis network.

    It draws samples again, each layer with a style of its own, as in the authors' code.
    """

    needs = frozenset({Need.STYLES})

    def path(self, current: Round) -> tuple[Tensor, Tensor]:
        generator: Any = current.player
        w = generator.mapping(current.latent, current.batch.label)
        styles = w.unsqueeze(1).expand(-1, generator.synthesis.layers, -1)
        return styles, generator.synthesis(styles)


class L1(Term):
    """‖x - G(·)‖₁ per value, x being the real sample of the same row (pix2pix, arXiv 1611.07004, equation 3).

    Meant for priors paired with the real samples; with others it pulls each sample to the middle of its class.
    """

    needs = frozenset({Need.PAIRS, Need.REAL})

    def __init__(self, weight: Weight = 100.0, interval: PositiveInt = 1) -> None:
        super().__init__(weight, interval)

    def forward(self, current: Round) -> Tensor:
        return (current.batch.real - current.fake).abs().flatten(1).mean(1)


class TopK(Weighting):
    """Only the k fakes that D scores highest count (Sinha 2020, arXiv 2002.06224, algorithm 1).

    k falls from the whole batch by the factor `decay` at every `images` shown, to `smallest` of the batch.

    Args:
        decay: γ, 0.99 per epoch in the paper.
        images: Images of an epoch.
        smallest: ν, ½ in the paper.
    """

    def __init__(self, decay: Fraction = 0.99, images: PositiveInt = 50_000, smallest: Fraction = 0.5) -> None:
        super().__init__()
        self.decay = decay
        self.images = images
        self.smallest = smallest
        self.advance(Clock())

    def advance(self, clock: Clock) -> None:
        self.fraction = max(self.smallest, self.decay ** (clock.images // self.images))

    def forward(self, values: Tensor, current: Round) -> Tensor:
        logits = current.fake_output.logits.detach().flatten()
        k = max(1, round_half_up(self.fraction * len(logits)))
        factors = torch.zeros_like(logits)
        factors[logits.topk(k).indices] = len(logits) / k
        return factors.view_as(values)


def round_half_up(value: float) -> int:
    return int(value + 0.5)


class Vote(Weighting):
    """Several discriminators, the severe ones weighted more: softmax(λ·loss) over them (GMAN, arXiv 1611.01673, 3.2).

    Args:
        sharpness: λ; 0 is the mean, infinity the severest one.
    """

    needs = frozenset({Need.SEVERAL_LOGITS})

    def __init__(self, sharpness: NonNegative = 1.0) -> None:
        super().__init__()
        self.sharpness = sharpness

    def forward(self, values: Tensor, current: Round) -> Tensor:
        return values.shape[1] * (self.sharpness * values.detach().mean(0, keepdim=True)).softmax(1).expand_as(values)
