"""The page of `gan report`: what one run or several tell, in one bounded file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from gan_cli import pages
from gan_cli.console import one_line
from gan_cli.report import scores, told
from gan_cli.report.charts import Chart, Line, Stroke, document, library
from gan_cli.report.curves import Curve
from gan_cli.report.grids import Film, film
from gan_cli.report.told import Told
from gan_cli.store.disk import peek
from gan_cli.store.rows import sort_out

MOST_RUNS = 32
FILMS, GRIDS, PICTURES = 8, 48, 3_500_000  # runs whose grids are shown, grids of all of them, and their bytes
MOST_CHARTS, MOST_LINES = 16, 24
MOST_SETTINGS = 300
GRADIENTS, WEIGHTS = "_gradient", "_weights"  # how the names of health/ end
RATIOS = ("losses", "gradient norms")


Facts = Sequence[tuple[str, Sequence[str]]]  # titles, and the lines beside each


def of_run(run: Told, facts: Facts, again: str) -> bytes:
    """The page of one run.

    Args:
        facts: What is to be said of it.
        again: The command that repeats it.
    """
    table, measured = scores.in_time(run)
    charts = [*measured, *_charts_of(run)][:MOST_CHARTS]
    return _page(
        title=run.name,
        facts=facts,
        commands=[again],
        runs=[run],
        table=table,
        charts=charts,
        config=peek(run.run.config, 100_000).decode(errors="replace"),
    )


def of_runs(title: str, runs: Sequence[Told], commands: Sequence[str], failures: Sequence[tuple[str, str, str]]) -> bytes:
    """The page of several runs, or of a sweep.

    Args:
        commands: The command that repeats each.
        failures: Jobs of a sweep that left no run: number, words, error.
    """
    shown = runs[:MOST_RUNS]
    groups: dict[tuple[str, ...] | str, list[Told]] = {}
    for i, run in enumerate(shown):
        groups.setdefault(run.label or str(i), []).append(run)
    own = _distinguishing(shown)
    named = [(" ".join([*_numbers(shown, group), *own[shown.index(group[0])]]), group) for group in groups.values()]
    table, measured = scores.side_by_side(named)
    charts = [*measured, *_charts_across(shown)][:MOST_CHARTS]
    return _page(
        title=title,
        commands=commands[:MOST_RUNS],
        runs=shown,
        more=len(runs) - len(shown),
        failures=failures,
        table=table,
        charts=charts,
        differences=told.differences(shown)[:MOST_SETTINGS],
        strokes=[Stroke.of(i) for i in range(len(shown))],
        own=[" ".join(words) for words in _distinguishing(shown, seeds=True)],
    )


def _numbers(runs: Sequence[Told], group: Iterable[Told]) -> list[str]:
    return [f"#{runs.index(run) + 1}" for run in group]


def _distinguishing(runs: Sequence[Told], seeds: bool = False) -> list[list[str]]:
    """The words of each run that not all of them have."""
    common = set.intersection(*(set(run.words) for run in runs)) if runs else set()
    return [
        [word for word in run.words if word not in common and (seeds or not word.startswith("seed="))] for run in runs
    ]


def _page(title: str, runs: Sequence[Told], charts: Sequence[Chart], **facts: Any) -> bytes:
    usual: dict[str, Any] = {"facts": (), "failures": (), "more": 0, "differences": (), "config": "", "strokes": (), "own": ()}
    films = _films(runs)
    steps = sorted({grid.step for _, shown in films for grid in shown.grids})
    return pages.render(
        "report.html",
        [library(), pages.own("theme.js"), pages.own("report.js")] if charts else
        [pages.own("theme.js"), pages.own("report.js")],
        title=pages.shown(title),
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        runs=runs,
        charts=charts,
        drawn=document(charts) if charts else None,
        films=films,
        steps=steps,
        left_out=sum(run.left_out for run in runs),
        shown=lambda word, most=pages.LONGEST: pages.shown(one_line(str(word)), most),
        several=lambda word, most=100_000: pages.shown(word, most),
        **{**usual, **facts},
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
        "learning rate": [n for n in ("learning_rate",) if n in run.curves and run.curves[n].lowest < run.curves[n].highest],
    }
    return [
        Chart(title, tuple(_lines(run.curves, names[:MOST_LINES])), alarms, ratios=title in RATIOS)
        for title, names in kinds.items()
        if names
    ]


def _lines(curves: Mapping[str, Curve], names: Sequence[str]) -> list[Line]:
    return [Line(f"curve {n}", pages.shown(n, 80), curves[n], Stroke.of(i)) for i, n in enumerate(names)]


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
