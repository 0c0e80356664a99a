"""Mean and covariance of features, in one pass, in float64, in memory that does not grow with the samples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from gan_cli.errors import NotMeasurable, two_lines

FOLD = 512  # rows gathered before one matrix product adds them


class Moments:
    """Accumulates features `[n, F]`.

    Up to F rows are kept unchanged, since they are then the smaller description, and an exact one; beyond that they are
    folded into sums around the first rows' mean, which keeps float64 accurate however far the mean is from zero.
    They are folded in chunks of one size, so that the same rows give the same bits however they are batched.
    """

    def __init__(self) -> None:
        self.n = 0
        self._rows: list[Tensor] = []
        self._waiting = 0
        self._shift: Tensor | None = None
        self._sum = torch.empty(0)
        self._outer = torch.empty(0)

    def add(self, features: Tensor) -> None:
        """Adds any number of rows, including none."""
        if not len(features):
            return
        self.n += len(features)
        self._waiting += len(features)
        self._rows.append(features.double())
        if self._waiting >= self._piece(features.shape[1]):
            self._fold_pieces(features.shape[1])

    def _piece(self, width: int) -> int:
        """How many rows the next fold takes."""
        return width + 1 if self._shift is None else FOLD

    def _fold_pieces(self, width: int) -> None:
        rows = torch.cat(self._rows)
        while len(rows) >= (size := self._piece(width)):
            self._fold(rows[:size])
            rows = rows[size:]
        self._rows, self._waiting = [rows], len(rows)

    def _fold(self, rows: Tensor) -> None:
        if self._shift is None:
            self._shift = rows.mean(0)
            self._sum = torch.zeros_like(self._shift)
            self._outer = rows.new_zeros(rows.shape[1], rows.shape[1])
        centred = rows - self._shift
        self._sum += centred.sum(0)
        self._outer.addmm_(centred.T, centred)

    def finish(self) -> Gaussian:
        """The Gaussian with these moments. Raises NotMeasurable below 2 samples."""
        if self.n < 2:
            raise NotMeasurable(two_lines(f"{self.n} samples have no covariance", "give at least 2"))
        if self._shift is None:
            rows = _in_one_order(torch.cat(self._rows))
            mean = rows.mean(0)
            return Gaussian(self.n, mean, factor=((rows - mean) / (self.n - 1) ** 0.5).T)
        if self._waiting:
            self._fold(torch.cat(self._rows))
            self._rows, self._waiting = [], 0
        offset = self._sum / self.n
        covariance = (self._outer - self.n * torch.outer(offset, offset)) / (self.n - 1)
        return Gaussian(self.n, self._shift + offset, covariance=covariance)

    def state(self) -> dict[str, Any]:
        """What was added so far; an empty accumulator continues from there, bit for bit, by `load`."""
        rows = torch.cat(self._rows) if self._rows else None
        return {"n": self.n, "rows": rows, "shift": self._shift, "sum": self._sum, "outer": self._outer}

    def load(self, state: Mapping[str, Any]) -> None:
        self.n, self._shift, self._sum, self._outer = (state[key] for key in ("n", "shift", "sum", "outer"))
        self._rows = [] if state["rows"] is None else [state["rows"]]
        self._waiting = sum(len(rows) for rows in self._rows)

    @property
    def raw_rows(self) -> Tensor | None:
        """All rows, while they are still kept unchanged."""
        return torch.cat(self._rows) if self._shift is None and self._rows else None


def _in_one_order(rows: Tensor) -> Tensor:
    """The rows ordered by a hash, so that for few samples not even the last digit depends on the order of arrival."""
    hashes = [hashlib.blake2b(row.tobytes(), digest_size=16).digest() for row in rows.numpy()]
    return rows[sorted(range(len(hashes)), key=hashes.__getitem__)]


def pooled(parts: Sequence[Moments]) -> Gaussian:
    """The Gaussian of all samples together, from those of disjoint parts."""
    rows = [part.raw_rows for part in parts]
    kept = [r for r in rows if r is not None]
    if len(kept) == len(parts):
        total = Moments()
        total.add(torch.cat(kept))
        return total.finish()
    return combined([part.finish() for part in parts if part.n > 1])


def combined(parts: Sequence[Gaussian]) -> Gaussian:
    """The Gaussian of the union of disjoint sets (the law of total covariance, with n - 1)."""
    n = sum(part.n for part in parts)
    mean = torch.stack([part.n * part.mean for part in parts]).sum(0) / n
    scatter = torch.zeros(len(mean), len(mean), dtype=mean.dtype)
    for part in parts:
        offset = part.mean - mean
        scatter += (part.n - 1) * part.covariance + part.n * torch.outer(offset, offset)
    return Gaussian(n, mean, covariance=scatter / (n - 1))


def leaving_out(whole: Gaussian, groups: int) -> Iterator[Gaussian]:
    """What remains of a few samples, whose thin factor still has a column of each, without each group in turn."""
    assert whole.thin is not None
    rows = whole.thin.T * (whole.n - 1) ** 0.5  # around the mean
    for group in range(groups):
        left = rows[torch.arange(whole.n) % groups != group]
        offset = left.mean(0)
        yield Gaussian(len(left), whole.mean + offset, factor=((left - offset) / (len(left) - 1) ** 0.5).T)


def without(whole: Gaussian, part: Gaussian) -> Gaussian:
    """The Gaussian of what remains of a set when a part is removed."""
    n = whole.n - part.n
    mean = (whole.n * whole.mean - part.n * part.mean) / n
    to_whole, to_part = mean - whole.mean, part.mean - whole.mean
    scatter = (whole.n - 1) * whole.covariance - (part.n - 1) * part.covariance
    scatter -= n * torch.outer(to_whole, to_whole) + part.n * torch.outer(to_part, to_part)
    return Gaussian(n, mean, covariance=scatter / (n - 1))


class Gaussian:
    """A mean `[F]` and a covariance `[F, F]`, given in full or by a thin factor: covariance = factor · factorᵀ."""

    def __init__(self, n: int, mean: Tensor, *, covariance: Tensor | None = None, factor: Tensor | None = None) -> None:
        self.n = n
        self.mean = mean
        self.thin = factor
        self._covariance = covariance

    @cached_property
    def covariance(self) -> Tensor:
        if self._covariance is not None:
            return self._covariance
        assert self.thin is not None
        return self.thin @ self.thin.T

    @cached_property
    def factor(self) -> Tensor:
        """`[F, r]`; the thin one, or the eigenvectors scaled by the square roots of their eigenvalues."""
        if self.thin is not None:
            return self.thin
        values, vectors = torch.linalg.eigh(self.covariance)
        return vectors * values.clamp_min(0).sqrt()

    @cached_property
    def trace(self) -> float:
        return float(self.thin.square().sum() if self.thin is not None else self.covariance.trace())
