"""A fair part of a set: chosen by the samples' content, never by their names or order."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence

from torch import Tensor


def fair_part(digests: Sequence[bytes], labels: Sequence[int] | None, n: int) -> list[int]:
    """`n` of the samples, in their order: from each class those with the smallest digests, equally many from each.

    Args:
        digests: Of each sample's content.
        labels: Their classes; all one class when None.
    """
    order = sorted(range(len(digests)), key=lambda i: digests[i])
    taken: dict[int, int] = {}
    rank = [0] * len(order)
    for i in order:
        label = 0 if labels is None else labels[i]
        rank[i] = taken[label] = taken.get(label, -1) + 1
    return sorted(sorted(order, key=lambda i: rank[i])[:n])


def digests_of(images: Iterable[Tensor]) -> list[bytes]:
    """sha256 of each image's values."""
    return [hashlib.sha256(image.contiguous().numpy().tobytes()).digest() for image in images]


def told_apart(digests: Iterable[bytes]) -> list[bytes]:
    """Another digest for each that was there before: copies of one image are then no nearer to each other than images
    that differ, and the smallest digests are a fair part of a set with copies too."""
    seen: Counter[bytes] = Counter()
    found = []
    for digest in digests:
        before = seen[digest]
        seen[digest] += 1
        found.append(hashlib.sha256(digest + str(before).encode()).digest() if before else digest)
    return found
