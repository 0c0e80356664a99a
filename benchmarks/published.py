"""What share of a GPU's arithmetic StyleGAN2 reached where its authors measured it, by the work that is counted here.

    python benchmarks/published.py >> benchmarks/results/scaling.jsonl

The README of stylegan2-ada-pytorch (https://github.com/NVlabs/stylegan2-ada-pytorch, "Expected training time") has 21.6
to 24.2 seconds for 1,000 images of 256 px on one V100, in its configuration `auto`: half of the paper's channels, two
layers that map latents, R1 every 16th step and path lengths every 4th, large maps in float16. The work is linear in the
batch, so that of two images is counted (two minutes on one thread).
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from common import report
from counted import cost
from PIL import Image

from gan_cli.config import build, compose, trust

SECONDS = (21.6, 24.2)  # for 1,000 images
PEAK = 125e12  # FLOP/s of a V100 (SXM2) in float16, as published
R1, LENGTHS = 16, 4  # steps
BATCH = 2
WORDS = (
    *("model=stylegan2", "model.generator.mapping_layers=2", "dataset=folder", "dataset.resolution=256"),
    *("penalty=[r1]", f"penalty.r1.interval={R1}", "auxiliary=[style_path_length]"),
    *(f"auxiliary.style_path_length.interval={LENGTHS}", f"dataset.batch_size={BATCH}", "trainer.device=cpu"),
)


def main() -> None:
    with TemporaryDirectory() as folder:
        for i in range(8):
            noise = np.random.default_rng(i).integers(0, 256, (256, 256, 3), dtype=np.uint8)
            Image.fromarray(noise).save(Path(folder) / f"{i}.png")
        words = (*WORDS, f"dataset.root={folder}")
        trainer = build.trainer(build.check(compose.compose("train", words).config, trust.for_runs()), 0)
        trainer.place()
        both, plain, *_, lengths = (cost(trainer.step)[0] / BATCH for _ in range(LENGTHS + 1))  # GFLOP an image
    work = plain + (both - lengths) / R1 + (lengths - plain) / LENGTHS
    shares = [round(1e3 * work * 1e9 / seconds / PEAK, 3) for seconds in SECONDS]
    report("published stylegan2", gflop=round(work, 1), plain=round(plain, 1), seconds=SECONDS, share=shares)


if __name__ == "__main__":
    main()
