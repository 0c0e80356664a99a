"""One value, one meaning: what a setting is given is what it is used as, for every setting of every choice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import SMALL_MLP, Inside, checked, words
from gan_cli import train
from gan_cli.config import build, choices, schema, trust
from gan_cli.config.errors import ConfigError
from gan_cli.config.schema import NUMBER, Part, admits, converted, hints_of
from gan_cli.ramps import Linear
from gan_cli.types import Fraction, PositiveInt, Ramp

TRUST = trust.for_runs()
# Choices that only go together with others; the rest go with the default run.
COMPANIONS = {"classification": ["conditioning=acgan"], "folder": ["dataset.root=x"]}


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


PARTS = list(every_part())


def read(part: Part, key: str, value: Any) -> Any:
    """What a setting of a part is converted to, or the complaint."""
    problems: list[str] = []
    node = {**part.plain(), key: value}
    slot = "optimizer" if part.path.startswith("optimizer.") else ""
    found = schema.part_of(part.path, node, TRUST, problems, frozenset(), True, slot)
    problems = [problem for problem in problems if f"{part.path}.{key}" in problem]
    return problems[0] if problems or found is None else found.settings[key]


def settings(kind: type) -> list[tuple[Part, str]]:
    return [
        (part, key)
        for part in PARTS
        for key, value in part.settings.items()
        if type(value) is kind and not (kind is int and hints_of(part.target)[key] is Any)
    ]


@pytest.mark.parametrize(("part", "key"), settings(bool), ids=lambda v: v if isinstance(v, str) else v.path)
def test_every_switch_knows_no_from_yes(part: Part, key: str) -> None:
    for word in ("no", "off", "n", "f", "false", "False", "0", 0, False):
        assert read(part, key, word) is False
    for word in ("yes", "on", "y", "t", "true", "True", "1", 1, True):
        assert read(part, key, word) is True
    for word in ("maybe", "", 2, 0.5, [], "nope"):
        assert isinstance(read(part, key, word), str)


@pytest.mark.parametrize(("part", "key"), settings(int), ids=lambda v: v if isinstance(v, str) else v.path)
def test_every_whole_number_is_one_however_it_is_written(part: Part, key: str) -> None:
    usual = part.settings[key]
    for word in (usual, float(usual), str(usual), f"{usual}.0", f"{usual}e0", f" {usual} "):
        found = read(part, key, word)
        assert found == usual
        assert isinstance(found, type(read(part, key, usual)))
    for word in (True, "no", "many", "1e", [1, 2, "x"], {}):
        assert isinstance(read(part, key, word), str), word


@pytest.mark.parametrize(("part", "key"), settings(float), ids=lambda v: v if isinstance(v, str) else v.path)
def test_every_number_is_one_however_it_is_written(part: Part, key: str) -> None:
    usual = part.settings[key]
    for word in (usual, str(usual), f"{usual:e}"):
        assert read(part, key, word) == pytest.approx(usual, rel=1e-6)
        assert type(read(part, key, word)) is float
    for word in (True, "no", "much", {}):
        assert isinstance(read(part, key, word), str), word


def test_there_is_something_to_test() -> None:
    assert len(PARTS) > 60
    assert all(len(settings(kind)) > n for kind, n in ((bool, 9), (int, 60), (float, 20)))


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
    folder = train(*words(*own, "+loss.strict=no", "+loss.times=1e2", "+loss.weight='2'")).folder
    saved = yaml.safe_load((folder / "config.yaml").read_text())["loss"]
    assert saved == {"_target_": "plain_losses.Plain", "strict": False, "times": 100, "weight": 2.0}
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


def test_where_a_ramp_may_stand() -> None:
    assert admits(float | Ramp, Linear)
    assert admits(Any, Linear)
    assert not admits(PositiveInt, Linear)
    assert not admits(int | None, Linear)
