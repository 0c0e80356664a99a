"""From a checked config to objects. The only place that calls Hydra's `instantiate`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from torch import nn
from torch.optim import Optimizer

from gan_cli.callbacks import Callback
from gan_cli.config import schema
from gan_cli.config.errors import ConfigError, two_lines
from gan_cli.config.trust import Trust
from gan_cli.ramps import settled
from gan_cli.training.runtime import out_of_memory
from gan_cli.training.schedules import Schedule
from gan_cli.training.trainer import Trainer
from gan_cli.types import Data, Incompatible

PLAYERS = ("generator", "discriminator")
GROUPS = {"penalties": "penalty", "auxiliaries": "auxiliary", "augments": "augment"}  # a game's argument -> its group
# The arguments that the program adds to what the config says.
GIVEN_GAME = frozenset({*PLAYERS, "loss", "prior", *GROUPS})
SINGLE = {"_target_": "gan_cli.networks.panel.single"}
GIVEN_TRAINER = frozenset({"game", "data", "optimizers", "ramps", "seed", "schedule", "rank"})

Node = tuple[str, Any, frozenset[str]]  # where a part stands, its config, and the arguments that the program adds


def optimizer_node(config: Mapping[str, Any], player: str) -> dict[str, Any]:
    """One player's optimizer: the common settings, and over them those of its own that are not null."""
    common = {key: value for key, value in config.items() if key not in PLAYERS}
    own = {key: value for key, value in (config.get(player) or {}).items() if value is not None}
    return {**common, **own, "_partial_": True}


def _model_nodes(config: Mapping[str, Any]) -> list[Node]:
    """The parts of a game."""
    named = [(f"{g}.{name}", node) for g in GROUPS.values() for name, node in (config.get(g) or {}).items()]
    players = [(f"model.{player}", config["model"][player]) for player in PLAYERS]
    plain = [*players, ("loss", config["loss"]), ("prior", config["prior"]), *named]
    return [
        ("game", config["game"], GIVEN_GAME),
        ("panel", config.get("panel") or SINGLE, frozenset({"make"})),
        *((path, node, frozenset()) for path, node in plain),
    ]


def _nodes(config: Mapping[str, Any]) -> list[Node]:
    """The parts of a run."""
    named = [(f"callback.{name}", node) for name, node in (config.get("callback") or {}).items()]
    named += [("evaluation", config["evaluation"])]
    plain = [("dataset", config["dataset"]), ("schedule", config["schedule"]), *named]
    return [
        *_model_nodes(config),
        *(("optimizer", optimizer_node(config["optimizer"], p), frozenset({"params"})) for p in PLAYERS),
        ("trainer", config["trainer"], GIVEN_TRAINER),
        *((path, node, frozenset()) for path, node in plain),
    ]


def check(config: Mapping[str, Any], trust: Trust) -> None:
    """Raises ConfigError with all problems that can be seen without building anything."""
    problems = schema.check_settings(config)
    try:
        nodes = _nodes(config)
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"the config lacks a part that a run needs: {error}") from error
    for path, node, given in nodes:
        problems += check_part(path, node, trust, given)
    if problems:
        raise ConfigError(*dict.fromkeys(problems))


def check_part(path: str, node: Any, trust: Trust, given: frozenset[str] = frozenset()) -> list[str]:
    """All problems of one part of a config and of the parts inside it."""
    if not isinstance(node, Mapping) or "_target_" not in node:
        return [f"{path} says nothing about what to build: it has no _target_"]
    problems = []
    for inner, child in schema.targets(node, path):
        problems += schema.check_node(inner, child, trust, given if inner == path else frozenset())
    return problems


