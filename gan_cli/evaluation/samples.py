"""What can be measured: a run, a checkpoint, files; against a data set's split, files, or statistics."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_cli import sampling
from gan_cli.config import build, choices, compose, trust
from gan_cli.data.decoding import Levels
from gan_cli.data.listing import is_zip
from gan_cli.data.points import Mixture, Points
from gan_cli.data.subset import fair_part
from gan_cli.errors import ConfigError, DataError, NotMeasurable, two_lines
from gan_cli.evaluation import files
from gan_cli.metrics.detectors import Labelled
from gan_cli.metrics.measure import SampleSet, drawn
from gan_cli.runs.restore import Manner, Restored, restore
from gan_cli.store.run import Run
from gan_cli.types import sample_shape

log = logging.getLogger(__name__)

DEFAULT_N = 10_000  # samples of a generator, unless n says otherwise
POINTS_SEED = 20_260_101  # of the reference points of a density


@dataclass(frozen=True)
class Source(SampleSet):
    """A set of images (or points), and what is known of where they come from."""

    drawn: str | None = None  # how a generator drew them
    labelled: Labelled | None = None  # a data set with its labels
    mixture: Mixture | None = None  # the density of points, where its modes are known
    points: bool = False
    restored: Restored | None = None  # the generator behind the samples
    step: int | None = None
    run: Run | None = None
    paths: Callable[[int, float], Iterator[tuple[Tensor, Tensor]]] | None = None
    shape: tuple[int, int, int] | None = None  # [C, H, W] of images, where all have one
    # As those of a metric's `Context`.
    pairs: Callable[[], Iterator[tuple[Tensor, Tensor, Tensor]]] | None = None
    round_trips: Callable[[], Iterator[tuple[Tensor, Tensor]]] | None = None
    prepared: str = ""  # how a reference was brought to the samples' size; part of every convention


def _files(word: str, levels: Levels | None) -> files.Stored | None:
    """Images or statistics in files; None when the word names no such file."""
    path = Path(word)
    if path.is_dir() or is_zip(path):
        return files.pictures(path, levels)
    if path.is_file() and path.suffix.lower() == ".npz":
        return files.npz(path)
    return files.tensor_file(path) if path.is_file() and path.suffix.lower() in (".pt", ".pth") else None


def _exactly(stored: files.Stored, n: int | None, word: str) -> Source:
    """All images of files, or n of them: chosen by their content, evenly over their classes."""
    if stored.statistics is not None:
        nothing = stored.part(())
        return Source(word, stored.n, nothing, fingerprint=stored.fingerprint, statistics=stored.statistics)
    wanted = stored.n if n is None else n
    if stored.n < max(wanted, 2):
        raise DataError(
            two_lines(f"{word} holds {stored.n} images, and n={max(wanted, 2)} are needed", "lower n=, or add images")
        )
    everything = wanted == stored.n
    chosen = range(wanted) if everything else fair_part(stored.digests(), stored.labels, wanted)
    how = "" if everything else " of a fair part"
    fingerprint = f"{stored.fingerprint}:{wanted}{how}"
    return Source(word, wanted, stored.part(chosen), fingerprint=fingerprint, shape=stored.shape)


def open_source(
    word: str,
    n: int | None,
    manner: Manner,
    device: torch.device,
    levels: Levels | None = None,
    vouched: Sequence[str] = (),
) -> Source:
    """What is to be measured: `n` samples of a run or checkpoint, drawn in this manner, or images in files."""
    is_run = (Path(word) / "config.yaml").is_file()
    stored = None if is_run else _files(word, levels)
    if stored is not None and stored.statistics is not None:
        what = f"{word} holds statistics, and no images to be measured"
        raise NotMeasurable(two_lines(what, f"it can be the reference: gan eval SAMPLES reference={word}"))
    if stored is not None:
        return _exactly(stored, n, word)
    restored = restore(word, manner, device, vouched)
    wanted = n or DEFAULT_N
    draws = sampling.Draws.of(restored.generator, manner.seed, device)

    def paths(count: int, epsilon: float) -> Iterator[tuple[Tensor, Tensor]]:
        for a, b in sampling.steps_along_paths(restored.game, restored.generator, draws, count, epsilon):
            yield (a + 1) * 127.5, (b + 1) * 127.5

    return Source(
        str(restored.path),
        wanted,
        drawn(restored.game, restored.generator, draws, wanted),
        drawn=str(manner),
        points=restored.points,
        restored=restored,
        step=restored.step,
        run=restored.run,
        paths=paths,
    )


def open_reference(word: str | None, root: str | None, source: Source, levels: Levels | None = None) -> Source:
    """What is compared with: NAME:SPLIT of a data set, files, statistics; the run's own data when nothing is said."""
    if word is not None and (Path(word) / "config.yaml").is_file():
        what = f"reference={word} is a run, whose pictures are plots and grids"
        raise ConfigError(two_lines(what, "give digits:all, say, a folder of images, or nothing: a run's own data"))
    if word is not None and (Path(word).exists() or ":" not in word):
        stored = _files(word, levels)
        if stored is None:
            raise ConfigError(two_lines(f"reference={word} is nothing to compare with", _hint(word)))
        return _framed(stored, source, word)
    own = source.restored.config["dataset"] if source.restored is not None else None
    if word is None and own is None:
        raise ConfigError(two_lines("against what?", _remedy()))
    said = {"root": root, "levels": None if levels is None else list(levels)}
    moved = {key: value for key, value in said.items() if value is not None}
    prepared = ""
    if source.restored is not None and own is not None and (word is None or _is_own(word, own)):
        split = {} if word is None else {"split": word.partition(":")[2]}
        part = source.restored.dataset(**split, **{key: value for key, value in moved.items() if key in own})
    else:
        assert word is not None
        config, prepared = _named(word, own, source)
        known = {key: value for key, value in moved.items() if key in config}
        part = build.check_part("dataset", {**config, **known}, trust.for_runs())
    return replace(_dataset(build.make(part), _name(part.plain())), prepared=prepared)


