"""Every architecture, conditional or not, with losses of every kind, through the whole life of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from conftest import SMALL, same, weights, words
from gan_cli import evaluate, sample, train


@pytest.mark.parametrize("loss", ["its own", "hinge", "r3gan"])
@pytest.mark.parametrize("conditioning", ["none", "projection"])
@pytest.mark.parametrize("model", SMALL)
def test_trains_resumes_samples_and_is_measured(here: Path, model: str, conditioning: str, loss: str) -> None:
    more = (f"conditioning={conditioning}", *([] if loss == "its own" else [f"loss={loss}"]))
    whole = train(*words(*more, model=SMALL[model])).folder
    halves = train(*words(*more, model=SMALL[model], steps=1)).folder
    train(f"resume={halves}", "trainer.max_steps=2")
    assert same(weights(whole), weights(halves))
    images = sample(halves, "n=3")
    assert images.isfinite().all()
    assert torch.equal(images, sample(whole, "n=3"))
    assert 0 < evaluate(halves, "detector=pixels", "metrics=[fid]", n=50).fd_pixels.value < float("inf")
