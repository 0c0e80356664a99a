"""What every augmentation keeps to."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Augment(nn.Module, ABC):
    """What stands between samples and the discriminator; real and fake pass alike, and gradients pass through."""

    needs: frozenset[str] = frozenset()  # as those of a term
    hides: frozenset[str] = frozenset()  # what the discriminator provides no longer behind it
    mixes_samples = False  # one sample of a batch reaches the judgement of another
    merges_samples = False  # several samples get one judgement, which can have no label
    least = 1  # samples that it needs at once

    @abstractmethod
    def forward(self, samples: Tensor) -> Tensor:
        """What the discriminator sees of `samples`."""

    def observe(self, real_logits: Tensor) -> None:
        """Called with D's logits of each real batch; what adapts to them does it here."""
