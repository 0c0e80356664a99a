"""What the processes of a run do together, so that N of them compute what one would.

Rank 0 leads: between two steps it says what comes next, and the others follow. Gradients and readings are averaged in
flat buckets, running statistics in one message. Draws for a batch are made for the whole batch, and each rank takes its
rows; what a part computes of the whole batch (`gan_cli.whole`), each rank computes of the rows of all. Every function
here does nothing, or what one process would do, where there is only one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from enum import IntEnum
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gan_cli import rng
from gan_cli.training.ranks import LOST
from gan_cli.whole import Rowwise, of_whole

BUCKET = 2**23  # numbers sent in one message: 32 MiB of float32
LARGEST = 2**22  # numbers drawn at most by every rank for the whole batch: milliseconds, whatever the number of ranks


class Lost(RuntimeError):
    """Another process of this run has ended: what was to be done together cannot be."""


@contextmanager
def _reached() -> Iterator[None]:
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
        with _reached():
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
    with _reached():
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
    with _reached():
        dist.all_reduce(flat)
    _spread(flat / world, kept)


def _spread(flat: Tensor, tensors: Sequence[Tensor]) -> None:
    for tensor, piece in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(piece.view_as(tensor))


def gathered(rows: Tensor) -> Tensor:
    """The rows of all ranks, in their order: `[N, ...]` of each, `[world N, ...]` in each."""
    own = rows.detach().contiguous()
    pieces = [torch.empty_like(own) for _ in range(dist.get_world_size())]
    with _reached():
        dist.all_gather(pieces, own)
    return torch.cat(pieces)


class Word(IntEnum):
    """What rank 0 says comes next."""

    STEP = 0
    FINISH = 1
    STOP = 2
    DRAW = 3  # so many blocks of samples, together
    GIVEN = 4  # images of so many sides follow, from which the next blocks are drawn


def _say(word: Word, count: int = 0) -> None:
    with _reached():
        dist.broadcast(torch.tensor([word, count]), src=0)


def _hear() -> tuple[Word, int]:
    message = torch.zeros(2, dtype=torch.int64)
    with _reached():
        dist.broadcast(message, src=0)
    word, count = message.tolist()
    return Word(word), count


def offered(given: Tensor) -> None:
    """Gives all ranks the images, at rank 0, from which the next blocks of samples are drawn: float32, on the CPU."""
    if several():
        _say(Word.GIVEN, given.ndim)
        with _reached():
            dist.broadcast(torch.tensor(given.shape), src=0)
            dist.broadcast(given.contiguous(), src=0)


def _taken(sides: int) -> Tensor:
    """What rank 0 offers."""
    shape = torch.zeros(sides, dtype=torch.int64)
    with _reached():
        dist.broadcast(shape, src=0)
        given = torch.empty(shape.tolist())
        dist.broadcast(given, src=0)
    return given


def agreed(mine: Word, draw: Callable[[int, Tensor | None], None]) -> Word:
    """What all do next: rank 0's word. Until it comes, the others `draw` the blocks of samples that it asks for, of the
    images that it offers, or else of their own."""
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
    with _reached():
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
        with _reached():
            dist.gather(own, blocks, dst=0)
        yield from blocks or ()


SIZED = {torch.rand: 0, torch.randn: 0, torch.randint: 1}  # -> the fewest arguments before the size
LIKE = {torch.rand_like: torch.rand, torch.randn_like: torch.randn}


class AsOne(TorchFunctionMode):
    """Within it, what a part draws for each row of its share of a batch are rows of what one process would draw.

    Every rank draws for the whole batch, from one seed, and takes its rows; parts, also those of users, need not know.
    What a part computes by `of_whole`, every rank computes of the rows of all, and takes its own.
    Draws from a generator, of other sizes, or of more than `LARGEST` numbers in all remain each rank's own, as do the
    masks of dropout.

    Args:
        rows: Those of this rank's share, or of one of its micro-batches.
        seed: Of this step, the same in all ranks.
        synchronised: Batch norm uses the mean and the variance of all ranks.
    """

    def __init__(self, rank: int, world: int, rows: int, seed: int, synchronised: bool) -> None:
        super().__init__()
        self.rank, self.world, self.rows, self.seed = rank, world, rows, seed
        self.synchronised = synchronised
        self.sources: dict[torch.device, torch.Generator] = {}

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        settings = dict(kwargs or {})
        if func is of_whole:
            return self._of_whole(*args)
        if func is F.batch_norm and self.synchronised:
            return batch_norm(*args, **settings)
        if func in LIKE and len(args) == 1 and len(args[0]) == self.rows:
            example = args[0]
            settings = {"dtype": example.dtype, "device": example.device, **settings}
            func, args = LIKE[func], (tuple(example.shape),)
        if func in SIZED and settings.get("generator") is None:
            before, size = _size_of(SIZED[func], args, settings)
            if size and size[0] == self.rows and self.world * torch.Size(size).numel() <= LARGEST:
                settings.pop("size", None)
                source = self._source(settings.get("device"))
                whole = func(*before, (self.world * self.rows, *size[1:]), generator=source, **settings)
                return whole[self.rank * self.rows : (self.rank + 1) * self.rows].clone()
        return func(*args, **settings)

    def _of_whole(self, compute: Rowwise, *rows: Tensor) -> Tensor:
        """This rank's rows of what `compute` gives for those of all ranks."""
        whole = compute(*map(gathered, rows))
        return whole.tensor_split(self.world)[self.rank].clone()

    def _source(self, device: Any) -> torch.Generator:
        place = torch.get_default_device() if device is None else torch.device(device)
        if place not in self.sources:
            self.sources[place] = torch.Generator(place).manual_seed(self.seed)
        return self.sources[place]


