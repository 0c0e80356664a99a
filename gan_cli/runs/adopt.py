"""A run folder from other people's checkpoints: their weights in our networks, with a config that trains them on."""

from __future__ import annotations

import copy
import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from gan_cli import rng
from gan_cli.config import build, own, plain_yaml
from gan_cli.config.build import Checked
from gan_cli.config.compose import Composed
from gan_cli.config.trust import Trust
from gan_cli.errors import NotWritable, WeightsRefused, two_lines
from gan_cli.foreign.networks import Weights
from gan_cli.foreign.players import Players
from gan_cli.foreign.tables import OTHER, translated
from gan_cli.games.base import Game
from gan_cli.runs.bounds import Modest
from gan_cli.store import checkpoint
from gan_cli.store.run import Run

LARGER = 32  # our networks together have at most so many times the numbers of theirs: a new discriminator may be wider
FEWEST = 2**20  # numbers that any network may have
TENSORS = 100_000


def adopt(players: Players, paths: Sequence[Path], composed: Composed, command: str) -> dict[str, int]:
    """Writes the run; returns how many parameters each player has.

    Raises:
        WeightsRefused: A tensor is left over, or the networks do not fit; nothing was written.
        NotWritable: The folder cannot be written.
    """
    checked = build.check_model(composed.config, Trust())
    game = _built(checked, players)
    generator, judge = (game.players()[player] for player in ("generator", "discriminator"))
    family = players.family
    average = copy.deepcopy(generator)
    state = translated(family.generator(players.generator), players.generator, generator)
    generator.load_state_dict(state)
    if players.average is not players.generator:
        state = translated(family.generator(players.average), players.average, average)
    average.load_state_dict(state)
    if players.discriminator is not None:
        judge.load_state_dict(translated(family.discriminator(players.discriminator), players.discriminator, judge))
    sizes = {name: sum(p.numel() for p in player.parameters()) for name, player in game.players().items()}
    origin = {
        "family": family.name,
        "files": [{"name": path.name, "sha256": digest(path)} for path in paths],
        "discriminator": "new" if players.discriminator is None else "imported",
    }
    facts = {"overrides": players.words(), "choices": composed.choices, "origin": origin, "parameters": sizes}
    try:
        _write(Run(composed.folder), checked, game, average.state_dict(), players, command, facts)
    except OSError as error:
        raise NotWritable(two_lines(str(error), "out=FOLDER names another folder")) from error
    return sizes


def _built(checked: Checked, players: Players) -> Game:
    """The game that the tensors' shapes describe, not much larger than they are; a new discriminator is that of seed 0.

    Raises:
        WeightsRefused: It would be.
    """
    networks = {id(n): n for n in (players.generator, players.average, players.discriminator) if n is not None}
    numbers = sum(_numbers(network) for network in networks.values())
    refusal = WeightsRefused(two_lines(f"{players.generator.where} describes networks larger than its tensors", OTHER))
    rng.reseed(int(checked.config["seed"]), "weights")
    with Modest(max(FEWEST, LARGER * numbers), TENSORS, refusal):
        return build.game(checked)


def _numbers(network: Weights) -> int:
    """How many numbers a network's tensors hold; those that two names share count once."""
    storages = {id(view.storage): view.storage.count for view in network.views.values()}
    return sum(storages.values())


def digest(path: Path) -> str:
    """The file's SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(
    run: Run,
    checked: Checked,
    game: Game,
    average: dict[str, Tensor],
    players: Players,
    command: str,
    facts: dict[str, Any],
) -> None:
    """The run's files, or none of them. Raises NotWritten."""
    text = plain_yaml.written(checked.config)
    clock = {"step": players.step, "images": players.images, "seconds": 0.0}
    state = {
        "config": text,
        "game": game.state_dict(),
        "ema": average,
        "optimizers": {},
        "updates": dict.fromkeys(game.players(), 0),
        "draws": 0,
        "clock": clock,
        "meter": {"groups": []},
    }
    with run.alone():
        if run.config.exists():
            raise NotWritable(two_lines(f"{run.folder} holds a run already", "out=FOLDER names another folder"))
        run.checkpoints.mkdir()
        try:
            checkpoint.save(state, run.checkpoints / "last.pt")
            run.begin(text, command, {"seed": checked.config["seed"], **facts})
            own.remember(text)
            run.end({"status": "finished", **clock, "images_per_second": None, "best": None, "last": {}})
        except BaseException:
            shutil.rmtree(run.checkpoints, ignore_errors=True)
            for path in run.files:
                path.unlink(missing_ok=True)
            raise
