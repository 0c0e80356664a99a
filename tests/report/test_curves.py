"""Curves: what is in metrics.jsonl, and as much of it as a screen can show."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from gan_cli.report import curves
from gan_cli.report.curves import Curve, read, thin


def curve(values: np.ndarray) -> Curve:
    return Curve(np.arange(len(values), dtype=float), values)


@pytest.mark.parametrize("most", [4, 5, 50, 1999])
def test_a_thinned_curve_keeps_its_ends_and_its_peaks(most: int) -> None:
    draw = np.random.default_rng(most)
    for _ in range(20):
        whole = curve(draw.normal(size=2000).cumsum())
        thinned = thin(whole, most)
        assert len(thinned.values) <= most
        assert (np.diff(thinned.steps) > 0).all()
        assert {*zip(thinned.steps, thinned.values, strict=True)} <= {*zip(whole.steps, whole.values, strict=True)}
        assert (thinned.lowest, thinned.highest) == (whole.lowest, whole.highest)
        assert (thinned.steps[0], thinned.steps[-1]) == (0, 1999)


def test_a_short_curve_stays_as_it_is() -> None:
    whole = curve(np.random.default_rng(0).normal(size=30))
    assert thin(whole, 30) is whole


def test_a_gap_stays_a_gap() -> None:
    values = np.ones(1000)
    values[400:600] = math.nan
    thinned = thin(curve(values), 40)
    inside = (thinned.steps >= 420) & (thinned.steps < 580)
    assert inside.any()
    assert np.isnan(thinned.values[inside]).all()
    assert np.isnan(thin(curve(np.full(100, math.nan)), 10).highest)


def test_rows_become_curves(tmp_path: Path) -> None:
    rows = [{"step": 1, "a": 0.5}, {"step": 1, "b/c": 1e40}, {"step": 2, "a": None, "b/c": -3}, {"step": 3, "a": 7}]
    others = ["[1]", '{"step": -1, "a": 1}', "not JSON", "\udcff", '{"step": 4, "a": 1']  # the last one is cut short
    lines = [*map(json.dumps, rows), *others]
    (tmp_path / "metrics.jsonl").write_bytes("\n".join(lines).encode(errors="surrogateescape"))
    found, left_out = read(tmp_path / "metrics.jsonl")
    np.testing.assert_equal(found["a"].steps, [1, 2, 3])
    np.testing.assert_equal(found["a"].values, [0.5, math.nan, 7])
    np.testing.assert_equal(found["b/c"].values, [math.nan, -3])
    assert left_out == 0


def test_names_are_bounded_and_links_are_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text(json.dumps({"step": 1, **{f"n{i}": i for i in range(500)}}) + "\n")
    found, left_out = read(path)
    assert (len(found), left_out) == (curves.MOST, 501 - curves.MOST)
    (tmp_path / "link").symlink_to(path)
    assert read(tmp_path / "link") == read(tmp_path / "absent") == ({}, 0)
