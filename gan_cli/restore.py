"""A trained game back from a run folder or a checkpoint alone; nothing in the file is executed."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from gan_cli import sampling
from gan_cli.config import build, saved, trust
from gan_cli.config.errors import ConfigError
from gan_cli.data.listing import shown
from gan_cli.latent.styles import truncate
from gan_cli.runs import NotARun, Run, checkpoints_of
from gan_cli.training.checkpoint import CheckpointError, load_newest
from gan_cli.types import Game

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Restored:
    """A trained game, ready to be sampled."""

    game: Game
    generator: nn.Module  # draws as it was asked to
    config: dict[str, Any]
    path: Path  # the checkpoint
    run: Run | None  # the run folder that it lies in
    step: int
    class_names: tuple[str, ...] = ()  # empty where the checkpoint does not know them


class Manner(NamedTuple):
    """How a generator is to draw; as words, what a reader of its samples' scores has to know."""

    seed: int = 0
    ema: bool = True  # the averaged generator; else the one that was being trained
    truncation: float | None = None  # see `latent.styles.truncate`
    standing_statistics: int = 0  # batches to compute batch-norm statistics from anew; 0 for those of training

    def __str__(self) -> str:
        words = ["averaged generator" if self.ema else "raw generator"]
        words += [f"truncation {self.truncation:g}"] if self.truncation is not None else []
        words += [f"statistics of {self.standing_statistics} batches"] if self.standing_statistics else []
        return ", ".join(words)


def restore(source: str, manner: Manner, device: torch.device) -> Restored:
    """The game of `source` (a run folder or a .pt file) on `device`, with a generator that draws as asked.

    Raises:
        ConfigError: There is no checkpoint, it is damaged, its config names what it may not, or it cannot draw so.
    """
    try:
        paths, run = checkpoints_of(source)
        state, path, problems = load_newest(paths)
    except (NotARun, CheckpointError) as error:
        raise ConfigError(str(error)) from error
    for problem in problems:
        log.warning("%s; using %s, the one before it", problem, path.name)
    config = saved.read(state["config"], path)
    game: Any = build.checked_game(config, trust.for_checkpoints())
    try:
        game.load_state_dict(state["game"])
        generator = copy.deepcopy(game.players()["generator"])
        if manner.ema:
            generator.load_state_dict(state["ema"])
    except RuntimeError as error:
        raise ConfigError(f"{path}: its weights do not fit its own config") from error
    game.to(device)
    generator = generator.to(device).eval()
    try:
        if manner.truncation is not None:
            generator = truncate(game, generator, manner.truncation)
        if manner.standing_statistics:
            sampling.standing_statistics(game, generator, manner.seed, manner.standing_statistics, device)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return Restored(game, generator, config, path, run, int(state["clock"]["step"]), _class_names(state))


def _class_names(state: Mapping[str, Any]) -> tuple[str, ...]:
    """What the labels are called; a stranger's file may say anything."""
    names = state.get("class_names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return ()
    return tuple(shown(name) for name in names)
