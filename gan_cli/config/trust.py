"""Which code a config may name. Decided by packaged conf/ and on the user's own command line, never by the config.

Each slot takes the targets that conf/ names for it (`gan_cli.config.listed`), spelt as they are there, and what the
user vouches for: a module of theirs, or one class by its full name.
"""

from __future__ import annotations

import importlib
import inspect
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gan_cli.config import listed
from gan_cli.config.renamed import current
from gan_cli.config.words import strings
from gan_cli.errors import two_lines

ENVIRONMENT = "GAN_TRUST"  # the user's own modules, comma-separated; counts for configs that they compose


class Untrusted(ValueError):
    """The config names code that it may not name."""


@dataclass(frozen=True)
class Trust:
    """What may be built beyond what conf/ names. Plain values, so that it reaches other processes."""

    vouched: tuple[str, ...] = ()  # modules and single names
    installed: tuple[str, ...] = ()  # the same of packages, which are not looked for in the working folder

    def admits(self, slot: str, target: str) -> bool:
        """Whether the name is allowed in `slot`; what it resolves to is another question."""
        return current(target) in listed.slots().get(slot, ()) or self._vouches(target)

    def _vouches(self, target: str) -> bool:
        hidden = any(part.startswith("_") for part in target.split("."))
        return not hidden and any(_within(target, home) for home in (*self.vouched, *self.installed))

    def resolve(self, slot: str, target: str) -> Callable[..., Any]:
        """The class or function that `target` names in `slot`, also by a former name.

        Raises:
            Untrusted: conf/ does not name it there, and the user does not vouch for it.
            LookupError: There is no such thing.
        """
        if (present := current(target)) in listed.slots().get(slot, ()):
            return _found(present)
        if not self._vouches(target):
            raise Untrusted(target)
        if os.getcwd() not in sys.path and any(_within(target, home) for home in self.vouched):
            sys.path.append(os.getcwd())  # the user's own module beside their data; last, so that it shadows nothing
        found = _found(target)
        # What a module imports is not its own: my_losses.os.system is refused.
        homes = [home for home in (*self.vouched, *self.installed) if _within(target, home)]
        own = target in homes or any(_within(found.__module__ or "", home) for home in homes)
        if not own or not (inspect.isclass(found) or inspect.isfunction(found)):
            raise Untrusted(target)
        return found


def _within(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def _found(target: str) -> Any:
    """A top-level name of a module: no methods, nothing inside a class."""
    module, _, name = target.rpartition(".")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise LookupError(f"{target} cannot be found ({error})") from error


def _listed(text: str) -> tuple[str, ...]:
    words = (word.strip().strip("'\"") for word in text.strip("[]() ").split(","))
    return tuple(word for word in words if word)


def taken(words: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """What `trust=a,b` among the words vouches for, and the other words."""
    words = strings(words)
    vouched = [home for word in words if word.startswith("trust=") for home in _listed(word.partition("=")[2])]
    return tuple(vouched), [word for word in words if not word.startswith("trust=")]


def for_runs(vouched: Sequence[str] = ()) -> Trust:
    """For a config that the user composed: `$GAN_TRUST` counts too."""
    return Trust((*_listed(os.environ.get(ENVIRONMENT, "")), *vouched))


def for_files(vouched: Sequence[str] = ()) -> Trust:
    """For a config read from a file, which may be a stranger's: only what is vouched for this time."""
    return Trust(tuple(vouched))


def remedy(target: str) -> str:
    """How to vouch for one's own module."""
    module = target.split(".")[0]
    own = module if module not in ("gan_cli", "torch") else target
    return f"if {own} is your own or known to you, say so on the command line: trust={own}"


def refusal(path: str, target: str) -> str:
    """The message for a node that names what it may not, or nothing."""
    if not target.strip():
        return two_lines(f"{path}._target_ is empty", f"name a class or a function: {path}._target_=module.Class")
    return two_lines(f"{path}._target_={target} may not be used there", remedy(target))


def asked_for(targets: Sequence[str]) -> str:
    """A space and the `trust=` word that these targets need to be named again; empty where conf/ names them all."""
    known = frozenset().union(*listed.slots().values())
    modules = dict.fromkeys(target.rpartition(".")[0] for target in targets if current(target) not in known)
    return f" {shlex.quote('trust=' + ','.join(modules))}" if modules else ""
