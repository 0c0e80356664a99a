"""The reference cache goes by content, and trusts nothing that was changed."""

from __future__ import annotations

import logging
import os
import random
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gan_cli.metrics import Context, Metric, measure, store
from gan_cli.metrics.classifier import Classifier
from gan_cli.metrics.detectors import Detector, Labelled, Pixels
from gan_cli.metrics.features import Collector, Features, Keys, Seen
from gan_cli.metrics.frechet import DebiasedFrechet, Frechet
from gan_cli.metrics.kernel import Kernel, PerClassKernel
from gan_cli.metrics.measure import Plan, Reference, collect, collector_of, reference_features
from gan_cli.metrics.memory import Memorisation
from gan_cli.metrics.packed import FeatureCache, as_kept
from gan_cli.metrics.prdc import PRDC
from gan_cli.metrics.scores import ClassifierScore, Modes
from gan_cli.metrics.store import Bookmark, Store

FACTS = {"data": "abc", "detector": "pixels"}


def features(n: int = 50, width: int = 8) -> Features:
    collector = Collector(lambda x: Seen(x.flatten(1).float()), rows=20)
    collector.add(torch.randint(0, 256, (n, 1, 1, width), dtype=torch.uint8))
    return collector.finish()


def bits(found: Features) -> list[bytes]:
    """All that a metric could read of them."""
    moments = found.moments
    tensors = (moments.mean, moments.covariance, moments.factor, found.rows, found.logits, found.row_labels)
    return [found.n.to_bytes(8, "little"), *(t.numpy().tobytes() for t in tensors if t is not None)]


