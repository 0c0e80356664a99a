"""The Fréchet distance of two Gaussians (Dowson and Landau 1982; FID: Heusel 2017, arXiv 1706.08500, equation 6).

    d² = ‖μ₁ - μ₂‖² + tr Σ₁ + tr Σ₂ - 2 tr (Σ₁Σ₂)^½

With Σᵢ = FᵢFᵢᵀ the last trace is the nuclear norm of F₁ᵀF₂: real arithmetic only, nothing added to the diagonal.
"""

from __future__ import annotations

import torch

from gan_cli.metrics.moments import Gaussian


def nuclear_norm(a: Gaussian, b: Gaussian) -> float:
    """tr (Σ₁Σ₂)^½."""
    if a.thin is not None or b.thin is not None:
        return float(torch.linalg.svdvals(a.factor.T @ b.factor).sum())
    # Both are full: the eigenvalues of FᵀΣF are the squares of those singular values, and much cheaper.
    product = b.factor.T @ a.covariance @ b.factor
    return float(torch.linalg.eigvalsh((product + product.T) / 2).clamp_min(0).sqrt().sum())


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """d² in the squared units of the features."""
    return float((a.mean - b.mean).square().sum()) + a.trace + b.trace - 2 * nuclear_norm(a, b)
