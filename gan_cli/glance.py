"""A first look at a run or checkpoint: what its config's words alone forbid is refused before torch is imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gan_cli.archives import config_in
from gan_cli.config import nodes, saved, trust
from gan_cli.runs import checkpoints_of


def glance(source: str, vouched: Sequence[str]) -> None:
    """Raises NotARun, and ConfigError where the config of the newest checkpoint is no plain config, or names for its
    game what it may not. What else is wrong, `restore` finds.
    """
    path = checkpoints_of(source)[0][0]
    content = config_in(path)
    if content is None:
        return
    config = saved.read(content.encode(errors="surrogatepass"), path)
    nodes.check_names(config, nodes.of_model, trust.for_files(vouched))


def looks_like_one(source: str) -> bool:
    """Whether it is a run folder or a checkpoint, not images or other tensors."""
    path = Path(source)
    return (path / "config.yaml").is_file() or (path.is_file() and config_in(path) is not None)
