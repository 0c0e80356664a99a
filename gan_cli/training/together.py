"""The messages between the processes of a run.

Rank 0 leads: between two steps it says what comes next, and the others follow. Gradients and readings are averaged in
flat buckets, running statistics in one message. Every function here does nothing, or what one process would do, where
there is only one. What a step computes of the whole batch: `gan_cli.training.as_one`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum

import torch
import torch.distributed as dist
from torch import Tensor

from gan_cli.training.ranks import LOST

BUCKET = 2**23  # numbers sent in one message: 32 MiB of float32


class Lost(RuntimeError):
    """Another process of this run has ended: what was to be done together cannot be."""


@contextmanager
def reached() -> Iterator[None]:
    """Raises Lost where a message does not arrive."""
    try:
        yield
    except RuntimeError as error:
        raise Lost(LOST) from error


def several() -> bool:
    """Whether this process shares its run with others."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


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
    GIVEN = 4  # images of so many dimensions follow, for the next blocks to be drawn from


def _say(word: Word, count: int = 0) -> None:
    with reached():
        dist.broadcast(torch.tensor([word, count]), src=0)


def _hear() -> tuple[Word, int]:
    message = torch.zeros(2, dtype=torch.int64)
    with reached():
        dist.broadcast(message, src=0)
    word, count = message.tolist()
    return Word(word), count


def offered(given: Tensor) -> None:
    """Sends all ranks the images, float32 on the CPU, that the next blocks of samples are drawn from. For rank 0."""
    if several():
        _say(Word.GIVEN, given.ndim)
        with reached():
            dist.broadcast(torch.tensor(given.shape), src=0)
            dist.broadcast(given.contiguous(), src=0)


def _taken(dimensions: int) -> Tensor:
    """What rank 0 offers."""
    shape = torch.zeros(dimensions, dtype=torch.int64)
    with reached():
        dist.broadcast(shape, src=0)
        given = torch.empty(shape.tolist())
        dist.broadcast(given, src=0)
    return given


def agreed(mine: Word, draw: Callable[[int, Tensor | None], None]) -> Word:
    """What all do next: rank 0's word. Until it comes, the others `draw` the blocks of samples that it asks for, from
    the images that it offered, if it offered any."""
    if not several():
        return mine
    if dist.get_rank() == 0:
        _say(mine)
        return mine
    given: Tensor | None = None
    while (heard := _hear())[0] in (Word.DRAW, Word.GIVEN):
        word, count = heard
        if word is Word.GIVEN:
            given = _taken(count)
        else:
            draw(count, given)
            given = None
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


Compute = Callable[[int], Tensor]  # block k


def dealt(compute: Compute, count: int) -> Iterator[Tensor]:
    """Blocks 0 ... count - 1 in order, at rank 0: each rank computes every world-th. To be read to the end."""
    if not several():
        yield from map(compute, range(count))
        return
    _say(Word.DRAW, count)
    for k, block in enumerate(contributed(compute, count)):
        if k < count:
            yield block


def contributed(compute: Compute, count: int) -> Iterator[Tensor]:
    """This rank's part in `dealt`: at rank 0 all blocks come out, at the others none.

    In the last round every rank computes a block, needed or not, so that all send as much.
    """
    rank, world = dist.get_rank(), dist.get_world_size()
    for first in range(0, count, world):
        own = compute(first + rank).contiguous()
        blocks = [torch.empty_like(own) for _ in range(world)] if rank == 0 else None
        with reached():
            dist.gather(own, blocks, dst=0)
        yield from blocks or ()
