"""Power-function profiles, and how averages with some of them make an average with another: post-hoc EMA (EDM2,
arXiv 2312.02696, section 3 and appendix C)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

ROUNDING = float(np.finfo(np.float32).eps)  # of stored weights, which a factor makes as much larger


@lru_cache(maxsize=4096)  # of as many widths as the checkpoints of a run hold
def exponent(width: float) -> float:
    """γ ≥ 0 of the profile whose standard deviation is `width`, as a fraction of its time: the largest root of
    (γ + 1) / ((γ + 2)² (γ + 3)) = width² (equations 123 and 126). The width is at most 12^-1/2, where γ = 0."""
    inverse = width**-2
    return float(max(np.roots([1, 7, 16 - inverse, 12 - inverse]).real))


class Profile(NamedTuple):
    """The weights p(τ) = (γ + 1) τ^γ / t^(γ + 1) on [0, t], of which an average was made; they add up to 1."""

    width: float  # the standard deviation of p, divided by t
    images: float  # t

    def inner(self, other: Profile) -> float:
        """∫ p q dτ = (γ + 1)(δ + 1) / (γ + δ + 1) · min(t, u)^(γ + δ + 1) / (t^(γ + 1) u^(δ + 1)) (equation 151).

        The powers are of min / max, which neither overflows nor loses digits.
        """
        first, last = sorted((self, other), key=lambda profile: profile.images)
        g, d = exponent(first.width), exponent(last.width)
        return (g + 1) * (d + 1) / (g + d + 1) * (first.images / last.images) ** d / last.images


def combination(kept: Sequence[Profile], wanted: Profile) -> tuple[list[float], float]:
    """The factors of the kept averages whose sum comes nearest to the wanted one, and how near it comes.

    The profile of the sum differs as little as possible from the wanted one in the mean square, where the factors add
    up to 1, so that what never changed stays as it is (the paper's algorithm 3 divides the factors by their sum, which
    comes a little less near). Rounding of the stored weights counts as a difference too, or averages of nearly the
    same times would be subtracted with large factors.

    Returns:
        One factor for each of `kept`, and ‖q - p‖ / ‖p‖ for the profiles q of the sum and p as wanted.
    """
    norms = np.sqrt([profile.inner(profile) for profile in kept])
    norm = math.sqrt(wanted.inner(wanted))
    gram = np.array([[a.inner(b) for b in kept] for a in kept]) / np.outer(norms, norms)
    target = np.array([profile.inner(wanted) for profile in kept]) / (norms * norm)
    sums = norm / norms  # ∫ of each normalised profile, in units of that of the wanted one
    free, along = np.linalg.solve(gram + ROUNDING**2 * np.eye(len(kept)), np.stack([target, sums], axis=1)).T
    factors = free + along * (1 - sums @ free) / (sums @ along)
    squared = 1 - 2 * factors @ target + factors @ gram @ factors
    return [float(x) for x in factors * sums], math.sqrt(max(0.0, float(squared)))
