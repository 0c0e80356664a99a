"""Running means that stay on the device until they are read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gan_cli.errors import NonFinite

NEVER = 2**53  # a step that no run reaches, exact in float64


class Meter:
    """Means since the last reading, and for each value the first step at which it was not finite."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.groups: dict[tuple[str, ...], list[Tensor]] = {}  # names -> [sums, count, first bad step]

    @torch.no_grad()
    def add(self, values: Mapping[str, Tensor], step: int) -> None:
        """Adds one reading of each value; costs no synchronisation."""
        names = tuple(values)
        stacked = torch.stack([v.detach().to(self._dtype) for v in values.values()])
        if names not in self.groups:
            empty = torch.zeros(len(names), device=self.device, dtype=self._dtype)
            self.groups[names] = [empty, torch.zeros_like(empty), torch.full_like(empty, NEVER)]
        sums, count, bad = self.groups[names]
        finite = stacked.isfinite()
        sums += stacked
        count += 1
        bad.copy_(torch.where(finite, bad, bad.clamp(max=step)))

    @property
    def _dtype(self) -> torch.dtype:
        return torch.float32 if self.device.type == "mps" else torch.float64

    def means(self) -> dict[str, float]:
        """The mean of each value. Raises NonFinite, naming the earliest bad term and its step."""
        sums: dict[str, float] = {}
        counts: dict[str, float] = {}
        first: tuple[float, str] = (NEVER, "")
        for names, (total, count, bad) in self.groups.items():
            rows = torch.stack([total, count, bad]).tolist()
            for name, value, number, step in zip(names, *rows, strict=True):
                sums[name] = sums.get(name, 0.0) + value
                counts[name] = counts.get(name, 0.0) + number
                first = min(first, (step, name))
        if first[0] < NEVER:
            raise NonFinite(f"{first[1]} became infinite or not a number at step {int(first[0])}")
        return {name: sums[name] / counts[name] for name in sums}

    def reset(self) -> None:
        self.groups = {}

    def state_dict(self) -> dict[str, Any]:
        return {"groups": [(list(names), [t.cpu() for t in tensors]) for names, tensors in self.groups.items()]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.groups = {tuple(names): [t.to(self.device) for t in tensors] for names, tensors in state["groups"]}
