"""Moving averages that move once an update, in however many parts its batch is computed."""

from __future__ import annotations

import torch
from torch import Tensor


class PerUpdate:
    """Moves an average once an update: after each part of its batch the average is where the mean over the parts so far
    leads from where the update found it, and so after the last one where the whole batch leads.

    Call `begin` at the start of each step: what an update was then is not what one of this number is now.
    """

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Forgets the update before."""
        self.update: int | None = None
        self.parts = 0
        self.before = self.total = torch.empty(0)

    @torch.no_grad()
    def move(self, average: Tensor, value: Tensor, weight: float, update: int) -> None:
        """Moves `average` `[]` in place, by `weight` of the way to the update's mean of `value` `[]`."""
        if update != self.update:
            self.update, self.parts = update, 0
            self.before, self.total = average.clone(), torch.zeros_like(average)
        self.total, self.parts = self.total + value, self.parts + 1
        average.copy_(self.before.lerp(self.total / self.parts, weight))
