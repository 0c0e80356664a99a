"""Randomness as a function of what it is for: (seed, rank, step), (seed, block of samples), (seed, epoch)."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor


def mix(*parts: int | str) -> int:
    """One 63-bit seed from several; different parts, or another order, give unrelated seeds."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


@cache
def _torch_seeder() -> Callable[[int], Any]:
    """Seeds torch's global generators. Without an accelerator there is the processor's alone; `torch.manual_seed` would
    note down at every call, with a traceback, what is to be done should one appear.
    """
    return torch.manual_seed if torch.accelerator.is_available() else torch.default_generator.manual_seed


def reseed(*parts: int | str) -> None:
    """Seeds every global generator that a network, a prior or an augmentation may draw from."""
    seed = mix(*parts)
    _torch_seeder()(seed)
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)


def kept(device: torch.device) -> AbstractContextManager[None]:
    """Within it torch's global generators may be seeded and drawn from; afterwards those of the processor and of the
    device are as they were."""
    found: AbstractContextManager[None] = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
    return found


def generator(*parts: int | str, device: torch.device | str = "cpu") -> torch.Generator:
    """A separate generator, which neither reads nor advances the global ones."""
    return torch.Generator(device).manual_seed(mix(*parts))


def dealt(draw: Callable[[int], Tensor], rows: int, rank: int, world: int) -> Tensor:
    """Rank `rank`'s `rows` of what `draw` gives for all of them: the same numbers, however many share them."""
    return draw(world * rows)[rank * rows : (rank + 1) * rows]
