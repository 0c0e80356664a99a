"""The Fréchet step at 2048 dimensions against SciPy's matrix root, on features with a decaying spectrum."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from scipy import linalg

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import report, seconds

from gan_cli.metrics.frechet import frechet_distance
from gan_cli.metrics.moments import Gaussian, Moments

D = 2048


def features(n: int, seed: int, scale: float = 1.0) -> torch.Tensor:
    """Positive, correlated, like pooled ReLU features."""
    generator = torch.Generator().manual_seed(seed)
    mixing = torch.randn(D, D, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    mixing = mixing * torch.logspace(0, -2, D, dtype=torch.float64)
    return torch.relu(scale * torch.randn(n, D, generator=generator, dtype=torch.float64) @ mixing.T / 10 + 0.2)


def gaussian(rows: torch.Tensor) -> Gaussian:
    moments = Moments()
    moments.add(rows)
    return moments.finish()


def sqrtm_distance(a: Gaussian, b: Gaussian) -> float:
    """The usual route, as pytorch-fid and others take it."""
    s1, s2 = a.covariance.numpy(), b.covariance.numpy()
    root = linalg.sqrtm(s1 @ s2)
    difference = (a.mean - b.mean).numpy()
    return float(difference @ difference + np.trace(s1) + np.trace(s2) - 2 * np.trace(root.real))


def svd_distance(a: Gaussian, b: Gaussian) -> float:
    """The exact form: singular values of the product of the factors."""
    nuclear = torch.linalg.svdvals(a.factor.T @ b.factor).sum()
    return float((a.mean - b.mean).square().sum()) + a.trace + b.trace - 2 * float(nuclear)


def main() -> None:
    real, fake = gaussian(features(20_000, 0)), gaussian(features(10_000, 1, 1.05))
    factor, _ = seconds(lambda: gaussian_factor(real), 1)
    ours, value = seconds(lambda: frechet_distance(fake, real), 5)
    theirs, wanted = seconds(lambda: sqrtm_distance(fake, real), 2)
    exact = svd_distance(fake, real)
    report(
        "frechet",
        seconds=ours,
        seconds_sqrtm=theirs,
        times_faster=theirs / ours,
        seconds_reference_factor_once=factor,
        times_faster_with_factor=theirs / (ours + factor),
        value=value,
        relative_difference_sqrtm=abs(value - wanted) / wanted,
        relative_difference_svd=abs(value - exact) / exact,
        identical_20000=frechet_distance(real, gaussian(features(20_000, 0))),
    )
    for n in (100, 1000):
        few = gaussian(features(n, 2))
        time, value = seconds(lambda few=few: frechet_distance(few, real), 3)
        full = Gaussian(n, few.mean, covariance=few.covariance)
        exact = svd_distance(full, real)
        report("frechet_few", n=n, seconds=time, value=value, relative_difference_svd=abs(value - exact) / exact)
        same = gaussian(features(n, 2))
        report("frechet_identical", n=n, value=frechet_distance(few, same))


def gaussian_factor(gaussian: Gaussian) -> torch.Tensor:
    return gaussian.factor


if __name__ == "__main__":
    main()
