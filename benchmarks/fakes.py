"""Fakes drawn for each player, or once for both: quality and time of the same training, over seeds.

    python benchmarks/fakes.py [--seeds 0 1 2 3 4] >> benchmarks/results/fakes.jsonl

Each line is one `gan train ... game.fakes=FAKES seed=SEED` and its `gan eval`. Runs of a seed follow each other, so
that a busy machine slows both down.
"""

from __future__ import annotations

import argparse
import tempfile
import time

from common import report

from gan_cli import evaluate, train

WORK = {
    "digits": (["experiment=demo"], {"metrics": ["kid", "fid_debiased", "prdc"], "n": 1797}),
    "ring": (["model=mlp", "dataset=ring", "trainer.max_steps=4000"], {"metrics": ["point_modes"], "n": 2500}),
}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2, 3, 4))
    arguments = parser.parse_args()
    for name, (overrides, measured) in WORK.items():
        for seed in arguments.seeds:
            for fakes in ("fresh", "reused"):
                with tempfile.TemporaryDirectory() as scratch:
                    began = time.process_time()
                    run = train(
                        *overrides,
                        f"seed={seed}",
                        f"game.fakes={fakes}",
                        "callback=[history,checkpoints]",
                        f"hydra.run.dir={scratch}/run",
                    )
                    seconds = time.process_time() - began
                    found = evaluate(run.folder, **measured)
                    report(
                        name,
                        fakes=fakes,
                        seed=seed,
                        steps=run.step,
                        train_cpu_seconds=seconds,
                        **{key: value.value for key, value in found.items()},
                    )


if __name__ == "__main__":
    main()
