"""gan bench: a suite of experiments over seeds, as one table."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch

from conftest import Inside
from gan_cli import rng
from gan_cli.commands import bench
from gan_cli.commands.bench import Found, Row
from gan_cli.data import points

SHORT = ("seeds=[0,1]", "steps=2")


def test_a_table_and_its_numbers(gan_here: Inside, here: Path) -> None:
    done = gan_here("bench", "modes", "only=[ring8,stacked1000]", "json=found.json", *SHORT)
    assert done.returncode == 0, done.stderr
    (line,) = [line for line in done.stderr.splitlines() + done.stdout.splitlines() if line.startswith("ring8  ")][-1:]
    assert " 2 " in line
    assert "±" in line
    told = [line for line in done.stderr.splitlines() if " of 2" in line]
    assert told[0] == "ring8, seed 0: 1 of 2"
    assert told[1].startswith("ring8, seed 1: 2 of 2, about ")
    assert "stacked1000: not measured: its data are in a folder\n  name it: root=FOLDER" in done.stdout + done.stderr
    record = json.loads(Path("found.json").read_text())
    row = record["rows"]["ring8"]
    runs = [row["runs"][seed]["share"] for seed in ("0", "1")]
    assert row["mean"]["share"] == pytest.approx(sum(runs) / 2)
    assert row["se"]["share"] == pytest.approx(abs(runs[0] - runs[1]) / 2)
    assert {*record["left_out"]} == {"stacked1000"}
    assert [path.name for path in here.iterdir()] == ["found.json"]  # the runs are gone


def test_what_cannot_be_is_refused(gan_here: Inside, here: Path) -> None:
    for words, message in {
        ("modes", "only=[ring9]"): "choices: ring8, grid25",
        ("modes", "seeds=[]"): "seeds",
        ("rings",): "modes",
        ("modes", "modes"): "more than one suite",
        ("modes", "steps=0"): "steps",
    }.items():
        done = gan_here("bench", *words)
        assert done.returncode == 2, (words, done.stderr)
        assert message in done.stderr
    assert not [*here.iterdir()]


def test_who_interrupts_is_told_what_is_kept(gan_here: Inside, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "_begin", interrupt)
    done = gan_here("bench", "modes", "only=[ring8]", *SHORT)
    assert done.returncode == 130
    assert "runs were in a temporary folder, which has been removed\n  out=FOLDER keeps" in done.stderr
    assert "saved in" not in done.stderr


def test_means_are_over_seeds_and_a_single_one_has_no_error() -> None:
    one, other = (Found(8, share, 0.1, 2.0) for share in (0.9, 1.0))
    mean, se = Row("x", "e", {0: one, 1: other}).mean("share") or (0, 0)
    assert (mean, se) == (pytest.approx(0.95), pytest.approx(0.05))
    assert Row("x", "e", {0: one}).mean("share") == (0.9, None)
    assert Row("x", "e", {0: Found(8, None, 0.1, 2.0)}).mean("share") is None
    never = {seed: Found(0, 0.0, math.inf, 1.0) for seed in (0, 1)}
    assert Row("x", "e", never).mean("kl") == (math.inf, None)


@pytest.mark.parametrize("density", [points.sunflower(), points.scatter()], ids=["sunflower", "scatter"])
def test_modes_lie_apart_and_their_own_samples_have_the_known_share(density: points.Mixture) -> None:
    distances = torch.cdist(density.centres, density.centres) + 99 * torch.eye(100)
    assert distances.min() > 12 * density.std
    drawn, component = density(20_000, rng.generator("test"))
    near, nearest = torch.cdist(drawn, density.centres).min(1)
    assert (nearest == component).all()
    share = float((near < 3 * density.std).double().mean())
    assert share == pytest.approx(1 - math.exp(-4.5), abs=0.003)
