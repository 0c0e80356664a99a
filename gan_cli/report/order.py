"""The order of a sweep's choices, as the page shows it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from gan_cli.errors import DataError, NotComparable
from gan_cli.evaluation.comparison import shown
from gan_cli.sweeps import conclusion, ranking
from gan_cli.sweeps.folder import Sweep
from gan_cli.sweeps.sides import jobs_of


@dataclass(frozen=True)
class Order:
    """A sweep's table.

    Attributes:
        name: The sweep's.
        metrics: The headings of its numbers; it is ordered by the first.
        rows: The words of a choice, its numbers, and its verdict against the first row.
        best: The best run, its score, and the command that repeats it.
        trained: Whether the scores were taken while training.
        without: Runs that have no score.
        note: Why there is no table.
    """

    name: str
    metrics: Sequence[str] = ()
    rows: Sequence[tuple[str, Sequence[str], str]] = ()
    best: tuple[str, str, str] = ("", "", "")
    trained: bool = False
    without: Sequence[str] = ()
    note: str = ""


def of_sweep(sweep: Sweep) -> list[Order]:
    """The order of a sweep's jobs; none where nothing was measured."""
    name = sweep.folder.resolve().name
    try:
        order = ranking.ranked(jobs_of(sweep))
    except (NotComparable, DataError) as reason:
        return [Order(name, note=str(reason))]
    if order is None:
        return []
    best, value = order.best
    rows = [(row.name, [shown(mean) for mean in row.means.values()], row.verdict) for row in order.rows]
    return [
        Order(
            name,
            list(order.rows[0].means),
            rows,
            (best.name, f"{order.metric} {value:.5g}", conclusion.repeat(best.run)),
            order.trained,
            [job.name for job in order.without],
        )
    ]
