"""What can be measured (a run, a checkpoint, files), and against what (a data set's split, files, statistics)."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_cli import pictures, sampling
from gan_cli.config import build, choices, compose, trust
from gan_cli.data.decoding import Levels
from gan_cli.data.listing import is_zip
from gan_cli.data.points import Mixture, Points
from gan_cli.data.subset import fair_part
from gan_cli.errors import ConfigError, DataError, NotMeasurable, two_lines
from gan_cli.evaluation import files
from gan_cli.latent.sources import OfData
from gan_cli.latent.translate import Translating, Translation
from gan_cli.metrics.detectors import Labelled
from gan_cli.metrics.measure import SampleSet, drawn
from gan_cli.networks.panel import Both
from gan_cli.progress import tracked
from gan_cli.runs.restore import Manner, Restored, restore
from gan_cli.store.run import Run
from gan_cli.types import Data, Need, sample_shape

log = logging.getLogger(__name__)

DEFAULT_N = 10_000  # samples of a generator if n is not given
POINTS_SEED = 20_260_101  # for the reference points of a density


@dataclass(frozen=True)
class Source(SampleSet):
    """A set of images (or points), and what is known about their origin."""

    drawn: str | None = None  # how a generator drew them
    labelled: Labelled | None = None  # a data set with its labels
    mixture: Mixture | None = None  # the density of points, where its modes are known
    points: bool = False
    restored: Restored | None = None  # the generator behind the samples
    step: int | None = None
    run: Run | None = None
    paths: Callable[[int, float], Iterator[tuple[Tensor, Tensor]]] | None = None
    shape: tuple[int, int, int] | None = None  # [C, H, W], if all images share it
    data: Data | None = None  # what a translator's pictures were drawn from, and what they should look like
    data_name: str = ""
    pairs: Callable[[], Iterator[tuple[Tensor, Tensor, Tensor]]] | None = None  # drawn, target, source: uint8 [1, ...]
    round_trips: Callable[[], Iterator[tuple[Tensor, Tensor]]] | None = None  # source, and what came back of it
    prepared: str = ""  # how a reference was fitted to the samples' size; part of every convention


def _files(word: str, levels: Levels | None) -> files.Stored | None:
    """Images or statistics in files; None if the word names no such file."""
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
    root: str | None = None,
) -> Source:
    """What is to be measured: `n` samples of a run or checkpoint, drawn in this manner, or images in files."""
    is_run = (Path(word) / "config.yaml").is_file()
    stored = None if is_run else _files(word, levels)
    if stored is not None and stored.statistics is not None:
        what = f"{word} holds statistics, not images to measure"
        raise NotMeasurable(two_lines(what, f"it can be the reference: gan eval SAMPLES reference={word}"))
    if stored is not None:
        return _exactly(stored, n, word)
    restored = restore(word, manner, device, vouched)
    if restored.translates:
        return _translations(restored, n, device, root)
    wanted = n or DEFAULT_N
    draws = sampling.Draws.of(restored.generator, manner.seed, device)

    def paths(count: int, epsilon: float) -> Iterator[tuple[Tensor, Tensor]]:
        pieces = sampling.steps_along_paths(restored.game, restored.generator, draws, count, epsilon)
        for a, b in tracked(pieces, count, "measuring paths", lambda pair: len(pair[0])):
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


def _translations(restored: Restored, n: int | None, device: torch.device, root: str | None) -> Source:
    """Translations of the run's split `test`, all of it or `n` pictures.

    Features are computed at the run's size; pairs and round trips are of whole pictures.
    """
    data, part = restored.unseen(root)
    sources = OfData(data, n)
    given = _at_one_size(sources)
    count = len(given)
    draws = sampling.Draws.of(restored.generator, restored.manner.seed, device, given=given)
    back = (restored.game.turned(), restored.generator.turned()) if isinstance(restored.generator, Both) else None
    subject = Translating(restored.game, restored.generator, back, restored.manner.seed, device)

    def translated() -> Iterator[Translation]:
        for example in tracked(sources, len(sources), "measuring translations"):
            yield subject.draw(example)

    def pairs() -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for one in translated():
            assert one.example.target is not None
            result, target, given = map(pictures.to_uint8, (one.drawn, one.example.target, one.example.source))
            yield result, target, given

    def round_trips() -> Iterator[tuple[Tensor, Tensor]]:
        for one in translated():
            assert one.again is not None
            yield pictures.to_uint8(one.example.source), pictures.to_uint8(one.again)

    return Source(
        str(restored.path),
        count,
        drawn(restored.game, restored.generator, draws, count),
        drawn=", ".join(filter(None, (f"{restored.manner}, of {data.pictures()} pictures", data.given_how()))),
        restored=restored,
        step=restored.step,
        run=restored.run,
        pairs=pairs if Need.PAIRS in data.provides else None,
        round_trips=round_trips if back is not None else None,
        data=data,
        data_name=_name(part.plain()),
    )


def _at_one_size(sources: OfData) -> Tensor:
    """The sources as one tensor: whole if they share a size, else a window of each image."""
    pictures = [example.source for example in sources]
    if len({picture.shape for picture in pictures}) == 1:
        return torch.cat(pictures)
    windows = sources.data.previewed(len(pictures)).given
    assert windows is not None
    return windows


def open_reference(word: str | None, root: str | None, source: Source, levels: Levels | None = None) -> Source:
    """What to compare with: NAME:SPLIT of a data set, files or statistics; the run's own data if word is None."""
    if word is not None and (Path(word) / "config.yaml").is_file():
        what = f"reference={word} is a run, whose pictures are plots and grids"
        raise ConfigError(
            two_lines(what, "give digits:all, say, or a folder of images, or leave it out to use the run's own data")
        )
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
        if source.data is not None and word is None:
            return _dataset(source.data, source.data_name)
        split = {} if word is None else {"split": word.partition(":")[2]}
        part = source.restored.dataset(**split, **{key: value for key, value in moved.items() if key in own})
    else:
        assert word is not None
        config, prepared = _named(word, own, source)
        known = {key: value for key, value in moved.items() if key in config}
        part = build.check_part("dataset", {**config, **known}, trust.for_runs())
    return replace(_dataset(build.make(part), _name(part.plain())), prepared=prepared)


