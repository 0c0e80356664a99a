"""What is said where a part breaks its contract: what was expected, what it gave, and what may help."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from torch import Tensor

from gan_cli.errors import Incompatible, Refused, TooFew, two_lines

T = TypeVar("T")
ONE_VALUE = "Expected more than 1 value per channel"  # torch's message from batch norm
NO_MEMORY = ("out of memory", "alloc")  # torch's messages
FAULTS = (TypeError, ValueError, RuntimeError, LookupError, AttributeError, AssertionError)  # of somebody's code


def named(shape: Sequence[int]) -> str:
    """Samples of `shape`, as described in a message."""
    sizes = ", ".join(map(str, ("N", *shape)))
    return f"images [{sizes}] in [-1, 1]" if len(shape) == 3 else f"points [{sizes}]"


def shown(value: object) -> str:
    """A value, as described in a message."""
    if isinstance(value, Tensor):
        return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
    return "None" if value is None else f"a {type(value).__name__}"


def first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class Contract:
    """One part's contract, in words; a breach raises Incompatible."""

    def __init__(self, name: str, words: str, remedy: str, n: int) -> None:
        self.name, self.words, self.remedy, self.n = name, words, remedy, n

    def breach(self, how: str) -> Incompatible:
        return Incompatible(f"{self.name}: {self.words} is expected; for N = {self.n} {how}\n  {self.remedy}")

    def explained(self, error: Exception) -> Exception:
        """What to raise for an error of the part; the error itself where memory ran out."""
        if any(words in str(error) for words in NO_MEMORY):
            return error
        if ONE_VALUE in str(error):
            what = f"batch norm in {self.name} cannot work with {self.n} samples at once"
            return TooFew(two_lines(what, "use more, or another norm than batch"))
        return self.breach(f"it failed: {first_line(error)}")

    def ask(self, question: Callable[[], T]) -> T:
        """The part's answer. Raises Incompatible for its errors, except when memory runs out."""
        try:
            return question()
        except Refused:
            raise
        except FAULTS as error:
            raise self.explained(error) from error

    def check(self, how: str) -> None:
        """Raises Incompatible where there is something to say."""
        if how:
            raise self.breach(how)


def wrong(value: object, fits: Callable[[Tensor], bool], follows: bool, what: str = "it gave") -> str:
    """What is wrong with numbers that should be float32, of a shape that fits, finite, and, where they follow from what
    has a gradient, have one too; empty if nothing is."""
    if not isinstance(value, Tensor) or value.dtype != torch.float32 or not fits(value):
        return f"{what} {shown(value)}"
    if not value.isfinite().all():
        return f"{what} numbers that are infinite or none, in {shown(value)}"
    if follows and not value.requires_grad:
        return f"{what} numbers without a gradient, which detach, no_grad, item, numpy or a comparison cuts off"
    return ""
