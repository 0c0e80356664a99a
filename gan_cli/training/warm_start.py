"""Starting from another run's weights: what fits by player, name and shape is taken, and what was not is told."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from gan_cli.errors import Incompatible, two_lines
from gan_cli.games.base import Game

SHOWN = 3  # tensors that are named before the rest are counted
USUAL = ("generator", "discriminator")  # players of most games
PARTS = "parts"  # what stands beside the players: penalties, auxiliaries, augmentations with a memory

State = Mapping[str, Any]  # of a module: tensors, and what else it keeps


class Name(NamedTuple):
    """What a tensor of a game is called, wherever in the game its player stands."""

    player: str
    rest: str
    turn: int  # 0 for the first that is called so; a game of two ways has a second

    @property
    def layer(self) -> tuple[str, str, int]:
        """The layer that it belongs to, also where it normalises the layer's weight."""
        layer, within, _ = self.rest.partition(".parametrizations.")
        return self.player, layer if within else self.rest.rpartition(".")[0], self.turn


def of_game(state: State, players: Collection[str]) -> dict[Name, str]:
    """The keys of a game's state by what they are called: `there.generator.x` and `back.generator.x` are the first and
    the second `x` of the generator."""
    seen: Counter[tuple[str, str]] = Counter()
    found = {}
    for key in state:
        parts = key.split(".")
        first = next((i for i, part in enumerate(parts) if part in players), None)
        called = (PARTS, key) if first is None else (parts[first], ".".join(parts[first + 1 :]))
        found[Name(*called, seen[called])] = key
        seen[called] += 1
    return found


def of_average(state: State, game: Iterable[Name]) -> dict[Name, str]:
    """The keys of the averaged generator's state by what they are called in the game; several stand in a list."""
    known = {name.rest for name in game if name.player == "generator"}
    seen: Counter[str] = Counter()
    found = {}
    for key in state:
        rest = key if key in known else key.partition(".")[2]
        found[Name("generator", rest, seen[rest])] = key
        seen[rest] += 1
    return found


def _shape(value: Any) -> str:
    return str(list(value.shape)) if isinstance(value, Tensor) else type(value).__name__


def differing(own: Mapping[Name, Any], other: Mapping[Name, Any]) -> dict[Name, str]:
    """What cannot be taken, and why. A layer whose shape differs is left as a whole: its bias, or the singular vector
    of its weight, means nothing beside another weight."""
    left = {
        name: f"{_shape(own[name])} here, {_shape(other[name])} there"
        for name in own.keys() & other.keys()
        if _shape(own[name]) != _shape(other[name])
    }
    layers = {name.layer for name in left}
    beside = {name: "of a layer that differs" for name in own if name.layer in layers and name.layer[1]}
    missing = {name: f"{_shape(own[name])} here, none there" for name in own if name not in other}
    reasons = {**beside, **missing, **left}
    return {name: reasons[name] for name in own if name in reasons}


def _taken(own: State, own_keys: Mapping[Name, str], other: State, other_keys: Mapping[Name, str]) -> dict[str, Any]:
    """What of the other state stands in the own one, by the own one's keys."""
    mine = {name: own[key] for name, key in own_keys.items()}
    theirs = {name: other[key] for name, key in other_keys.items()}
    left = differing(mine, theirs)
    return {key: theirs[name] for name, key in own_keys.items() if name not in left}


def start(game: Game, average: nn.Module, state: Mapping[str, Any], source: str) -> list[str]:
    """Takes what fits of a checkpoint's weights into the game and its averaged generator.

    Args:
        source: What the checkpoint is called.

    Returns:
        What is to be said of it, a line a player.

    Raises:
        Incompatible: No kernel or matrix of a player fits.
    """
    own, other, averaged = game.state_dict(), state["game"], average.state_dict()
    players = {*USUAL, *game.players()}
    here, there = of_game(own, players), of_game(other, players)
    taken = _taken(own, here, other, there)
    of_players = [taken[key] for name, key in here.items() if name.player != PARTS and key in taken]
    if not any(isinstance(value, Tensor) and value.ndim > 1 for value in of_players):
        what = f"the weights of {source} do not fit this model: no kernel or matrix has its name and shape"
        raise Incompatible(two_lines(what, "choose the model that they are of, or leave init_from out"))
    again = _taken(averaged, of_average(averaged, here), state["ema"], of_average(state["ema"], there))
    game.load_state_dict({**own, **taken})
    average.load_state_dict({**averaged, **again})
    left = differing({n: own[k] for n, k in here.items()}, {n: other[k] for n, k in there.items()})
    return [line for player in (*USUAL, PARTS) if (line := _told(player, list(here), list(there), left))]


def _told(player: str, here: Sequence[Name], there: Sequence[Name], left: Mapping[Name, str]) -> str:
    """What was taken of one player, and what was not."""
    mine, theirs = ([name for name in names if name.player == player] for names in (here, there))
    not_taken = [name for name in mine if name in left]
    if not mine:
        return f"{player}: not taken, for this game has none" if theirs and player != PARTS else ""
    if not theirs:
        return f"{player}: begins anew, for there is none in that run" if player != PARTS else ""
    if player == PARTS and not not_taken:
        return ""
    line = f"{player}: {len(mine) - len(not_taken)} of {len(mine)} tensors taken"
    if not_taken:
        more = f"; and {len(not_taken) - SHOWN} more" if len(not_taken) > SHOWN else ""
        line += "; left: " + "; ".join(f"{name.rest} {left[name]}" for name in not_taken[:SHOWN]) + more
    unused = len(set(theirs) - set(mine))
    return line + (f"; {unused} of that run's have no place here" if unused and player != PARTS else "")