def reference_for(restored: Restored, word: str | None, root: str | None) -> Source:
    """Real samples in the frame of a generator's: NAME:SPLIT of a data set or files; the run's own data if word is
    None, of a translator those that it was not trained on where there are some."""
    unseen = restored.unseen(root) if restored.translates and word is None else None
    data, name = (None, "") if unseen is None else (unseen.data, _name(unseen.part.plain()))
    asking = Source("", 0, lambda size: iter(()), restored=restored, points=restored.points, data=data, data_name=name)
    return open_reference(word, root, asking)


def _framed(stored: files.Stored, source: Source, word: str) -> Source:
    """Files as a reference: unchanged if all have the samples' size, else fitted as the samples' data were."""
    frame = _frame(source)
    if stored.fitted is None or frame is None:
        return _exactly(stored, None, word)
    if stored.shape is not None and stored.shape[1:] == (frame.height, frame.width):
        return _exactly(stored, None, word)
    log.info("the reference %s is %s", word, frame)
    return replace(_exactly(stored.fitted(frame), None, word), prepared=f"reference {frame}")


def _frame(source: Source) -> files.Frame | None:
    """The samples' size, and for a run how its data were fitted to it; None for points and files of mixed sizes."""
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
    """The remedy for a data set's name without a split: the name with one."""
    if word not in choices.packaged()["dataset"]:
        return _remedy()
    split = compose.compose("train", [f"dataset={word}", "model=mlp"]).config["dataset"].get("split", "all")
    return f"write its split too: reference={word}:{split}"


def _name(config: Mapping[str, Any]) -> str:
    inner = config.get("source") or config.get("density") or config
    name = str(inner["_target_"]).rsplit(".", 1)[-1]
    return f"{name}:{config['split']}{inner.get('side', '')}" if "split" in config else name


def _is_own(word: str, own: Mapping[str, Any]) -> bool:
    """Whether NAME:SPLIT is the run's own data set."""
    return "split" in own and _name(own).split(":")[0] == word.partition(":")[0]


def _named(word: str, own: Mapping[str, Any] | None, source: Source) -> tuple[Mapping[str, Any], str]:
    """The config of NAME:SPLIT, a packaged data set, and how it was changed to suit the samples.

    It comes in the samples' frame, since both sets must be framed alike. Points have no frame.
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
