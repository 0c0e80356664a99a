"""Every architecture, conditional or not, with losses of every kind, through the whole life of a run.

Each model meets each loss and each conditioning, and each loss each conditioning; not every three of them.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from conftest import SMALL, same, weights, words
from gan_cli import evaluate, sample, train

WITH_ANOTHERS = [(0, "hinge", "none"), (0, "r3gan", "projection"), (1, "hinge", "projection"), (1, "r3gan", "none")]
TOGETHER = [
    (model, conditioning, loss)
    for i, model in enumerate(SMALL)
    for loss in ("its own", "hinge", "r3gan")
    for conditioning in ("none", "projection")
    if loss == "its own" or (i % 2, loss, conditioning) in WITH_ANOTHERS
] + [("stylegan2", "mapping", "its own")]


@pytest.mark.parametrize(("model", "conditioning", "loss"), TOGETHER)
def test_trains_resumes_samples_and_is_measured(here: Path, model: str, conditioning: str, loss: str) -> None:
    more = (f"conditioning={conditioning}", *([] if loss == "its own" else [f"loss={loss}"]))
    whole = train(*words(*more, model=SMALL[model])).folder
    halves = train(*words(*more, model=SMALL[model], steps=1)).folder
    train(f"resume={halves}", "trainer.max_steps=2")
    assert same(weights(whole), weights(halves))
    if loss == "its own":  # no other changes what follows
        images = sample(halves, "n=3")
        assert images.isfinite().all()
        assert torch.equal(images, sample(whole, "n=3"))
        assert 0 < evaluate(halves, "detector=pixels", "metrics=[fid]", n=50).fd_pixels.value < float("inf")
