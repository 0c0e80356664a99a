"""The contract of augmentations."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


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

    def observe(self, real_logits: Tensor) -> None:
        """Called with D's logits of each real batch; adaptive augmentations adapt here."""
