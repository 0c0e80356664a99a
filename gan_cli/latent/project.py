"""A real image's latent, found by gradient descent (Creswell 2016, arXiv 1611.05644); with styles, its w (Karras 2020,
arXiv 1912.04958, appendix D)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from gan_cli.data.decoding import Levels, decode
from gan_cli.data.fit import FITS
from gan_cli.data.flaws import PictureError
from gan_cli.errors import ConfigError, Incompatible
from gan_cli.latent import Mode, Subject
from gan_cli.latent.drawings import Drawing, Sheet, Sheets
from gan_cli.latent.styling import MANY, space
from gan_cli.networks.base import declared
from gan_cli.progress import tracked
from gan_cli.sampling import one_by_one, seeded
from gan_cli.types import Need, NonNegative, Positive, PositiveInt


def read(path: str, shape: tuple[int, int, int], fit: str = "crop", levels: Levels | None = None) -> Tensor:
    """An image file, read as training reads it, `[C, H, W]` in [-1, 1]. Raises ConfigError if it is not an image."""
    if fit not in FITS:
        raise ConfigError(f"mode.fit={fit} is unknown\n  choose one of {', '.join(FITS)}")
    try:
        data = Path(path).expanduser().read_bytes()
        pixels = decode(path, data, shape[0], levels, (shape[1], shape[2], FITS[fit]))
    except (OSError, PictureError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise ConfigError(f"mode.image={path} cannot be read\n  {reason}") from error
    return torch.from_numpy(pixels.copy()).float() / 127.5 - 1


def descend(
    decode: Callable[[Tensor, Tensor], Tensor],
    features: nn.Module | None,
    target: Tensor,
    start: Tensor,
    label: Tensor,
    steps: int,
    lr: float,
    perceptual: float,
) -> tuple[Tensor, Tensor]:
    """Latents (or w) whose samples come close to the `target` `[C, H, W]`, from each `start` `[N, ...]`; errors `[N]`.

    Adam on mean |G(z) - x|² + `perceptual` · mean over D's layers of |φ(G(z)) - φ(x)|² / |φ(x)|²; the error is the
    first part. Each start is optimised by itself.
    """
    z = start.clone().requires_grad_()
    wanted = target.expand(len(z), -1, -1, -1)
    with torch.no_grad():
        seen = features(wanted, label).features if features is not None else ()
    optimizer = torch.optim.Adam([z], lr)
    pixels = torch.zeros(len(z))
    for _ in tracked(range(steps + 1), steps + 1, "looking for the closest sample"):  # the last round only measures
        samples = decode(z, label)
        pixels = (samples - wanted).square().flatten(1).mean(1)
        loss = pixels.sum()
        if features is not None and seen:
            layers = zip(features(samples, label).features, seen, strict=True)
            errors = [((a - b).square().flatten(1).sum(1) / b.square().flatten(1).sum(1)).sum() for a, b in layers]
            loss = loss + perceptual * torch.stack(errors).mean()
        found, error = z.detach().clone(), pixels.detach()
        (z.grad,) = torch.autograd.grad(loss, [z])
        optimizer.step()
    return found, error


class Point(NamedTuple):
    """A place in the space of a generator's latents (or w)."""

    w: Tensor  # [...], without a batch
    label: Tensor  # []
    error: Tensor  # [], of the image there; 0 where it is not known


@dataclass(frozen=True, kw_only=True)
class Search(Mode):
    """A mode that looks for the latent (or w) of an image, from those of samples 0 ... n - 1.

    Args:
        steps, lr: Of Adam; the rate is in standard deviations of the latents (or w).
        perceptual: Weight of the difference in D's features.
        fit: crop | pad | stretch.
    """

    n: PositiveInt = 8
    steps: PositiveInt = 300
    lr: Positive = 0.05
    perceptual: NonNegative = 0.1
    fit: str = "crop"

    def target(self, subject: Subject, image: str) -> Tensor:
        """The image as the generator would draw it. Raises Incompatible for points, and ConfigError."""
        if subject.points:
            raise Incompatible(
                f"mode={self.name} looks for images, and this generator draws points\n  use another mode"
            )
        latent, label = subject.latents(1)
        _, *shape = subject.draw(latent, label).shape
        return read(image, (shape[0], shape[1], shape[2]), self.fit, subject.levels)

    def closest(self, subject: Subject, target: Tensor) -> Point:
        """Where the sample lies that is closest to the target `[C, H, W]`."""
        discriminator = subject.game.players()["discriminator"].eval().requires_grad_(False)
        # With augmentations that merge samples, D has no features of a single sample.
        single = not any(augment.merges_samples for _, augment in subject.game.augmentations())
        looks = self.perceptual > 0 and single and Need.FEATURES in declared(discriminator).provides
        _, encode, decode = space(subject.generator.requires_grad_(False))
        with torch.no_grad():
            points = encode(*subject.latents(max(self.n, MANY)))
        label = subject.latents(self.n)[1]
        with seeded(subject.device, subject.seed, "project"):  # for networks that draw noise
            found, error = descend(
                decode,
                discriminator if looks else None,
                target.to(points.device),
                points[: self.n],
                label,
                self.steps,
                self.lr * float(points.std(0).mean()),
                self.perceptual,
            )
        best = int(error.argmin())
        return Point(found[best], label[best], error[best])


@dataclass(frozen=True)
class Project(Search):
    """The image and the sample closest to it, with its latent (or w) and label.

    Args:
        image: A file.
    """

    image: str
    name: ClassVar[str] = "project"

    def draw(self, subject: Subject) -> Drawing:
        return Sheets(self.sheets(subject, self.target(subject, self.image)))

    def sheets(self, subject: Subject, target: Tensor) -> Iterator[Sheet]:
        name, _, decode = space(subject.generator)
        w, label, error = self.closest(subject, target)
        result = one_by_one(decode, w[None], label[None])
        kept = {name: w.cpu(), "label": label.cpu(), "error": error.cpu()}
        yield Sheet(torch.stack([target, result[0]])[None], kept=kept)
