"""One family of errors: drawn as it is, and told by it."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from gan_cli import errors
from gan_cli.errors import CheckpointError, Refused, RunFailed
from gan_cli.shell import main as shell

CLASSES = [found for _, found in inspect.getmembers(errors, inspect.isclass) if found.__module__ == errors.__name__]


def test_the_drawing_at_the_head_of_the_file_is_the_family() -> None:
    drawn: dict[str, str] = {}
    above: list[str] = []
    for indent, name, base in re.findall(r"^( *)\* (\w+)(?:\((\w+)\))? ", errors.__doc__ or "", flags=re.MULTILINE):
        above = [*above[: len(indent) // 2], name]
        drawn[name] = base or above[-2]
    there = {found.__name__: found.__bases__[0].__name__ for found in CLASSES}
    assert {name: base for name, base in drawn.items() if name != "NotWritten"} == there
    assert drawn["NotWritten"] == "OSError"


def fails(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def main(words: list[str]) -> None:
        raise error

    monkeypatch.setattr(shell.importlib, "import_module", lambda name: SimpleNamespace(main=main))


@pytest.mark.parametrize("kind", [found for found in CLASSES if issubclass(found, Refused)], ids=lambda k: k.__name__)
def test_what_the_user_can_mend_costs_two_lines_and_exit_code_2(
    kind: type[Refused], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = kind("it is wrong", "mend it") if kind is CheckpointError else kind("it is wrong\n  mend it")
    fails(monkeypatch, error)
    assert isinstance(error, ValueError)
    assert shell.main(["compare", "a"]) == 2
    assert capsys.readouterr().err == "gan compare: it is wrong\n  mend it\n"


def test_several_problems_are_told_together_each_as_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fails(monkeypatch, Refused("one\n  mend it", "another"))
    assert shell.main(["compare", "a"]) == 2
    assert capsys.readouterr().err == "gan compare: one\n  mend it\ngan compare: another\n"


@pytest.mark.parametrize(("error", "said"), [(RunFailed("saved"), "saved"), (ValueError("odd"), "ValueError: odd")])
def test_what_the_user_cannot_mend_is_exit_code_1(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fails(monkeypatch, error)
    assert shell.main(["compare", "a"]) == 1
    assert capsys.readouterr().err.startswith(f"gan compare: {said}\n")


def test_nobody_makes_one_error_of_the_user_s_into_another_word_for_word() -> None:
    """An error of the family is raised as what it is: only where a stranger's part is built is another kind given."""
    package = Path(errors.__file__).parent
    again = re.compile(r"raise \w+\(str\(error\)\) from")
    found = {str(path.relative_to(package)) for path in package.rglob("*.py") if again.search(path.read_text())}
    assert found == {"config/build.py", "config/plain_yaml.py", "session.py"}
