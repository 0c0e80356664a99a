"""The product of loss x penalties x auxiliaries x augmentations x conditioning x prior, on tiny networks.

Each combination is either refused with a message that names a remedy, or makes two steps with finite losses and a
gradient for every parameter that should have one. A seeded sample of the product by default; $GAN_COMBINATIONS is the
size of the sample, or `all`.
"""

from __future__ import annotations

import copy
import importlib
import itertools
import math
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.utils import parametrize

from conftest import CONF, checked, same
from gan_cli import ramps, train
from gan_cli.config import build, choices, compose, trust
from gan_cli.data.points import Points, ring
from gan_cli.errors import ConfigError, Incompatible, Refused
from gan_cli.games.adversarial import Adversarial
from gan_cli.games.parts import Parts
from gan_cli.priors import Prior
from gan_cli.training.schedules import Constant
from gan_cli.training.trainer import Trainer
from gan_cli.types import Batch, Clock

SAMPLE = os.environ.get("GAN_COMBINATIONS", "1200")
SHARDS = 4
CLASSES = 3
GROUPS = choices.config_groups(CONF)
# Without those that compare with what a generator is given, which no prior here does: tests/test_translate.py
OF_GIVEN = ("cycle", "identity", "l1", "perceptual", "perceptual_efficientnet", "perceptual_random")
AUXILIARIES = [choice for choice in GROUPS["auxiliary"] if choice not in OF_GIVEN]
REMEDY = ("use ", "leave ", "add ", "gives", "set ")


def subsets(names: Sequence[str], most: int) -> list[tuple[str, ...]]:
    return [chosen for size in range(most + 1) for chosen in itertools.combinations(names, size)]


# Every size of the data and of the networks: points, images through an mlp, images through convolutions.
POINTS, IMAGES, CONVOLUTIONS = (
    ("dataset=ring", "model=mlp", "model.generator.hidden=[4,4]", "model.discriminator.hidden=[4,4]"),
    ("dataset.resolution=4", "model=mlp", "model.generator.hidden=[4,4]", "model.discriminator.hidden=[4,4]"),
    ("dataset.resolution=16", "model=dcgan", "model.width=1"),
)
AXES: Mapping[str, Sequence[Any]] = {
    "model": (POINTS, *[IMAGES] * 6, CONVOLUTIONS),
    "norm": ("none", "none", "layer", "batch"),
    "minibatch": ("none", "none", "none", "stddev"),
    "panel": ("single", "single", "jury"),
    "classes": (*[CLASSES] * 5, 0),
    "loss": GROUPS["loss"],
    "penalty": subsets(GROUPS["penalty"], 3),
    "auxiliary": subsets(AUXILIARIES, 2),
    "augment": subsets(GROUPS["augment"], 2),
    "conditioning": GROUPS["conditioning"],
    "prior": [prior for prior in GROUPS["prior"] if prior not in ("source", "pair")],
}
# What is walked whole: the choices that a person makes, each on the smallest images.
WHOLE = {
    **AXES,
    "model": (IMAGES,),
    "norm": ("none",),
    "minibatch": ("none",),
    "panel": ("single",),
    "classes": (CLASSES,),
    "penalty": subsets(GROUPS["penalty"], 2),
    "auxiliary": subsets(AUXILIARIES, 1),
    "augment": subsets(GROUPS["augment"], 1),
}


def combinations(shard: int) -> Iterator[dict[str, Any]]:
    """This shard's part of the sample, or of the whole product."""
    if SAMPLE == "all":
        for number, values in enumerate(itertools.product(*WHOLE.values())):
            if number % SHARDS == shard:
                yield dict(zip(WHOLE, values, strict=True))
        return
    draw = random.Random(f"combinations {shard}")
    for _ in range(math.ceil(int(SAMPLE) / SHARDS)):
        chosen = {axis: draw.choice(values) for axis, values in AXES.items()}
        # One part as often as two or three: most larger sets are refused because of one of their members.
        for axis, most in (("penalty", 3), ("auxiliary", 2), ("augment", 2)):
            size = draw.randint(0, most)
            chosen[axis] = draw.choice([subset for subset in AXES[axis] if len(subset) == size])
        yield chosen


@cache
def composed(*words: str) -> dict[str, Any]:
    return compose.compose("train", list(words)).config


PARTS = ("penalty", "auxiliary", "augment")


@cache
def alone(group: str, choice: str) -> dict[str, Any]:
    """One choice of a group of which several may be chosen."""
    return compose.compose("train", [f"{group}=[{choice}]"]).config[group]


