"""Running means of readings that stay on the device until they are read."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from gan_cli.errors import NonFinite

NEVER = 2**53  # a step that no run reaches, exact in float64
KEPT = 256  # updates whose readings wait on the device at most, so that rare readings do not fill it


class Totals:
    """Sums and counts of values that are read together, and the first step at which each was not finite."""

    def __init__(self, sums: list[float], counts: list[float], bad: list[float]) -> None:
        self.sums, self.counts, self.bad = sums, counts, bad

    @classmethod
    def zero(cls, n: int) -> Totals:
        return cls([0.0] * n, [0.0] * n, [float(NEVER)] * n)

    def add(self, values: list[float], step: int) -> None:
        for i, value in enumerate(values):
            self.sums[i] += value
            self.counts[i] += 1
            if not isfinite(value):
                self.bad[i] = min(self.bad[i], step)


class Meter:
    """Means since the last reading, and for each value the first step at which it was not finite.

    Sums are added up in order and in float64, however often they are fetched, so that a resumed run reads the same.
    """

    def __init__(self) -> None:
        self._totals: dict[tuple[str, ...], Totals] = {}  # by the names that are read together
        self._waiting: dict[tuple[str, ...], list[tuple[int, Tensor]]] = {}  # steps, and values on the device

    def add(self, names: tuple[str, ...], values: Tensor, step: int) -> None:
        """Adds one reading `[names]`; it stays on the device, and is fetched every `KEPT` updates at the latest."""
        waiting = self._waiting.setdefault(names, [])
        waiting.append((step, values))
        if len(waiting) >= KEPT:
            self._fetch()

    def _fetch(self) -> None:
        """Adds up what waits on the device."""
        for names, waiting in self._waiting.items():
            totals = self._totals.setdefault(names, Totals.zero(len(names)))
            rows = torch.stack([values for _, values in waiting]).tolist()
            for (step, _), values in zip(waiting, rows, strict=True):
                totals.add(values, step)
        self._waiting = {}

    def means(self) -> dict[str, float]:
        """The mean of each value. Raises NonFinite, naming the earliest bad term and its step."""
        self._fetch()
        sums: dict[str, float] = {}
        counts: dict[str, float] = {}
        first: tuple[float, str] = (NEVER, "")
        for names, totals in self._totals.items():
            for name, value, count, step in zip(names, totals.sums, totals.counts, totals.bad, strict=True):
                sums[name] = sums.get(name, 0.0) + value
                counts[name] = counts.get(name, 0.0) + count
                first = min(first, (step, name))
        if first[0] < NEVER:
            raise NonFinite(f"{first[1]} became infinite or not a number at step {int(first[0])}")
        return {name: sums[name] / counts[name] for name in sums}

    def reset(self) -> None:
        self._totals, self._waiting = {}, {}

    def state_dict(self) -> dict[str, Any]:
        """By group: the names, and float64 `[names]` of sums, counts and first bad steps."""
        self._fetch()
        return {
            "groups": [
                (list(names), [torch.tensor(row, dtype=torch.float64) for row in (t.sums, t.counts, t.bad)])
                for names, t in self._totals.items()
            ]
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self._waiting = {}
        self._totals = {tuple(names): Totals(*(row.tolist() for row in rows)) for names, rows in state["groups"]}
