"""Opens what samples are compared with: a split of a data set, files or statistics, brought to the samples' size."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gan_cli.config import build, choices, compose, trust
from gan_cli.config.build import Checked
from gan_cli.config.saved import NAMED
from gan_cli.config.schema import Part
from gan_cli.config.trust import Trust
from gan_cli.data.decoding import Levels
from gan_cli.data.images import Images
from gan_cli.data.listing import is_zip
from gan_cli.data.points import Mixture, Points
from gan_cli.data.subset import fair_part, told_apart
from gan_cli.errors import ConfigError, DataError, Refused, two_lines
from gan_cli.metrics.detectors import Labelled
from gan_cli.metrics.measure import Batches, Reference
from gan_cli.references import files
from gan_cli.types import Data, sample_shape

log = logging.getLogger(__name__)

POINTS_SEED = 20_260_101  # for the reference points of a density
REMEDY = "reference=cifar10:train, a folder of images, or an .npz with mu and sigma"


class Own(NamedTuple):
    """The data set that the samples' generator was trained on."""

    config: Mapping[str, Any]
    part: Callable[..., Part]  # it, with other settings where they are given

    @property
    def frame(self) -> files.Frame | None:
        """Its size, and how pictures were fitted to it; None for points."""
        if not self.config["resolution"]:
            return None
        channels, height, width = sample_shape(self.config["channels"], self.config["resolution"])
        levels, fit = self.config.get("levels"), self.config.get("fit", "crop")
        return files.Frame(height, width, channels, fit, None if levels is None else tuple(levels))


def stored(word: str, levels: Levels | None) -> files.Filed | None:
    """Images or statistics in files; None if the word names no such file."""
    path = Path(word)
    if path.is_dir() or is_zip(path):
        return files.pictures(path, levels)
    if path.is_file() and path.suffix.lower() == ".npz":
        return files.npz(path)
    if path.is_file() and path.suffix.lower() == ".npy":
        what = f"{word} is an array without a name"
        raise DataError(two_lines(what, "write it as an .npz, numpy.savez('images.npz', array): uint8 [N, H, W, C]"))
    return files.tensor_file(path) if path.is_file() and path.suffix.lower() in (".pt", ".pth") else None


def part_of(found: files.Filed, n: int | None, word: str) -> tuple[int, Batches, str]:
    """All images of files, or n of them, chosen by their content, evenly over their classes: how many, the images, and
    their fingerprint. Raises DataError where there are fewer."""
    wanted = found.n if n is None else n
    if found.n < max(wanted, 2):
        remedy = "lower n=, or add images" if found.n >= 2 else "add images"
        raise DataError(two_lines(f"{word} holds {found.n} images, and n={max(wanted, 2)} are needed", remedy))
    everything = wanted == found.n
    chosen = range(wanted) if everything else fair_part(told_apart(found.digests()), found.labels, wanted)
    how = "" if everything else " of a fair part"
    return wanted, found.part(chosen), f"{found.fingerprint}:{wanted}{how}"


def open_reference(
    word: str | None,
    own: Own | None,
    shape: tuple[int, int, int] | None = None,
    root: str | None = None,
    levels: Levels | None = None,
) -> Reference:
    """What to compare with: NAME:SPLIT of a data set, files or statistics; the generator's own data if word is None.

    Args:
        own: The data set behind the samples; None for samples in files.
        shape: [C, H, W] of samples in files, if all share it.
        root, levels: Of the reference, in place of those that its config has.

    Raises:
        Refused: There is no such thing, or it cannot be read.
    """
    if word is not None and (Path(word) / "config.yaml").is_file():
        what = f"reference={word} is a run, whose pictures are plots and grids"
        raise ConfigError(
            two_lines(what, "give digits:all, say, or a folder of images, or leave it out to use the run's own data")
        )
    if word is not None and (Path(word).exists() or not NAMED.fullmatch(word)):
        found = stored(word, levels)
        if found is None:
            raise ConfigError(two_lines(f"reference={word} is nothing to compare with", _hint(word)))
        frame = own.frame if own is not None else None if shape is None else files.Frame(*shape[1:])
        return _in_files(found, frame, word)
    if word is None and own is None:
        raise ConfigError(two_lines("against what?", REMEDY))
    said = {"root": root, "levels": None if levels is None else list(levels)}
    moved = {key: value for key, value in said.items() if value is not None}
    if own is not None and (word is None or _is_own(word, own.config)):
        split = {} if word is None else {"split": word.partition(":")[2]}
        prepared = ""
        try:
            part = own.part(**split, **{key: value for key, value in moved.items() if key in own.config})
        except ConfigError as error:
            if moved:  # what was given is wrong
                raise
            what = "the folder of the training pictures is not known here"
            raise ConfigError(two_lines(what, "root=FOLDER names their folder")) from error
    else:
        assert word is not None
        config, prepared = _named(word, own, shape)
        known = {key: value for key, value in moved.items() if key in config}
        if {"root": "", **config, **known}["root"] is None:
            what = f"reference={word} does not say where its pictures are"
            raise ConfigError(two_lines(what, "name their folder itself: reference=FOLDER"))
        part = build.check_part("dataset", {**config, **known}, trust.for_runs())
    return replace(of_data(build.make(part), name_of(part.plain())), prepared=prepared)