def _size_of(fewest: int, args: Sequence[Any], settings: dict[str, Any]) -> tuple[Sequence[Any], Sequence[int]]:
    """The arguments before the size, and the size: `rand(n, 2)`, `rand((n, 2))`, `randint(9, (n,))`, or `size=`."""
    if "size" in settings:
        return args, settings["size"]
    if args and isinstance(args[-1], list | tuple):
        return args[:-1], args[-1]
    return args[:fewest], args[fewest:]


def as_one(seed: int, step: int, rows: int, synchronised: bool) -> AbstractContextManager:
    """`AsOne` for a step, where there are several processes."""
    if not several():
        return nullcontext()
    return AsOne(dist.get_rank(), dist.get_world_size(), rows, rng.mix(seed, 0, step), synchronised)


class Total(torch.autograd.Function):
    """The sum over all ranks. Every rank's result depends on every rank's value, so gradients are summed likewise."""

    @staticmethod
    def forward(context: Any, value: Tensor) -> Tensor:
        total = value.detach().clone()
        with _reached():
            dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Any:
        return Total.apply(gradients[0].contiguous())


def batch_norm(
    values: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Batch norm with the mean and variance of all ranks' samples; twice differentiable, so that penalties may be used.

    With mₖ and vₖ those of rank k: m = mean of mₖ, v = mean of vₖ + (mₖ - m)².
    """
    if not training:
        return F.batch_norm(values, running_mean, running_var, weight, bias, False, momentum, eps)
    world = dist.get_world_size()
    axes = [0, *range(2, values.ndim)]
    own_var, own_mean = torch.var_mean(values.float(), axes, correction=0)
    mean = Total.apply(own_mean) / world
    var = Total.apply(own_var + (own_mean - mean).square()) / world
    n = world * values.numel() // values.shape[1]
    with torch.no_grad():
        for running, now in ((running_mean, mean), (running_var, var * n / max(n - 1, 1))):
            if running is not None:
                running.lerp_(now.to(running.dtype), momentum)
    shape = (1, -1, *[1] * (values.ndim - 2))
    out = (values - mean.view(shape)) * (var.view(shape) + eps).rsqrt()
    if weight is not None:
        out = out * weight.view(shape)
    if bias is not None:
        out = out + bias.view(shape)
    return out.to(values.dtype)
