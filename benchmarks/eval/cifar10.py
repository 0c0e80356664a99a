"""FID (tf1) of CIFAR-10's 10,000 test images against its 50,000 training images.

    python benchmarks/eval/cifar10.py --root DIR --weights FILE [--statistics FILE.npz] [--train]

`--statistics` holds mu and sigma of the training images by independent code. With `--train` our own pass over the
training images is the reference too (about half an hour on two CPU cores).
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import report

from gan_cli import evaluate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--statistics")
    parser.add_argument("--train", action="store_true")
    arguments = parser.parse_args()
    root = Path(arguments.root)
    records = np.fromfile(root / "cifar-10-batches-bin" / "test_batch.bin", np.uint8).reshape(-1, 3073)
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    np.savez("/tmp/cifar10-test.npz", arr_0=images)
    words = ("detector=inception", f"weights={arguments.weights}", "metrics=[fid]", "batch_size=16")
    if arguments.statistics:
        start = time.perf_counter()
        found = evaluate("/tmp/cifar10-test.npz", *words, reference=arguments.statistics).fid
        took = time.perf_counter() - start
        report("cifar10_test_against_statistics", fid=found.value, seconds=took, convention=found.convention)
    if arguments.train:
        start = time.perf_counter()
        more = (f"root={root}", "json=/tmp/cifar10.json")
        found = evaluate("/tmp/cifar10-test.npz", *words, *more, reference="cifar10:train").fid
        report("cifar10_test_against_train", fid=found.value, n_real=found.n_real, seconds=time.perf_counter() - start)


if __name__ == "__main__":
    main()
