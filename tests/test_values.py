"""One value, one meaning: every setting of every choice is used as the value that was given."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import SMALL_MLP, Inside, checked, words
from gan_cli import train
from gan_cli.config import build, choices, schema, trust
from gan_cli.config.conversion import NUMBER, admits, converted, hints_of
from gan_cli.config.schema import Part
from gan_cli.errors import ConfigError
from gan_cli.ramps import Linear
from gan_cli.types import Fraction, PositiveInt, Ramp

TRUST = trust.for_runs()
# Choices that only go together with others; the rest go with the default run.
OF_FILES = ("folder", "paired_folder", "parquet", "two_folders", "unpaired_folder", "webdataset")
COMPANIONS = {"classification": ["conditioning=acgan"], **{choice: ["dataset.root=x"] for choice in OF_FILES}}


def every_part() -> Iterator[Part]:
    """All parts of all choices of `gan train`, each once, with the words that compose it."""
    seen = set()
    for group, usual in choices.offers()["train"].groups.items():
        if group == "experiment":
            continue
        for choice in choices.packaged()[group]:
            word = f"{group}=[{choice}]" if isinstance(usual, list) else f"{group}={choice}"
            model = ["model=stylegan2"] if choice == "style_path_length" else []
            config = checked([*model, word, *COMPANIONS.get(choice, [])])
            for part in config.parts.values():
                for inner in schema.parts_in(part):
                    if inner.name not in seen:
                        seen.add(inner.name)
                        yield inner


def read(part: Part, key: str, value: Any) -> Any:
    """What a setting of a part is converted to, or the complaint."""
    problems: list[str] = []
    node = {**part.plain(), key: value}
    slot = "optimizer" if part.path.startswith("optimizer.") else ""
    found = schema.part_of(part.path, node, TRUST, problems, frozenset(), True, slot)
    problems = [problem for problem in problems if f"{part.path}.{key}" in problem]
    return problems[0] if problems or found is None else found.settings[key]


def wrong_switches(part: Part, key: str, usual: bool) -> list[str]:
    """Spellings of yes, no and neither that are misread."""
    asked = dict.fromkeys(("no", "off", "n", "f", "false", "False", "0", 0), False)
    asked |= dict.fromkeys(("yes", "on", "y", "t", "true", "True", "1", 1), True)
    said = [word for word, meant in asked.items() if read(part, key, word) is not meant]
    return [*map(repr, said), *taken(part, key, ("maybe", "", 2, 0.5, [], "nope"))]


def wrong_whole_numbers(part: Part, key: str, usual: int) -> list[str]:
    ways = (usual, float(usual), str(usual), f"{usual}.0", f"{usual}e0", f" {usual} ")
    said = [word for word in ways if read(part, key, word) != usual or type(read(part, key, word)) is str]
    return [*map(repr, said), *taken(part, key, (True, "no", "many", "1e", [1, 2, "x"], {}))]


def wrong_numbers(part: Part, key: str, usual: float) -> list[str]:
    ways = (usual, str(usual), f"{usual:.17e}")
    said = [word for word in ways if read(part, key, word) != usual or type(read(part, key, word)) is not float]
    return [*map(repr, said), *taken(part, key, (True, "no", "much", {}))]


def taken(part: Part, key: str, words: tuple[Any, ...]) -> list[str]:
    """Values that should be refused but are not."""
    return [repr(word) for word in words if not isinstance(read(part, key, word), str)]


def test_every_setting_of_every_choice_means_what_was_given() -> None:
    """One test, since all choices have to be composed for it."""
    looks: dict[type, Callable[..., list[str]]] = {bool: wrong_switches, int: wrong_whole_numbers, float: wrong_numbers}
    tried = dict.fromkeys(looks, 0)
    wrong = {}
    for part in every_part():
        for key, value in part.settings.items():
            if type(value) in looks and hints_of(part.target)[key] is not Any:
                tried[type(value)] += 1
                wrong[f"{part.path} ({part.name}).{key}"] = looks[type(value)](part, key, value)
    assert {where: ways for where, ways in wrong.items() if ways} == {}
    assert tried[bool] > 9
    assert tried[int] > 60
    assert tried[float] > 20


@pytest.mark.parametrize(
    ("word", "hint", "value"),
    [
        ("1e2", PositiveInt, 100),
        (1e2, PositiveInt, 100),
        ("64.0", PositiveInt, 64),
        ("1", Fraction, 1.0),
        ("off", bool | None, False),
        (None, bool | None, None),
        ("0.5", NUMBER, 0.5),
        ("2", NUMBER, 2),
        ("3", PositiveInt | Ramp, 3),
        ([0, "0.9"], tuple[float, float], (0.0, 0.9)),
        ("0..9", str | int, "0..9"),
        ("1e5", str, "1e5"),
    ],
)
def test_conversion(word: Any, hint: Any, value: Any) -> None:
    found = converted(word, hint)
    assert (found, type(found)) == (value, type(value))


OWN = """
from gan_cli.losses import Hinge