def config_of(chosen: Mapping[str, Any]) -> dict[str, Any]:
    """The config that these choices compose to. Each part is composed once, and the parts are put together here."""
    packed = ("augment=[packing]",) if "packing" in chosen["augment"] else ()
    words = (f"dataset.classes={CLASSES}", f"conditioning={chosen['conditioning']}", "model.latent_dim=3", *packed)
    networks = composed(*chosen["model"], *words)
    generator, discriminator = (dict(networks["model"][player]) for player in ("generator", "discriminator"))
    for network in (generator, discriminator):
        way = network["conditioning"]
        network["conditioning"] = {**way, "classes": chosen["classes"]} if "classes" in way else way
    discriminator |= {"norm": chosen["norm"], "minibatch": chosen["minibatch"]}
    # by the names of the parts, of which several choices may have one
    named = {
        group: {name: node for choice in chosen[group] for name, node in alone(group, choice).items()}
        for group in PARTS
    }
    return {
        "generator": generator,
        "discriminator": discriminator,
        "loss": composed(f"loss={chosen['loss']}")["loss"],
        "prior": composed(f"prior={chosen['prior']}", "model.latent_dim=3")["prior"],
        "panel": composed(f"panel={chosen['panel']}")["panel"],
        # acgan brings its two terms; other choices join them
        "penalty": {**networks["penalty"], **named["penalty"]},
        "auxiliary": {**networks["auxiliary"], **named["auxiliary"]},
        "augment": named["augment"],
    }


def made(node: Any, **given: Any) -> Any:
    """What a node of a config describes: as `instantiate` does, at a tenth of its time."""
    if isinstance(node, list):
        return [made(child) for child in node]
    if not isinstance(node, Mapping) or "_target_" not in node:
        return node
    module, _, name = node["_target_"].rpartition(".")
    settings = {key: made(value) for key, value in node.items() if not key.startswith("_")}
    return getattr(importlib.import_module(module), name)(**settings, **given)


def game_of(chosen: Mapping[str, Any]) -> Adversarial:
    config = config_of(chosen)
    parts = Parts(
        made(config["generator"]),
        made(config["panel"], make=lambda: made(config["discriminator"])),
        made(config["loss"]),
        made(config["prior"]),
        *({name: made(node) for name, node in config[group].items()} for group in PARTS),
    )
    return Adversarial(parts)


def real_batch(chosen: Mapping[str, Any], n: int = 8) -> Batch:
    label = torch.arange(n) % (chosen["classes"] or 1)
    shapes = {POINTS: (2,), IMAGES: (1, 4, 4), CONVOLUTIONS: (1, 16, 16)}
    return Batch(label, torch.rand(n, *shapes[chosen["model"]]) * 2 - 1)


def two_steps(game: Any, chosen: Mapping[str, Any]) -> None:
    for step in range(2):
        for module in game.modules():
            if hasattr(module, "advance"):
                module.advance(Clock(step, 8 * step))
        for phase in game.phases():
            player = game.players()[phase.player]
            for other in game.players().values():
                other.requires_grad_(other is player)
            player.zero_grad(set_to_none=True)
            outcome = phase.objective(real_batch(chosen), step)
            for name, term in outcome.terms.items():
                assert term.isfinite(), f"{phase.player}/{name} is {term}"
            torch.stack(list(outcome.terms.values())).sum().backward()
            for name, parameter in player.named_parameters():
                assert parameter.grad is not None, f"{phase.player}.{name} has no gradient"
                assert parameter.grad.isfinite().all(), f"the gradient of {phase.player}.{name} is not finite"
            with torch.no_grad():
                for parameter in player.parameters():
                    parameter -= 1e-3 * parameter.grad
            phase.project()


def plain_facts(game: Any) -> list[tuple[str, type, dict[str, Any]]]:
    """Every module with its type and those of its attributes that are plain values."""

    def plain(value: Any) -> bool:
        return isinstance(value, bool | int | float | str | None) or (
            isinstance(value, list | tuple) and all(plain(inner) for inner in value)
        )

    facts = ((name, module, vars(module).items()) for name, module in game.named_modules())
    kind = parametrize.type_before_parametrizations  # torch makes a class for each module with a parametrization
    return [(name, kind(module), {k: v for k, v in attributes if plain(v)}) for name, module, attributes in facts]


def game_or_refusal(build_it: Callable[[], Any]) -> Any:
    torch.manual_seed(0)
    try:
        return build_it()
    except (Incompatible, ConfigError) as error:
        return str(error)


def test_what_is_put_together_here_is_what_build_makes() -> None:
    """The same weights, types and settings from `made` as from a config that is checked and built."""
    agreed = 0
    for chosen in itertools.islice(combinations(0), 60):
        parts = config_of(chosen)
        model = {**composed(*chosen["model"])["model"], **{p: parts[p] for p in ("generator", "discriminator")}}
        config = {**composed(*chosen["model"]), **{k: v for k, v in parts.items() if k not in model}, "model": model}
        mine = game_or_refusal(partial(game_of, chosen))
        theirs = game_or_refusal(lambda config=config: build.game(build.check(config, trust.for_runs())))
        if isinstance(mine, str):
            assert mine in theirs  # which may name further problems
            continue
        assert same(mine.state_dict(), theirs.state_dict())
        assert plain_facts(mine) == plain_facts(theirs)
        agreed += 1
    assert agreed > 10


