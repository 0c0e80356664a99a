"""The networks in a file: named tensors, as a state dict or as a pickled module, and what the module says of itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from gan_cli.errors import WeightsRefused, two_lines
from gan_cli.foreign.files import View
from gan_cli.foreign.pickles import NotData, Thing

MOST = 100_000  # named tensors of a file
DEEPEST = 100  # modules within modules
MADE = "no network is made like this: name another file"
SHOWN = 3  # names in a message
WRAPPED = "module."  # what torch's data-parallel wrappers put before every name
OPTIMIZER = "param_groups"  # what tells the state of an optimizer


@dataclass
class Weights:
    """One network's tensors by name.

    Attributes:
        where: Which it is, as a user can find it: the file, and the place in it.
        views: Its tensors.
        facts: What a pickled module says of itself besides, by dotted name; empty for a state dict.
    """

    where: str
    views: dict[str, View]
    facts: dict[str, Any] = field(default_factory=dict)

    def __contains__(self, name: str) -> bool:
        return name in self.views

    def __iter__(self) -> Iterator[str]:
        return iter(self.views)

    def shape(self, name: str, axes: int | None = None) -> tuple[int, ...]:
        """Raises WeightsRefused where there is no such tensor, or one of another number of axes than asked for."""
        if name not in self.views:
            raise WeightsRefused(two_lines(f"{self.where} has no tensor {name}", "it was cut, or is of other code"))
        shape = self.views[name].shape
        if axes is not None and len(shape) != axes:
            what = f"{self.where}: {name} has the shape {list(shape)}, and {axes} axes are expected"
            raise WeightsRefused(two_lines(what, "it was cut, or is of other code"))
        return shape

    def tensor(self, name: str) -> Tensor:
        """Its numbers; floats as float32. Raises WeightsRefused where they are not there, or not numbers."""
        self.shape(name)
        try:
            found = self.views[name].tensor()
        except NotData as error:
            raise WeightsRefused(two_lines(f"{self.where}, {name}: {error}", "copy or fetch the file again")) from None
        return found.float() if found.is_floating_point() else found

    def numbered(self, start: str) -> list[int]:
        """The numbers that stand between `start` and a dot in the names, in order."""
        rests = (name.removeprefix(start).partition(".")[0] for name in self if name.startswith(start))
        return sorted({int(rest) for rest in rests if rest.isascii() and rest.isdigit() and len(rest) < 6})


@dataclass
class Found:
    """What a file holds."""

    path: Path
    networks: list[Weights]
    optimizers: list[str]  # where their states stand
    counts: dict[str, int]  # numbers beside the networks, such as the step


def is_module(value: Any) -> bool:
    state = value.state if isinstance(value, Thing) else None
    return isinstance(state, dict) and isinstance(state.get("_modules"), dict)


def is_state_dict(value: Any) -> bool:
    return bool(isinstance(value, dict) and value and all(isinstance(v, View) for v in value.values()))


def networks_in(value: Any, path: Path) -> Found:
    """The networks of a file; tensors that stand elsewhere count as networks of their own, so that none is overlooked.

    Raises:
        WeightsRefused: It has more names than any network.
    """
    found = Found(path, [], [], {})
    waiting: list[tuple[tuple[str, ...], Any]] = [((), value)]
    seen: set[int] = set()
    while waiting:
        place, node = waiting.pop()
        where = f"{path}:{'.'.join(place)}" if place else str(path)
        if isinstance(node, dict | list | tuple | Thing | View):
            if id(node) in seen:
                continue
            seen.add(id(node))
        if is_module(node):
            found.networks.append(_of_module(node, where))
        elif is_state_dict(node):
            found.networks.append(Weights(where, _unwrapped({str(key): view for key, view in node.items()})))
        elif isinstance(node, dict) and OPTIMIZER in node:
            found.optimizers.append(where)
        elif isinstance(node, View):
            found.networks.append(Weights(where, {place[-1] if place else "tensor": node}))
        elif isinstance(node, dict | list | tuple | Thing):
            waiting += [((*place, _word(key)), part) for key, part in _named(node)]
        elif place and isinstance(node, int) and not isinstance(node, bool) and len(place) == 1:
            found.counts[place[0]] = node
        if len(seen) > MOST or len(place) > DEEPEST:
            raise WeightsRefused(two_lines(f"{path} has too many parts", "no checkpoint of a network has so many"))
    found.networks.reverse()  # as they stand in the file
    return found


def _named(node: Any) -> list[tuple[Any, Any]]:
    if isinstance(node, dict):
        return list(node.items())
    if isinstance(node, Thing):
        own = [] if node.state is None else [("state", node.state)]
        return [*enumerate(node.args), *own, *node.items.items(), *enumerate(node.entries)]
    return list(enumerate(node))


def _word(key: Any) -> str:
    return ascii(str(key))[1:-1][:60]


def _unwrapped(views: dict[str, View]) -> dict[str, View]:
    if all(name.startswith(WRAPPED) for name in views):
        return {name.removeprefix(WRAPPED): view for name, view in views.items()}
    return views


def _of_module(module: Thing, where: str) -> Weights:
    """The tensors of a pickled module, named as its state dict would name them.

    Raises:
        WeightsRefused: It holds itself, or has more names than any network.
    """
    views: dict[str, View] = {}
    facts: dict[str, Any] = {}
    waiting: list[tuple[str, int, Any]] = [("", 0, module)]
    count = 0
    while waiting:
        prefix, depth, node = waiting.pop()
        count += 1
        if max(count, len(views), len(facts) // 10) > MOST or depth > DEEPEST:
            raise WeightsRefused(two_lines(f"{where} has too many parts", MADE))
        state = node.state
        for kind in ("_parameters", "_buffers"):
            tensors = state.get(kind)
            for name, view in tensors.items() if isinstance(tensors, dict) else ():
                if isinstance(view, View):
                    views[f"{prefix}{name}"] = view
                elif view is not None:
                    raise WeightsRefused(two_lines(f"{where}: {prefix}{_word(name)} is not a plain tensor", MADE))
        facts |= {
            f"{prefix}{key}": value for key, value in state.items() if isinstance(value, str | int | float | None)
        }
        for name, child in state["_modules"].items():
            if is_module(child):
                waiting.append((f"{prefix}{name}.", depth + 1, child))
            elif child is not None:
                raise WeightsRefused(two_lines(f"{where}: {prefix}{_word(name)} is not a module", MADE))
    return Weights(where, _unwrapped(views), facts)


def listed(names: Mapping[str, Any] | list[str]) -> str:
    """The first few names, and how many more there are."""
    known = list(names)
    more = f" and {len(known) - SHOWN} more" if len(known) > SHOWN else ""
    return ", ".join(ascii(name)[1:-1][:80] for name in known[:SHOWN]) + more
