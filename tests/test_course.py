"""docs/course.md: every command and experiment that it names can be typed, and its networks are as large as it says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch

from conftest import checked
from gan_cli.config import build, compose, trust
from gan_cli.config.choices import packaged
from gan_cli.metrics import Metric
from gan_cli.metrics.features import Seen

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGE = (DOCS / "course.md").read_text()
METRICS = re.compile(r"metrics=\[([\w,]+)\]")
EVALUATIONS = re.findall(r"^    (?:\$ )?gan eval \S+ (.*)$", PAGE, flags=re.MULTILINE)
NETWORKS = re.findall(r"^\| `([^`]+)` \| ([GD]) [^|]*\| ([\d,]+) \|$", PAGE, flags=re.MULTILINE)
SETTING = re.compile(r"[a-z_.0-9]+=\S+")
OF_OTHER_COMMANDS = ("mode", "metrics", "n", "classes", "out", "reference", "detector", "weights")


def settings() -> list[str]:
    """What is typed after `gan train`, in prose and tables: one or several `key=value`."""
    spans = re.findall(r"`([^`\n]+)`", PAGE)
    whole = [span for span in spans if all(SETTING.fullmatch(word) for word in shlex.split(span))]
    built = {words for words, _, _ in NETWORKS}  # below
    return [s for s in dict.fromkeys(whole) if s not in built and s.split("=")[0].strip("'") not in OF_OTHER_COMMANDS]


def test_what_is_checked_is_found() -> None:
    assert len(NETWORKS) == 17
    assert len(settings()) > 25
    assert len(EVALUATIONS) == 7


@pytest.mark.parametrize(("words", "player", "parameters"), NETWORKS)
def test_a_network_has_as_many_parameters_as_the_page_says(words: str, player: str, parameters: str) -> None:
    config = checked(shlex.split(words))
    with torch.device("meta"):  # shapes without numbers
        network = build.make(config.parts[{"G": "model.generator", "D": "model.discriminator"}[player]])
    assert sum(p.numel() for p in network.parameters()) == int(parameters.replace(",", ""))


def test_the_experiments_that_it_names_are_there() -> None:
    named = {*re.findall(r"experiment=(\w+)", PAGE)}
    assert len(named) > 10
    assert named <= {*packaged()["experiment"]}


@pytest.mark.parametrize("words", settings())
def test_the_settings_that_it_names_are_settings(words: str) -> None:
    checked(shlex.split(words))


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda page: page.stem)
def test_the_metrics_that_a_page_names_are_there(page: Path) -> None:
    named = {name for found in METRICS.findall(page.read_text()) for name in found.split(",")}
    assert named <= {*packaged()["metrics"]}


@pytest.mark.parametrize("line", EVALUATIONS)
def test_an_evaluation_measures_what_its_detector_sees(line: str) -> None:
    """The metrics of a line are not refused for the logits of its detector: ten, of a classifier of digits."""
    words = [word for word in shlex.split(line) if not word.startswith("weights=")]
    config = compose.compose("eval", ["checkpoint=run", *words]).config
    logits = {"classifier": 10, "pixels": 10, "inception": 1008}
    (detector,) = config.get("detector") or ("inception",)
    for name, node in config.get("metrics", {}).items():
        metric = build.make(build.check_part(f"metrics.{name}", node, trust.for_runs()))
        if isinstance(metric, Metric):
            metric.least(Seen(torch.zeros(1, 4), torch.zeros(1, logits[detector])))
