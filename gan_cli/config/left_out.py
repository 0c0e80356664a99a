"""What files set of choices that the words leave out: `experiment=demo penalty=[]` wants nothing of R1's weight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from gan_cli.config import choices
from gan_cli.config.listed import several


def forget(config: DictConfig, hydra: Any) -> None:
    """Removes it from a composed config, group by group; `hydra` is Hydra's own part of it.

    Only groups that the words choose anew are looked at, and in them only names of choices: what a file says of a
    choice that nobody made, or of something misspelt, stays, and is refused. Nothing is resolved yet.
    """
    words = OmegaConf.to_container(hydra.overrides.task, resolve=False)
    assert isinstance(words, list)
    for group in several() & {str(word).partition("=")[0].lstrip("+") for word in words}:
        node = config._get_node(group) if group in config else None
        if not isinstance(node, DictConfig) or not isinstance(
            parts := OmegaConf.to_container(node, resolve=False), dict
        ):
            continue
        unmade = {name for name, part in parts.items() if isinstance(part, dict) and "_target_" not in part}
        for name in unmade & _names(group, hydra) if unmade else ():
            with open_dict(node):
                del node[name]


def _names(group: str, hydra: Any) -> set[str]:
    """The choices of a group, in all folders of configs."""
    folders = [Path(source.path) for source in hydra.runtime.config_sources if source.schema == "file"]
    return {name for folder in folders for name in choices.config_groups(folder).get(group, ())}
