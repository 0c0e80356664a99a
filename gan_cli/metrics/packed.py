"""Features of references, cached by content: what was measured, how, and with which weights; never by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_cli.metrics.features import Features
from gan_cli.metrics.moments import Gaussian
from gan_cli.metrics.store import Bookmark, Store, plain


@dataclass(frozen=True)
class FeatureCache:
    """The features in a folder; see `Store` for how they are kept."""

    folder: Path

    def get(self, facts: Mapping[str, Any], compute: Callable[[Bookmark], Features]) -> Features:
        """The features that `facts` describe, from the folder or computed: the same bits either way."""
        return unpack(Store(self.folder).get(facts, lambda bookmark: pack(compute(bookmark))))


def pack(features: Features) -> dict[str, Tensor]:
    """What is kept of them; not the images, nor the moments of tenths, since a reference is never jackknifed."""
    moments = features.moments
    tensors = {"n": torch.tensor(features.n), "mean": moments.mean}
    tensors |= {"thin": moments.thin} if moments.thin is not None else {"covariance": moments.covariance}
    if moments.thin is None:
        tensors["factor"] = moments.factor  # the expensive part of a Fréchet distance
    named = {
        "rows": features.rows,
        "logits": features.logits,
        "row_labels": features.row_labels,
        "logit_labels": features.logit_labels,
        "row_hashes": features.row_hashes,
    }
    return tensors | {name: tensor for name, tensor in named.items() if tensor is not None}


def unpack(tensors: Mapping[str, Tensor]) -> Features:
    n = int(tensors["n"])
    moments = Gaussian(n, tensors["mean"], covariance=tensors.get("covariance"), factor=tensors.get("thin"))
    if "factor" in tensors:
        moments.factor = tensors["factor"]
    return Features(
        n,
        moments,
        rows=tensors.get("rows"),
        logits=tensors.get("logits"),
        row_labels=tensors.get("row_labels"),
        logit_labels=tensors.get("logit_labels"),
        row_hashes=tensors.get("row_hashes"),
    )


def as_kept(features: Features) -> Features:
    """The features as a cache would return them, plus their images, which are never kept."""
    return replace(unpack(plain(pack(features))), row_images=features.row_images)
