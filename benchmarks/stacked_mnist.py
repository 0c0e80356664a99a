"""Three digits at once, 1000 modes, a discriminator too weak for them: how far packing and R3GAN help.

    python benchmarks/stacked_mnist.py --root DIR [--methods NAME ...] [KEY=VALUE ...] >> results/stacked_mnist.jsonl

Each line is one `gan train` with the words in `command` and one `gan eval RUN preset=stacked-mnist`: modes hit by
25,600 samples, and KL to the uniform distribution. All share the words of the setting; `KEY=VALUE` adds to them.
"""

from __future__ import annotations

import argparse
import tempfile
import time

from common import report

from gan_cli import evaluate, train

METHODS = {
    "nonsaturating": ("loss=nonsaturating",),
    "packing": ("loss=nonsaturating", "augment=[packing]"),
    "r3gan": ("loss=r3gan", "penalty.r1.weight=0.05", "penalty.r2.weight=0.05"),
}
SETTING = (
    "dataset=stacked_mnist",
    "dataset.resolution=16",
    "model=dcgan",
    "model.width=16",
    "model.discriminator.norm=layer",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", help="more of the setting, the same for all")
    parser.add_argument("--root", required=True)
    parser.add_argument("--methods", nargs="+", default=tuple(METHODS), choices=METHODS)
    arguments = parser.parse_args()
    for method in arguments.methods:
        words = (*SETTING, *METHODS[method], *arguments.words)
        with tempfile.TemporaryDirectory() as scratch:
            began = time.perf_counter()
            place = (f"dataset.root={arguments.root}", f"hydra.run.dir={scratch}/run")
            run = train(*words, *place, "callback=[history,checkpoints]")
            seconds = time.perf_counter() - began
            found = evaluate(run.folder, "preset=stacked-mnist")
            report(
                "stacked_mnist",
                what=method,
                command=f"gan train {' '.join(words)}",
                steps=run.step,
                train_seconds=seconds,
                modes=found.modes_stacked.value,
                mode_kl=found.mode_kl_stacked.value,
                n=found.modes_stacked.n,
            )


if __name__ == "__main__":
    main()
