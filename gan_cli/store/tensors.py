"""Checks of tensors from files that somebody else may have written: plain, complete and finite."""

from __future__ import annotations

import torch
from torch import Tensor


def flaw(tensor: Tensor, finite: bool = True) -> str | None:
    """What is wrong with a tensor from a file; None for a plain one that holds as many numbers as it declares, all
    finite if `finite` (else they may be infinite, but not NaN)."""
    if type(tensor) not in (Tensor, torch.nn.Parameter) or tensor.layout != torch.strided or tensor.is_quantized:
        return "is not a plain tensor"
    if tensor.device.type != "cpu" or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return "declares more numbers than it holds"
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return None
    # A sum is much quicker than a look at each number: anything non-finite makes it so, but it may also overflow.
    if bool(tensor.detach().sum(dtype=torch.float64 if tensor.is_floating_point() else None).isfinite()):
        return None
    if bool(tensor.isfinite().all() if finite else ~tensor.isnan().any()):
        return None
    return "holds numbers that are infinite or not a number" if finite else "holds what is not a number"