@pytest.fixture
def warnings(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """What was said as a warning since the last look."""
    logger = logging.getLogger("gan_cli")
    propagates, logger.propagate = logger.propagate, True

    def look() -> list[str]:
        said = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
        caplog.clear()
        return said

    yield look
    logger.propagate = propagates


@pytest.mark.parametrize("n", [5, 50])
def test_what_comes_back_is_what_was_kept(tmp_path: Path, n: int) -> None:
    kept = features(n)
    cache = FeatureCache(tmp_path)
    fresh = cache.get(FACTS, lambda _: kept)
    found = cache.get(FACTS, lambda _: pytest.fail("computed again"))
    assert found.n == n
    assert bits(found) == bits(fresh)
    assert torch.equal(found.moments.mean, kept.moments.mean)
    torch.testing.assert_close(found.moments.covariance, kept.moments.covariance)
    assert found.rows is not None
    assert kept.rows is not None
    assert torch.equal(found.rows, kept.rows)


def test_other_facts_are_another_entry(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    a = cache.get(FACTS, lambda _: features())
    b = cache.get({**FACTS, "detector": "other"}, lambda _: features())
    assert not torch.equal(a.moments.mean, b.moments.mean)
    assert {entry.facts["detector"] for entry in Store(tmp_path).entries() if entry.facts} == {"pixels", "other"}


def test_every_flip_and_cut_is_noticed_or_harmless(tmp_path: Path, warnings: Callable[[], list[str]]) -> None:
    """300 flipped bits and 60 cuts in either file: the same bits come back, and what was damaged is said and whole
    again."""
    rng, kept, cache = random.Random(0), features(), FeatureCache(tmp_path / "cache")
    wanted = bits(cache.get(FACTS, lambda _: kept))
    files = sorted(p for p in cache.folder.iterdir() if p.suffix in (".json", ".safetensors"))
    whole = {path: path.read_bytes() for path in files}
    assert len(files) == 2
    for trial in range(360):
        path = files[trial % 2]
        damaged = bytearray(whole[path])
        at = rng.randrange(len(damaged))
        if trial < 300:
            damaged[at] ^= 1 << rng.randrange(8)
        else:
            del damaged[at:]
        path.write_bytes(damaged)
        calls: list[int] = []
        found = cache.get(FACTS, lambda _, calls=calls: calls.append(1) or kept)  # type: ignore[misc]
        assert bits(found) == wanted
        said = warnings()
        assert len(said) == len(calls)  # a flip within the white space of the notes changes nothing
        assert all(path.stem in line for line in said)
        if calls:
            assert {p: p.read_bytes() for p in files} == whole
    assert len(list(cache.folder.iterdir())) == 2  # and no lock stays


def test_notes_of_other_facts_are_not_believed(tmp_path: Path, warnings: Callable[[], list[str]]) -> None:
    cache = FeatureCache(tmp_path)
    for name in ("a", "b"):
        cache.get({"data": name}, lambda _: features())
    one, other = sorted(tmp_path.glob("*.json"))
    for ending in (".json", ".safetensors"):
        shutil.copyfile(other.with_suffix(ending), one.with_suffix(ending))
    computed = [cache.get({"data": name}, lambda _: features(7)).n for name in ("a", "b")]
    assert sorted(computed) == [7, 50]
    assert len(warnings()) == 1


@pytest.mark.parametrize("notes", [b"[]", b"5", b"null", b'{"facts": 3}', b"[" * 9999, b"\xff\xfe", b""])
def test_strange_notes_are_listed_and_built_again(tmp_path: Path, notes: bytes) -> None:
    cache, kept = FeatureCache(tmp_path), features()
    cache.get(FACTS, lambda _: kept)
    (path,) = tmp_path.glob("*.json")
    path.write_bytes(notes)
    (entry,) = Store(tmp_path).entries()
    assert entry.facts is None
    assert bits(cache.get(FACTS, lambda _: kept)) == bits(as_kept(kept))
    (entry,) = Store(tmp_path).entries()
    assert entry.facts is not None


@pytest.mark.parametrize("place", ["file", "below a file", "/sys/gan", "~nobody-of-this-name/x", "folder in the way"])
def test_a_cache_that_cannot_be_written_costs_a_warning(
    tmp_path: Path, warnings: Callable[[], list[str]], place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BOOKMARK_SECONDS", 0.0)
    (tmp_path / "file").write_text("")
    kept = features()
    folder = {"file": tmp_path / "file", "below a file": tmp_path / "file" / "x", "folder in the way": tmp_path}
    cache = FeatureCache(folder.get(place, Path(place)))
    if place == "folder in the way":
        cache.get(FACTS, lambda _: kept)
        (tensors,) = tmp_path.glob("*.safetensors")
        tensors.unlink()
        (tensors / "x").mkdir(parents=True)
        warnings()

    def compute(bookmark: Bookmark) -> Features:
        bookmark.maybe_write(lambda: {"n": torch.zeros(3)})
        return kept

    for _ in range(2):
        assert bits(cache.get(FACTS, compute)) == bits(as_kept(kept))
        assert 1 <= len(warnings()) <= 2
    assert (tmp_path / "file").read_text() == ""
    assert not list(tmp_path.glob(".*.tmp"))


def test_what_dead_processes_left_goes_at_the_next_use(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    cache.get(FACTS, lambda _: features())
    (tensors,) = tmp_path.glob("*.safetensors")
    done = subprocess.run(  # its number is free again
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True, check=True
    )
    dead = tmp_path / f".{tensors.name}.{int(done.stdout)}.tmp"
    living = tmp_path / f".{tensors.name}.{os.getppid()}.tmp"
    part = tensors.with_suffix(".part")  # of a pass that was killed after it was done
    for path in (dead, living, part):
        path.write_bytes(b"x")
    cache.get(FACTS, lambda _: pytest.fail("computed again"))
    assert (dead.exists(), living.exists(), part.exists()) == (False, True, False)


def test_one_computes_while_the_others_wait(tmp_path: Path) -> None:
    calls = []

    def compute(_: Bookmark) -> Features:
        calls.append(1)
        return features()

    threads = [threading.Thread(target=lambda: FeatureCache(tmp_path).get(FACTS, compute)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


@pytest.mark.parametrize("damaged", [False, True])
def test_an_interrupted_pass_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: bool
) -> None:
    monkeypatch.setattr(store, "BOOKMARK_SECONDS", 0.0)
    images = torch.randint(0, 256, (60, 1, 1, 8), dtype=torch.uint8)
    shown: list[int] = []

    class Interrupting(Detector):
        name, convention = "interrupting", "raw"
        stop_after = 35

        def __call__(self, batch: Tensor) -> Seen:
            if sum(shown) >= self.stop_after:
                raise KeyboardInterrupt
            shown.append(len(batch))
            return Seen(batch.flatten(1).float())

    def batches(size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        return ((piece, None) for piece in images.split(size))

    source, detector = Reference("data", len(images), batches, "print"), Interrupting()
    plan = Plan(rows=20, batch_size=7, cache=tmp_path)
    needs = frozenset({"rows"})
    with pytest.raises(KeyboardInterrupt):
        reference_features(source, detector, needs, plan)
    (bookmark,) = tmp_path.glob("*.part")
    if damaged:
        bookmark.write_bytes(bookmark.read_bytes()[:-1])
    shown.clear()
    detector.stop_after = len(images)
    found = reference_features(source, detector, needs, plan)
    assert sum(shown) == (60 if damaged else 25)
    shown.clear()
    detector.stop_after = 61
    whole = collect(source, detector, needs, plan)
    assert found.n == 60
    assert bits(found) == bits(as_kept(whole))
    assert not list(tmp_path.glob("*.part"))


METRICS: tuple[Metric, ...] = (
    Frechet(), DebiasedFrechet(), Kernel(), PerClassKernel(), PRDC(), Memorisation(), Modes(), ClassifierScore(),
)  # fmt: skip


def pictures(n: int, seed: int) -> Reference:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256 - 40 * seed, (n, 1, 5, 5), dtype=torch.uint8, generator=generator)
    labels = torch.arange(n) % 3

    def batches(size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        return zip(images.split(size), labels.split(size), strict=True)

    return Reference(
        f"data {seed}",
        n,
        batches,
        fingerprint=f"print {seed}",
        labelled=Labelled(lambda: images, labels, 3, f"print {seed}"),
    )


def measured(metric: Metric, detector: Detector, cache: Path, batch_size: int) -> dict[str, bytes]:
    """Every number's bits. 659 pictures of 25 pixels: rows end at odd places in memory, and sums are folded."""
    plan = Plan(653, batch_size, cache)
    fake, real = pictures(663, 1), pictures(659, 2)
    ready = detector.prepare(real.labelled)
    found = metric.compute(
        collect(fake, ready, metric.needs, plan),
        reference_features(real, ready, metric.needs, plan),
        Context(0, 3, None, ready, None),
    )
    return {name: torch.tensor(e.value, dtype=torch.float64).numpy().tobytes() for name, e in found.items()}


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: type(metric).__name__)
def test_a_number_measured_again_has_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: Metric
) -> None:
    """Just computed, out of the cache, without one; with pixels in batches of any size."""
    monkeypatch.setattr("gan_cli.metrics.classifier.STEPS", 20)
    seeing_logits = "logits" in metric.needs
    detectors = [Classifier(str(tmp_path / "c"))] if seeing_logits else [Classifier(str(tmp_path / "c")), Pixels()]
    (tmp_path / "file").write_text("")
    for detector in detectors:
        first = measured(metric, detector, tmp_path / "x", 32)
        assert first
        assert measured(metric, detector, tmp_path / "x", 32) == first
        assert measured(metric, detector, tmp_path / "file", 32) == first
    if not seeing_logits:
        for size in (1, 7, 2000):
            assert measured(metric, Pixels(), tmp_path / f"{size}", size) == first


@pytest.mark.parametrize("ending", ["", ".json"])
def test_a_damaged_classifier_is_trained_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: Callable[[], list[str]], ending: str
) -> None:
    monkeypatch.setattr("gan_cli.metrics.classifier.STEPS", 3)
    data = pictures(60, 1).labelled
    digest = Classifier(str(tmp_path)).prepare(data).digest
    (weights,) = tmp_path.glob("*.safetensors")
    path = weights.with_suffix(ending or weights.suffix)
    rng, whole = random.Random(1), path.read_bytes()
    for _ in range(10):
        damaged = bytearray(whole)
        damaged[rng.randrange(len(damaged) // 20, len(damaged))] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        assert Classifier(str(tmp_path)).prepare(data).digest == digest
        for line in warnings():
            assert path.stem in line
    assert path.read_bytes() == whole or ending


@pytest.mark.parametrize(("copies", "passes"), [(1, 0), (2, 1)])
def test_what_was_kept_by_hashes_alone_is_measured_again_if_there_were_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, copies: int, passes: int
) -> None:
    images = torch.arange(20, dtype=torch.uint8).view(20, 1, 1, 1).expand(-1, 1, 2, 2).repeat(copies, 1, 1, 1)
    read: list[int] = []

    def batches(size: int) -> Iterator[tuple[Tensor, None]]:
        read.append(size)
        return ((piece, None) for piece in images.split(size))

    data = Reference("data", len(images), batches, "print")
    find = partial(reference_features, data, Pixels(), Kernel().needs, Plan(100, 10, tmp_path))
    with monkeypatch.context() as before:
        before.setattr(Keys, "_next", lambda self, image: image)
        old = as_kept(collect(data, Pixels(), Kernel().needs, Plan(100, 10, tmp_path)))
        before.setattr(measure, "_copies_lie_side_by_side", lambda features: False)
        assert bits(find()) == bits(old)
    read.clear()
    for _ in range(2):
        found = find()
        assert (bits(found) == bits(old)) == (copies == 1)
        assert found.row_hashes is not None
        assert len(found.row_hashes.unique()) == len(images)
    assert len(read) == passes


def test_a_bookmark_of_a_version_without_keys_is_not_gone_on_from(tmp_path: Path) -> None:
    images = torch.arange(20, dtype=torch.uint8).view(20, 1, 1, 1).expand(-1, 1, 2, 2)
    data = Reference("data", 20, lambda size: ((piece, None) for piece in images.split(size)), "print")
    args = (data, Pixels(), Kernel().needs, Plan(100, 10, tmp_path))
    begun = collector_of(Pixels(), Kernel().needs, 100)
    begun.add(images[:10])
    bookmark = Bookmark(tmp_path / "x.part")
    for state in (begun.state(), {name: value for name, value in begun.state().items() if name != "keys"}):
        bookmark._last = 0.0
        bookmark.maybe_write(lambda state=state: state)  # type: ignore[misc]
        assert bits(as_kept(collect(*args, bookmark))) == bits(as_kept(collect(*args)))
