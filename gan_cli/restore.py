"""A trained game back from a run folder or a checkpoint alone; nothing in the file is executed."""

from __future__ import annotations

import copy
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gan_cli.config import build, saved, trust
from gan_cli.config.errors import ConfigError
from gan_cli.runs import NotARun, Run, checkpoints_of
from gan_cli.training.checkpoint import CheckpointError, load_newest
from gan_cli.types import Game

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Restored:
    """A trained game, ready to be sampled."""

    game: Game
    generator: nn.Module  # the averaged one, or the one that was being trained
    config: dict[str, Any]
    path: Path  # the checkpoint
    run: Run | None  # the run folder that it lies in
    step: int


def restore(source: str, ema: bool, device: torch.device) -> Restored:
    """The game of `source` (a run folder or a .pt file) on `device`.

    Raises:
        ConfigError: There is no checkpoint, it is damaged, or its config names what it may not.
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
        if ema:
            generator.load_state_dict(state["ema"])
    except RuntimeError as error:
        raise ConfigError(f"{path}: its weights do not fit its own config") from error
    game.to(device)
    return Restored(game, generator.to(device).eval(), config, path, run, int(state["clock"]["step"]))
