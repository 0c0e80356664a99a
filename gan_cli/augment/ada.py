"""Adaptive discriminator augmentation (Karras 2020, arXiv 2006.06676): geometry and colour, each with probability p."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from gan_cli.augment import filtered as between_filters
from gan_cli.augment import warps
from gan_cli.augment.base import Augment, each
from gan_cli.types import Clock, Fraction, Need, PositiveInt, Weight


def happens(n: int, p: float | Tensor, device: torch.device) -> Tensor:
    """Which of `n` samples are changed: 1 with probability p, else 0."""
    return (torch.rand(n, device=device) < p).float()


def rotation(angle: Tensor) -> Tensor:
    """Matrices `[N, 3, 3]` of angles in radians."""
    cosine, sine, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([cosine, -sine, zero, sine, cosine, zero, zero, zero, one], 1).view(-1, 3, 3)


def scaling(x: Tensor, y: Tensor) -> Tensor:
    return torch.diag_embed(torch.stack([x, y, torch.ones_like(x)], 1))


def translation(x: Tensor, y: Tensor) -> Tensor:
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    return torch.stack([one, zero, x, zero, one, y, zero, zero, one], 1).view(-1, 3, 3)


def geometry(images: Tensor, p: float | Tensor, filtered: bool = False) -> Tensor:
    """Mirroring, quarter turns, shifts, scaling, rotation, stretching, in the order and strength of appendix B."""
    n, _, height, width = images.shape
    device = images.device

    def uniform() -> Tensor:
        return 2 * torch.rand(n, device=device) - 1

    def normal() -> Tensor:
        return torch.randn(n, device=device)

    def on() -> Tensor:
        return happens(n, p, device)

    one = torch.ones(n, device=device)
    # Each rotation has such a probability that at least one of the two happens with probability p.
    p_rotation = 1 - (1 - p) ** 0.5
    turns = (
        torch.randint(4, (n,), device=device).float() if height == width else 2 * torch.randint(2, (n,), device=device)
    )
    whole_x, whole_y = (0.125 * width * uniform()).round(), (0.125 * height * uniform()).round()
    size = 2 ** (0.2 * normal() * on())
    stretch = 2 ** (0.2 * normal() * on())
    shift = on()
    with torch.autocast(device.type, enabled=False):  # coordinates need all their digits
        matrix = scaling(1 - 2 * on() * torch.randint(2, (n,), device=device), one)
        matrix = matrix @ rotation(math.pi / 2 * turns * on())
        whole = on()
        matrix = matrix @ translation(whole_x * whole, whole_y * whole)
        matrix = matrix @ scaling(size, size)
        matrix = matrix @ rotation(math.pi * uniform() * happens(n, p_rotation, device))
        matrix = matrix @ scaling(stretch, 1 / stretch)
        matrix = matrix @ rotation(math.pi * uniform() * happens(n, p_rotation, device))
        matrix = matrix @ translation(0.125 * width * normal() * shift, 0.125 * height * normal() * shift)
    warped = between_filters.warped if filtered else warps.warped
    return warped(images, matrix[:, :2])


def color(images: Tensor, p: float | Tensor, sides: Sequence[int] = ()) -> Tensor:
    """Brightness, contrast and inverted luma; for colour images also hue and saturation (appendix B); of joined images
    each side by itself."""
    n, device = len(images), images.device

    def on() -> Tensor:
        return happens(n, p, device).view(-1, 1, 1, 1)

    def normal() -> Tensor:
        return torch.randn(n, 1, 1, 1, device=device)

    brightness = 0.2 * normal() * on()
    contrast = 2 ** (0.5 * normal() * on())
    flips = on() * torch.randint(2, (n, 1, 1, 1), device=device)

    def levelled(image: Tensor) -> Tensor:
        image = (image + brightness) * contrast
        return image - 2 * image.mean(1, keepdim=True) * flips

    if 3 not in (sides or images.shape[1:2]):
        return each(levelled, images, sides)
    angle = math.pi * (2 * torch.rand(n, 1, 1, 1, device=device) - 1) * on()
    saturation = 2 ** (normal() * on())

    def changed(image: Tensor) -> Tensor:
        image = levelled(image)
        return tinted(image, angle, saturation) if image.shape[1] == 3 else image

    return each(changed, images, sides)


def tinted(images: Tensor, angle: Tensor, saturation: Tensor) -> Tensor:
    """A rotation about the grey axis (Rodrigues), then the component orthogonal to it is scaled."""
    grey = images.mean(1, keepdim=True)
    across = images - grey
    turned = (images.roll(1, 1) - images.roll(2, 1)) / math.sqrt(3)
    across = across * angle.cos() + turned * angle.sin()
    return grey + across * saturation


class GeometryAndColor(Augment):
    """The `bgc` changes of arXiv 2006.06676 with a fixed or scheduled probability (R3GAN ramps it up).

    Args:
        p: Probability of each change; a number, or a ramp.
        filtered: Whether geometry passes through the authors' low-pass filters, which keep more of fine detail.
    """

    needs = frozenset({Need.IMAGES})

    def __init__(self, p: Weight = 0.5, filtered: bool = False) -> None:
        super().__init__()
        self.p = p
        self.filtered = filtered

    def forward(self, samples: Tensor) -> Tensor:
        return self.joined(samples, ())

    def joined(self, samples: Tensor, sides: Sequence[int]) -> Tensor:
        p = min(1.0, float(self.p))
        return color(geometry(samples, p, self.filtered), p, sides)


class Ada(Augment):
    """`GeometryAndColor` whose p follows D's overfitting: r = E[sign D(x)] is kept at `target` (equation 1).

    Every `interval` updates, p moves by (images shown since) / `images`, up when r is above the target.

    Args:
        target: The target of r.
        images: Images in which p can go from 0 to 1.
        interval: Updates between two adjustments.
        filtered: As for `GeometryAndColor`.
    """

    needs = frozenset({Need.IMAGES, Need.ANCHORED_LOGITS})
    p: Tensor
    signs: Tensor
    count: Tensor
    seen: Tensor
    adjusted: Tensor

    def __init__(
        self,
        target: Fraction = 0.6,
        images: PositiveInt = 500_000,
        interval: PositiveInt = 4,
        filtered: bool = False,
    ) -> None:
        super().__init__()
        self.filtered = filtered
        self.target = target
        self.images = images
        self.interval = interval
        for name in ("p", "signs", "count", "seen"):
            self.register_buffer(name, torch.zeros(()))
        self.register_buffer("adjusted", torch.zeros((), dtype=torch.int64))  # images shown when p was moved last
        self.last: int | None = None  # the update that was counted last in this step

    def forward(self, samples: Tensor) -> Tensor:
        return self.joined(samples, ())

    def joined(self, samples: Tensor, sides: Sequence[int]) -> Tensor:
        # p as a tensor: a GPU would have to be waited for until it is a number.
        return color(geometry(samples, self.p, self.filtered), self.p, sides)

    @torch.no_grad()
    def observe(self, real_logits: Tensor) -> None:
        self.signs += real_logits.sign().sum()
        self.count += real_logits.numel()  # of judgements, not images: several may judge one image, or one several
        self.seen += 1

    @torch.no_grad()
    def follow(self, real_logits: Tensor, update: int) -> None:
        self.observe(real_logits)
        if update == self.last:  # a part of the same batch: the update was counted with the first
            self.seen -= 1
        self.last = update

    @torch.no_grad()
    def advance(self, clock: Clock) -> None:
        self.last = None
        # Without a branch, for which a GPU would have to be waited for at each step.
        due = self.seen >= self.interval
        self.adjusted.clamp_(max=clock.images)  # weights from a longer run
        step = ((clock.images - self.adjusted).double() / self.images).float()
        moved = self.p + step * (self.signs / self.count - self.target).sign()
        self.p.copy_(torch.where(due, moved.clamp(0, 1), self.p))
        self.adjusted.masked_fill_(due, clock.images)
        for tensor in (self.signs, self.count, self.seen):
            tensor.masked_fill_(due, 0)
