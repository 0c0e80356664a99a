"""Bounds on what may be allocated while a game is built from a stranger's config."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

FACTORIES = {torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.eye}


class Modest(TorchFunctionMode):
    """While active, no tensor of more than `most` numbers is made, and at most `parameters` parameters are registered,
    with twice `most` numbers in all; asking for more raises `refusal`, before any memory is touched."""

    def __init__(self, most: int, parameters: int, refusal: Exception) -> None:
        super().__init__()
        self.most, self.parameters, self.refusal = most, parameters, refusal
        self.left = 2 * most  # a parametrized weight is registered twice

    def __torch_function__(self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Any = None) -> Any:
        if func in FACTORIES and args:
            size = args[0] if isinstance(args[0], Sequence) else args
            if math.prod(side for side in size if isinstance(side, int)) > self.most:
                raise self.refusal
        return func(*args, **(kwargs or {}))

    def register(self, module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        self.parameters -= 1
        self.left -= 0 if parameter is None else parameter.numel()
        if self.parameters < 0 or self.left < 0:
            raise self.refusal

    def __enter__(self) -> Self:
        self.watching = register_module_parameter_registration_hook(self.register)
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.watching.remove()
