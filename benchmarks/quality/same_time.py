"""Experiments side by side after the same wall time.

    python benchmarks/quality/same_time.py EXPERIMENT ... --root DIR [--minutes 10] [--pictures DIR] [--eval WORD ...]

A short run tells how many steps fit; then each line is one `gan train experiment=EXPERIMENT trainer.max_steps=STEPS`,
whose learning rates fall by its schedule, and one `gan eval` of 10,000 samples. One core each, nothing else on the
machine: only then are minutes worth comparing.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import report

from gan_cli import evaluate, sample, train
from gan_cli.store.run import Run

TRIAL = 0.5  # minutes


def steps_within(minutes: float, *words: str) -> int:
    """How many steps of a run fit into `minutes`, by the pace of its first half minute."""
    trial = train(*words, f"trainer.max_minutes={TRIAL}")
    return round(minutes * 60 * trial.step / Run(trial.folder).read_result()["seconds"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("experiments", nargs="+")
    parser.add_argument("--root", required=True)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--pictures", help="folder for a grid of each")
    parser.add_argument("--eval", nargs="+", default=("metrics=[fid,kid,prdc]",), help="words for gan eval")
    arguments = parser.parse_args()
    for experiment in arguments.experiments:
        with tempfile.TemporaryDirectory() as scratch:
            place = (f"dataset.root={arguments.root}", "callback=[history,checkpoints]")
            fits = steps_within(arguments.minutes, f"experiment={experiment}", *place, f"hydra.run.dir={scratch}/trial")
            words = (f"experiment={experiment}", f"trainer.max_steps={fits}")
            run = train(*words, *place, f"hydra.run.dir={scratch}/run")
            if arguments.pictures:
                sample(run.folder, "n=64", f"out={arguments.pictures}/{experiment}.png")
            found = evaluate(run.folder, *arguments.eval, f"root={arguments.root}")
            report(
                experiment,
                command=f"gan train {' '.join(words)}",
                steps=run.step,
                minutes=Run(run.folder).read_result()["seconds"] / 60,
                images=run.images,
                n=next(iter(found.values())).n,
                **{name: value.value for name, value in found.items()},
            )


if __name__ == "__main__":
    main()
