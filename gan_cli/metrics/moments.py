"""Mean and covariance of features, in one pass, in float64, in memory that does not grow with the samples."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor


class Moments:
    """Accumulates features `[n, F]`.

    Up to F rows are kept as they are, for then they are the smaller and the exact description; beyond that they are
    folded into sums around the first rows' mean, which keeps float64 accurate however far the mean is from zero.
    """

    def __init__(self) -> None:
        self.n = 0
        self._rows: list[Tensor] = []
        self._shift: Tensor | None = None
        self._sum: Tensor | None = None
        self._outer: Tensor | None = None

    def add(self, features: Tensor) -> None:
        features = features.double()
        self.n += len(features)
        self._rows.append(features)
        if self.n > features.shape[1] or self._outer is not None:
            self._fold()

    def _fold(self) -> None:
        rows = torch.cat(self._rows)
        self._rows = []
        if self._shift is None:
            self._shift = rows.mean(0)
            self._sum = torch.zeros_like(self._shift)
            self._outer = rows.new_zeros(rows.shape[1], rows.shape[1])
        assert self._sum is not None
        assert self._outer is not None
        centred = rows - self._shift
        self._sum += centred.sum(0)
        self._outer.addmm_(centred.T, centred)

    def finish(self) -> Gaussian:
        """The Gaussian with these moments. Raises ValueError below 2 samples."""
        if self.n < 2:
            raise ValueError(f"{self.n} samples have no covariance: give at least 2")
        if self._outer is None:
            rows = torch.cat(self._rows)
            mean = rows.mean(0)
            return Gaussian(self.n, mean, factor=((rows - mean) / (self.n - 1) ** 0.5).T)
        assert self._shift is not None
        assert self._sum is not None
        offset = self._sum / self.n
        covariance = (self._outer - self.n * torch.outer(offset, offset)) / (self.n - 1)
        return Gaussian(self.n, self._shift + offset, covariance=covariance)


class Gaussian:
    """A mean `[F]` and a covariance `[F, F]`, given whole or by a thin factor: covariance = factor · factorᵀ."""

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
        """`[F, r]`; the thin one, or the symmetric square root's columns."""
        if self.thin is not None:
            return self.thin
        values, vectors = torch.linalg.eigh(self.covariance)
        return vectors * values.clamp_min(0).sqrt()

    @cached_property
    def trace(self) -> float:
        return float(self.thin.square().sum() if self.thin is not None else self.covariance.trace())
