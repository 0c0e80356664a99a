"""The README is a front page: short, and what it shows works as written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conftest import TINY
from gan_cli import train
from gan_cli.config.choices import packaged

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()


def test_it_is_a_front_page() -> None:
    assert len(README.splitlines()) <= 200


def test_the_commands_that_set_up_and_test_are_in_the_makefile() -> None:
    makefile = (Path(__file__).resolve().parents[1] / "Makefile").read_text()
    shown = {*re.findall(r"(?:^    |`)make (\w+)", README, flags=re.MULTILINE)}
    assert {"demo", "test"} <= shown <= {*re.findall(r"^([\w-]+):", makefile, flags=re.MULTILINE)}


def test_it_names_no_choice_that_is_not_there() -> None:
    """`group=choice` in commands and prose, where the group is one of conf/."""
    groups = packaged()
    pairs = re.findall(r"(?<![\w.])(\w+)=\[?([\w,-]+)\]?(?![\w=/])", README)
    named = [(group, choice) for group, choices in pairs if group in groups for choice in choices.split(",")]
    assert len(named) > 10
    own = {("model", "own"), ("experiment", "mine")}
    assert not [pair for pair in named if pair not in own and pair[1] not in groups[pair[0]]]


def test_its_python_runs(here: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gan_cli.train", lambda *words: train(*words, *TINY))
    exec(README.split("```python\n")[1].split("```")[0], names := {})  # type: ignore[var-annotated]
    assert names["points"].shape == (1000, 2)
    assert capsys.readouterr().out.splitlines()[-1].endswith("of 8, within 3 std")