Opens = Callable[[str | None, Data], Reference]  # (evaluation.reference, the run's data) -> what it is compared with


def beside(checked: Checked, trusted: Trust) -> Opens:
    """How a run that trains opens what its measurements compare with: the data that it trains on, unless said."""
    node = checked.config["dataset"]
    own = Own(node, lambda **other: build.check_part("dataset", {**node, **other}, trusted))

    def opens(word: str | None, data: Data) -> Reference:
        if word is None:
            return of_data(data, "the data")
        try:
            return replace(open_reference(word, own), name=word)
        except Refused as error:
            what, _, remedy = error.problems[0].partition("\n  ")
            what = f"{'' if what.startswith('reference=') else f'reference={word}: '}{what}"
            raise ConfigError(two_lines(f"evaluation.{what}", remedy or REMEDY)) from error

    return opens


def _in_files(found: files.Filed, frame: files.Frame | None, word: str) -> Reference:
    """Files: unchanged if all have the samples' size, else fitted as the samples' data were."""
    if found.statistics is not None:
        nothing = found.part(())
        return Reference(word, found.n, nothing, fingerprint=found.fingerprint, statistics=found.statistics)
    prepared = ""
    as_it_is = frame is None or (found.shape is not None and found.shape[1:] == (frame.height, frame.width))
    if found.fitted is not None and frame is not None and not as_it_is:
        log.info("the reference %s is %s", word, frame)
        found, prepared = found.fitted(frame), f"reference {frame}"
    n, batches, fingerprint = part_of(found, None, word)
    return Reference(word, n, batches, fingerprint=fingerprint, shape=found.shape, prepared=prepared)


def _hint(word: str) -> str:
    """The remedy for a data set's name without a split: the name with one."""
    if word not in choices.packaged()["dataset"]:
        return REMEDY
    split = compose.compose("train", [f"dataset={word}", "model=mlp"]).config["dataset"].get("split", "all")
    return f"write its split too: reference={word}:{split}"


def name_of(config: Mapping[str, Any]) -> str:
    """What a data set is called in a record: its source and its split."""
    inner = config.get("source") or config.get("density") or config
    name = str(inner["_target_"]).rsplit(".", 1)[-1]
    return f"{name}:{config['split']}{inner.get('side', '')}" if "split" in config else name


def _is_own(word: str, own: Mapping[str, Any]) -> bool:
    """Whether NAME:SPLIT is the samples' own data set, by the name of its source or of a choice with this source."""
    name = word.partition(":")[0]
    if "split" not in own:
        return False
    source = choices.read("dataset", name).get("source", {}) if name in choices.packaged()["dataset"] else {}
    return name == name_of(own).split(":")[0] or source.get("_target_") == (own.get("source") or own).get("_target_")


def _named(word: str, own: Own | None, shape: tuple[int, int, int] | None) -> tuple[Mapping[str, Any], str]:
    """The config of NAME:SPLIT, a packaged data set, and how it was changed to suit the samples.

    It comes in the samples' frame, since both sets must be framed alike. Points have no frame.
    """
    name, _, split = word.partition(":")
    composed = compose.compose("train", [f"dataset={name}", "model=mlp"]).config["dataset"]
    if own is not None:
        taken = ("resolution", "channels", "fit")
        fitted = {key: own.config[key] for key in taken if own.config["resolution"] and key in composed}
        return {**composed, **fitted, "split": split}, ""
    usual = {**composed, "split": split}
    if shape is None or not composed["resolution"]:
        return usual, ""
    channels, *size = shape
    if sample_shape(composed["channels"], composed["resolution"])[1:] == tuple(size):
        return {**usual, "channels": channels}, ""
    log.info("the reference %s is fitted to the samples' %d x %d by %s", word, *size, composed["fit"])
    prepared = f"reference fitted to {size[0]} x {size[1]} by {composed['fit']}"
    return {**usual, "channels": channels, "resolution": size}, prepared


def of_data(data: Any, name: str) -> Reference:
    """All samples of a data set."""
    if isinstance(data, Points):
        points, _ = data.reference(POINTS_SEED)

        def unlabelled(size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
            for piece in points.split(size):
                yield piece, None

        mixture = data.density if isinstance(data.density, Mixture) else None
        facts: dict[str, Any] = {"mixture": mixture, "points": True, "shape": data.shape, "data": data}
        return Reference(name, len(points), unlabelled, data.fingerprint(), **facts)

    fingerprint = data.fingerprint()

    def batches(size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        for rows in torch.arange(len(data)).split(size):
            yield data.kept(rows), data.labels[rows]

    labelled = None
    if isinstance(data, Images) and data.classes > 1:
        labelled = Labelled(lambda: data.images, data.labels, data.classes, fingerprint)
    return Reference(name, len(data), batches, fingerprint, labelled=labelled, shape=data.shape, data=data)
