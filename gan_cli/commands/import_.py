"""gan import: other people's checkpoints become run folders; nothing in them is executed."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_cli import console
from gan_cli.config import plain
from gan_cli.errors import ConfigError, NotWritable, two_lines
from gan_cli.store import outputs
from gan_cli.store.places import anchored

if TYPE_CHECKING:
    from gan_cli.foreign.players import Players

log = logging.getLogger(__name__)

SETTINGS = ("out", "name", "root")


def main(words: Sequence[str]) -> None:
    """The command line: `words` after `gan import`."""
    asked = plain.answering(words, SETTINGS)
    if not asked.plain:
        raise ConfigError(two_lines("which file?", "gan import network.pkl, or netG.pth netD.pth of one game"))
    paths = [Path(word) for word in dict.fromkeys(asked.plain)]
    for path in paths:
        if not os.path.isfile(path):  # which has no trouble with any name
            raise ConfigError(two_lines(f"{path} is not a file", "name a checkpoint: a .pkl, .pth or .pt"))
    root = asked.settings.get("root")
    if root is not None and not os.path.exists(os.path.expanduser(root)):
        raise ConfigError(two_lines(f"root={root} is not there", "name the folder of pictures, or leave it out"))
    out = asked.settings.get("out")
    if out is not None and os.path.lexists(out) and not (os.path.isdir(out) and not os.listdir(out)):
        raise NotWritable(two_lines(f"{out} exists already", "out=FOLDER names a new folder"))
    from gan_cli.config.compose import compose, quote
    from gan_cli.foreign.players import players_in
    from gan_cli.runs.adopt import adopt

    players = players_in(paths)
    typed = [f"name={quote(asked.settings['name'])}"] if "name" in asked.settings else []
    typed += [] if root is None else [f"dataset.root={quote(anchored(os.path.expanduser(root)))}"]
    composed = compose("train", ["dataset=folder", *players.words(), *typed])
    folder = composed.folder if out is None else Path(out)
    sizes = adopt(players, paths, composed._replace(folder=folder), shlex.join(["gan", "import", *words]))
    log.info("%s: %s", players.family.name, ", ".join(f"{name} {count:,}" for name, count in sizes.items()))
    for line in (" ".join(players.words()), *players.told):
        log.info("  %s", console.one_line(line))
    log.info("everything is in %s", folder)
    if asked.json is not None:
        outputs.answer(asked.json, _record(players, folder, sizes))
    run = shlex.quote(str(folder))
    log.info("  gan sample %s n=64", run)
    log.info("  gan eval %s reference=FOLDER", run)
    log.info("  gan train repeat=%s init_from=%s dataset.root=FOLDER", run, run)


def _record(players: Players, folder: Path, sizes: Mapping[str, int]) -> dict[str, Any]:
    """What became of the files, for programs."""
    theirs = {"family": players.family.name, "step": players.step, "words": players.words()}
    return {"folder": str(folder), **theirs, "parameters": sizes, "told": [*players.told]}