def _framed(stored: files.Stored, source: Source, word: str) -> Source:
    """Files as a reference: as they are where all have the samples' size, else fitted as the samples' data were."""
    frame = _frame(source)
    if stored.fitted is None or frame is None:
        return _exactly(stored, None, word)
    if stored.shape is not None and stored.shape[1:] == (frame.height, frame.width):
        return _exactly(stored, None, word)
    log.info("the reference %s is %s", word, frame)
    return replace(_exactly(stored.fitted(frame), None, word), prepared=f"reference {frame}")


def _frame(source: Source) -> files.Frame | None:
    """The samples' size, and for a run how its data came to it; None for points and for files of several sizes."""
    if source.restored is not None:
        own = source.restored.config["dataset"]
        if source.points:
            return None
        channels, height, width = sample_shape(own["channels"], own["resolution"])
        levels = own.get("levels")
        return files.Frame(height, width, channels, own.get("fit", "crop"), None if levels is None else tuple(levels))
    return None if source.shape is None else files.Frame(*source.shape[1:])


def _remedy() -> str:
    return "reference=cifar10:train, a folder of images, or an .npz with mu and sigma"


def _hint(word: str) -> str:
    """For the name of a data set without a split: that name with one."""
    if word not in choices.packaged()["dataset"]:
        return _remedy()
    split = compose.compose("train", [f"dataset={word}", "model=mlp"]).config["dataset"].get("split", "all")
    return f"write its split too: reference={word}:{split}"


def _name(config: Mapping[str, Any]) -> str:
    inner = config.get("source") or config.get("density") or config
    name = str(inner["_target_"]).rsplit(".", 1)[-1]
    return f"{name}:{config['split']}" if "split" in config else name


def _is_own(word: str, own: Mapping[str, Any]) -> bool:
    """Whether NAME:SPLIT is the run's own data set."""
    return "split" in own and _name(own).split(":")[0] == word.partition(":")[0]


def _named(word: str, own: Mapping[str, Any] | None, source: Source) -> tuple[Mapping[str, Any], str]:
    """The config of NAME:SPLIT, a packaged data set, and how it was changed to suit the samples.

    It comes in the samples' frame, for the same images must meet the same frame. Points have none to share.
    """
    name, _, split = word.partition(":")
    composed = compose.compose("train", [f"dataset={name}", "model=mlp"]).config["dataset"]
    if own is not None:
        taken = ("resolution", "channels", "fit")
        fitted = {key: own[key] for key in taken if own["resolution"] and key in composed}
        return {**composed, **fitted, "split": split}, ""
    usual = {**composed, "split": split}
    if source.shape is None or not composed["resolution"]:
        return usual, ""
    channels, *size = source.shape
    if sample_shape(composed["channels"], composed["resolution"])[1:] == tuple(size):
        return {**usual, "channels": channels}, ""
    log.info("the reference %s is fitted to the samples' %d x %d by %s", word, *size, composed["fit"])
    prepared = f"reference fitted to {size[0]} x {size[1]} by {composed['fit']}"
    return {**usual, "channels": channels, "resolution": size}, prepared


def _dataset(data: Any, name: str) -> Source:
    """All samples of a data set."""
    if isinstance(data, Points):
        points, _ = data.reference(POINTS_SEED)

        def unlabelled(size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
            for piece in points.split(size):
                yield piece, None

        mixture = data.density if isinstance(data.density, Mixture) else None
        return Source(name, len(points), unlabelled, fingerprint=data.fingerprint(), mixture=mixture, points=True)

    def batches(size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        yield from zip(data.images.split(size), data.labels.split(size), strict=True)

    fingerprint = data.fingerprint()
    labelled = Labelled(data.images, data.labels, data.classes, fingerprint)
    return Source(name, len(data), batches, fingerprint=fingerprint, labelled=labelled)
