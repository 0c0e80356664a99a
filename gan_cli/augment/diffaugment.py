"""DiffAugment (Zhao 2020, arXiv 2006.10738): the same kinds of random change for real and fake samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from gan_cli.augment.base import Augment, each
from gan_cli.augment.warps import nearest, per_sample, shifted
from gan_cli.errors import ConfigError, unknown
from gan_cli.types import Need


def color(images: Tensor, half_up: bool = False, sides: Sequence[int] = ()) -> Tensor:
    """Brightness ± ½, then saturation x [0, 2] and contrast x [½, 1½], in the units of [-1, 1] images; of joined ones
    each side by itself."""
    brightness, saturation, contrast = (per_sample(images) for _ in range(3))

    def changed(image: Tensor) -> Tensor:
        image = image + (brightness - 0.5)
        grey = image.mean(1, keepdim=True)
        image = (image - grey) * (2 * saturation) + grey
        level = image.mean((1, 2, 3), keepdim=True)
        return (image - level) * (contrast + 0.5) + level

    return each(changed, images, sides)


def translation(images: Tensor, half_up: bool = False, sides: Sequence[int] = ()) -> Tensor:
    """Shifted by up to an eighth of each side; the gap is filled with grey (0), as in the authors' code."""
    return shifted(images, 0.125, 0.0, nearest if half_up else round)


def cutout(images: Tensor, half_up: bool = False, sides: Sequence[int] = ()) -> Tensor:
    """A rectangle of half of each side is greyed out (0); its centre may lie anywhere."""
    n, _, height, width = images.shape

    def cut(side: int) -> Tensor:
        """Which places of a side are cut, `[N, side]`."""
        length = nearest(side / 2) if half_up else 2 * (side // 4)
        centre = (torch.rand(n, 1, device=images.device) * (side + 1 - length % 2)).floor()
        first = centre - length // 2
        place = torch.arange(side, device=images.device)
        return (place >= first) & (place < first + length)

    return images * ~(cut(height).view(n, 1, height, 1) & cut(width).view(n, 1, 1, width))


Change = Callable[[Tensor, bool, Sequence[int]], Tensor]  # (images, half_up, sides) -> images
CHANGES: Mapping[str, Change] = {"color": color, "translation": translation, "cutout": cutout}


class DiffAugment(Augment):
    """Random changes to everything that the discriminator sees, in the order of `policy`.

    Args:
        policy: Any of color, translation, cutout.
        half_up: How an eighth and a half of a side become whole pixels, unless they are: as in the authors' code, or
            else to an even number.
    """

    needs = frozenset({Need.IMAGES})

    def __init__(self, policy: Sequence[str] = tuple(CHANGES), half_up: bool = False) -> None:
        super().__init__()
        self.half_up = half_up
        for name in policy:
            if name not in CHANGES:
                raise ConfigError(unknown(f"augment.diffaugment.policy=[{name}]", CHANGES))
        self.changes = [CHANGES[name] for name in policy]

    def forward(self, samples: Tensor) -> Tensor:
        return self.joined(samples, ())

    def joined(self, samples: Tensor, sides: Sequence[int]) -> Tensor:
        for change in self.changes:
            samples = change(samples, self.half_up, sides)
        return samples
