"""Tensors out of files that somebody else wrote: plain, whole and of finite numbers."""

from __future__ import annotations

import torch
from torch import Tensor


def flaw(tensor: Tensor, finite: bool = True) -> str | None:
    """What is wrong with a tensor out of a file; None for a plain one of the size that it says, and of finite numbers
    where they have to be (else infinite ones may be among them, but nothing that is no number)."""
    if type(tensor) not in (Tensor, torch.nn.Parameter) or tensor.layout != torch.strided or tensor.is_quantized:
        return "is no plain tensor"
    if tensor.device.type != "cpu" or tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return "declares more numbers than it holds"
    if not (tensor.is_floating_point() or tensor.is_complex()):
        return None
    # A sum is much quicker than a look at each number; what is not finite makes it so too, and it may overflow.
    if bool(tensor.detach().sum(dtype=torch.float64 if tensor.is_floating_point() else None).isfinite()):
        return None
    if bool(tensor.isfinite().all() if finite else ~tensor.isnan().any()):
        return None
    return "holds numbers that are infinite or not a number" if finite else "holds what is not a number"
