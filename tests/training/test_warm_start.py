"""init_from=: what fits by player, name and shape is taken, and the rest is told."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conftest import SMALL, SMALL_DCGAN, Inside, checked, same, weights, words
from gan_cli import train
from gan_cli.config import build
from gan_cli.errors import Incompatible
from gan_cli.store import checkpoint
from gan_cli.training import warm_start
from gan_cli.training.warm_start import Name, differing, of_average, of_game

STILL = ("optimizer.lr=0", "trainer.ema_half_life=1e12", "trainer.ema_rampup=0")


def first(*more: str, model: tuple[str, ...] = SMALL_DCGAN) -> Path:
    return train(*words("hydra.run.dir=first", *more, model=model)).folder


def second(*more: str, model: tuple[str, ...] = SMALL_DCGAN) -> tuple[dict[str, Tensor], list[str]]:
    """The weights that another run starts with, and what its log says of them."""
    run = train(*words("init_from=first", "hydra.run.dir=second", *STILL, *more, model=model))
    lines = (run.folder / "train.log").read_text().splitlines()
    told = [line.split("INFO")[-1].strip() for line in lines if "tensors taken" in line or "anew" in line]
    return weights(run.folder), told


def learned(found: dict[str, Tensor], player: str) -> dict[str, Tensor]:
    """Of a player's tensors those that a run at rest does not change."""
    moving = ("running_", "num_batches", ".u")
    return {k: v for k, v in found.items() if k.startswith(f"/game/{player}.") and not any(m in k for m in moving)}


def test_the_same_model_takes_everything_as_a_whole_state_is_loaded(here: Path) -> None:
    """Bit for bit what loading the game and the averaged generator by themselves makes, augmentations included."""
    folder = first("augment=[ada]", "penalty=[lecam]", "trainer.max_steps=6")
    state = checkpoint.load(folder / "checkpoints" / "last.pt")
    chosen = checked(words("augment=[ada]", "penalty=[lecam]", model=SMALL_DCGAN))
    taking, loading = build.trainer(chosen), build.trainer(chosen)
    told = taking.take_weights(state, "first")
    loading.load_weights(state)
    for mine, theirs in ((taking.game, loading.game), (taking.ema.network, loading.ema.network)):
        assert same(mine.state_dict(), theirs.state_dict())
    counts = [len(player.state_dict()) for player in (taking.players["generator"], taking.players["discriminator"])]
    assert told == [
        f"generator: {counts[0]} of {counts[0]} tensors taken",
        f"discriminator: {counts[1]} of {counts[1]} tensors taken",
    ]


def test_another_number_of_classes_leaves_what_depends_on_it() -> None:
    def game(classes: int) -> Any:
        return build.game(checked(words("conditioning=projection", f"dataset.classes={classes}", model=SMALL["sngan"])))

    three, ten = game(3), game(10)
    own = {name: tensor.clone() for name, tensor in ten.state_dict().items()}
    average = copy.deepcopy(ten.generator)
    state = {"game": three.state_dict(), "ema": three.generator.state_dict()}
    told = warm_start.start(ten, average, state, "three")
    differ = {name for name, tensor in own.items() if tensor.shape != three.state_dict()[name].shape}
    assert differ
    assert {name.partition(".")[0] for name in differ} == {"generator", "discriminator"}
    assert all(torch.equal(ten.state_dict()[name], own[name]) for name in differ)
    for name in own.keys() - differ:
        taken = torch.equal(ten.state_dict()[name], three.state_dict()[name])
        assert taken or any(name.rpartition(".parametrizations")[0] in other for other in differ), name
    assert same(average.state_dict(), ten.generator.state_dict())
    assert [line.partition(":")[0] for line in told] == ["generator", "discriminator"]
    assert all("[10, " in line and "[3, " in line for line in told)


def test_other_channels_leave_the_layers_that_meet_the_image(here: Path) -> None:
    folder = first()
    found, told = second("dataset.channels=3")
    before = weights(folder)
    differ = {k for k, v in found.items() if k.startswith("/game/") and before[k].shape != v.shape}
    assert differ
    for key in learned(found, "generator").keys() - differ:
        beside = key.rpartition(".")[0] in {k.rpartition(".")[0] for k in differ}
        assert torch.equal(found[key], before[key]) or beside, key
    assert len(told) == 2
    assert all(line.partition(":")[0] in ("generator", "discriminator") and " left: " in line for line in told)
    ema = {k: v for k, v in found.items() if k.startswith("/ema/")}
    taken = [k for k, v in ema.items() if before[k].shape == v.shape and torch.equal(before[k], v)]
    assert len(taken) > 0.5 * len(ema)


def test_another_width_of_the_discriminator_leaves_the_generator_whole(here: Path) -> None:
    folder = first(model=SMALL["mlp"])
    found, told = second("model.discriminator.hidden=[16]", model=SMALL["mlp"])
    before = weights(folder)
    generator = learned(found, "generator")
    assert generator
    assert all(torch.equal(generator[k], before[k]) for k in generator)
    count = len([k for k in found if k.startswith("/game/generator.")])
    assert told[0] == f"generator: {count} of {count} tensors taken"
    assert "[16, " in told[1]


def test_another_model_entirely_is_refused_and_torch_says_nothing(gan_here: Inside, here: Path) -> None:
    first()
    for model in ("mlp", "sngan", "r3gan"):
        done = gan_here("train", *words("init_from=first", "hydra.run.dir=other", model=SMALL[model]))
        assert done.returncode == 2, done.stderr
        assert "do not fit this model" in done.stderr
        assert "size mismatch" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 2
        assert not Path("other").exists()