class Fixed(Prior):
    """The same latents every time."""

    def forward(self, batch: Batch) -> torch.Tensor:
        return torch.linspace(-1, 1, len(batch) * self.latent_dim).view(len(batch), self.latent_dim)


def test_two_steps_here_are_two_steps_of_the_trainer() -> None:
    """The same weights come out, for a game without randomness whose penalty decays with the images."""
    usual = {axis: values[0] for axis, values in AXES.items()}
    chosen = {**usual, "loss": "nonsaturating", "penalty": ("r1",), "conditioning": "none", "classes": 0}
    mine = game_of(chosen)
    mine.prior = Fixed(3)
    mine.penalties["r1"].weight = ramps.Linear(5.0, 0.0, 16)
    theirs, first = copy.deepcopy(mine), copy.deepcopy(mine.state_dict())

    class Same(Points):
        def batch(self, draw: int) -> Batch:
            return real_batch(chosen)

    torch.manual_seed(1)
    batch = real_batch(chosen)
    torch.manual_seed(1)
    optimizers = {name: torch.optim.SGD(player.parameters(), 1e-3) for name, player in theirs.players().items()}
    trainer = Trainer(theirs, Same(ring(), batch_size=8), optimizers, 0, Constant(), max_steps=2, device="cpu")
    trainer.place()
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(globals(), "real_batch", lambda chosen: batch)
        two_steps(mine, chosen)
        for _ in range(2):
            trainer.step()
    moved = [not torch.equal(first[name], tensor) for name, tensor in mine.state_dict().items()]
    assert any(moved)
    for name, tensor in mine.state_dict().items():
        assert torch.allclose(tensor, theirs.state_dict()[name], rtol=0, atol=1e-7), name


@pytest.mark.parametrize("shard", range(SHARDS))
def test_every_combination_trains_or_is_refused_with_a_remedy(shard: int) -> None:
    trained = refused = 0
    for chosen in combinations(shard):
        torch.manual_seed(0)
        try:
            game = game_of(chosen)
        except Incompatible as error:
            refused += 1
            if not any(word in str(error) for word in REMEDY):
                raise AssertionError(f"no remedy for {chosen}: {error}") from error
            continue
        try:
            two_steps(game, chosen)
        except Exception as error:
            raise AssertionError(f"{chosen}: {error}") from error
        trained += 1
    assert trained > 0.25 * (trained + refused), (trained, refused)
    assert refused > 0.1 * (trained + refused), (trained, refused)


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        (["penalty=[gradient_penalty]"], "norm=layer"),
        (
            ["penalty=[dragan]", "model.discriminator.norm=none", "model.discriminator.minibatch=stddev"],
            "minibatch=none",
        ),
        (["penalty=[classification]"], "conditioning=acgan"),
        (["auxiliary=[classification]"], "conditioning=acgan"),
        (["auxiliary=[vote]"], "panel=jury"),
        (["augment=[packing]", "conditioning=projection"], "conditioning=none"),
        (["augment=[packing]", "conditioning=concat"], "conditioning=none"),
        (["augment=[packing]", "conditioning=acgan"], "leave one of them out"),
        (["augment=[packing]", "loss=wgan_gp"], r"penalty=\[r1\]"),
        (["augment=[ada]", "loss=lsgan"], "loss=nonsaturating, hinge"),
        (["augment=[ada]", "loss=r3gan"], "loss=nonsaturating, hinge"),
        (["conditioning=projection", "dataset.classes=0"], "conditioning=none"),
        (["dataset=ring", "model=mlp", "augment=[diffaugment]"], "leave it out"),
        (["dataset=ring", "model=mlp", "penalty=[consistency]"], "leave it out"),
        (["loss=feature_matching", "auxiliary=[]"], "auxiliary=.feature_matching"),
    ],
    ids=" ".join,
)
def test_what_cannot_work_is_refused_with_the_remedy_below(words: list[str], remedy: str) -> None:
    with pytest.raises(Refused, match=rf"^[^\n]+\n  [^\n]*{remedy}[^\n]*$"):
        build.game(checked(["model.latent_dim=3", *words]))


def test_a_part_of_a_batch_holds_at_least_one_pack(here: Path) -> None:
    words = ["model=mlp", "augment=[packing]", "recipe.pack=3", "dataset.batch_size=4", "trainer.micro_batches=2"]
    with pytest.raises(Incompatible, match=r"augment\.packing needs 3 samples .*\n.*raise dataset\.batch_size"):
        train(*words)
    assert not any(here.iterdir())
