"""What drawing leaves behind: nothing."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from matplotlib.figure import Figure

from gan_cli import pictures
from gan_cli.callbacks.plots import plot

ROWS = [{"step": i, "loss": 0.1 * i} for i in range(5)]
DRAWN: dict[str, Callable[[Path], object]] = {
    "plot": lambda path: plot(ROWS, ["loss"], "losses", path),
    "scatter": lambda path: pictures.scatter(torch.rand(9, 2), torch.rand(9, 2)),
    "histogram": lambda path: pictures.scatter(torch.rand(9, 1)),
}


@pytest.fixture
def uncollected() -> Iterator[None]:
    """Python does not look for garbage by itself."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("uncollected")
@pytest.mark.parametrize("what", DRAWN)
def test_a_figure_is_freed_when_it_is_drawn(here: Path, what: str) -> None:
    """Its parts refer to each other, so that they would stay until Python looks through everything."""
    alive = {id(one) for one in gc.get_objects() if isinstance(one, Figure)}
    DRAWN[what](here / "plots" / "it.png")
    assert not [one for one in gc.get_objects() if isinstance(one, Figure) and id(one) not in alive]
    assert not gc.isenabled()