class Plain(Hinge):
    def __init__(self, strict=False, times=2, weight=0.5, name="x", unknown: "NoSuchType" = None):
        super().__init__()
        assert strict is False and times == 100 and isinstance(times, int) and weight == 2.0, (strict, times, weight)
"""


def test_users_own_parts_get_converted_values_too(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without annotations the defaults say what is a switch and what is a number."""
    (here / "plain_losses.py").write_text(OWN)
    monkeypatch.syspath_prepend(here)
    own = ("loss=hinge", "loss._target_=plain_losses.Plain", "trust=plain_losses")
    folder = train(*words(*own, "+loss.strict=no", "+loss.times=1e2", "loss.weight='2'")).folder
    saved = yaml.safe_load((folder / "config.yaml").read_text())["loss"]
    given = {"strict": False, "times": 100, "weight": 2.0}
    assert saved == {"_target_": "plain_losses.Plain", **given, "name": "x", "unknown": None}  # with its own defaults
    assert "discriminator_weight" not in saved  # of the packaged file: 1.0 changes nothing, and Plain does not take it
    with pytest.raises(ConfigError, match=r"unknown setting 'loss\.discriminator_weight' of Plain"):
        train(*words(*own, "loss.discriminator_weight=0.5"))
    with pytest.raises(ConfigError, match=r"loss\.strict='maybe' is not valid"):
        train(*words(*own, "+loss.strict=maybe"))


def test_the_converted_value_is_the_one_that_is_used(here: Path) -> None:
    config = checked(["model=dcgan", "dataset.flip=no", "model.discriminator.spectral_norm=off", "dataset.limit=1e2"])
    assert build.data(config).flip is False  # type: ignore[attr-defined]
    assert config.config["dataset"]["limit"] == 100
    assert len(build.data(config)) == 100
    game = build.game(config)
    assert not [name for name, _ in game.named_parameters() if "parametrizations" in name]
    wide = checked([*SMALL_MLP, "model.latent_dim=8.0", "dataset.batch_size=16.0", "dataset.channels='1'"])
    assert (wide.config["model"]["generator"]["latent_dim"], wide.config["dataset"]["batch_size"]) == (8, 16)
    assert train(*words("dataset.batch_size=8.0", "trainer.micro_batches=2.0", "trainer.devices=1.0")).step == 2


def test_products_of_settings_are_products_of_numbers() -> None:
    config = checked(["augment=[packing]", "dataset.channels='3'", "recipe.pack=2.0"]).config
    assert config["model"]["discriminator"]["channels"] == 6


@pytest.mark.parametrize(
    "word",
    [
        "dataset.batch_size=${linear:1,4,100}",
        "model.width=${linear:1,4,100}",
        "trainer.max_steps=${cosine:1,4,100}",
        "dataset.flip=${linear:0,1,9}",
        "loss.real_label=${linear:1,0,9}",
        "seed=${linear:1,4,100}",
        "name=${linear:1,4,100}",
    ],
)
def test_what_cannot_follow_progress_is_refused(gan_here: Inside, here: Path, word: str) -> None:
    told = gan_here("train", "loss=lsgan", word)
    assert told.returncode == 2
    assert word.partition("=")[0].split(".")[-1] in told.stderr
    assert "Error" not in told.stderr
    assert not any(here.iterdir())


def test_where_a_ramp_is_allowed() -> None:
    assert admits(float | Ramp, Linear)
    assert admits(Any, Linear)
    assert not admits(PositiveInt, Linear)
    assert not admits(int | None, Linear)
