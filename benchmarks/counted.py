"""What a piece of work costs apart from time: arithmetic and memory."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry


class Counted(TorchDispatchMode):
    """Adds up the arithmetic of products and convolutions, and finds the most bytes of tensors alive at once; those
    that are only read count too, from when they are first read.

    `FlopCounterMode` itself hooks modules, which gradients of gradients do not go with; its formulas are used here.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0
        self.now = self.peak = 0
        self._sizes: dict[int, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        made = func(*args, **kwargs)
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            self.flops += formula(*args, **kwargs, out_val=made)
        for value in tree_leaves((args, kwargs, made)):
            if isinstance(value, Tensor):
                self._note(value.untyped_storage())
        return made

    def _note(self, storage: torch.UntypedStorage) -> None:
        key = id(storage)  # torch keeps the object as long as the memory
        if key not in self._sizes:
            self._sizes[key] = storage.nbytes()
            self.now += self._sizes[key]
            self.peak = max(self.peak, self.now)
            weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self.now -= self._sizes.pop(key)


def cost(work: Callable[[], Any]) -> tuple[float, float]:
    """GFLOP and MiB."""
    with Counted() as counted:
        work()
    return counted.flops / 1e9, counted.peak / 2**20
