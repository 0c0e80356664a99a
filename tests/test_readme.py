"""The README tells the truth: its table has one line a choice, with the words of the choice's own file."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import CONF
from gan_cli.config import choices

README = (Path(__file__).resolve().parents[1] / "README.md").read_text()
GROUPS = choices.config_groups(CONF)


def first_comment(path: Path) -> str:
    lines = [line[1:].strip() for line in path.read_text().splitlines() if line.startswith("#")]
    return next(line for line in lines if not line.startswith("@package"))


@pytest.mark.parametrize(("group", "choice"), [(g, c) for g, choices in GROUPS.items() for c in choices])
def test_every_choice_has_its_line(group: str, choice: str) -> None:
    words = first_comment(CONF / group / f"{choice}.yaml").replace("|", "\\|")
    assert f"| `{choice}` | {words} |" in README


def test_no_line_names_what_is_not_there() -> None:
    table = README[README.index("## Every choice") :].split("\n## ")[0]
    named = {line.split("`")[1] for line in table.splitlines() if line.startswith("| `")}
    known = {choice for choices in GROUPS.values() for choice in choices}
    assert named == known | {f"{group}=" for group in GROUPS}
