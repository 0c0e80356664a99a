"""Charts that zoom, drawn by Bokeh in the browser.

Of a run's words only the names of lines get into them, which are shown as text where a pointer is held; titles and
legends stand in the page itself, since Bokeh would look for formulas in them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gan_cli.errors import ConfigError, two_lines
from gan_cli.report.curves import Curve, thin

# Told apart by eyes that see few colours (Okabe and Ito), on white and on black.
COLOURS = ("#2b83c6", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6bb1", "#808080")
DASHES = ("solid", "dashed", "dotted")
POINTS, CLEAREST = 120_000, 2_000  # of all curves of a page, and of one
FEW = 30  # points that are also drawn as dots
DECADES = 1_000  # from least to greatest, beyond which positive numbers get a logarithmic axis
TOOLS = "pan,box_zoom,wheel_zoom,save,reset"


class Stroke(NamedTuple):
    """How a line looks."""

    colour: str
    dash: str

    @classmethod
    def of(cls, i: int) -> Stroke:
        """That of the i-th line: 24 differ."""
        return cls(COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS) % len(DASHES)])


@dataclass(frozen=True)
class Line:
    """A line of a chart.

    Attributes:
        key: Lines with one key are shown and hidden together.
        error: Standard errors, float64 `[N]`, where the values have error bars; NaN for one without.
        joined: Whether its points are joined.
    """

    key: str
    label: str
    curve: Curve
    stroke: Stroke
    error: np.ndarray | None = None
    joined: bool = True


@dataclass(frozen=True)
class Chart:
    """Lines over one axis.

    Attributes:
        alarms: Stretches of steps in which an alarm rang, None for an open end.
        columns: Names of places 0, 1, ... along the axis; empty where it counts.
        counts: What it counts.
        ratios: Whether ratios matter more than differences: positive numbers over decades get a logarithmic axis.
    """

    title: str
    lines: tuple[Line, ...]
    alarms: tuple[tuple[float, float | None], ...] = ()
    columns: tuple[str, ...] = ()
    ratios: bool = False
    counts: str = "step"

    @property
    def along(self) -> str:
        """What the axis counts."""
        return "column" if self.columns else self.counts


def library() -> str:
    """Bokeh's script, as its package has it. Raises ConfigError where it is not installed."""
    try:
        from bokeh.resources import Resources
    except ImportError:
        what = "gan report draws curves with Bokeh, which is not installed"
        raise ConfigError(two_lines(what, "pip install 'gan-cli[report]'")) from None
    return str(Resources(mode="inline", components=["bokeh"], minified=True).js_raw[0])


def document(charts: Sequence[Chart]) -> dict[str, Any]:
    """The charts as Bokeh's JSON, for `report.js`: the i-th belongs into the element `chart-i`. Charts that count the
    same zoom together."""
    from bokeh.document import Document
    from bokeh.models import DataRange1d

    document = Document()
    share = max(50, min(CLEAREST, POINTS // max(1, sum(len(chart.lines) for chart in charts))))
    ranges = {chart.along: DataRange1d(range_padding=0.02) for chart in charts}
    figures = [_figure(chart, ranges[chart.along], share) for chart in charts]
    for figure in figures:
        document.add_root(figure)
    places = {figure.id: f"chart-{i}" for i, figure in enumerate(figures)}
    return {"document": document.to_json(deferred=False), "places": places}


def _figure(chart: Chart, x_range: Any, share: int) -> Any:
    from bokeh.models import BoxAnnotation, DataRange1d, HoverTool, NumeralTickFormatter
    from bokeh.plotting import figure

    drawn = figure(
        x_range=x_range,
        y_range=DataRange1d(only_visible=True),
        y_axis_type="log" if chart.ratios and _spans_decades(chart.lines) else "linear",
        sizing_mode="stretch_both",
        tools=TOOLS,
        active_drag="box_zoom",
        active_scroll=None,
        background_fill_alpha=0,
        border_fill_alpha=0,
        outline_line_color=None,
        output_backend="canvas",
    )
    drawn.toolbar.logo = None
    drawn.toolbar.autohide = True
    drawn.xaxis.formatter = NumeralTickFormatter(format="0,0[.]0")
    if chart.columns:
        drawn.xaxis.ticker = [*range(len(chart.columns))]
        drawn.xaxis.major_label_overrides = dict(enumerate(chart.columns))
    for start, end in chart.alarms:
        drawn.add_layout(BoxAnnotation(left=start, right=end, fill_color="#d33", fill_alpha=0.12, line_color=None))
    renderers = [
        renderer for line in chart.lines for renderer in _line(drawn, line, share, line.joined and not chart.columns)
    ]
    tips = [("", "$name"), (chart.along, "@x{0,0[.]0}"), ("value", "@y{%.5g}")]
    drawn.add_tools(HoverTool(renderers=renderers, tooltips=tips, formatters={"@y": "printf"}, line_policy="nearest"))
    return drawn


def _line(drawn: Any, line: Line, share: int, joined: bool) -> list[Any]:
    """Draws a line, its points where they are few, and its error bars; returns what a pointer can be held over."""
    from bokeh.models import ColumnDataSource

    curve = thin(line.curve, share) if line.error is None else line.curve
    source = ColumnDataSource({"x": curve.steps, "y": curve.values})
    known = {"source": source, "name": line.label, "line_color": line.stroke.colour}
    parts = [drawn.line("x", "y", line_dash=line.stroke.dash, line_width=1.6, **known)] if joined else []
    if len(curve.values) <= FEW or not joined:
        parts.append(drawn.scatter("x", "y", size=6, fill_color=line.stroke.colour, **known))
    bars = []
    if line.error is not None:
        source.data["low"], source.data["high"] = curve.values - line.error, curve.values + line.error
        bars = [drawn.segment("x", "low", "x", "high", **known)]
        bars += [drawn.scatter("x", end, marker="dash", size=10, **known) for end in ("low", "high")]
    for part in (*parts, *bars):
        part.tags = [line.key]
    return parts


def _spans_decades(lines: Sequence[Line]) -> bool:
    """Whether all numbers are positive, some a thousand times as large as others."""
    lowest = [line.curve.lowest for line in lines if not math.isnan(line.curve.lowest)]
    highest = [line.curve.highest for line in lines if not math.isnan(line.curve.highest)]
    return bool(lowest) and min(lowest) > 0 and max(highest) > DECADES * min(lowest)
