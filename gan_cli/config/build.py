"""From a config to objects: the whole config is read and checked first, and what was checked is what is built."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import isfinite
from types import MappingProxyType
from typing import Any, NamedTuple

from torch import nn
from torch.optim import Optimizer

from gan_cli.callbacks import Callback
from gan_cli.config import choices, kinds, nodes, schema
from gan_cli.config.nodes import GROUPS, Node
from gan_cli.config.schema import Part
from gan_cli.config.trust import Trust, for_runs
from gan_cli.errors import ConfigError, Incompatible, Refused, raised_at, two_lines
from gan_cli.games.base import Game
from gan_cli.games.parts import Parts
from gan_cli.games.solo import Solo
from gan_cli.metrics import Metric, PairMetric
from gan_cli.metrics.measure import Reference
from gan_cli.ramps import settled
from gan_cli.training.runtime import out_of_memory
from gan_cli.training.trainer import Trainer
from gan_cli.types import Data, Need, Ramp

FINITE = "it should be a finite number"


@dataclass(frozen=True)
class Checked:
    """A config that may be built."""

    config: dict[str, Any]  # plain values, converted
    parts: Mapping[str, Part]

    def group(self, name: str) -> dict[str, Part]:
        """The parts of a group that allows several choices, by name, in order."""
        return {path.partition(".")[2]: part for path, part in self.parts.items() if path.startswith(f"{name}.")}

    def targets(self) -> list[str]:
        """The targets that the config names."""
        return [inner.name for part in self.parts.values() for inner in schema.parts_in(part)]


Config = Checked | Mapping[str, Any]  # what was checked, or what the user composed


def _in_order(config: Config) -> Checked:
    return config if isinstance(config, Checked) else check(config, for_runs())


def check(config: Mapping[str, Any], trust: Trust) -> Checked:
    """A run's config. Raises ConfigError with all problems that can be seen without building anything."""
    problems: list[str] = []
    own: dict[str, Any] = {}
    try:
        own = schema.validated(schema.Settings, config).model_dump(include=set(schema.Settings.model_fields))
    except ConfigError as error:
        problems += error.problems
    try:
        found = nodes.of_run(config)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ConfigError(two_lines(f"the config lacks a part that a run needs: {error}", "add it")) from error
    return _checked({**config, **{key: own[key] for key in own if key in config}}, found, trust, problems)


def check_model(config: Mapping[str, Any], trust: Trust) -> Checked:
    """The model part of a config read from a file; nothing else in it is looked at."""
    try:
        found = nodes.of_model(config)
        config["dataset"]["resolution"]  # empty for points
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigError(two_lines(f"the config lacks a part of the model: {error}", "add it")) from error
    return _checked(dict(config), found, trust, [])


def check_part(path: str, node: Any, trust: Trust) -> Part:
    """One part of a config."""
    return _checked({}, [Node(path, node)], trust, []).parts[path]


def _checked(config: dict[str, Any], found: Sequence[Node], trust: Trust, problems: list[str]) -> Checked:
    """Raises ConfigError with all problems."""
    parts = {}
    for path, node, given, follows_progress, slot in found:
        part = schema.part_of(path, node, trust, problems, given, follows_progress, slot)
        if part is not None:
            parts[path] = part
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    for path, part in parts.items():
        if not part.path.startswith("optimizer."):  # its node is merged from several
            config = _with(config, path.split("."), part.plain())
    return Checked(config, parts)


