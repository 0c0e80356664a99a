"""The quiz: fair, of the right pictures, and its key not to be read in passing."""

from __future__ import annotations

import base64
import io
import json
import math
import random
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from conftest import SMALL_TRANSLATORS, TINY, Inside, words
from gan_cli import sample, train
from gan_cli.errors import ConfigError, Incompatible
from gan_cli.evaluation.samples import reference_for
from gan_cli.latent.quiz import Questions, hidden, some, verdict, wilson
from gan_cli.runs.restore import Manner, restore


def test_wilson_s_interval_is_where_its_ends_are_just_not_refuted() -> None:
    """Its ends p solve |k/n - p| = z √(p (1 - p) / n)."""
    for right, n in ((0, 10), (3, 10), (25, 50), (49, 50), (50, 50)):
        for p in wilson(right, n):
            assert abs(right / n - p) == pytest.approx(1.959963985 * math.sqrt(p * (1 - p) / n), abs=1e-9)
    low, high = wilson(7, 20)
    assert wilson(13, 20) == pytest.approx((1 - high, 1 - low))


def test_a_verdict_needs_an_interval_beside_one_half() -> None:
    words = [verdict(right, 50).text.split(":")[0] for right in range(51)]
    assert len({*words}) == 3
    assert words == sorted(words, key=[*dict.fromkeys(words)].index)  # each in one stretch
    assert (words[25], words[33], words[17]) == (words[24], words[50], words[0])


def pieces(n: int, labelled: bool = True) -> object:
    images = torch.arange(n, dtype=torch.uint8).view(n, 1, 1, 1)
    labels = torch.arange(n) % 3

    def batches(size: int) -> object:
        for image, label in zip(images.split(7), labels.split(7), strict=True):
            yield image, label if labelled else None

    return batches


def test_each_real_picture_is_as_likely_as_any_other() -> None:
    chance = random.Random(0)
    often = torch.zeros(20)
    for _ in range(3000):
        chosen = torch.cat(some(pieces(20), 5, (), chance)).flatten().long()
        assert len({*chosen.tolist()}) == 5
        often[chosen] += 1
    # A picture is chosen in a binomial number of 3000 rounds, a quarter of them: 750 ± 24.
    assert (often - 750).abs().max() < 5 * 24


def test_real_pictures_are_of_the_classes_that_are_drawn() -> None:
    chosen = torch.cat(some(pieces(60), 10, (2,), random.Random(0))).flatten()
    assert {int(k) % 3 for k in chosen} == {2}
    with pytest.raises(Incompatible, match="there are 20"):
        some(pieces(60), 21, (2,), random.Random(0))
    with pytest.raises(Incompatible, match="no labels"):
        some(pieces(60, labelled=False), 5, (2,), random.Random(0))


def asked(page: bytes) -> dict:
    (found,) = re.findall(rb'<script type="application/json" id="asked">(.*?)</script>', page, re.DOTALL)
    return json.loads(found)


def key(told: dict) -> list[bool]:
    return [byte.bit_count() % 2 == 1 for byte in base64.b64decode(told["key"])]


def test_the_key_fits_the_pictures_and_says_nothing_by_itself() -> None:
    dark = [torch.full((1, 8, 8), i, dtype=torch.uint8) for i in range(30)]
    light = [torch.full((1, 8, 8), 200 + i, dtype=torch.uint8) for i in range(30)]
    told = asked(Questions(dark, light, 0, {}).page())
    sizes = [len(uri) for uri in told["pictures"]]
    order = key(told)
    assert sum(order) == 30
    assert order != sorted(order)
    assert max(sizes) - min(sizes) < 10  # no metadata betrays them
    again, other = (asked(Questions(dark, light, seed, {}).page()) for seed in (0, 1))
    assert again == told
    assert key(other) != order
    bits = base64.b64decode(hidden([True] * 2000, random.Random(0)))
    assert all(0.4 < sum(byte >> k & 1 for byte in bits) / 2000 < 0.6 for k in range(8))


def shown(told: dict) -> list[np.ndarray]:
    """The pictures, `[H, W]` or `[H, W, 3]`."""
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))) for uri in told["pictures"]]


def test_drawn_and_real_pictures_are_what_they_are_said_to_be(finished: Path, gan_here: Inside, here: Path) -> None:
    done = gan_here("sample", str(finished), "mode=quiz", "n=6", "seed=3", "out=q.html")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "quiz of step 4: q.html")
    assert done.stdout.splitlines()[-1] == "  open q.html in a browser"
    told = asked((here / "q.html").read_bytes())
    drawn = {p.tobytes() for p, one in zip(shown(told), key(told), strict=True) if one}
    samples = sample(finished, "n=6", "seed=3").add(1).mul(127.5).round().to(torch.uint8)
    assert drawn == {bytes(p.flatten()) for p in samples}
    source = reference_for(restore(str(finished), Manner(), torch.device("cpu")), None, None)
    known = {bytes(p.flatten()) for images, _ in source.batches(500) for p in images}
    assert {p.tobytes() for p, one in zip(shown(told), key(told), strict=True) if not one} <= known
    assert len(told["verdicts"]) == 13


def test_what_cannot_be_asked_is_refused(finished: Path, gan_here: Inside, here: Path) -> None:
    for arguments, expected in (
        (("out=x.png",), "use x.html"),
        (("n=501",), "less than or equal to 500"),
        (("mode.reference=nowhere",), "nothing to compare with"),
        ((f"mode.reference={finished}",), "is a run"),
    ):
        done = gan_here("sample", str(finished), "mode=quiz", *arguments)
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) <= 2, done.stderr
        assert expected in done.stderr
    assert list(here.iterdir()) == []
    train(*words("dataset=ring", "model.generator.hidden=[4]", f"hydra.run.dir={here / 'ring'}"))
    with pytest.raises(Incompatible, match="points"):
        sample(here / "ring", "mode=quiz")
    with pytest.raises(ConfigError, match="cannot write"):
        sample(here / "ring", "mode=grid", "out=x.html")


def test_a_translator_s_pictures(here: Path) -> None:
    train(*SMALL_TRANSLATORS["srgan"], *TINY, "callback=[history,checkpoints]", f"hydra.run.dir={here / 'run'}")
    drawn = sample(here / "run", "mode=quiz", "n=3", "out=q.html")
    told = asked((here / "q.html").read_bytes())
    assert (len(drawn), sum(key(told))) == (3, 3)
    assert {p.shape for p in shown(told)} == {(*drawn.shape[2:],)}
