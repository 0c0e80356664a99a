"""Inception features a second against pytorch-fid's wrapper, in turn on the same images, with the same weights."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import report

from gan_cli.metrics.inception import Inception


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--batch", type=int, default=32)
    arguments = parser.parse_args()
    from pytorch_fid import inception as patched

    state = torch.load(arguments.weights, weights_only=True)
    state.setdefault("fc.weight", torch.zeros(1008, 2048))
    state.setdefault("fc.bias", torch.zeros(1008))
    patched.load_state_dict_from_url = lambda *_, **__: state
    theirs, ours = patched.InceptionV3([3]).eval(), Inception(arguments.weights, resize="torch")
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (arguments.batch * 2, 3, 32, 32), dtype=torch.uint8, generator=generator)

    def run_theirs() -> torch.Tensor:
        with torch.no_grad():
            return torch.cat([theirs(b.float() / 255)[0].flatten(1) for b in images.split(arguments.batch)])

    def run_ours() -> torch.Tensor:
        return torch.cat([ours(b).features for b in images.split(arguments.batch)])

    wanted, found = run_theirs(), run_ours()
    rates: dict[str, list[float]] = {"ours": [], "pytorch_fid": []}
    for _ in range(arguments.rounds):
        for name, work in (("ours", run_ours), ("pytorch_fid", run_theirs)):
            start = time.perf_counter()
            work()
            rates[name].append(len(images) / (time.perf_counter() - start))
    ratio = [a / b for a, b in zip(rates["ours"], rates["pytorch_fid"], strict=True)]
    report(
        "features",
        batch=arguments.batch,
        images_per_second=statistics.median(rates["ours"]),
        images_per_second_pytorch_fid=statistics.median(rates["pytorch_fid"]),
        times_faster=statistics.median(ratio),
        relative_difference=float((found - wanted).norm() / wanted.norm()),
    )


if __name__ == "__main__":
    main()
