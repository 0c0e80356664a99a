"""KID by subsets, the FID step and the resize of TF1, against torch-fidelity on the same features and images."""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from torch_fidelity.interpolate_compat_tensorflow import interpolate_bilinear_2d_like_tensorflow1x
from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric
from torch_fidelity.metric_kid import kid_features_to_metric

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from common import report, seconds

from gan_cli.metrics.frechet import frechet_distance
from gan_cli.metrics.kernel import block_estimate, subset_estimate
from gan_cli.metrics.moments import Gaussian, Moments
from gan_cli.metrics.resize import resize, tf1

N, D = 10_000, 2048


def gaussian(rows: torch.Tensor) -> Gaussian:
    moments = Moments()
    moments.add(rows)
    return moments.finish()


def main() -> None:
    generator = torch.Generator().manual_seed(0)
    real = torch.relu(torch.randn(N, D, generator=generator) + 0.3)
    fake = torch.relu(0.99 * torch.randn(N, D, generator=generator) + 0.31)

    subsets, ours = seconds(lambda: subset_estimate(fake, real, 0), 1)
    blocks, block = seconds(lambda: block_estimate(fake, real), 1)
    settings = {"kid_subsets": 100, "kid_subset_size": 1000, "verbose": False, "rng_seed": 0}
    theirs, found = seconds(lambda: kid_features_to_metric(fake, real, **settings), 1)
    report(
        "kid",
        seconds_100x1000=subsets,
        seconds_blocks=blocks,
        seconds_torch_fidelity=theirs,
        value=ours.value,
        value_blocks=block.value,
        se_blocks=block.se,
        value_torch_fidelity=float(found["kernel_inception_distance_mean"]),
    )

    fid, value = seconds(lambda: frechet_distance(gaussian(fake), gaussian(real)), 1)
    theirs, found = seconds(
        lambda: fid_statistics_to_metric(
            fid_features_to_statistics(fake), fid_features_to_statistics(real), verbose=False
        ),
        1,
    )
    report(
        "fid_from_features",
        seconds=fid,
        seconds_torch_fidelity=theirs,
        value=value,
        value_torch_fidelity=next(iter(found.values())),
    )

    images = torch.randint(0, 256, (64, 3, 32, 32), generator=generator).float()
    mine, a = seconds(lambda: resize(images, tf1, 299), 5)
    theirs, b = seconds(
        lambda: interpolate_bilinear_2d_like_tensorflow1x(images, size=(299, 299), align_corners=False), 5
    )
    report(
        "resize_tf1",
        images_per_second=len(images) / mine,
        images_per_second_torch_fidelity=len(images) / theirs,
        largest_difference_of_255=float((a - b).abs().max()),
    )


if __name__ == "__main__":
    main()
