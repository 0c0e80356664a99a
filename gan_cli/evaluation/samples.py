"""What can be measured: samples of a run or a checkpoint, or images in files; and what it is compared with."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from gan_cli import sampling
from gan_cli.data.decoding import Levels
from gan_cli.errors import NotMeasurable, two_lines
from gan_cli.latent import Example
from gan_cli.latent.sources import OfData
from gan_cli.latent.translate import Translating
from gan_cli.metrics.measure import Reference, SampleSet, drawn
from gan_cli.networks.panel import Both
from gan_cli.progress import tracked
from gan_cli.references import files, opening
from gan_cli.references.opening import Own, name_of, of_data, part_of
from gan_cli.runs.restore import Manner, Restored, restore
from gan_cli.store.run import Run
from gan_cli.types import Data, Need

log = logging.getLogger(__name__)

DEFAULT_N = 10_000  # samples of a generator if n is not given


@dataclass(frozen=True)
class Source(SampleSet):
    """A set of images (or points), and what is known about their origin."""

    drawn: str | None = None  # how a generator drew them
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


def _exactly(found: files.Filed, n: int | None, word: str) -> Source:
    """All images of files, or n of them."""
    wanted, batches, fingerprint = part_of(found, n, word)
    return Source(word, wanted, batches, fingerprint=fingerprint, shape=found.shape)


def open_source(
    word: str,
    n: int | None,
    manner: Manner,
    device: torch.device,
    levels: Levels | None = None,
    vouched: Sequence[str] = (),
    root: str | None = None,
    most: int | None = None,
) -> Source:
    """What is to be measured: `n` samples of a run or checkpoint, drawn in this manner, or images in files; at most
    `most` where n is not given."""
    is_run = (Path(word) / "config.yaml").is_file()
    found = None if is_run else opening.stored(word, levels)
    if found is not None and found.statistics is not None:
        what = f"{word} holds statistics, not images to measure"
        raise NotMeasurable(two_lines(what, f"it can be the reference: gan eval SAMPLES reference={word}"))
    if found is not None:
        return _exactly(found, n if most is None else n or min(most, found.n), word)
    restored = restore(word, manner, device, vouched)
    if restored.translates:
        return _translations(restored, n, device, root)
    wanted = n or min(DEFAULT_N, most or DEFAULT_N)
    draws = sampling.Draws.of(restored.generator, manner.seed, device)

    def paths(count: int, epsilon: float) -> Iterator[tuple[Tensor, Tensor]]:
        pieces = sampling.steps_along_paths(restored.game, restored.generator, draws, count, epsilon)
        for a, b in tracked(pieces, count, "measuring paths", lambda pair: len(pair[0])):
            yield (a + 1) * 127.5, (b + 1) * 127.5

    return Source(
        str(restored.path),
        wanted,
        drawn(restored.game, restored.generator, draws, wanted),
        drawn=str(restored.manner),
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
    found = restored.unseen(root)
    data = found.data
    named, which = found.part.plain(), "pictures"
    if restored.trained_on(found, root):
        named |= {key: value for key, value in restored.config["dataset"].items() if key == "split"}
        which = "pictures that it was trained on"
        what = "these are the pictures that the run was trained on: the numbers say nothing about others"
        log.warning("%s", two_lines(what, "add a split test (testA and testB, say), or name other data: root=FOLDER"))
    sources = OfData(data, n)
    given = _at_one_size(sources)
    count = len(given)
    draws = sampling.Draws.of(restored.generator, restored.manner.seed, device, given=given)
    back = (restored.game.turned(), restored.generator.turned()) if isinstance(restored.generator, Both) else None
    subject = Translating(restored.game, restored.generator, back, restored.manner.seed, device)

    def tracked_sources() -> Iterator[Example]:
        return tracked(sources, len(sources), "measuring translations")

    return Source(
        str(restored.path),
        count,
        drawn(restored.game, restored.generator, draws, count),
        drawn=", ".join(filter(None, (f"{restored.manner}, of {data.pictures()} {which}", data.given_how()))),
        restored=restored,
        step=restored.step,
        run=restored.run,
        pairs=(lambda: subject.pairs(tracked_sources())) if Need.PAIRS in data.provides else None,
        round_trips=(lambda: subject.round_trips(tracked_sources())) if back is not None else None,
        data=data,
        data_name=name_of(named),
    )


def _at_one_size(sources: OfData) -> Tensor:
    """The sources as one tensor: whole if they share a size, else a window of each image."""
    pictures = [example.source for example in sources]
    if len({picture.shape for picture in pictures}) == 1:
        return torch.cat(pictures)
    windows = sources.data.previewed(len(pictures)).given
    assert windows is not None
    return windows


def open_reference(word: str | None, root: str | None, source: Source, levels: Levels | None = None) -> Reference:
    """What to compare with: NAME:SPLIT of a data set, files or statistics; the run's own data if word is None."""
    if word is None and source.data is not None:
        return of_data(source.data, source.data_name)
    restored = source.restored
    own = None if restored is None else _own(restored)
    return opening.open_reference(word, own, source.shape, root, levels)


def reference_for(restored: Restored, word: str | None, root: str | None) -> Reference:
    """Real samples in the frame of a generator's: NAME:SPLIT of a data set or files; the run's own data if word is
    None, of a translator those that it was not trained on where there are some."""
    if restored.translates and word is None:
        unseen = restored.unseen(root)
        if unseen is not None:
            return of_data(unseen.data, name_of(unseen.part.plain()))
    return opening.open_reference(word, _own(restored), root=root)


def _own(restored: Restored) -> Own:
    """The run's data set, with as many channels as what is drawn has: on the way back those of the sources."""
    return Own({**restored.config["dataset"], "channels": restored.channels}, restored.dataset)
