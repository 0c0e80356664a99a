"""The averaged generator of any width, from the averages that a run's checkpoints hold."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gan_cli.errors import CheckpointError, Incompatible, Unsound, two_lines
from gan_cli.store.checkpoint import load
from gan_cli.store.contents import check_types
from gan_cli.training.profiles import Profile, combination
from gan_cli.types import NARROWEST, WIDEST

log = logging.getLogger(__name__)

FARTHEST = 0.1  # of the profile that was asked for; beyond it, the average is of another length
MOST_FILES = 256  # checkpoints that are read, spread evenly over a run that has more


class Rebuilt(NamedTuple):
    """What an average was made of; `str()` gives the note that stands beside scores."""

    width: float
    snapshots: int
    error: float  # of its profile, relative, in the mean square

    def __str__(self) -> str:
        return f"average of width {self.width:g} from {self.snapshots} snapshots, its profile {self.error:.2%} off"


def check_possible(width: float, ema: bool, exported: bool, source: str) -> None:
    """Raises Incompatible where there can be no average of that width.

    Args:
        ema: As it was asked for; without, no average is wanted.
        exported: Whether `source` is a generator that was exported, rather than checkpoints.
    """
    if not NARROWEST <= width <= WIDEST:
        what = f"average={width:g}: widths are from {NARROWEST} to {WIDEST}"
        remedy = "it is the average's standard deviation as a fraction of the images shown: 0.1, say"
    elif not ema:
        what = f"average={width:g} does not go with ema=false: that is the generator without any average"
        remedy = "leave out one of them"
    elif exported:
        what = f"average={width:g}: {source} holds one generator, the one that was exported"
        remedy = f"gan export RUN average={width:g} exports that one"
    else:
        return
    raise Incompatible(two_lines(what, remedy))


def rebuild(paths: Sequence[Path], width: float, network: nn.Module) -> tuple[dict[str, Any], Rebuilt]:
    """The state of the averaged `network` at the time of the first of `paths`, with the profile of a width.

    Checkpoints are read one after the other, and twice: what weight each has is known when all were looked at.

    Args:
        paths: Checkpoints, from the newest, which can be read; others that cannot are left out with a warning.
        width: The standard deviation of the profile, as a fraction of the images shown.
        network: Whose weights they are: names, shapes and types.

    Raises:
        Incompatible: They hold no averages, or none that come near to one of this width.
        CheckpointError: The newest does not fit the network, or one has changed while all were read.
    """
    found = _found(paths[:: -(-len(paths) // MOST_FILES)], network)
    if not found:
        what = f"average={width:g}: {paths[0]} holds no averages to make one from"
        raise Incompatible(two_lines(what, "trainer.averages=[0.05,0.1] keeps them while a run trains"))
    newest = max(profile.images for profile in found)
    factors, error = combination([*found], Profile(width, newest))
    if error > FARTHEST:
        raise Incompatible(two_lines(*_too_far(width, error, found)))
    total = Sum(network)
    for path in dict.fromkeys(found.values()):
        here = {profile.width: x for (profile, home), x in zip(found.items(), factors, strict=True) if home == path}
        _add(total, path, here)
    return total.state(), Rebuilt(width, len(found), error)


def _too_far(width: float, error: float, found: Mapping[Profile, Path]) -> tuple[str, str]:
    """What there is to make an average from, and how there would be more."""
    kept = ", ".join(f"{width:g}" for width in sorted({profile.width for profile in found}))
    files = len(set(found.values()))
    there = f"averages of width {kept} in {files} checkpoint{'' if files == 1 else 's'}"
    more = "callback.checkpoints.keep_every=1 (and a smaller every_steps, for narrow ones) keeps more"
    return (
        f"average={width:g}: {there} make one whose profile is {error:.0%} off, and {FARTHEST:.0%} is the most",
        f"a width nearer to theirs, or a run that has more of them: {more}",
    )


def _found(paths: Sequence[Path], network: nn.Module) -> dict[Profile, Path]:
    """The averages in the checkpoints, from the newest, and where each is; the same one is taken once."""
    found: dict[Profile, Path] = {}
    for path in paths:
        try:
            for profile in _profiles(path, network):
                found.setdefault(profile, path)
        except CheckpointError as error:
            log.warning("%s; it is left out", error.what)
    return found


def _profiles(path: Path, network: nn.Module) -> list[Profile]:
    """Of the averages in a checkpoint. Raises CheckpointError where they are not averages of the network."""
    state = load(path)
    averages, images = state.get("averages", {}), state["clock"]["images"]
    expected = {name: value.shape for name, value in _tensors(network.state_dict()).items()}
    for width, weights in averages.items():
        if {name: value.shape for name, value in _tensors(weights).items()} != expected:
            raise CheckpointError(f"{path}: its averages do not fit its own config")
        try:
            check_types(weights, network, f"averages.{width:g}")
        except Unsound as error:
            raise CheckpointError(f"{path} cannot be used: {error}") from error
    return [Profile(width, float(images)) for width in averages] if images else []


def _tensors(state: Mapping[str, Any]) -> dict[str, Tensor]:
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def _add(total: Sum, path: Path, factors: Mapping[float, float]) -> None:
    """Adds the averages of a checkpoint, by width."""
    try:
        averages = load(path)["averages"]
        for width, factor in factors.items():
            total.add(averages[width], factor)
    except (CheckpointError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"{path} has changed while it was read", "the same command starts again") from error


class Sum:
    """A weighted sum of states of one network, in double precision; what is no floating-point number is as in the
    first one.

    Some weights are negative. What is nowhere negative in any state, as a running variance, is not in the sum either.
    """

    def __init__(self, network: nn.Module) -> None:
        self.first: dict[str, Any] = {}
        self.like = _tensors(network.state_dict())
        self.sums = {
            name: torch.zeros(value.shape, dtype=torch.float64)
            for name, value in self.like.items()
            if value.is_floating_point()
        }
        self.signed: set[str] = set()

    def add(self, state: Mapping[str, Any], factor: float) -> None:
        self.first = self.first or dict(state)
        for name, total in self.sums.items():
            total.add_(state[name].double(), alpha=factor)
            if name not in self.signed and bool((state[name] < 0).any()):
                self.signed.add(name)

    def state(self) -> dict[str, Any]:
        sums = {name: total if name in self.signed else total.clamp_(min=0) for name, total in self.sums.items()}
        return {**self.first, **{name: total.to(self.like[name].dtype) for name, total in sums.items()}}
