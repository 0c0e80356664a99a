"""The messages between the processes of a run.

Rank 0 leads: between two steps it says what comes next, and the others follow. Gradients and readings are averaged in
flat buckets, running statistics in one message. Every function here does nothing, or what one process would do, where
there is only one. What a step computes of the whole batch: `gan_cli.training.as_one`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from enum import IntEnum
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor

from gan_cli.sampling import Blocks, Computed, Deal
from gan_cli.training.ranks import LOST
from gan_cli.training.runtime import out_of_memory

BUCKET = 2**23  # numbers sent in one message: 32 MiB of float32
MOST, DIMENSIONS = 4, 5  # tensors that are made of one block, and of each
TYPES = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.int64)


class Lost(RuntimeError):
    """Another process of this run has ended: what was to be done together cannot be."""


@contextmanager
def reached() -> Iterator[None]:
    """Raises Lost where a message does not arrive."""
    try:
        yield
    except RuntimeError as error:
        if out_of_memory(error):
            raise
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise Lost(f"{LOST} ({why})") from error


_APART = ContextVar("apart", default=False)


@contextmanager
def apart() -> Iterator[None]:
    """Within it this process computes by itself, as if it shared its run with nobody: before the others take part."""
    token = _APART.set(True)
    try:
        yield
    finally:
        _APART.reset(token)


def several() -> bool:
    """Whether this process shares its run with others."""
    return not _APART.get() and dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def share(tensors: Iterable[Tensor]) -> None:
    """Copies rank 0's values to all ranks: initial weights."""
    if several():
        with reached():
            for tensor in tensors:
                dist.broadcast(tensor.detach(), src=0)


def buckets(tensors: Iterable[Tensor], size: int = BUCKET) -> Iterator[list[Tensor]]:
    """Consecutive tensors of one type, as many as `size` numbers hold, at least one."""
    bucket: list[Tensor] = []
    for tensor in tensors:
        full = sum(t.numel() for t in bucket) + tensor.numel() > size
        if bucket and (full or tensor.dtype != bucket[0].dtype):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


@torch.no_grad()
def average(tensors: Iterable[Tensor]) -> None:
    """The mean over all ranks of each tensor, in place. While one bucket travels, the next is filled."""
    if not several():
        return
    world = dist.get_world_size()
    with reached():
        sent = []
        for bucket in buckets(tensors):
            flat = torch.cat([tensor.flatten() for tensor in bucket])
            sent.append((bucket, flat, dist.all_reduce(flat, async_op=True)))
        for bucket, flat, message in sent:
            message.wait()
            _spread(flat / world, bucket)


@torch.no_grad()
def settle(buffers: Iterable[Tensor]) -> None:
    """Running statistics after a step, in one message: means over all ranks, and rank 0's where they are whole numbers.

    In float64, so that what is equal in all ranks stays the same bit for bit.
    """
    kept = list(buffers) if several() else []
    if not kept:
        return
    world, leads = dist.get_world_size(), dist.get_rank() == 0
    flat = torch.cat([b.flatten().double() * (1 if b.is_floating_point() else world * leads) for b in kept])
    with reached():
        dist.all_reduce(flat)
    _spread(flat / world, kept)


def _spread(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    for tensor, piece in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(piece.view_as(tensor))


def gathered(rows: Tensor) -> Tensor:
    """The rows of all ranks, in their order: `[N, ...]` of each, `[world N, ...]` in each."""
    own = rows.detach().contiguous()
    pieces = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    with reached():
        dist.all_gather(pieces, own)
    return torch.cat(pieces)


class Word(IntEnum):
    """What rank 0 says comes next."""

    STEP = 0
    FINISH = 1
    STOP = 2
    DRAW = 3  # so many blocks of samples, together
    MEASURE = 4  # that part of a measurement, together


def _say(word: Word, number: int = 0) -> None:
    with reached():
        dist.broadcast(torch.tensor([word, number]), src=0)


def _hear() -> tuple[Word, int]:
    message = torch.zeros(2, dtype=torch.int64)
    with reached():
        dist.broadcast(message, src=0)
    word, number = message.tolist()
    return Word(word), number


def agreed(mine: Word, draw: Callable[[int], None], measure: Callable[[int], None]) -> Word:
    """What all do next: rank 0's word. Until it comes, the others do their part of what it asks for: to `draw` so many
    blocks of samples, or to `measure` that part."""
    if not several():
        return mine
    if dist.get_rank() == 0:
        _say(mine)
        return mine
    work = {Word.DRAW: draw, Word.MEASURE: measure}
    while (heard := _hear())[0] in work:
        word, number = heard
        work[word](number)
    return heard[0]


def told(text: str) -> str:
    """Rank 0's text, in every rank."""
    if not several():
        return text
    content = torch.frombuffer(bytearray(f" {text}".encode(errors="surrogateescape")), dtype=torch.uint8)
    size = torch.tensor(content.numel())
    with reached():
        dist.broadcast(size, src=0)
        if dist.get_rank() != 0:
            content = torch.zeros(int(size), dtype=torch.uint8)
        dist.broadcast(content, src=0)
    return bytes(content.tolist()).decode(errors="surrogateescape")[1:]


def drawn(compute: Callable[[int], Computed], count: int) -> Blocks:
    """What is computed of blocks 0 ... count - 1 of samples, in order, at rank 0: each rank computes every world-th."""
    return _led(Word.DRAW, count, compute, count)


def measured(part: int) -> Deal:
    """The same of a part of a measurement."""
    return partial(_led, Word.MEASURE, part)


def _led(word: Word, number: int, compute: Callable[[int], Computed], count: int) -> Blocks:
    if not several():
        yield from map(compute, range(count))
        return
    _say(word, number)
    found = _collected(compute, count)
    try:
        while (made := next(found, None)) is not None:
            yield made
    finally:
        for _ in found:  # the others send all, even if no more is wanted
            pass


def _collected(compute: Callable[[int], Computed], count: int) -> Blocks:
    world = dist.get_world_size()
    for first in range(0, count, world):
        yield compute(first)
        for rank in range(1, min(world, count - first)):
            yield _received(rank)


def contributed(compute: Callable[[int], Computed], count: int) -> Blocks:
    """Another rank's part in it: it sends every world-th to rank 0, and nothing comes out here."""
    for k in range(dist.get_rank(), count, dist.get_world_size()):
        _send(compute(k))
    yield from ()


def _send(tensors: Computed) -> None:
    """Sends rank 0 tensors of any shapes and types: first what they are, then their bytes, by way of the CPU."""
    heads = torch.zeros(MOST, 2 + DIMENSIONS, dtype=torch.int64)
    for head, tensor in zip(heads, tensors, strict=False):
        head[: 2 + tensor.ndim] = torch.tensor([TYPES.index(tensor.dtype), tensor.ndim, *tensor.shape])
    with reached():
        dist.send(torch.cat([torch.tensor([len(tensors)]), heads.flatten()]), dst=0)
        for tensor in tensors:
            if tensor.numel():
                dist.send(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8), dst=0)


def _received(rank: int) -> Computed:
    """What a rank sends."""
    message = torch.zeros(1 + MOST * (2 + DIMENSIONS), dtype=torch.int64)
    with reached():
        dist.recv(message, src=rank)
        found = []
        for kind, ndim, *shape in message[1:].view(MOST, -1)[: int(message[0])].tolist():
            tensor = torch.empty(shape[:ndim], dtype=TYPES[kind])
            if tensor.numel():
                dist.recv(tensor.view(-1).view(torch.uint8), src=rank)
            found.append(tensor)
    return tuple(found)
