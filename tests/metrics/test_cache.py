"""The reference cache goes by content, and trusts nothing that was changed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from gan_cli.evaluation.measure import Plan, collect, reference_features
from gan_cli.evaluation.sources import Source
from gan_cli.metrics import cache as cache_module
from gan_cli.metrics.cache import Bookmark, Cache
from gan_cli.metrics.detectors import Detector
from gan_cli.metrics.features import Collector, Features, Seen

FACTS = {"data": "abc", "detector": "pixels"}


def features(n: int = 50, width: int = 8) -> Features:
    collector = Collector(lambda x: Seen(x.flatten(1).float()), rows=20)
    collector.add(torch.randint(0, 256, (n, 1, 1, width), dtype=torch.uint8))
    return collector.finish()


@pytest.mark.parametrize("n", [5, 50])
def test_what_comes_back_is_what_was_kept(tmp_path: Path, n: int) -> None:
    kept = features(n)
    cache = Cache(tmp_path)
    cache.get(FACTS, lambda _: kept)
    found = cache.get(FACTS, lambda _: pytest.fail("computed again"))
    assert found.n == n
    assert torch.equal(found.moments.mean, kept.moments.mean)
    torch.testing.assert_close(found.moments.covariance, kept.moments.covariance)
    assert found.rows is not None
    assert kept.rows is not None
    assert torch.equal(found.rows, kept.rows)


def test_other_facts_are_another_entry(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    a = cache.get(FACTS, lambda _: features())
    b = cache.get({**FACTS, "detector": "other"}, lambda _: features())
    assert not torch.equal(a.moments.mean, b.moments.mean)
    assert len(cache.entries()) == 2
    assert {row["detector"] for row in cache.entries()} == {"pixels", "other"}


@pytest.mark.parametrize("harm", ["poison", "truncate", "notes", "remove"])
def test_a_damaged_entry_is_built_again(tmp_path: Path, harm: str) -> None:
    cache, kept = Cache(tmp_path), features()
    cache.get(FACTS, lambda _: kept)
    (tensors,) = tmp_path.glob("*.safetensors")
    whole = tensors.read_bytes()
    if harm == "poison":
        tensors.write_bytes(whole[:-8] + bytes(8))
    elif harm == "truncate":
        tensors.write_bytes(whole[: len(whole) // 2])
    elif harm == "notes":
        next(iter(tmp_path.glob("*.json"))).write_text("{")
    else:
        tensors.unlink()
    again = features()
    assert cache.get(FACTS, lambda _: again) is again
    (notes,) = tmp_path.glob("*.json")
    assert json.loads(notes.read_text())["n"] == 50


def test_one_computes_while_the_others_wait(tmp_path: Path) -> None:
    calls = []

    def compute(_: Bookmark) -> Features:
        calls.append(1)
        return features()

    threads = [threading.Thread(target=lambda: Cache(tmp_path).get(FACTS, compute)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(calls) == 1


@pytest.mark.parametrize("damaged", [False, True])
def test_an_interrupted_pass_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: bool
) -> None:
    monkeypatch.setattr(cache_module, "BOOKMARK_SECONDS", 0.0)
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

    source, detector = Source("data", len(images), batches, "print"), Interrupting()
    plan = Plan({}, {}, rows=20, batch_size=7, cache=tmp_path, seed=0)
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
    assert found.rows is not None
    assert whole.rows is not None
    assert torch.equal(found.moments.covariance, whole.moments.covariance)
    assert torch.equal(found.rows, whole.rows)
    assert not list(tmp_path.glob("*.part"))
