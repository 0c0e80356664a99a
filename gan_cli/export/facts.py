"""What an exported file says about itself."""

from __future__ import annotations

import json
from typing import Any

from gan_cli.config import plain_yaml, saved
from gan_cli.runs.restore import Restored, turned


def config_of(restored: Restored) -> dict[str, Any]:
    """The run's config for the generator alone: of two networks the one that leads there, and no paths of this
    machine."""
    config = dict(restored.config)
    back = config.get("cast", {}).get("back", {}).get("generator", {})
    config["cast"] = {"_target_": "gan_cli.networks.panel.single"}
    if restored.manner.back:
        config["dataset"] = turned(config["dataset"])
        config["model"] = {**config["model"], "generator": {**config["model"]["generator"], **back}}
    return dict(_without_places(config))


def _without_places(node: Any) -> Any:
    if isinstance(node, dict):
        place = saved.PLACES
        return {k: None if k in place and isinstance(v, str) else _without_places(v) for k, v in node.items()}
    return [_without_places(value) for value in node] if isinstance(node, list) else node


def of(restored: Restored) -> dict[str, str]:
    """Short facts as words, for the metadata of a file."""
    from gan_cli import __version__

    return {
        "made_by": f"gan {__version__}",
        "step": str(restored.step),
        "class_names": json.dumps(restored.class_names),
        "drawn": str(restored.manner),
        "config": plain_yaml.written(config_of(restored)),
    }
