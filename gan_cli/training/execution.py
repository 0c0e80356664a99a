"""How an update's objective and its gradients are computed: as it stands, or with compiled networks."""

from __future__ import annotations

import logging
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import reduce
from typing import Any

import torch
from torch import nn

from gan_cli.errors import ConfigError, Incompatible, two_lines
from gan_cli.games.base import Game
from gan_cli.games.rehearsal import untouched
from gan_cli.training.runtime import Runtime, out_of_memory
from gan_cli.types import Batch, Outcome, Phase, Scheduled

Execution = Callable[[Runtime, int, Phase, Batch, int], Outcome]
Players = Mapping[str, nn.Module]
VARIANTS = 64  # of one network: with gradients of its weights or of its input only, at each size of a batch
WANTED = ("fallback_random", "deterministic")  # options of inductor: torch's random numbers, no choice by timing
REMEDY = "trainer.compile=false leaves it out"


def eager(runtime: Runtime, parts: int, phase: Phase, batch: Batch, update: int) -> Outcome:
    """Computes a phase's objective on `batch`, one of `parts` of a whole batch, and adds to its player's gradients.

    A faster execution does the same and may replace it.
    """
    with runtime.autocast():
        outcome = phase.objective(batch, update)
    total = reduce(torch.add, [term.float() for term in outcome.terms.values()])
    total.backward(torch.full_like(total, 1 / parts))
    return outcome


def execution_of(runtime: Runtime, players: Players) -> Execution:
    """What a run's settings ask for. Raises ConfigError where this machine cannot compile."""
    if not runtime.compiled:
        return eager
    if missing := lacks(runtime.device):
        raise ConfigError(two_lines(f"trainer.compile=true needs {missing}, which is not here", REMEDY))
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it misses a compiler for CUDA
    known = torch._inductor.list_options()
    return Compiled(players, options={name: True for name in WANTED if name in known})


def lacks(device: torch.device) -> str:
    """What compiling for the device needs and this machine does not have; empty where nothing is missing."""
    if device.type == "cuda":
        from torch.utils._triton import has_triton

        return "" if has_triton() else "Triton (pip install triton)"
    compiler = os.environ.get("CXX") or ("clang++" if sys.platform == "darwin" else "g++")
    return "" if shutil.which(compiler) else f"a C++ compiler ({compiler})"


class Compiled:
    """The same with compiled networks; what surrounds them, losses and augmentations, stays as it is.

    An update that differentiates gradients is computed as it stands, since compiled networks can be differentiated
    once; and so is a network that changes with the clock, which would be compiled at every step. Each size of a batch
    is compiled for itself, never for sizes to come, and random numbers are drawn as torch draws them: what a step
    computes does not depend on the steps before it, which is what lets a resumed run be the same.

    Args:
        players: The networks by player.
        backend: Of `torch.compile`.
        options: Of the backend.
    """

    def __init__(self, players: Players, backend: str = "inductor", options: dict[str, Any] | None = None) -> None:
        settings = torch._dynamo.config
        settings.recompile_limit = max(VARIANTS, settings.recompile_limit)
        settings.fail_on_recompile_limit_hit = True  # else what a step computes would depend on those before it
        members = [(name, network) for name, player in players.items() for network in networks_of(player)]
        self.moving = sorted({name for name, network in members if changes(network)})
        self.forwards = {
            network: {
                learns: torch.compile(forward, dynamic=False, backend=backend, options=options)
                for learns, forward in _told_apart(network.forward).items()
            }
            for _, network in members
            if not changes(network)
        }

    def __call__(self, runtime: Runtime, parts: int, phase: Phase, batch: Batch, update: int) -> Outcome:
        if phase.twice(update):
            return eager(runtime, parts, phase, batch, update)
        with self._in_place():
            return eager(runtime, parts, phase, batch, update)

    @contextmanager
    def _in_place(self) -> Iterator[None]:
        for network, forwards in self.forwards.items():
            network.forward = forwards[any(parameter.requires_grad for parameter in network.parameters())]
        try:
            yield
        finally:
            for network in self.forwards:
                del network.forward

    def rehearse(self, runtime: Runtime, game: Game, batch: Batch) -> str:
        """Compiles before the first step, on a batch like those to come; changes nothing. Returns what is to be said.

        Raises:
            Incompatible: A network cannot be compiled.
        """
        begun, phases = time.perf_counter(), game.phases()
        try:
            with untouched(game, runtime.device), torch.enable_grad():
                for phase in phases:
                    for name, player in game.players().items():
                        player.requires_grad_(name in phase.builds | {phase.player})
                    self(runtime, 1, phase, batch if phase.uses_real else Batch(batch.label, None, batch.given), 1)
        except Exception as error:
            if out_of_memory(error):
                raise
            what = f"trainer.compile=true: updates of the {phase.player} cannot be compiled: {_short(error)}"
            raise Incompatible(two_lines(what, f"{REMEDY}; a term made of gradients says twice = True")) from error
        finally:
            for parameter in game.parameters():
                parameter.grad = None
        return f"{self._told(phases)} ({time.perf_counter() - begun:.0f} s)"

    def _told(self, phases: tuple[Phase, ...] | Any) -> str:
        once = sorted({phase.player for phase in phases if not phase.twice(1)})
        lazy = sorted({phase.player for phase in phases if phase.twice(0) and not phase.twice(1)})
        never = sorted({phase.player for phase in phases if phase.twice(1)})
        words = {
            f"compiled the networks for updates of the {' and the '.join(once)}": once,
            f"those of the {' and the '.join(lazy)} with a lazy penalty differentiate twice and are not": lazy,
            f"updates of the {' and the '.join(never)} differentiate twice and are computed as they stand": never,
            f"the {' and the '.join(self.moving)} changes with the clock and is computed as it stands": self.moving,
        }
        return "; ".join(word for word, said in words.items() if said)


def _told_apart(forward: Callable[..., Any]) -> dict[bool, Callable[..., Any]]:
    """A network's forward pass while its weights learn (True), and while they are frozen (False).

    torch 2.11 does not check whether weights require gradients before it reuses what it compiled, so a network that was
    first called frozen would never learn. It keeps compiled code by function, so two functions keep the two apart.
    """

    def learning(*inputs: Any, **named: Any) -> Any:
        return forward(*inputs, **named)

    def frozen(*inputs: Any, **named: Any) -> Any:
        return forward(*inputs, **named)

    return {True: learning, False: frozen}


def networks_of(player: nn.Module) -> list[nn.Module]:
    """What of a player is called: a list of networks is not itself."""
    members = list(player) if isinstance(player, nn.ModuleList) else [player]
    return [member for member in members if any(True for _ in member.parameters())]


def changes(network: nn.Module) -> bool:
    """Whether it changes with the clock."""
    return any(isinstance(module, Scheduled) for module in network.modules())


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
