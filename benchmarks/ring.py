"""Mode collapse on the ring of 8 Gaussians, and its cures: modes and high-quality share of 2,500 samples.

    python benchmarks/ring.py [EXPERIMENT ...] [--seeds 0 1 2] [--pictures FOLDER] >> benchmarks/results/ring.jsonl

Each line is one `gan train experiment=EXPERIMENT seed=SEED` and `gan eval RUN n=2500`.
"""

from __future__ import annotations

import argparse
import tempfile
import time

from common import report

from gan_cli import evaluate, sample, train

EXPERIMENTS = ("ring_collapse", "ring_packing", "ring_wgan_gp", "ring_unrolled")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("experiments", nargs="*", default=EXPERIMENTS)
    parser.add_argument("--pictures", help="folder for a scatter plot of each run")
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    arguments = parser.parse_args()
    for experiment in arguments.experiments:
        for seed in arguments.seeds:
            with tempfile.TemporaryDirectory() as scratch:
                began = time.perf_counter()
                run = train(
                    f"experiment={experiment}",
                    f"seed={seed}",
                    "callback=[history,checkpoints]",
                    f"hydra.run.dir={scratch}/run",
                )
                seconds = time.perf_counter() - began
                found = evaluate(run.folder, metrics=["point_modes"], n=2500)
                if arguments.pictures:
                    sample(run.folder, "n=2500", f"out={arguments.pictures}/{experiment}-{seed}.png")
                report(
                    experiment,
                    seed=seed,
                    steps=run.step,
                    train_seconds=seconds,
                    **{name: value.value for name, value in found.items()},
                )


if __name__ == "__main__":
    main()
