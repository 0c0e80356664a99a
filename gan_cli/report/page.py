"""The page of `gan report`: what one run or several tell, in one bounded file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from gan_cli import pages
from gan_cli.config import plain_yaml
from gan_cli.report import scores, told
from gan_cli.report.charts import Chart, Line, Stroke, document, library
from gan_cli.report.curves import Curve
from gan_cli.report.grids import Film, film
from gan_cli.report.order import Order
from gan_cli.report.scores import Table
from gan_cli.report.told import Told
from gan_cli.store.disk import peek
from gan_cli.store.rows import sort_out

FILMS, GRIDS, PICTURES = 8, 48, 3_500_000  # runs whose grids are shown, grids of all of them, and their bytes
MOST_CHARTS, MOST_LINES = 16, 24
MOST_SETTINGS = 300
GRADIENTS, WEIGHTS = "_gradient", "_weights"  # how the names of health/ end
RATIOS = ("losses", "gradient norms")


@dataclass(frozen=True)
class Content:
    """What `report.html` shows.

    Attributes:
        commands: The command that repeats each run.
        facts: Titles, and the lines beside each, of a page about one run.
        config: Its config.yaml.
        own: Of a page about several, the words of each that not all of them have.
        strokes: How the lines of each look.
        differences: Settings, and what they are in each.
        failures: Jobs of a sweep that were refused or failed: number, words, error.
        more: Runs that are not shown.
        orders: Of each sweep, which choice came out best.
    """

    title: str
    runs: Sequence[Told]
    commands: Sequence[str]
    table: Table
    charts: Sequence[Chart]
    facts: Sequence[tuple[str, Sequence[str]]] = ()
    config: str = ""
    own: Sequence[str] = ()
    strokes: Sequence[Stroke] = ()
    differences: Sequence[tuple[str, Sequence[str | None]]] = ()
    failures: Sequence[tuple[str, str, str]] = ()
    more: int = 0
    orders: Sequence[Order] = ()


def of_run(run: Told, facts: Sequence[tuple[str, Sequence[str]]], again: str) -> bytes:
    """The page of one run.

    Args:
        facts: What is to be said of it: titles, and the lines beside each.
        again: The command that repeats it.
    """
    table, measured = scores.in_time(run)
    charts = [*measured, *_charts_of(run)][:MOST_CHARTS]
    config = peek(run.run.config, plain_yaml.LARGEST).decode(errors="replace")
    return _rendered(Content(run.name, [run], [again], table, charts, facts, config))


def of_runs(
    title: str,
    runs: Sequence[Told],
    commands: Sequence[str],
    there: int,
    failures: Sequence[tuple[str, str, str]],
    searched: Sequence[Chart] = (),
    orders: Sequence[Order] = (),
) -> bytes:
    """The page of several runs, or of a sweep.

    Args:
        commands: The command that repeats each.
        there: How many runs there are.
        failures: Jobs of a sweep that were refused or failed: number, words, error.
        searched: What is to be drawn of a search.
        orders: Of each sweep, which choice came out best.
    """
    groups: dict[tuple[str, ...] | str, list[int]] = {}
    for i, run in enumerate(runs):
        groups.setdefault(run.label or str(i), []).append(i)
    own = _distinguishing(runs)
    named = []
    for places in groups.values():
        words = [word for word in own[places[0]] if not word.startswith("seed=")]
        named.append((" ".join([*(f"#{i + 1}" for i in places), *words]), [runs[i] for i in places]))
    table, measured = scores.side_by_side(named)
    return _rendered(
        Content(
            title,
            runs,
            commands,
            table,
            [*searched, *measured, *_charts_across(runs)][:MOST_CHARTS],
            own=[" ".join(words) for words in own],
            strokes=[Stroke.of(i) for i in range(len(runs))],
            differences=told.differences(runs)[:MOST_SETTINGS],
            failures=failures,
            more=there - len(runs),
            orders=orders,
        )
    )


def _distinguishing(runs: Sequence[Told]) -> list[list[str]]:
    """The words of each run that not all of them have."""
    common = set.intersection(*(set(run.words) for run in runs)) if runs else set()
    return [[word for word in run.words if word not in common] for run in runs]


def _rendered(content: Content) -> bytes:
    films = _films(content.runs)
    ours = [pages.own("theme.js"), pages.own("report.js")]
    return pages.render(
        "report.html",
        [library(), *ours] if content.charts else ours,
        **{**vars(content), "title": pages.shown(content.title)},
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        drawn=document(content.charts) if content.charts else None,
        films=films,
        steps=sorted({grid.step for _, shown in films for grid in shown.grids}),
        left_out=sum(run.left_out for run in content.runs),
    )


def _films(runs: Sequence[Told]) -> list[tuple[int, Film]]:
    """The sample grids of some runs, evenly chosen ones, and the runs' numbers."""
    there = [(i, run) for i, run in enumerate(runs) if run.run.samples.is_dir()][:FILMS]
    each = max(4, GRIDS // max(1, len(there)))
    found = [(i, film(run.run.samples, each, PICTURES // len(there))) for i, run in there]
    return [(i, shown) for i, shown in found if shown.grids or shown.real]


def _charts_of(run: Told) -> list[Chart]:
    """The curves of one run, those of one kind in a chart; shaded where an alarm rang."""
    alarms = tuple((float(alarm.step), None if alarm.cleared is None else float(alarm.cleared)) for alarm in run.alarms)
    sorted_out = sort_out(run.curves)
    health = [name for name in run.curves if name.startswith("health/")]
    kinds: dict[str, list[str]] = {
        **{name: [name] for name in sorted_out["metrics"][:MOST_CHARTS]},
        "D(x)": sorted_out["scores"],
        "losses": sorted_out["losses"],
        "samples against data": [name for name in health if not name.endswith((GRADIENTS, WEIGHTS))],
        "gradient norms": [name for name in health if name.endswith(GRADIENTS)],
        "mean size of weights": [name for name in health if name.endswith(WEIGHTS)],
        "learning rate": [
            n for n in ("learning_rate",) if n in run.curves and run.curves[n].lowest < run.curves[n].highest
        ],
    }
    return [
        Chart(title, tuple(_lines(run.curves, names[:MOST_LINES])), alarms, ratios=title in RATIOS)
        for title, names in kinds.items()
        if names
    ]


def _lines(curves: Mapping[str, Curve], names: Sequence[str]) -> list[Line]:
    keys = {name: f"curve {i}" for i, name in enumerate(curves)}
    return [Line(keys[n], pages.shown(n, scores.NAME), curves[n], Stroke.of(i)) for i, n in enumerate(names)]


def _charts_across(runs: Sequence[Told]) -> list[Chart]:
    """A chart for each number that several runs have, with a line for each of them."""
    names = {name: sum(name in run.curves for run in runs) for run in runs for name in run.curves}
    kinds = sort_out(names)
    health = sorted(name for name in names if name.startswith("health/"))
    order = [*kinds["metrics"], *kinds["scores"], *kinds["losses"], *health]
    charts = []
    for name in order:
        if names[name] > 1 or len(runs) == 1:
            lines = [
                Line(f"run {i}", f"#{i + 1}", run.curves[name], Stroke.of(i))
                for i, run in enumerate(runs)
                if name in run.curves
            ]
            charts.append(Chart(name, tuple(lines), ratios=name in kinds["losses"] or name.endswith(GRADIENTS)))
    return charts
