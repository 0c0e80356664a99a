"""What the time of a step is spent on: the trainer names each stretch, and whoever watches is told."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

from gan_cli.types import Batch, Outcome, Phase

Span = Callable[[str], AbstractContextManager[Any]]  # the name of a stretch -> what it is entered and left by
Execute = Callable[[Phase, Batch, int], Outcome]
_NOTHING = nullcontext()


def unwatched(name: str) -> AbstractContextManager[Any]:
    """Nobody is told."""
    return _NOTHING


def watched(execute: Execute, span: Span) -> Execute:
    """The same execution; `span` is told of its passes forward and backward."""

    def told(phase: Phase, batch: Batch, update: int) -> Outcome:
        def objective(batch: Batch, update: int) -> Outcome:
            with span(f"{phase.player}: forward"):
                return phase.objective(batch, update)

        with span(f"{phase.player}: backward"):  # less what is told of inside it
            return execute(replace(phase, objective=objective), batch, update)

    return told