def _with(config: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    """The config with the value at an existing path replaced."""
    first, *rest = path
    if first not in config:
        return dict(config)
    return {**config, first: _with(config[first], rest, value) if rest else value}


def make(part: Part, **given: Any) -> Any:
    """The object that a part describes. Raises Refused when its values are refused; an error of a part that is not ours
    becomes a ConfigError."""
    settings = {key: _made(value) for key, value in part.settings.items()}
    if part.partial:
        return partial(part.target, **settings)
    try:
        made = part.target(**{**settings, **given})
    except Refused:
        raise
    except ValueError as error:
        what, _, remedy = str(error).partition("\n  ")
        raise ConfigError(two_lines(what, remedy or f"change the settings of {part.path}")) from error
    except Exception as error:
        if out_of_memory(error):
            remedy = "lower dataset.batch_size, dataset.resolution or the size of the model (model.width)"
            raise ConfigError(two_lines(f"{part.path} needs more memory than there is", remedy)) from error
        remedy = raised_at(error) or f"change its settings: {part.path}.NAME=VALUE"
        raise ConfigError(two_lines(f"{part.path} cannot be built: {error}", remedy)) from error
    kinds.check(part.path, made)
    return made


def _made(value: Any) -> Any:
    if isinstance(value, Part):
        return make(value)
    if isinstance(value, dict):
        return {key: _made(inner) for key, inner in value.items()}
    return [_made(inner) for inner in value] if isinstance(value, list) else value


def game(config: Config) -> Game:
    """The game with its networks."""
    checked = _in_order(config)
    problems: list[str] = []
    parts: dict[str, Any] = {}

    def attempt(name: str, path: str, **given: Any) -> None:
        try:
            parts[name] = make(checked.parts[path], **given)
        except Refused as error:
            problems.extend(error.problems)

    def network(player: str, other: Mapping[str, Mapping[str, Any]]) -> nn.Module:
        part = checked.parts[f"model.{player}"]
        built: nn.Module = make(part, **{k: v for k, v in other.get(player, {}).items() if k in part.settings})
        return built

    def panel(other: Mapping[str, Mapping[str, Any]] = MappingProxyType({})) -> nn.Module:
        built: nn.Module = make(checked.parts["panel"], make=lambda: network("discriminator", other))
        return built

    attempt("generator", "cast", make=lambda other=MappingProxyType({}): network("generator", other))
    attempt("discriminator", "cast", make=panel)
    attempt("loss", "loss")
    attempt("prior", "prior")
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    for argument, group in GROUPS.items():
        parts[argument] = {name: make(part) for name, part in checked.group(group).items()}
    built: Game = make(checked.parts["game"], parts=Parts(**parts))
    return built


def drawn(checked: Checked) -> Game:
    """Only the generator of the config, and what it is fed with."""
    return Solo(make(checked.parts["model.generator"]), make(checked.parts["prior"]))


def data(config: Config) -> Data:
    """Only the data set of the config."""
    if isinstance(config, Checked):
        built: Data = make(config.parts["dataset"])
    else:
        built = make(check_part("dataset", config["dataset"], for_runs()))
    return built


class Optimizers(NamedTuple):
    """One optimizer per player, and the settings that follow the images shown."""

    by_player: dict[str, Optimizer]
    ramps: dict[str, dict[str, Any]]


def optimizers(checked: Checked, players: Mapping[str, nn.Module]) -> Optimizers:
    """One optimizer per player, with its settings at their starting values."""
    built = Optimizers({}, {})
    for name, player in players.items():
        if not any(True for _ in player.parameters()):
            remedy = "leave panel=none out, or use game=regression, which has no discriminator"
            raise Incompatible(two_lines(f"the {name} has no weights to train", remedy))
        part = checked.parts[f"optimizer.{name}"]
        settings = {key: _made(value) for key, value in part.settings.items()}
        first = {key: settled(value, 0) for key, value in settings.items()}
        _check_finite(name, first)
        try:
            built.by_player[name] = part.target(player.parameters(), **first)
        except ValueError as error:  # torch names no key
            shown = ", ".join(f"optimizer.{key}={value}" for key, value in first.items())
            raise ConfigError(two_lines(f"the optimizer of the {name}: {error}", f"its settings: {shown}")) from error
        built.ramps[name] = {key: value for key, value in settings.items() if value != first[key]}
    return built


def _check_finite(player: str, settings: Mapping[str, Any]) -> None:
    """Raises ConfigError for settings of an optimizer that torch takes, and that end a run at its first step."""
    numbers = {key: value if isinstance(value, list | tuple) else (value,) for key, value in settings.items()}
    endless = [key for key, found in numbers.items() if any(isinstance(n, float) and not isfinite(n) for n in found)]
    if endless:
        given = [schema.invalid(f"optimizer.{player}.{key}", settings[key], FINITE) for key in endless]
        raise ConfigError(*given)


def _check_parts(config: Mapping[str, Any], played: Game) -> None:
    """Raises Incompatible when a batch is split into parts too small for an augmentation."""
    batch, devices, parts = (
        config["dataset"]["batch_size"],
        *(config["trainer"][k] for k in ("devices", "micro_batches")),
    )
    least = played.least()
    if 0 < batch // (devices * parts) < least.samples:  # a batch that does not divide is refused by the trainer
        raise Incompatible(
            two_lines(
                f"{least.part} needs {least.samples} samples at once, and dataset.batch_size={batch} in "
                f"trainer.devices={devices} x trainer.micro_batches={parts} parts gives fewer",
                "raise dataset.batch_size, or lower trainer.micro_batches or trainer.devices",
            )
        )


def _check_data(played: Game, dataset: Data) -> None:
    """Raises Incompatible when the data do not hold what the game draws from."""
    missing = played.asks() - dataset.provides
    if Need.GIVEN in missing:
        raise Incompatible(
            two_lines(
                "this model draws from images that it is given, and these data give none",
                "use dataset=unpaired_folder, paired_folder or two_folders; or given=smaller, grey, outline, degraded "
                "or mask with any images",
            )
        )
    if missing:
        raise Incompatible(
            two_lines(
                "a part of this game (prior=pair, auxiliary=[l1] or [perceptual]) needs pairs, and the images that "
                "these data give belong to none",
                "use dataset=paired_folder, or given=smaller, grey, outline, degraded or mask; or game=cycle",
            )
        )


def trainer(config: Config, rank: int = 0, look: Callable[[Game], None] = lambda played: None) -> Trainer:
    """The trainer, with everything that a run needs. The seed determines the initial weights.

    Args:
        look: Called with the game as soon as there is one, before anything that takes longer.
    """
    from gan_cli import rng

    checked = _in_order(config)
    seed = checked.config["seed"]
    rng.reseed(seed, "weights")
    played = game(checked)
    look(played)
    dataset = data(checked)
    schedule: Ramp = make(checked.parts["schedule"])
    _check_parts(checked.config, played)
    _check_data(played, dataset)
    chosen = optimizers(checked, played.players())
    built: Trainer = make(
        checked.parts["trainer"],
        game=played,
        data=dataset,
        optimizers=chosen.by_player,
        ramps=chosen.ramps,
        seed=seed,
        schedule=schedule,
        rank=rank,
    )
    return built


def watchable() -> dict[str, Metric | PairMetric]:
    """The values of the packaged metrics that can be watched in training, each with the metric that computes it."""
    nodes = [node for choice in choices.packaged()["metrics"] for node in choices.read("metrics", choice).items()]
    metrics = [make(check_part(f"metrics.{name}", node, Trust())) for name, node in nodes]
    return {value: metric for metric in metrics for value in metric.better}


Opens = Callable[[str | None, Data], Reference]  # (`evaluation.reference`, the run's data) -> what to compare with


def evaluation(config: Config, opens: Opens) -> Callback:
    """What measures in training."""
    measuring: Callback = make(_in_order(config).parts["evaluation"], metrics=watchable(), opens=opens)
    return measuring


def callbacks(config: Config, opens: Opens) -> Sequence[Callback]:
    """The callbacks in order; measurements come first, so that the others see them."""
    return [evaluation(config, opens), *(make(part) for part in _in_order(config).group("callback").values())]
