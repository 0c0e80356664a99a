"""How far our FID of CIFAR-10 can be from that of independent code, without a pass over all 50,000 images.

    python benchmarks/eval/agreement.py --root DIR --weights FILE [-n 1000]

Of n random training images, the 2048 features by our detector and by torch-fidelity's (its own network, resize and
scaling) with the same weights. The root of the Fréchet distance is a metric, the distance of the Gaussians with
given moments is at most that of the distributions (Gelbrich 1990), and that is at most the distance of a coupling, so

    |sqrt FID(test, ours(train)) - sqrt FID(test, theirs(train))| <= sqrt E |ours(x) - theirs(x)|²,

here with x coupled to itself; `fid_difference_at_most` is what this allows at the FID given.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import report

from gan_cli.metrics.inception import Inception

BATCH = 16


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", required=True)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--fid", type=float, default=3.1508, help="test images against the reference statistics")
    parser.add_argument("-n", type=int, default=1000)
    arguments = parser.parse_args()
    files = sorted((Path(arguments.root) / "cifar-10-batches-bin").glob("data_batch_*.bin"))
    records = np.concatenate([np.fromfile(file, np.uint8).reshape(-1, 3073) for file in files])
    chosen = np.random.default_rng(0).choice(len(records), arguments.n, replace=False)
    images = torch.from_numpy(records[chosen, 1:].reshape(-1, 3, 32, 32))
    state = torch.load(arguments.weights, weights_only=True)
    state.setdefault("fc.weight", torch.zeros(1008, 2048))
    state.setdefault("fc.bias", torch.zeros(1008))
    with tempfile.TemporaryDirectory() as scratch:
        path = f"{scratch}/weights.pth"
        torch.save(state, path)
        theirs = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=path)
    ours = Inception(arguments.weights)
    with torch.no_grad():
        pairs = [(ours(b).features.double(), theirs(b)[0].double()) for b in images.split(BATCH)]
    squares = torch.cat([(a - b).square().sum(1) for a, b in pairs])
    sizes = torch.cat([b.square().sum(1) for _, b in pairs])
    distance, root = squares.mean().sqrt().item(), arguments.fid**0.5
    report(
        "cifar10_agreement",
        n=arguments.n,
        rms_difference=distance,
        largest_difference=squares.max().sqrt().item(),
        relative_difference=(squares.sum() / sizes.sum()).sqrt().item(),
        fid=arguments.fid,
        fid_difference_at_most=(root + distance) ** 2 - arguments.fid,
    )


if __name__ == "__main__":
    main()
