"""What a part computes of a whole batch, where several processes share it."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.overrides import handle_torch_function, has_torch_function

Rowwise = Callable[..., Tensor]  # (rows, ...) -> as many rows


def of_whole(compute: Rowwise, *rows: Tensor) -> Tensor:
    """`compute(*rows)`, or this process's rows of what it gives for the whole batch.

    Within a step that processes share, `gan_cli.training.as_one.AsOne` steps in: every process computes the same of
    the rows of all of them, in their order. What `compute` does to buffers is then the same in all. No gradient passes
    between processes, and nothing is to be drawn at random within it: draw a row for each row, and give it those.

    Args:
        rows: Tensors `[N, ...]` of this process's rows.
    """
    if has_torch_function(rows):
        whole: Tensor = handle_torch_function(of_whole, rows, compute, *rows)
        return whole
    return compute(*rows)
