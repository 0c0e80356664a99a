"""Targets that have moved: saved configs and checkpoints hold the names of parts, so an old name is never forgotten."""

from __future__ import annotations

from collections.abc import Mapping

# Old target -> today's, which takes the same settings.
RENAMED: Mapping[str, str] = {
    "gan_cli.metrics.others.Dinov2": "gan_cli.metrics.pretrained.Dinov2",
    "gan_cli.metrics.others.EfficientNetLite0": "gan_cli.metrics.pretrained.EfficientNetLite0",
    "gan_cli.metrics.points.PointModes": "gan_cli.metrics.modes.PointModes",
    "gan_cli.metrics.scores.PathLength": "gan_cli.metrics.path_length.PerceptualPathLength",
}


def current(target: str) -> str:
    """Today's name of a part."""
    return RENAMED.get(target, target)
