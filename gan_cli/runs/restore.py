"""Restores a trained game from a run folder or a checkpoint alone; nothing in the file is executed."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from gan_cli import sampling
from gan_cli.config import build, saved, trust
from gan_cli.config.build import Checked
from gan_cli.config.schema import Part
from gan_cli.config.trust import Trust
from gan_cli.data.listing import shown
from gan_cli.errors import CheckpointError, DataError, Incompatible, Unsound
from gan_cli.games.base import Game
from gan_cli.latent.styling import truncate
from gan_cli.networks.panel import Both
from gan_cli.runs.bounds import Modest
from gan_cli.runs.rebuilding import Rebuilt, check_possible, rebuild
from gan_cli.store import exported
from gan_cli.store.checkpoint import load_newest
from gan_cli.store.contents import check_types
from gan_cli.store.run import Run, checkpoints_of
from gan_cli.types import Data, Need

log = logging.getLogger(__name__)

SPARE = 10  # parameters, and numbers, that networks may create while they are built and not keep


class Manner(NamedTuple):
    """How to sample; `str()` gives the note that stands beside scores."""

    seed: int = 0
    ema: bool = True  # the averaged generator; else the one that was being trained
    truncation: float | None = None  # see `latent.styles.truncate`
    back: bool = False  # the way back, of a game that translates each way
    standing_statistics: int = 0  # batches to recompute batch-norm statistics from; 0 keeps those of training
    average: float | None = None  # the width of another average than the one that the run kept for sampling
    rebuilt: Rebuilt | None = None  # what that average came to, once it is there

    def __str__(self) -> str:
        words = [str(self.rebuilt or ("averaged generator" if self.ema else "raw generator"))]
        words += ["b2a"] if self.back else []
        words += [f"truncation {self.truncation:g}"] if self.truncation is not None else []
        words += [f"statistics of {self.standing_statistics} batches"] if self.standing_statistics else []
        return ", ".join(words)


class Unseen(NamedTuple):
    """Data to translate, and their config."""

    data: Data
    part: Part


@dataclass(frozen=True)
class Restored:
    """A trained game, ready to be sampled."""

    game: Game
    generator: nn.Module  # draws as requested
    manner: Manner
    checked: Checked
    content: bytes  # the config, byte for byte as in the file
    trust: Trust
    path: Path  # the checkpoint
    run: Run | None  # the run folder that contains it
    step: int
    class_names: tuple[str, ...] = ()  # empty where the checkpoint does not know them

    @property
    def config(self) -> dict[str, Any]:
        """The file's config, with the model part checked."""
        return self.checked.config

    @property
    def points(self) -> bool:
        """Whether its samples are points, not images."""
        return not self.config["dataset"]["resolution"]

    def dataset(self, **other: Any) -> Part:
        """The run's data set, with other settings where they are given; checked, not built."""
        node = saved.at_home(self.config, self.content)["dataset"]
        node = turned(node) if self.manner.back else node
        return build.check_part("dataset", {**node, **other}, self.trust)

    @property
    def translates(self) -> bool:
        """Whether it draws from images that it is given."""
        return Need.GIVEN in self.game.prior.provides

    @property
    def channels(self) -> int:
        """Channels of what it draws; the number of coordinates of points."""
        dataset = self.config["dataset"]
        return int(dataset["given"]["channels"] if self.manner.back else dataset["channels"])

    @property
    def source_channels(self) -> int:
        """Channels of the pictures that it is given."""
        dataset = self.config["dataset"]
        return int(dataset["channels"] if self.manner.back else dataset["given"]["channels"])

    def unseen(self, root: str | None = None) -> Unseen:
        """The data to translate: the split `test` if there is one, else the run's own, at the run's size.

        Args:
            root: Where the data are, if not where the run found them.

        Raises:
            DataError: The data are missing.
        """
        usual = {"load": None, "flip": False, "limit": None, **({} if root is None else {"root": root})}
        if "split" in self.config["dataset"]:
            held_out = self.dataset(**usual, split="test")
            try:
                return Unseen(build.make(held_out), held_out)
            except DataError as error:
                log.debug("no split test: %s", error)
        whole = self.dataset(**usual)
        return Unseen(build.make(whole), whole)

    def trained_on(self, found: Unseen, root: str | None = None) -> bool:
        """Whether the pictures that `unseen` found are those that it was trained on, judged by their content: a
        folder without splits gives the same ones for every split.

        Args:
            root: As `unseen` had it.
        """
        node = saved.at_home(self.config, self.content)["dataset"]
        then = {} if self.run is None else self.run.data()
        split = {key: value for key, value in found.part.plain().items() if key == "split"}
        if root is None and split == {key: node[key] for key in split}:
            return True
        load, limit = node.get("load"), node.get("limit")
        targets = found.data.pictures() if self.manner.back else len(found.data)
        if limit is None and targets != then.get("samples", targets):
            return False

        def content(**other: Any) -> str:
            data: Data = build.make(build.check_part("dataset", {**node, **other}, self.trust))
            return data.fingerprint()

        try:
            moved = split if root is None else {**split, "root": root}
            as_trained = load is None and limit is None and not self.manner.back
            here = found.data.fingerprint() if as_trained else content(**moved)
            return here == (then.get("sha256") or content())
        except DataError as error:
            log.debug("what it was trained on cannot be read: %s", error)
            return False


