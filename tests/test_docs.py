"""docs/ tells the truth: its examples run, its links lead somewhere, and what is generated from conf/ is up to date."""

from __future__ import annotations

import ast
import json
import re
import runpy
import shlex
from pathlib import Path

import pytest

from conftest import CONF, SMALL, SMALL_TRANSLATORS, TINY, Inside
from gan_cli.config import build, choices, compose, trust

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.glob("*.md"))]
GROUPS = choices.config_groups(CONF)
CHOICES = (DOCS / "choices.md").read_text()
SAFETY = (DOCS / "resume-and-safety.md").read_text()
EXTENDING = (DOCS / "extending.md").read_text()
FILE = re.compile(r"^`([\w./]+)`:\n\n```(?:python|yaml)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^    (?:\$ )?(gan \w+(?: .*)?)$", flags=re.MULTILINE)
LINK = re.compile(r"\[([^\]\[]+)\]\(([^)\s]+)\)")


def sections(page: str) -> dict[str, str]:
    """Heading -> text of each second-level section."""
    return {part.splitlines()[0]: part for part in page.split("\n## ")[1:]}


EXAMPLES = [title for title, text in sections(EXTENDING).items() if FILE.search(text)]


def first_comment(path: Path) -> str:
    lines = [line[1:].strip() for line in path.read_text().splitlines() if line.startswith("#")]
    return next(line for line in lines if not line.startswith("@package"))


@pytest.mark.parametrize(("group", "choice"), [(g, c) for g, choices in GROUPS.items() for c in choices])
def test_every_choice_has_its_line(group: str, choice: str) -> None:
    words = first_comment(CONF / group / f"{choice}.yaml").replace("|", "\\|")
    assert f"| `{choice}` | {words} |" in CHOICES


def test_no_line_names_what_is_not_there() -> None:
    named = {line.split("`")[1] for line in CHOICES.splitlines() if line.startswith("| `")}
    assert named == {choice for choices in GROUPS.values() for choice in choices}
    assert set(sections(CHOICES)) == set(GROUPS)


def test_the_choices_are_as_make_docs_writes_them() -> None:
    assert runpy.run_path(str(DOCS / "choices.py"))["page"]() == CHOICES, "run make docs"


def test_there_is_an_example_of_each_kind() -> None:
    kinds = ("loss", "network", "penalty", "data set", "callback", "experiment")
    assert [title.split(maxsplit=1)[1] for title in EXAMPLES] == [*kinds]


@pytest.mark.parametrize("title", EXAMPLES)
def test_an_example_runs_as_written(title: str, gan_here: Inside, here: Path, own_modules: None) -> None:
    """Its commands train with its files, put where the page says."""
    text = sections(EXTENDING)[title]
    files = dict(FILE.findall(text))
    for name, content in files.items():
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(content)
    assert commands(text)
    for number, command in enumerate(commands(text)):
        done = gan_here(*shlex.split(command)[1:], *TINY, f"name=job{number}")
        assert done.returncode == 0, done.stderr
        (run,) = here.glob(f"outputs/train/*-job{number}")
        config = (run / "config.yaml").read_text()
        for target in re.findall(r"_target_: (my_\w+\.\w+)", "".join(files.values())):
            assert target in config
    if "my_callbacks.py" in files:
        assert [line.split(",")[0] for line in (run / "losses.csv").read_text().splitlines()] == ["1", "2"]
    if "my_conf/experiment/mine.yaml" in files:
        assert "seed: 8" in config
        assert "gan_cli.networks.dcgan.Generator" in config


def commands(text: str) -> list[str]:
    """The commands that a page shows in lines of their own, without the comments beside them."""
    return [line.split("  #")[0].strip() for line in COMMAND.findall(text)]


def trainings() -> list[str]:
    """Every `gan train` shown that composes a new run from packaged files."""
    shown = [command for page in PAGES for command in commands(page.read_text())]
    own = ("--config-dir", "resume=", "repeat=", "<", "...")
    return list(dict.fromkeys(c for c in shown if c.startswith("gan train") and not any(o in c for o in own)))


@pytest.mark.parametrize("command", trainings())
def test_what_is_shown_can_be_typed(command: str) -> None:
    """Each shown training is composed and checked; of a sweep, its first job."""
    words = shlex.split(command)[2:]
    if "-m" in words:
        swept = [
            word
            for word in words
            if not word.startswith(("-m", "hydra/", "hydra.", "decide=")) and "interval(" not in word
        ]
        words = [word if "[" in word else word.split(",")[0] for word in swept]
    words = [word for word in words if word not in ("--cfg", "job")]
    build.check(compose.compose("train", words).config, trust.for_runs())


def test_a_refusal_is_printed_as_shown(gan_here: Inside) -> None:
    shown = re.search(r"^    \$ (gan train .*)\n    (gan train: .*)\n    (  .*)$", SAFETY, flags=re.MULTILINE)
    assert shown
    done = gan_here(*shlex.split(shown[1])[1:])
    assert (done.returncode, done.stderr) == (2, f"{shown[2]}\n{shown[3]}\n")


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for _, target in LINK.findall(page.read_text().replace("\n", " ")):
        if target.startswith("https://"):
            continue
        file, _, anchor = target.partition("#")
        goal = (page.parent / file).resolve() if file else page
        assert goal.exists(), target
        assert goal.is_relative_to(ROOT), target
        if anchor:
            assert anchor in anchors(goal), target


def defined(path: Path) -> set[str]:
    """The functions and classes of a module, and the methods of its classes as `Class.method`."""
    top = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef | ast.FunctionDef)]
    return {node.name for node in top} | {
        f"{node.name}.{inner.name}" for node in top for inner in ast.walk(node) if isinstance(inner, ast.FunctionDef)
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_names_in_the_code_are_where_the_links_say(page: Path) -> None:
    for name, target in LINK.findall(page.read_text()):
        if target.endswith(".py") and name.startswith("`") and not name.endswith(".py`"):
            assert name.strip("`") in defined((page.parent / target).resolve()), f"{name} is not in {target}"


def test_what_was_measured_of_exports_and_imports_stands_on_their_pages() -> None:
    for name, key, all_of in (("export", "model", {*SMALL, *SMALL_TRANSLATORS}), ("import", "what", set())):
        lines = (ROOT / "benchmarks" / "results" / f"{name}.jsonl").read_text().splitlines()
        measured = {json.loads(line)[key] for line in lines}
        rows = "".join(line for line in (DOCS / f"{name}.md").read_text().splitlines() if line.startswith("| "))
        assert all_of <= measured
        assert {what for what in measured if what not in rows} == set()
