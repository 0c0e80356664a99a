"""Plots of a run's numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gan_cli import pictures
from gan_cli.callbacks import Callback, Session
from gan_cli.store.rows import DRAWN, read_rows, sort_out
from gan_cli.store.run import Run
from gan_cli.types import PositiveInt


@pictures.freed
def plot(rows: Sequence[Mapping[str, Any]], names: Sequence[str], title: str, path: Path) -> None:
    """Lines of the named numbers over steps."""
    figure = pictures.new_figure(8, 4.5)
    axes = figure.add_subplot(title=title, xlabel="step")
    for name in names:
        points = [(row["step"], row[name]) for row in rows if name in row]
        line(axes, name, [step for step, _ in points], [value for _, value in points])
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small")
    pictures.save_figure(figure, path)


def line(axes: Any, name: str, steps: Sequence[int], values: Sequence[float]) -> None:
    """One number over steps, with a gap where it is infinite or too large for any scale."""
    shown = [value if abs(value) <= DRAWN else math.nan for value in values]
    axes.plot(steps, shown, label=name, linewidth=1.2, marker="." if len(steps) < 30 else None)


def plot_all(run: Run) -> list[Path]:
    """Draws losses.png, scores.png, and metrics.png if something was measured; returns what was drawn."""
    rows = read_rows(run.metrics)
    drawn = []
    for title, names in sort_out(name for row in rows for name in row).items():
        if names:
            drawn.append(run.plots / f"{title}.png")
            plot(rows, names, title, drawn[-1])
    return drawn


class Plots(Callback):
    """Redraws the plots from metrics.jsonl.

    Args:
        every_steps: Steps between two drawings; the last step also draws.
    """

    def __init__(self, every_steps: PositiveInt = 1000) -> None:
        self.every_steps = every_steps

    def on_step(self, session: Session) -> None:
        if session.clock.step % self.every_steps == 0:
            self.on_end(session, "")

    def on_end(self, session: Session, status: str) -> None:
        plot_all(session.run)
