"""The parts of a game and of a run: where their nodes are in a config, and which targets those name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from gan_cli.config.listed import is_ramp, slot_of
from gan_cli.config.trust import Trust, refusal
from gan_cli.errors import ConfigError

PLAYERS = ("generator", "discriminator")
GROUPS = {"penalties": "penalty", "auxiliaries": "auxiliary", "augments": "augment"}  # a game's argument -> its group
SINGLE = {"_target_": "gan_cli.networks.panel.single"}  # for runs older than the key


class Node(NamedTuple):
    """A part's place in the config, and its node."""

    path: str
    node: Any
    given: frozenset[str] = frozenset()  # arguments that the program adds to what the config says
    follows_progress: bool = False
    slot: str = ""  # the place's name in conf/, where the path is another


def optimizer_node(config: Mapping[str, Any], player: str) -> dict[str, Any]:
    """One player's optimizer: the common settings, overridden by its own where those are not null."""
    common = {key: value for key, value in config.items() if key not in PLAYERS}
    own = {key: value for key, value in (config.get(player) or {}).items() if value is not None}
    return {**common, **own}


def of_model(config: Mapping[str, Any]) -> list[Node]:
    """The parts of a game."""
    return [
        *(Node(f"model.{player}", config["model"][player]) for player in PLAYERS),
        Node("panel", config.get("panel") or SINGLE, frozenset({"make"})),
        Node("cast", config.get("cast") or SINGLE, frozenset({"make"})),
        Node("loss", config["loss"]),
        Node("prior", config["prior"]),
        *(Node(f"{g}.{name}", node) for g in GROUPS.values() for name, node in (config.get(g) or {}).items()),
        Node("game", config["game"], frozenset({"parts"})),
    ]


def of_run(config: Mapping[str, Any]) -> list[Node]:
    """The parts of a run."""
    given = frozenset({"game", "data", "optimizers", "ramps", "seed", "schedule", "rank", "execution"})
    optimizer = config["optimizer"]
    return [
        *of_model(config),
        *(
            Node(f"optimizer.{player}", optimizer_node(optimizer, player), frozenset({"params"}), True, "optimizer")
            for player in PLAYERS
        ),
        Node("trainer", config["trainer"], given),
        Node("dataset", config["dataset"]),
        Node("schedule", config["schedule"]),
        Node("evaluation", config["evaluation"], frozenset({"metrics", "opens"})),
        *(Node(f"callback.{name}", node) for name, node in (config.get("callback") or {}).items()),
    ]


def check_names(config: Mapping[str, Any], parts: Callable[[Mapping[str, Any]], list[Node]], trust: Trust) -> None:
    """Checks the names alone and imports nothing: the first check of a stranger's config, not the last.

    Args:
        parts: `of_model` or `of_run`.

    Raises:
        ConfigError: A node names what it may not.
    """
    try:
        found = parts(config)
    except (KeyError, TypeError, AttributeError, ValueError):
        return  # whoever builds it says what is missing
    problems = [
        refusal(f"{node.path}{below}", target)
        for node in found
        for below, target in _names("", node.node)
        if not is_ramp(target) and not trust.admits(slot_of(f"{node.slot or node.path}{below}"), target)
    ]
    if problems:
        raise ConfigError(*dict.fromkeys(problems))


def _names(below: str, node: Any) -> Iterator[tuple[str, str]]:
    """Every `_target_` in a node, each with its path inside the node."""
    if isinstance(node, Mapping) and isinstance(node.get("_target_"), str):
        yield below, node["_target_"]
    pairs = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list | tuple) else ()
    for key, inner in pairs:
        yield from _names(f"{below}.{key}", inner)
