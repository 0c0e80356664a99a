"""What each part of a config must be: its base class, and methods that can be called as the base's are."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from gan_cli.augment.base import Augment
from gan_cli.auxiliaries import Weighting
from gan_cli.callbacks import Callback
from gan_cli.config.errors import did_you_mean
from gan_cli.errors import ConfigError, two_lines
from gan_cli.games.base import Game
from gan_cli.losses import Loss
from gan_cli.metrics import Metric, PairMetric
from gan_cli.metrics.detectors import Detector
from gan_cli.penalties import Constraint
from gan_cli.priors import Prior
from gan_cli.types import Data, Ramp, Term

# By the place in the config; * is the name that a part has in a group of several.
KINDS: dict[str, tuple[type, ...]] = {
    "model.*": (nn.Module,),
    "loss": (Loss,),
    "prior": (Prior,),
    "game": (Game,),
    "schedule": (Ramp,),
    "penalty.*": (Term, Constraint),
    "auxiliary.*": (Term, Weighting),
    "augment.*": (Augment,),
    "callback.*": (Callback,),
    "metrics.*": (Metric, PairMetric),
    "evaluation.detector": (Detector,),
    "detectors.*": (Detector,),
}
EVENT = "on_"  # how the events of callbacks begin


def check(path: str, made: Any) -> None:
    """Raises ConfigError where a part is not of its kind, or cannot be called as its kind is."""
    if path == "dataset":
        _check_methods(path, made, Data)
        return
    kinds = KINDS.get(path) or KINDS.get(f"{path.partition('.')[0]}.*" if path.count(".") == 1 else "", ())
    if not kinds:
        return
    kind = next((kind for kind in kinds if isinstance(made, kind)), None)
    if kind is None:
        bases = " or ".join(f"{kind.__module__}.{kind.__name__}" for kind in kinds)
        what = f"{path} is {type(made).__name__}, and {bases} is expected"
        raise ConfigError(two_lines(what, "derive the class from that"))
    if kind is not nn.Module:
        _check_methods(path, made, kind)
    if kind is Callback:
        _check_events(path, made)


def _public(kind: type) -> Iterator[tuple[str, Callable[..., Any]]]:
    """The methods that a class itself defines for others to call."""
    yield from (
        (name, method)
        for name, method in vars(kind).items()
        if inspect.isfunction(method) and (not name.startswith("_") or name == "__len__")
    )


def _check_methods(path: str, made: Any, kind: type) -> None:
    for name, method in _public(kind):
        _, *parameters = inspect.signature(method).parameters.values()
        words = f"{path} ({type(made).__name__}): {name}({', '.join(p.name for p in parameters)}) is expected"
        own = getattr(made, name, None)
        if not callable(own):
            what = "it has no such method" if own is None and not hasattr(made, name) else f"{name} is no method"
            raise ConfigError(two_lines(f"{words}; {what}", f"see {kind.__module__}.{kind.__name__}"))
        try:
            signature = inspect.signature(own)
            signature.bind(*parameters)
        except TypeError as error:
            what = f"{words}; {name}{signature} is there: {error}"
            raise ConfigError(two_lines(what, "take these arguments, in this order")) from error


def _check_events(path: str, made: Callback) -> None:
    """Raises ConfigError for what looks like an event and is none: it would never be called."""
    events = [name for name, _ in _public(Callback) if name.startswith(EVENT)]
    for name in dir(type(made)):
        if name.startswith(EVENT) and not hasattr(Callback, name):
            what = f"{path} ({type(made).__name__}): {name} is no event, and would never be called"
            raise ConfigError(two_lines(what, did_you_mean(name, events) or f"the events are {', '.join(events)}"))
