"""Whether a generator draws what only the augmentations of its training make: cut-outs, shifts, other colours.

A probe learns to tell real pictures that were changed from those that were not, then looks at samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_cli import rng
from gan_cli.augment.diffaugment import CHANGES
from gan_cli.errors import ConfigError, two_lines
from gan_cli.metrics import Context, Estimate, NotMeasurable, PairMetric
from gan_cli.metrics.classifier import ClassifierNetwork, descend
from gan_cli.metrics.detectors import averaged
from gan_cli.metrics.features import fair
from gan_cli.types import PositiveInt

BATCH = 64
LEAST = 64  # real pictures
LARGEST = 64  # side at which the probe sees pictures
SHARP = 0.3  # of 1, by which a probe must tell the two apart on pictures that it has not seen


def shrunk(images: Tensor) -> Tensor:
    """Pictures uint8 `[N, C, H, W]` in [-1, 1], averaged down to what the probe sees."""
    return averaged(images.float() / 127.5 - 1, LARGEST)


def changed(images: Tensor, policy: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Each change done to half of the pictures, at random, and which were done to each `[N, len(policy)]`."""
    done = torch.rand(len(images), len(policy)) < 0.5
    for i, name in enumerate(policy):
        images = torch.where(done[:, i].view(-1, 1, 1, 1), CHANGES[name](images, True, ()), images)
    return images.clamp(-1, 1), done


def weathered(images: Tensor) -> Tensor:
    """A third of them blurred and a third with noise: faults of generators that are none of the augmentations'."""
    fate = torch.randint(3, (len(images), 1, 1, 1))
    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
    noisy = (images + 0.15 * torch.randn_like(images)).clamp(-1, 1)
    return torch.where(fate == 0, images, torch.where(fate == 1, blurred, noisy))


class Probe:
    """Says of pictures which changes were done to them, after it has learnt it on real ones.

    Args:
        real: uint8 `[N, C, H, W]`; a fifth of them is held out, to learn how often it is right.
        policy: The changes.
        steps: Of its training.
        seed: For its weights and draws.

    Raises:
        NotMeasurable: There are too few pictures.
    """

    def __init__(self, real: Tensor, policy: Sequence[str], steps: int, seed: int) -> None:
        if len(real) < LEAST:
            raise NotMeasurable(
                two_lines(
                    f"a probe for augmentations needs {LEAST} real pictures, and there are {len(real)}",
                    "add some, or leave leak out",
                )
            )
        self.policy = tuple(policy)
        pictures = shrunk(real)
        held_out = torch.arange(len(pictures)) % 5 == 4
        with rng.kept(torch.device("cpu")), torch.enable_grad():
            torch.manual_seed(rng.mix(seed, "probe"))
            self.network = self._fitted(pictures[~held_out], steps)
            images, done = changed(pictures[held_out].repeat(4, 1, 1, 1), self.policy)
        said = self._says(images)
        # Per change: how often it says so where the change was done, and where it was not.
        self.hits = [float(said[done[:, i], i].double().mean()) for i in range(len(self.policy))]
        self.false = [float(said[~done[:, i], i].double().mean()) for i in range(len(self.policy))]

    def _fitted(self, pictures: Tensor, steps: int) -> nn.Module:
        network = ClassifierNetwork(pictures.shape[1], len(self.policy))

        def loss() -> Tensor:
            images, done = changed(pictures[torch.randint(len(pictures), (BATCH,))], self.policy)
            logits = network((weathered(images) + 1) * 127.5).logits
            return F.binary_cross_entropy_with_logits(logits, done.float())

        descend(network, steps, loss, "training a probe for augmentations")
        return network.eval().requires_grad_(False)

    @torch.inference_mode()
    def _says(self, images: Tensor) -> Tensor:
        return torch.cat([self.network((piece + 1) * 127.5).logits > 0 for piece in images.split(256)])

    def shares(self, samples: Tensor) -> dict[str, tuple[float, float]]:
        """Of samples uint8 `[N, C, H, W]`: the share that each change was done to, and its standard error.

            π = (q - f) / (h - f)

        with q the share that the probe says so of, h and f how often it says so rightly and falsely on real pictures
        (the adjusted count of Forman 2008); cut to [0, 1]. A change that it cannot tell is left out.
        """
        said = self._says(shrunk(samples)).double().mean(0).tolist()
        found = {}
        for name, q, h, f in zip(self.policy, said, self.hits, self.false, strict=True):
            if h - f >= SHARP:
                spread = math.sqrt(max(q * (1 - q), 1 / len(samples)) / len(samples))
                found[name] = (min(1.0, max(0.0, (q - f) / (h - f))), spread / (h - f))
        return found


def checked(policy: Sequence[str]) -> tuple[str, ...]:
    """Raises ConfigError where there is no such change, or none."""
    unknown = [name for name in policy if name not in CHANGES]
    if unknown or not policy:
        what = f"policy={','.join(policy)}: {f'{unknown[0]} is no change' if unknown else 'no change is named'}"
        raise ConfigError(two_lines(what, f"choose from {', '.join(CHANGES)}"))
    return tuple(policy)


class AugmentationLeak(PairMetric):
    """`leak_<change>`: the share of samples that look as if a change of augmentation had been done to them.

    Args:
        policy: The changes that are looked for: color, translation, cutout.
        steps: Of the probe's training.
        n: Most pictures of each side.
    """

    detector = "probe"

    def __init__(self, policy: Sequence[str] = tuple(CHANGES), steps: PositiveInt = 400, n: PositiveInt = 2000) -> None:
        self.policy, self.steps, self.n = checked(policy), steps, n

    def compute(self, context: Context) -> Mapping[str, Estimate]:
        if context.drawn is None or context.real is None:
            raise NotMeasurable(
                two_lines(
                    "augmentations can only leak into pictures",
                    "give the training pictures as the reference, or leave leak out",
                )
            )
        real, samples = (fair(((batch, None) for batch in side()), self.n)[0] for side in (context.real, context.drawn))
        if real.shape[1] != samples.shape[1]:
            raise NotMeasurable(
                two_lines("samples and real pictures have different channels", "make both grey or both colour")
            )
        probe = Probe(real, self.policy, self.steps, context.seed)
        shares = probe.shares(samples)
        if not shares:
            raise NotMeasurable(
                two_lines(
                    "the probe cannot tell augmented from plain pictures of these data",
                    "leave leak out, or let the probe learn for longer: metrics.leak.steps=800",
                )
            )
        right = dict(zip(probe.policy, zip(probe.hits, probe.false, strict=True), strict=True))
        return {
            f"leak_{name}": Estimate(
                share,
                se,
                f"share that looks changed; the probe sees {100 * right[name][0]:.0f}% of changed real pictures "
                f"and {100 * right[name][1]:.0f}% of others so",
                len(samples),
                len(real),
            )
            for name, (share, se) in shares.items()
        }
