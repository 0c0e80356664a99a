"""One family of errors: drawn as it is, and reported accordingly."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from gan_cli import errors, evaluate, sample, train
from gan_cli.config.errors import ConfigError
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
def test_what_the_user_can_fix_costs_two_lines_and_exit_code_2(
    kind: type[Refused], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = kind("it is wrong", "mend it") if kind is CheckpointError else kind("it is wrong\n  mend it")
    fails(monkeypatch, error)
    assert isinstance(error, ValueError)
    assert shell.main(["compare", "a"]) == 2
    assert capsys.readouterr().err == "gan compare: it is wrong\n  mend it\n"


def test_several_problems_are_reported_together_each_on_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fails(monkeypatch, Refused("one\n  mend it", "another"))
    assert shell.main(["compare", "a"]) == 2
    assert capsys.readouterr().err == "gan compare: one\n  mend it\ngan compare: another\n"


@pytest.mark.parametrize(("error", "said"), [(RunFailed("saved"), "saved"), (ValueError("odd"), "ValueError: odd")])
def test_what_the_user_cannot_fix_is_exit_code_1(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fails(monkeypatch, error)
    assert shell.main(["compare", "a"]) == 1
    assert capsys.readouterr().err.startswith(f"gan compare: {said}\n")


def test_no_error_of_the_family_is_turned_into_another_word_for_word() -> None:
    """An error of the family keeps its kind: only where a stranger's part is built is it turned into another."""
    package = Path(errors.__file__).parent
    again = re.compile(r"raise \w+\(str\(error\)\) from")
    found = {str(path.relative_to(package)) for path in package.rglob("*.py") if again.search(path.read_text())}
    assert found == {"config/plain_yaml.py"}


# What passes between modules, to be raised again with the name of a file and the remedy.
PASSING = ("Unsound", "NotPlain")
# Two lines made elsewhere, with a word in front.
PREFIXED = (
    "f'dataset.root={nothing_in(listing)}'",
    "f'source={nothing_in(listing)}'",
    "f'mode.latent={error!s}'",
    "f'{self.value} has nothing to see with: {error}'",
)
REFUSALS = {found.__name__ for found in CLASSES if issubclass(found, Refused)} - {*PASSING}


def said(call: ast.Call) -> list[ast.expr]:
    """Its problems, as far as they are written out there: those of a variable or of a function are not."""
    return [argument for argument in call.args if isinstance(argument, ast.Constant | ast.JoinedStr)]


def written(text: ast.expr) -> str:
    """What is written out of a text; what stands in braces is not."""
    return "".join(str(part.value) for part in ast.walk(text) if isinstance(part, ast.Constant))


def one_liners(source: str) -> list[str]:
    """Where a refusal has no remedy."""
    found = []
    for call in ast.walk(ast.parse(source)):
        name = getattr(call.func, "id", getattr(call.func, "attr", "")) if isinstance(call, ast.Call) else ""
        if not isinstance(call, ast.Call) or name not in {*REFUSALS, "two_lines"}:
            continue
        if name in ("two_lines", "CheckpointError"):  # what is wrong, and the remedy, apart
            lacking = [text for text in said(call)[-1:] if not written(text)]
        else:
            lacking = [text for text in said(call) if "\n" not in written(text) and ast.unparse(text) not in PREFIXED]
        found += [f"{call.lineno}: {ast.unparse(text)}" for text in lacking]
    return found


@pytest.mark.parametrize(
    ("line", "good"),
    [
        ("raise ConfigError(f'a={a} is wrong: give b')", False),
        ("raise errors.DataError('it is wrong')", False),
        ("raise ConfigError(two_lines('it is wrong', ''))", False),
        ("raise CheckpointError(f'{path} is wrong', '')", False),
        ("raise ConfigError(f'a={a} is wrong\\n  give b')", True),
        ("raise ConfigError(two_lines(f'a={a} is wrong', 'give b'))", True),
        ("raise CheckpointError(f'{path} is wrong')", True),
        ("raise ConfigError(*problems)", True),
        ("raise RunFailed('it failed')", True),
    ],
)
def test_a_refusal_without_a_remedy_is_found_in_the_source(line: str, good: bool) -> None:
    assert (one_liners(line) == []) is good


def test_every_refusal_says_below_what_is_wrong_what_to_do() -> None:
    package = Path(errors.__file__).parent
    sources = {str(path.relative_to(package)): path.read_text() for path in sorted(package.rglob("*.py"))}
    assert not [f"{name}:{line}" for name, source in sources.items() for line in one_liners(source)]


def test_scripts_that_catch_every_refusal_by_its_old_name_still_do(here: Path) -> None:
    (here / "a.png").write_bytes(b"no picture")
    for ask in (lambda: evaluate(here / "a.png"), lambda: sample("nowhere"), lambda: train("model=mlp", "seed=-1")):
        with pytest.raises(ConfigError):
            ask()
