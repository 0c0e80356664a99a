"""What can be measured: a run, a checkpoint, files; against a data set's split, files, or statistics."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gan_cli import pictures, sampling
from gan_cli.config import build, compose, trust
from gan_cli.config.errors import ConfigError, two_lines
from gan_cli.data.points import Mixture, Points
from gan_cli.evaluation import files
from gan_cli.evaluation.files import Batches
from gan_cli.metrics.detectors import Labelled
from gan_cli.metrics.moments import Gaussian
from gan_cli.restore import Manner, Restored, restore
from gan_cli.runs import Run

DEFAULT_N = 10_000  # samples of a generator, unless n says otherwise
POINTS_SEED = 20_260_101  # of the reference points of a density


@dataclass(frozen=True)
class Source:
    """A set of images (or points), and what is known of where they come from."""

    name: str
    n: int
    batches: Batches
    drawn: str | None = None  # how a generator drew them
    fingerprint: str | None = None  # of the content; None for a generator's samples
    statistics: Gaussian | None = None  # where only these are known
    labelled: Labelled | None = None  # a data set with its labels
    mixture: Mixture | None = None  # the density of points, where its modes are known
    points: bool = False
    restored: Restored | None = None  # the generator behind the samples
    step: int | None = None
    run: Run | None = None
    paths: Callable[[int, float], Iterator[tuple[Tensor, Tensor]]] | None = None


def _files(word: str) -> files.Stored | None:
    """Images or statistics in files; None when the word names no such file."""
    path = Path(word)
    if path.is_dir():
        return files.folder(path)
    readers: Mapping[str, Callable[[Path], files.Stored]] = {".zip": files.zipped, ".npz": files.arrays}
    if path.is_file() and path.suffix.lower() in readers:
        return readers[path.suffix.lower()](path)
    if path.is_file() and path.suffix.lower() in (".pt", ".pth"):
        images = _tensor_in(path)
        return None if images is None else files.tensors(images, word)
    return None


def _tensor_in(path: Path) -> Tensor | None:
    """A tensor that a .pt file holds; None for anything else, a checkpoint for one."""
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError):
        return None
    return found if isinstance(found, Tensor) else None


def _exactly(stored: files.Stored, n: int | None, word: str) -> Source:
    """The first n images of files, or all."""
    if stored.statistics is not None:
        return Source(word, stored.n, stored.batches, fingerprint=stored.fingerprint, statistics=stored.statistics)
    wanted = stored.n if n is None else n
    if stored.n < max(wanted, 2):
        raise ConfigError(
            two_lines(f"{word} holds {stored.n} images, and n={max(wanted, 2)} are needed", "lower n=, or add images")
        )

    def batches(size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        left = wanted
        for images, labels in stored.batches(size):
            if left <= 0:
                return
            yield images[:left], None if labels is None else labels[:left]
            left -= len(images)

    return Source(word, wanted, batches, fingerprint=f"{stored.fingerprint}:{wanted}")


def open_source(word: str, n: int | None, manner: Manner, device: torch.device, vouched: Sequence[str] = ()) -> Source:
    """What is to be measured: `n` samples of a run or checkpoint, drawn in this manner, or images in files."""
    is_run = (Path(word) / "config.yaml").is_file()
    stored = None if is_run else _files(word)
    if stored is not None:
        return _exactly(stored, n, word)
    restored = restore(word, manner, device, vouched)
    wanted = n or DEFAULT_N
    points = restored.points

    def batches(size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        for block, label in sampling.blocks(restored.game, restored.generator, manner.seed, wanted, device):
            quantised = block.cpu() if points else pictures.to_uint8(block).cpu()
            yield from zip(quantised.split(size), label.cpu().split(size), strict=True)

    def paths(count: int, epsilon: float) -> Iterator[tuple[Tensor, Tensor]]:
        for a, b in sampling.steps_along_paths(restored.game, restored.generator, manner.seed, count, epsilon, device):
            yield (a + 1) * 127.5, (b + 1) * 127.5

    return Source(
        str(restored.path),
        wanted,
        batches,
        drawn=str(manner),
        points=points,
        restored=restored,
        step=restored.step,
        run=restored.run,
        paths=paths,
    )


def open_reference(word: str | None, root: str | None, source: Source) -> Source:
    """What is compared with: NAME:SPLIT of a data set, files, statistics; the run's own data when nothing is said."""
    if word is not None and (Path(word) / "config.yaml").is_file():
        what = f"reference={word} is a run, whose pictures are plots and grids"
        raise ConfigError(two_lines(what, "give digits:all, say, a folder of images, or nothing: a run's own data"))
    if word is not None and (Path(word).exists() or ":" not in word):
        stored = _files(word)
        if stored is None:
            raise ConfigError(two_lines(f"reference={word} is nothing to compare with", _remedy()))
        return _exactly(stored, None, word)
    own = source.restored.config["dataset"] if source.restored is not None else None
    if word is None and own is None:
        raise ConfigError(two_lines("against what?", _remedy()))
    moved = {} if root is None else {"root": root}
    if source.restored is not None and own is not None and (word is None or _is_own(word, own)):
        split = {} if word is None else {"split": word.partition(":")[2]}
        part = source.restored.dataset(**split, **moved)
    else:
        assert word is not None
        part = build.check_part("dataset", {**_named(word, own), **moved}, trust.for_composed(()))
    return _dataset(build.data(part), _name(part.plain()))


def _remedy() -> str:
    return "reference=cifar10:train, a folder of images, or an .npz with mu and sigma"


def _name(config: Mapping[str, Any]) -> str:
    inner = config.get("source") or config.get("density") or config
    name = str(inner["_target_"]).rsplit(".", 1)[-1]
    return f"{name}:{config['split']}" if "split" in config else name


def _is_own(word: str, own: Mapping[str, Any]) -> bool:
    """Whether NAME:SPLIT is the run's own data set."""
    return "split" in own and _name(own).split(":")[0] == word.partition(":")[0]


def _named(word: str, own: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """The config of NAME:SPLIT, a packaged data set."""
    name, _, split = word.partition(":")
    composed = compose.compose("train", [f"dataset={name}", "model=mlp"]).config["dataset"]
    # The same images must meet the same frame; points have none to share.
    fitted = {
        key: own[key] for key in ("resolution", "channels", "fit") if own and own["resolution"] and key in composed
    }
    return {**composed, **fitted, "split": split}


def _dataset(data: Any, name: str) -> Source:
    """All samples of a data set."""
    if isinstance(data, Points):
        points, _ = data.reference(POINTS_SEED)

        def drawn(size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
            for piece in points.split(size):
                yield piece, None

        mixture = data.density if isinstance(data.density, Mixture) else None
        return Source(name, len(points), drawn, fingerprint=data.fingerprint(), mixture=mixture, points=True)

    def batches(size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        yield from zip(data.images.split(size), data.labels.split(size), strict=True)

    fingerprint = data.fingerprint()
    labelled = Labelled(data.images, data.labels, data.classes, fingerprint)
    return Source(name, len(data), batches, fingerprint=fingerprint, labelled=labelled)