class Linear(nn.Module):
    """A player."""

    def __init__(self, width: int, value: float = 0.0) -> None:
        super().__init__()
        self.layer = nn.Linear(width, 2)
        self.norm = nn.BatchNorm1d(2)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.fill_(value)


class One(nn.Module):
    """A game of one player, as regression is."""

    def __init__(self, width: int, value: float = 0.0) -> None:
        super().__init__()
        self.generator = Linear(width, value)

    def players(self) -> dict[str, nn.Module]:
        return {"generator": self.generator}


class Two(One):
    def __init__(self, width: int, value: float = 0.0) -> None:
        super().__init__(width, value)
        self.discriminator = Linear(width, value)

    def players(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator}


class Cycle(nn.Module):
    """Two games, whose generators are one player."""

    def __init__(self, width: int, value: float = 0.0) -> None:
        super().__init__()
        self.there, self.back = Two(width, value), Two(width, value + 1)

    def players(self) -> dict[str, nn.Module]:
        ways = (self.there, self.back)
        return {
            "generator": nn.ModuleList(way.generator for way in ways),
            "discriminator": nn.ModuleList(way.discriminator for way in ways),
        }


def saved(game: Any) -> dict[str, Any]:
    ema = {k: v + 100 if v.is_floating_point() else v for k, v in game.players()["generator"].state_dict().items()}
    return {"game": game.state_dict(), "ema": ema}


def started(game: Any, source: Any) -> tuple[Any, nn.Module, list[str]]:
    average = game.players()["generator"].__class__
    ema = Linear(3, -1.0) if average is Linear else nn.ModuleList([Linear(3, -1.0), Linear(3, -2.0)])
    told = warm_start.start(game, ema, saved(source), "there")
    return game, ema, told


def value(linear: nn.Module) -> float:
    return float(linear.layer.weight.detach().mean())  # type: ignore[union-attr, operator, arg-type]


def test_a_game_with_a_discriminator_starts_from_one_without() -> None:
    game, ema, told = started(Two(3, 5.0), One(3, 7.0))
    assert (value(game.generator), value(game.discriminator), value(ema)) == (7, 5, 107)
    assert told == ["generator: 7 of 7 tensors taken", "discriminator: begins anew, for there is none in that run"]


def test_a_game_without_a_discriminator_starts_from_one_with() -> None:
    game, ema, told = started(One(3, 5.0), Two(3, 7.0))
    assert (value(game.generator), value(ema)) == (7, 107)
    assert told == ["generator: 7 of 7 tensors taken", "discriminator: not taken, for this game has none"]


def test_two_ways_start_from_two_ways() -> None:
    game, ema, told = started(Cycle(3, 5.0), Cycle(3, 7.0))
    assert [value(way.generator) for way in (game.there, game.back)] == [7, 8]
    assert [value(network) for network in ema] == [107, 108]  # type: ignore[attr-defined]
    assert told == ["generator: 14 of 14 tensors taken", "discriminator: 14 of 14 tensors taken"]


def test_two_ways_and_one_meet_in_the_first() -> None:
    game, ema, told = started(Cycle(3, 5.0), Two(3, 7.0))
    assert [value(way.generator) for way in (game.there, game.back)] == [7, 6]
    assert [value(network) for network in ema] == [107, -2]  # type: ignore[attr-defined]
    assert told[0].startswith("generator: 7 of 14 tensors taken; left: layer.weight [2, 3] here, none there; ")
    game, ema, told = started(Two(3, 5.0), Cycle(3, 7.0))
    assert (value(game.generator), value(ema)) == (7, 107)
    assert told[0] == "generator: 7 of 7 tensors taken; 7 of that run's have no place here"


def test_a_layer_that_differs_is_left_with_its_bias_and_nothing_is_taken_of_strangers() -> None:
    with pytest.raises(Incompatible, match="no kernel or matrix"):
        started(One(3, 5.0), One(4, 7.0))
    mixed = Two(3, 7.0)
    mixed.generator = Linear(4, 7.0)
    game, _, told = started(Two(3, 5.0), mixed)
    assert float(game.generator.layer.bias.detach().mean()) == 5
    assert value(game.discriminator) == 7
    left = "layer.weight [2, 3] here, [2, 4] there; layer.bias of a layer that differs"
    assert told[0] == f"generator: 5 of 7 tensors taken; left: {left}"


def test_a_singular_vector_stays_with_its_weight() -> None:
    name = "layer.parametrizations.weight"
    own = {Name("d", f"{name}.original", 0): torch.zeros(2, 3), Name("d", f"{name}.0.u", 0): torch.zeros(2)}
    other = {Name("d", f"{name}.original", 0): torch.zeros(2, 4), Name("d", f"{name}.0.u", 0): torch.zeros(2)}
    assert differing(own, other).keys() == own.keys()
    assert not differing(own, own)


def test_names() -> None:
    found = of_game(dict.fromkeys(("there.generator.x", "back.generator.x", "pool.images")), ("generator",))
    assert found == {
        Name("generator", "x", 0): "there.generator.x",
        Name("generator", "x", 1): "back.generator.x",
        Name("parts", "pool.images", 0): "pool.images",
    }
    averaged = of_average(dict.fromkeys(("0.x", "1.x")), found)
    assert averaged == {Name("generator", "x", 0): "0.x", Name("generator", "x", 1): "1.x"}
    assert of_average({"x": None}, found) == {Name("generator", "x", 0): "x"}
