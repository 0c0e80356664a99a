"""What a restored generator can be asked to draw: classes by number or name, and pictures to draw from."""

from __future__ import annotations

from gan_cli import sampling
from gan_cli.config.labels import chosen_classes
from gan_cli.data.decoding import Levels
from gan_cli.errors import ConfigError, DataError, Incompatible, two_lines
from gan_cli.latent import Sources
from gan_cli.latent.sources import OfData, files
from gan_cli.runs.restore import Restored

Classes = str | int | float | bool | list[str | int | float | bool] | None  # as `classes=` names them


def class_names(restored: Restored) -> tuple[str, ...]:
    """The names of the classes that the generator draws on demand; none where they are not known."""
    return restored.class_names if len(restored.class_names) == sampling.on_demand(restored.generator) else ()


def classes(restored: Restored, asked: Classes) -> tuple[int, ...]:
    """The classes asked for, in order. Raises Incompatible, ConfigError."""
    known = sampling.on_demand(restored.generator)
    if asked not in (None, "", []) and not known:
        remedy = "train on labelled data with a conditioning, such as conditioning=projection"
        raise Incompatible(two_lines("classes=: this generator draws no classes on demand", remedy))
    chosen = chosen_classes(asked, class_names(restored))
    if chosen and max(chosen) >= known:
        raise ConfigError(two_lines(f"classes={asked}: there is no such class", f"it knows 0..{known - 1}"))
    return tuple(chosen)


def sources(restored: Restored, named: str | None, root: str | None, levels: Levels | None) -> Sources | None:
    """The pictures that a translator draws from: the files named, or the run's data; None for other generators."""
    if not restored.translates:
        return None
    if named is not None:
        return files(named, restored.source_channels, levels)
    try:
        return OfData(restored.unseen(root).data)
    except DataError as error:
        remedy = "root=FOLDER says where the run's data are; source=FOLDER names other pictures to draw from"
        raise DataError(two_lines(str(error).partition("\n")[0], remedy)) from error
