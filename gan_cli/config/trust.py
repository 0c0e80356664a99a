"""Which code a config may name. Decided here and on the user's own command line, never by a config.

A `_target_` is accepted when its spelling begins with an allowed package and the object found there was defined in an
allowed package: an alias such as `gan_cli.losses.nn.utils...` or `torch.optim.adam.torch.load` is looked through.
"""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# What a game is made of.
MODEL = ("games", "losses", "penalties", "auxiliaries", "priors", "ramps", "augment", "networks")
# What a run, its evaluation and its samples need besides.
RUN = (*MODEL, "data", "callbacks", "metrics", "latent", "training.schedules", "training.trainer")

ENVIRONMENT = "GAN_TRUST"  # modules of the user's own, comma-separated
COMMAND_LINE = "_GAN_TRUST_COMMAND_LINE"  # the same, from `trust=...`; inherited by worker processes


class Untrusted(ValueError):
    """The config names code that it may not name."""


def _listed(variable: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in os.environ.get(variable, "").split(",") if word.strip())


def trust_on_command_line(modules: str) -> None:
    """Notes `trust=a,b` for this process and those that it starts."""
    words = modules.strip("[]() ").split(",")
    joined = ",".join((*_listed(COMMAND_LINE), *(w.strip().strip("'\"") for w in words)))
    os.environ[COMMAND_LINE] = joined


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@dataclass(frozen=True)
class Trust:
    """What may be built."""

    own: tuple[str, ...]  # packages of gan_cli
    users: tuple[str, ...] = ()  # modules that the user trusts

    def resolve(self, target: str) -> Callable[..., Any]:
        """The class or function that `target` names.

        Raises:
            Untrusted: It is not, or not really, in an allowed package.
            LookupError: There is no such thing.
        """
        parts = target.split(".")
        allowed = (*(f"gan_cli.{name}" for name in self.own), "torch.nn", "torch.optim", *self.users)
        home = max((p for p in allowed if _within(target, p)), key=len, default=None)
        if home is None or any(part.startswith("_") for part in parts):
            raise Untrusted(target)
        if home in self.users and os.getcwd() not in sys.path:
            sys.path.append(os.getcwd())  # the user's own module beside their data; last, so that it shadows nothing
        found = self._walk(home, parts[len(home.split(".")) :], target)
        if not (inspect.isclass(found) or inspect.isfunction(found)) or not self._defined_inside(found):
            raise Untrusted(target)
        return found

    def _walk(self, home: str, rest: list[str], target: str) -> Any:
        try:
            found: Any = importlib.import_module(home)
            for i, part in enumerate(rest):
                if not hasattr(found, part) and inspect.ismodule(found):
                    importlib.import_module(".".join((home, *rest[: i + 1])))
                found = getattr(found, part)
        except (ImportError, AttributeError) as error:
            raise LookupError(f"{target} cannot be found ({error})") from error
        return found

    def _defined_inside(self, found: Any) -> bool:
        module = found.__module__ or ""
        if any(_within(module, f"gan_cli.{name}") for name in self.own):
            return True
        if any(_within(module, name) for name in self.users):
            return True
        import torch

        bases = {"torch.nn": torch.nn.Module, "torch.optim": torch.optim.Optimizer}
        return inspect.isclass(found) and any(_within(module, p) and issubclass(found, b) for p, b in bases.items())


def for_runs() -> Trust:
    """For a config that the user composed: built-in parts, and what they trust on the command line or environment."""
    return Trust(RUN, (*_listed(ENVIRONMENT), *_listed(COMMAND_LINE)))


def for_checkpoints() -> Trust:
    """For a config that came out of a file: built-in parts, and what is trusted on this very command line."""
    return Trust(RUN, _listed(COMMAND_LINE))


def remedy(target: str) -> str:
    """How to trust one's own module."""
    module = target.split(".")[0]
    return f"if the module {module} is your own, say so on the command line: trust={module}"
