"""A command is a row of one table, a file of code and a file of settings: nothing else knows it by name."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

import pytest

import gan_cli
from gan_cli.config import choices
from gan_cli.shell import table
from gan_cli.shell.completion import candidates
from gan_cli.shell.help import show
from gan_cli.shell.main import main
from gan_cli.shell.table import COMMANDS, Command

PACKAGE = Path(gan_cli.__file__).parent


def test_rows_files_of_code_and_files_of_settings_are_of_the_same_commands() -> None:
    code = {path.stem for path in (PACKAGE / "commands").glob("*.py")} - {"__init__"}
    assert {row.home.rpartition(".")[2] for row in COMMANDS.values()} == code
    assert {row.name for row in COMMANDS.values() if row.configured} == choices.offers().keys()


@pytest.mark.parametrize("row", COMMANDS.values(), ids=lambda row: row.name)
def test_what_a_row_says_is_there(row: Command) -> None:
    home = vars(importlib.import_module(row.home))
    assert callable(home["main"])
    offer = choices.offers()[row.name] if row.configured else None
    assert row.setting in ("", *((*offer.settings, *offer.groups) if offer else ()))
    assert {*row.detailed} <= ({*choices.offers()[row.name].groups} if row.configured else set())
    for name in row.python:
        assert getattr(gan_cli, name) is home[name]


def test_python_is_offered_what_the_table_says() -> None:
    assert {name for row in COMMANDS.values() for name in row.python} == {*gan_cli.__all__}
    with pytest.raises(AttributeError, match="trian"):
        gan_cli.trian  # noqa: B018


def test_a_row_is_enough_for_help_completion_and_the_first_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    row = Command("serve", "draws on demand", ("gan serve RUN",), configured=False, notes=("  gan serve RUN",))
    monkeypatch.setitem(table.COMMANDS, "serve", row)
    assert main([]) == 0
    page = capsys.readouterr().out
    assert "  serve    draws on demand\n" in page
    assert "  gan serve RUN\n" in page
    assert candidates("gan ser") == ["serve"]
    assert candidates("gan serve ") == []
    assert main(["help", "serve"]) == 0
    assert capsys.readouterr().out == "gan serve: draws on demand\n\n  gan serve RUN\n"


@pytest.mark.parametrize("row", [row for row in COMMANDS.values() if row.configured], ids=lambda row: row.name)
def test_help_shows_every_group_and_setting_of_the_command_s_file(
    row: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    show(row, [])
    shown = capsys.readouterr().out
    offer = choices.offers()[row.name]
    for group in offer.groups:
        assert all(choice in shown for choice in (group, *choices.packaged()[group]))
    for name in {*offer.settings} - {*offer.groups, "recipe"}:
        assert f"  {name}=" in shown


def test_nothing_in_the_shell_asks_for_a_command_by_name() -> None:
    for path in (PACKAGE / "shell").glob("*.py"):
        compared = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Compare)]
        words = {leaf.value for node in compared for leaf in ast.walk(node) if isinstance(leaf, ast.Constant)}
        assert not words & COMMANDS.keys()


def test_folders_of_ones_own_are_found_however_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "loss").mkdir()
    (tmp_path / "loss" / "mine.yaml").write_text("{}")
    (tmp_path / "loss" / "_shared.yaml").write_text("{}")
    for words in (["--config-dir", str(tmp_path)], ["-cd", str(tmp_path)], [f"--config-dir={tmp_path}"]):
        assert choices.config_dirs(words) == [str(tmp_path)]
        assert choices.available(words)["loss"] == sorted([*choices.packaged()["loss"], "mine"])
    assert choices.available(["--config-dir", "nowhere"]) == choices.available() == choices.packaged()
