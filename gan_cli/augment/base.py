"""The contract of augmentations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


def each(change: Callable[[Tensor], Tensor], samples: Tensor, sides: Sequence[int]) -> Tensor:
    """Samples `[N, C, H, W]` with `change` made of each image in them, as of an image of its own.

    Args:
        sides: Channels of the images that a sample is joined of (a pack holds them as often); none if it is one image.
    """
    if not sides:
        return change(samples)
    packed = samples.shape[1] // sum(sides)
    return torch.cat([change(image) for image in samples.split([*sides] * packed, 1)], 1)


class Augment(nn.Module, ABC):
    """Transforms samples before the discriminator, real and fake alike; gradients pass through."""

    needs: frozenset[str] = frozenset()  # as for a term
    hides: frozenset[str] = frozenset()  # what the discriminator no longer provides when augmented
    mixes_samples = False  # one sample of a batch influences the judgement of another
    merges_samples = False  # several samples get one judgement, which cannot have a label
    least = 1  # fewest samples that it needs at once

    @abstractmethod
    def forward(self, samples: Tensor) -> Tensor:
        """What the discriminator sees of `samples`."""

    def joined(self, samples: Tensor, sides: Sequence[int]) -> Tensor:
        """What it sees of samples joined to what was given with them, of `sides` channels each; overridden where
        channels are mixed, as colours are: those of two images stay apart, and change by the same draw."""
        changed: Tensor = self(samples)
        return changed

    def observe(self, real_logits: Tensor) -> None:
        """Called with D's logits of each real batch; adaptive augmentations adapt here."""

    def follow(self, real_logits: Tensor, update: int) -> None:
        """The same with the number of the update, which is that of the call before where this is another part of its
        batch; overridden by those that count updates."""
        self.observe(real_logits)
