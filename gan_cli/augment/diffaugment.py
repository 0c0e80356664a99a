"""DiffAugment (Zhao 2020, arXiv 2006.10738): the same kinds of random change for real and fake samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from gan_cli.augment.base import Augment
from gan_cli.augment.warps import per_sample, shifted
from gan_cli.errors import ConfigError
from gan_cli.types import Need


def color(images: Tensor) -> Tensor:
    """Brightness ± ½, then saturation x [0, 2] and contrast x [½, 1½], in the units of [-1, 1] images."""
    images = images + (per_sample(images) - 0.5)
    grey = images.mean(1, keepdim=True)
    images = (images - grey) * (2 * per_sample(images)) + grey
    level = images.mean((1, 2, 3), keepdim=True)
    return (images - level) * (per_sample(images) + 0.5) + level


def translation(images: Tensor) -> Tensor:
    """Shifted by up to an eighth of each side; the gap is filled with grey (0), as in the authors' code."""
    return shifted(images, 0.125, 0.0)


def cutout(images: Tensor) -> Tensor:
    """A rectangle of half of each side is greyed out (0); its centre may lie anywhere."""
    n, _, height, width = images.shape
    top = (torch.rand(n, 1, device=images.device) * (height + 1)).floor()
    left = (torch.rand(n, 1, device=images.device) * (width + 1)).floor()
    rows = torch.arange(height, device=images.device)
    columns = torch.arange(width, device=images.device)
    in_rows = ((rows >= top - height // 4) & (rows < top + height // 4)).view(n, 1, height, 1)
    in_columns = ((columns >= left - width // 4) & (columns < left + width // 4)).view(n, 1, 1, width)
    return images * ~(in_rows & in_columns)


CHANGES: Mapping[str, Callable[[Tensor], Tensor]] = {"color": color, "translation": translation, "cutout": cutout}


class DiffAugment(Augment):
    """Random changes to everything that the discriminator sees, in the order of `policy`.

    Args:
        policy: Any of color, translation, cutout.
    """

    needs = frozenset({Need.IMAGES})

    def __init__(self, policy: Sequence[str] = tuple(CHANGES)) -> None:
        super().__init__()
        for name in policy:
            if name not in CHANGES:
                raise ConfigError(f"augment.diffaugment.policy={name} is unknown: choose from {', '.join(CHANGES)}")
        self.changes = [CHANGES[name] for name in policy]

    def forward(self, samples: Tensor) -> Tensor:
        for change in self.changes:
            samples = change(samples)
        return samples
