"""What a checkpoint may hold: every part has the type and the range that training writes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torch.optim import Optimizer

from gan_cli.errors import Unsound
from gan_cli.store.tensors import flaw
from gan_cli.types import MOST_AVERAGES, NARROWEST, WIDEST

LARGEST_CONFIG = 2**20  # characters
LAST = 2**53  # steps or images; exact in float64
EXTRA = "_extra_state"  # the end of torch's name for what a module stores besides tensors


def _require(good: bool, what: str) -> None:
    if not good:
        raise Unsound(what)


def _count(value: object, name: str) -> None:
    good = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= LAST
    _require(good, f"{name} is not a number from 0 to 2**53")


def _dict(value: object, name: str) -> dict[Any, Any]:
    if not isinstance(value, dict):
        raise Unsound(f"{name} is not a dict")
    return value


def _config(value: object, name: str) -> None:
    _require(isinstance(value, str), f"{name} is not text")
    assert isinstance(value, str)
    _require(len(value) <= LARGEST_CONFIG, f"{name} is longer than {LARGEST_CONFIG} characters")


def _weights(value: object, name: str) -> None:
    for key, tensor in _dict(value, name).items():
        _require(isinstance(key, str), f"{name} has a name that is not a word")
        if not key.endswith(EXTRA):
            _require(isinstance(tensor, Tensor), f"the weight {name}.{_word(key)} is not a tensor")
            _sound(tensor, f"the weight {name}.{_word(key)}")


def _averages(value: object, name: str) -> None:
    averages = _dict(value, name)
    _require(len(averages) <= MOST_AVERAGES, f"{name} are more than {MOST_AVERAGES}")
    for width, weights in averages.items():
        good = isinstance(width, float) and NARROWEST <= width <= WIDEST
        _require(good, f"{name} has a width that is not a number from {NARROWEST} to {WIDEST}")
        _weights(weights, f"{name}.{width:g}")


def _sound(tensor: Tensor, name: str, finite: bool = True) -> None:
    if (problem := flaw(tensor, finite)) is not None:
        raise Unsound(f"{name} {problem}")


def _optimizers(value: object, name: str) -> None:
    """A second moment may have become infinite, in float32, while all weights are finite: training goes on with it."""
    for key, state in _dict(value, name).items():
        player = _word(key)
        groups = _dict(state, f"{name}.{player}").get("param_groups")
        whole = isinstance(groups, list) and all(
            isinstance(g, dict) and isinstance(g.get("params"), list) for g in groups
        )
        _require(whole, f"{name}.{player} has no groups of parameters")
        _dict(state.get("state"), f"{name}.{player}.state")
        for where, tensor in _tensors(state, f"{name}.{player}"):
            _sound(tensor, where, finite=False)


def _tensors(node: object, name: str) -> Iterator[tuple[str, Tensor]]:
    """All tensors in dicts and lists at any depth, each container once."""
    waiting, seen = [(name, node)], set()
    while waiting:
        where, node = waiting.pop()
        if isinstance(node, Tensor):
            yield where, node
        elif isinstance(node, dict | list | tuple) and id(node) not in seen:
            seen.add(id(node))
            items = node.items() if isinstance(node, dict) else enumerate(node)
            waiting += [(f"{where}.{_word(key)}", child) for key, child in items]


def _word(key: object) -> str:
    """A key as it can be shown, whatever the file says: short, and without control characters."""
    return ascii(str(key))[1:-1][:80] if isinstance(key, str) or (isinstance(key, int) and abs(key) <= LAST) else "..."


def _updates(value: object, name: str) -> None:
    for player, count in _dict(value, name).items():
        _count(count, f"{name}.{_word(player)}")


def _clock(value: object, name: str) -> None:
    clock = _dict(value, name)
    _require(clock.keys() == {"step", "images", "seconds"}, f"{name} does not consist of step, images and seconds")
    _count(clock["step"], f"{name}.step")
    _count(clock["images"], f"{name}.images")
    seconds = clock["seconds"]
    good = isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds < math.inf
    _require(good, f"{name}.seconds is not a time")


def _meter(value: object, name: str) -> None:
    groups = _dict(value, name).get("groups")
    _require(isinstance(groups, list), f"{name} has no groups")
    assert isinstance(groups, list)
    for group in groups:
        _require(isinstance(group, tuple | list) and len(group) == 2, f"{name} has a group of another form")
        names, tensors = group
        _require(
            isinstance(names, list) and all(isinstance(n, str) for n in names), f"{name} has names that are not words"
        )
        _require(isinstance(tensors, list) and len(tensors) == 3, f"{name} lacks sums, counts and first bad steps")
        for tensor in tensors:
            _require(isinstance(tensor, Tensor) and tensor.is_floating_point(), f"{name} holds no numbers")
            _require(tensor.shape == (len(names),), f"{name} has {list(tensor.shape)} numbers for {len(names)} names")
            _sound(tensor, name, finite=False)


def _names(value: object, name: str) -> None:
    good = isinstance(value, list | tuple) and all(isinstance(word, str) and len(word) < 1000 for word in value)
    _require(good, f"{name} is not a list of words")


PARTS: Mapping[str, Callable[[object, str], None]] = {
    "config": _config,
    "game": _weights,
    "ema": _weights,
    "optimizers": _optimizers,
    "updates": _updates,
    "clock": _clock,
    "meter": _meter,
}
LATER: Mapping[str, Callable[[object, str], None]] = {  # not in older ones, or not in all
    "draws": _count,
    "class_names": _names,
    "averages": _averages,
}


def check(state: Mapping[str, Any]) -> None:
    """Checks every part that it knows and finds; parts that a newer version adds are left alone. Raises Unsound."""
    for name, look in {**PARTS, **LATER}.items():
        if name in state:
            look(state[name], name)


def check_types(saved: Mapping[str, Any], module: nn.Module, name: str) -> None:
    """Raises Unsound where weights are integers that should be floats, or the other way round."""
    for key, b in module.state_dict().items():
        a = saved.get(key)
        if isinstance(a, Tensor) and isinstance(b, Tensor) and _kind(a) != _kind(b):
            types = f"{a.dtype} for {b.dtype}".replace("torch.", "")
            raise Unsound(f"the weight {name}.{key} is of another type, {types}")


def _kind(tensor: Tensor) -> tuple[bool, bool]:
    return tensor.is_floating_point(), tensor.is_complex()


def check_players(state: Mapping[str, Any], optimizers: Mapping[str, Optimizer]) -> None:
    """Raises Unsound where optimizer states or update counts belong to other players or parameters."""
    for name, optimizer in optimizers.items():
        _require(
            name in state["optimizers"] and name in state["updates"], f"there is no state of the {name}'s optimizer"
        )
        saved, own = state["optimizers"][name]["param_groups"], optimizer.param_groups
        same = [len(group["params"]) for group in saved] == [len(group["params"]) for group in own]
        _require(same, f"the state of the {name}'s optimizer belongs to other parameters")
