"""A first look at a run or checkpoint: what its config's text alone rules out is refused before torch is imported."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gan_cli.config import nodes, saved, trust
from gan_cli.store.archives import config_in
from gan_cli.store.run import checkpoints_of


def glance(source: str, vouched: Sequence[str]) -> None:
    """Raises NotARun, and ConfigError where the config of the newest checkpoint is not a plain config, or names what
    its game may not name. `restore` finds the other problems.
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
