"""A step of several processes computed as one process would compute it.

Draws for a batch are made for the whole batch, and each rank takes its rows; what a part computes of the whole batch
(`gan_cli.whole`), each rank computes of the rows of all; batch norm may use the statistics of all ranks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gan_cli import rng
from gan_cli.training.together import gathered, reached, several
from gan_cli.whole import Rowwise, of_whole

LARGEST = 2**22  # numbers drawn at most by every rank for the whole batch: milliseconds, whatever the number of ranks
SIZED = {torch.rand: 0, torch.randn: 0, torch.randint: 1}  # -> the fewest arguments before the size
LIKE = {torch.rand_like: torch.rand, torch.randn_like: torch.randn}


class AsOne(TorchFunctionMode):
    """Within it, what a part draws for each row of its share of a batch are rows of what one process would draw.

    Every rank draws for the whole batch, from one seed, and takes its rows; parts, also those of users, need not know.
    So it is with what is drawn for real samples and fakes in turns, two to a row (`gan_cli.games.judging.together`).
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
        if func in LIKE and len(args) == 1 and self._for_rows(args[0].shape):
            example = args[0]
            settings = {"dtype": example.dtype, "device": example.device, **settings}
            func, args = LIKE[func], (tuple(example.shape),)
        if func in SIZED and settings.get("generator") is None:
            before, size = _size_of(SIZED[func], args, settings)
            if self._for_rows(size) and self.world * torch.Size(size).numel() <= LARGEST:
                settings.pop("size", None)
                source = self._source(settings.get("device"))
                whole = func(*before, (self.world * size[0], *size[1:]), generator=source, **settings)
                return whole[self.rank * size[0] : (self.rank + 1) * size[0]].clone()
        return func(*args, **settings)

    def _for_rows(self, size: Sequence[int]) -> bool:
        """Whether a draw of this size has one for each row, or two."""
        return bool(size) and size[0] in (self.rows, 2 * self.rows)

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
        with reached():
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