def make(path: str, node: Mapping[str, Any], **given: Any) -> Any:
    """The object that a checked node describes. Raises ConfigError, naming the node, when its values are refused."""
    try:
        return instantiate(dict(node), **given, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__ or error
        if out_of_memory(cause):
            remedy = "lower dataset.batch_size, dataset.resolution or the size of the model (model.width)"
            raise ConfigError(two_lines(f"{path} needs more memory than there is", remedy)) from error
        text = str(cause)
        raise ConfigError(text if isinstance(cause, ValueError) else f"{path} cannot be built: {text}") from error


def game(config: Mapping[str, Any]) -> nn.Module:
    """The game with its networks, from a checked config."""
    problems: list[str] = []
    parts: dict[str, Any] = {}

    def attempt(name: str, path: str, node: Mapping[str, Any], **given: Any) -> None:
        try:
            parts[name] = make(path, node, **given)
        except ConfigError as error:
            problems.extend(error.problems)

    model = config["model"]
    attempt("generator", "model.generator", model["generator"])
    attempt(
        "discriminator",
        "panel",
        config.get("panel") or SINGLE,
        make=lambda: make("model.discriminator", model["discriminator"]),
    )
    attempt("loss", "loss", config["loss"])
    attempt("prior", "prior", config["prior"])
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    for argument, group in GROUPS.items():
        chosen = config.get(group) or {}
        parts[argument] = {name: make(f"{group}.{name}", node) for name, node in chosen.items()}
    try:
        built: nn.Module = make("game", {**config["game"], "_partial_": True})(**parts)
    except Incompatible as error:
        raise ConfigError(str(error)) from error
    return built


def checked_game(config: Mapping[str, Any], trust: Trust) -> nn.Module:
    """The game of a config that came out of a file."""
    try:
        nodes = _model_nodes(config)
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(f"the config lacks a part of the model: {error}") from error
    problems = [problem for path, node, given in nodes for problem in check_part(path, node, trust, given)]
    if problems:
        raise ConfigError(*problems)
    return game(config)


def data(config: Mapping[str, Any]) -> Data:
    """The data set, from a checked config."""
    built: Data = make("dataset", config["dataset"])
    return built


class Optimizers(NamedTuple):
    """One optimizer a player, and those of its settings that follow the images shown."""

    by_player: dict[str, Optimizer]
    ramps: dict[str, dict[str, Any]]


def optimizers(config: Mapping[str, Any], players: Mapping[str, nn.Module]) -> Optimizers:
    """One optimizer a player, with its settings as they are at the start."""
    built = Optimizers({}, {})
    for name, player in players.items():
        factory = make("optimizer", optimizer_node(config["optimizer"], name))
        first = {key: settled(value, 0) for key, value in factory.keywords.items()}
        try:
            built.by_player[name] = factory(player.parameters(), **first)
        except ValueError as error:  # torch names no key
            shown = ", ".join(f"optimizer.{key}={value}" for key, value in first.items())
            raise ConfigError(two_lines(f"the optimizer of the {name}: {error}", f"it is set so: {shown}")) from error
        built.ramps[name] = {key: value for key, value in factory.keywords.items() if value != first[key]}
    return built


def _check_parts(config: Mapping[str, Any], played: Any) -> None:
    """Raises ConfigError when a batch comes in parts too small for an augmentation."""
    batch, devices, parts = (
        config["dataset"]["batch_size"],
        *(config["trainer"][k] for k in ("devices", "micro_batches")),
    )
    for name, augment in getattr(played, "augments", {}).items():
        if batch // (devices * parts) < augment.least:
            raise ConfigError(
                two_lines(
                    f"augment.{name} needs {augment.least} samples at once, and dataset.batch_size={batch} in "
                    f"trainer.devices={devices} x trainer.micro_batches={parts} parts gives fewer",
                    "raise dataset.batch_size, or lower trainer.micro_batches or trainer.devices",
                )
            )


def trainer(config: Mapping[str, Any], rank: int = 0) -> Trainer:
    """Everything that a run is made of, from a checked config. The seed decides the first weights."""
    from gan_cli import rng

    rng.reseed(config["seed"], "weights")
    played: Any = game(config)
    dataset = data(config)
    schedule: Schedule = make("schedule", config["schedule"])
    _check_parts(config, played)
    try:
        chosen = optimizers(config, played.players())
        built: Trainer = make("trainer", {**config["trainer"], "_partial_": True})(
            game=played,
            data=dataset,
            optimizers=chosen.by_player,
            ramps=chosen.ramps,
            seed=config["seed"],
            schedule=schedule,
            rank=rank,
        )
    except ValueError as error:
        raise error if isinstance(error, ConfigError) else ConfigError(str(error)) from error
    return built


def callbacks(config: Mapping[str, Any]) -> Sequence[Callback]:
    """The callbacks in their order; measurements come first, so that the others see them."""
    named = (config.get("callback") or {}).items()
    return [make("evaluation", config["evaluation"]), *(make(f"callback.{name}", node) for name, node in named)]
