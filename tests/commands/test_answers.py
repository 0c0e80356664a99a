"""--json, of every command that answers: JSON alone on standard output, everything else on standard error."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from conftest import Inside, words
from gan_cli.config import choices
from gan_cli.errors import ConfigError
from gan_cli.shell.main import main
from gan_cli.shell.table import COMMANDS
from gan_cli.store import outputs

ANSWER = {
    "eval": ("detector=pixels", "metrics=[fid]", "n=20"),
    "sample": ("n=2",),
    "show": (),
    "runs": (),
    "export": (),
    "report": (),
}
HOLDS = {"eval": "metrics", "sample": "written", "show": "next", "export": "written", "report": "bytes"}


@pytest.mark.parametrize("command", ANSWER)
def test_the_answer_has_standard_output_alone(command: str, finished: Path, gan_here: Inside, here: Path) -> None:
    shutil.copytree(finished, here / "run")
    done = gan_here(command, "run", *ANSWER[command], "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert "written to -" not in done.stderr
    filed = gan_here(command, "run", *ANSWER[command], "json=told.json")
    assert filed.returncode == 0, filed.stderr
    again = json.loads((here / "told.json").read_text())
    assert again.keys() == told.keys() if isinstance(told, dict) else len(again) == len(told)
    assert command not in HOLDS or told[HOLDS[command]]


def test_a_training_answers_how_it_ended(gan_here: Inside, here: Path) -> None:
    done = gan_here("train", *words("name=x"), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["status"], told["step"]) == ("finished", 2)
    assert "training in" in done.stderr
    assert (here / told["folder"] / "result.json").is_file()
    swept = gan_here("train", "-m", *words("seed=0"), "--json")
    assert swept.returncode == 0
    assert [row["status"] for row in json.loads(swept.stdout)["runs"]] == ["finished"]
    assert "json" not in (here / told["folder"] / "config.yaml").read_text()


def test_a_comparison_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = {"n_fake": 9, "n_real": 9, "convention": "c", "reference": "r", "detector": "d", "weights_sha256": None}
    for name, value in (("a", 1.0), ("b", 9.0), ("c", float("inf"))):
        record = {"metrics": {"fid": {"value": str(value), "se": 0.5, **facts}}}
        (tmp_path / f"{name}.json").write_text(json.dumps(record))
    files = [str(tmp_path / f"{name}.json") for name in "abc"]
    assert main(["compare", *files, "--json"]) == 0
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert told["sides"] == ["a", "b", "c"]
    assert [row["verdict"] for row in told["metrics"]["fid"]][:2] == [None, "differs"]
    assert told["metrics"]["fid"][2]["value"] == "inf"
    before = Path(files[0]).read_text()
    assert main(["compare", *files, f"json={files[0]}"]) == 2  # which is an input
    assert Path(files[0]).read_text() == before


def test_what_json_lacks_is_written_as_words(tmp_path: Path) -> None:
    outputs.answer(str(tmp_path / "x.json"), {"a": [float("nan"), -float("inf"), 1.5], "b": (Path("p"), None)})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": ["nan", "-inf", 1.5], "b": ["p", None]}


def test_a_full_disk_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cache", "json=/dev/full"]) == 2
    assert "json=/dev/full cannot be written\n  no space left" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["sample", "export", "report"])
def test_what_is_made_and_the_answer_have_places_of_their_own(command: str, finished: Path, gan_here: Inside) -> None:
    done = gan_here(command, str(finished), "out=-", "--json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "both go to standard output" in done.stderr
    done = gan_here(command, str(finished), "out=same", "json=same")
    assert (done.returncode, done.stdout) == (2, "")
    assert "out= and json= are both same" in done.stderr


def test_an_answer_replaces_nothing_that_is_read(finished: Path, gan_here: Inside, here: Path) -> None:
    shutil.copytree(finished, here / "run")
    before = (here / "run" / "config.yaml").read_text()
    for command in ("export", "report"):
        done = gan_here(command, "run", "json=run/config.yaml")
        assert done.returncode == 2
        assert "would overwrite run/config.yaml, which is an input" in done.stderr
    assert (here / "run" / "config.yaml").read_text() == before


def test_python_is_given_the_samples_themselves(finished: Path) -> None:
    from gan_cli import sample

    with pytest.raises(ConfigError, match="sample\\(\\) returns the samples"):
        sample(finished, "json=x.json")


def test_every_command_answers_but_logs_and_its_page_says_what() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "daily.md").read_text()
    for row in COMMANDS.values():
        typed = [word.typed for word in row.takes] + [word for word, _ in row.typed]
        settings = choices.offers()[row.name].settings if row.configured else ()
        assert ("--json" in typed or "json" in settings) == (row.name != "logs") == (f"\n| `{row.name}` | " in page)