def turned(dataset: Mapping[str, Any]) -> dict[str, Any]:
    """The config of a data set with its two sides exchanged.

    Raises:
        Incompatible: One side is made from the other.
    """
    given = dataset["given"]
    if "source" not in given:
        raise Incompatible(
            "direction=b2a: these sources are made from the targets, so there is nothing to translate back\n"
            "  name the pictures to translate: source=FOLDER"
        )
    roots = {"root": given["root"]} if given.get("root") else {}
    back = {"root": dataset["root"]} if roots else {}
    return {
        **dataset,
        **{key: given[key] for key in ("source", "channels")},
        **roots,
        "given": {**given, **{key: dataset[key] for key in ("source", "channels")}, **back},
    }


Build = Callable[[Checked], Game]


def _fitting(build_it: Build, checked: Checked, weights: Mapping[str, torch.Tensor], path: Path) -> Game:
    """The game of a config read from a file, no larger than the weights beside it.

    Raises CheckpointError where the config describes networks that its weights do not belong to, or data of another
    size than those networks draw.
    """
    foreign = CheckpointError(f"{path}: its weights do not fit its own config")
    data, generator = checked.config["dataset"], checked.config["model"]["generator"]
    if any(fact in generator and data.get(fact) != generator[fact] for fact in ("resolution", "channels")):
        raise foreign
    numbers = sum(tensor.numel() for tensor in weights.values()) + SPARE
    with Modest(numbers, SPARE + 2 * len(weights), foreign):
        game = build_it(checked)
    shapes = {name: tensor.shape for name, tensor in game.state_dict().items()}
    drawn = sum(parameter.numel() for parameter in game.players()["generator"].parameters())
    if shapes != {name: t.shape for name, t in weights.items()} or game.prior.latent_dim > drawn:
        raise foreign
    return game


def restore(source: str, manner: Manner, device: torch.device, vouched: Sequence[str] = ()) -> Restored:
    """The game of `source` (a run folder, a .pt file or an exported generator) on `device`, with a generator that draws
    as asked.

    Only the game of the file's config is built; `vouched` lists modules of the user's own that the config may name.

    Raises:
        NotARun, CheckpointError: There is no usable checkpoint.
        ConfigError: Its config names what it may not.
        Incompatible: It cannot draw in this manner.
    """
    paths, run = checkpoints_of(source)
    alone = exported.is_one(paths[0])
    if alone and not manner.ema:
        raise Incompatible(f"ema=false: {source} holds one generator, the one that was exported\n  leave it out")
    if manner.average is not None:
        check_possible(manner.average, manner.ema, alone, source)
    state, path, problems = (exported.unpack(paths[0]), paths[0], []) if alone else load_newest(paths)
    for problem in problems:
        log.warning("%s; using %s, the one before it", problem, path.name)
    content = state["config"].encode(errors="surrogatepass")
    trusted = trust.for_files(vouched)
    there = saved.read(content, path)
    if run is not None and not alone and (said := saved.of_another(there, path, run.config)):
        log.warning("%s", said)
    checked = build.check_model(there, trusted)
    own = trust.asked_for(checked.targets())  # what the user vouches for may build whatever it likes
    build_it: Build = build.drawn if alone else build.game
    game = build_it(checked) if own else _fitting(build_it, checked, state["game"], path)
    try:
        check_types(state["game"], game, "game")
        check_types(state["ema"], game.players()["generator"], "ema")
        game.load_state_dict(state["game"])
        generator = copy.deepcopy(game.players()["generator"])
        if manner.ema:
            generator.load_state_dict(state["ema"])
    except Unsound as error:
        raise CheckpointError(f"{path} cannot be used: {error}") from error
    except RuntimeError as error:
        raise CheckpointError(f"{path}: its weights do not fit its own config") from error
    step, class_names = int(state["clock"]["step"]), _class_names(state)
    del state  # averages are read from one checkpoint at a time
    if manner.average is not None:
        manner = _take_average(generator, paths[paths.index(path) :], manner, manner.average)
    game.to(device)
    generator = generator.to(device).eval()
    if manner.back:
        game = game.turned()
        assert isinstance(generator, Both)  # as `turned` has found
        generator = generator.turned()
    if manner.truncation is not None:
        generator = truncate(game, generator, manner.truncation)
    if manner.standing_statistics:
        draws = sampling.Draws.of(generator, manner.seed, device)
        sampling.standing_statistics(game, generator, draws, manner.standing_statistics)
    return Restored(game, generator, manner, checked, content, trusted, path, run, step, class_names)


def _take_average(generator: nn.Module, paths: Sequence[Path], manner: Manner, width: float) -> Manner:
    """Gives the generator the average of a width; returns the manner with what it came to."""
    state, rebuilt = rebuild(paths, width, generator)
    generator.load_state_dict(state)
    log.info("%s", rebuilt)
    return manner._replace(rebuilt=rebuilt)


def _class_names(state: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the labels; a stranger's file may say anything."""
    names = state.get("class_names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return ()
    return tuple(shown(name) for name in names)
