"""Pictures drawn from pictures: each by itself, whole or in tiles, written under its own name and of its own size."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gan_cli import pictures
from gan_cli.data.given import grey
from gan_cli.errors import ConfigError, Incompatible, two_lines
from gan_cli.games.base import Game
from gan_cli.latent import Example, Mode, Subject
from gan_cli.latent.drawings import Drawing, Save, ending, save_arrays, save_picture
from gan_cli.latent.tiles import tiled
from gan_cli.networks.panel import Both
from gan_cli.networks.translator import Translator
from gan_cli.progress import tracked
from gan_cli.sampling import seeded
from gan_cli.store.disk import made, remove_leftovers
from gan_cli.types import Batch, PositiveInt

log = logging.getLogger(__name__)

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


@dataclass(frozen=True)
class Translation:
    """A picture drawn from another."""

    example: Example
    drawn: Tensor  # [1, C, H, W] in [-1, 1]
    again: Tensor | None  # drawn back from it, where there is a way back

    def columns(self) -> list[Tensor]:
        """Source, result, and back again or the target where they are known."""
        seen = [self.example.source, self.drawn]
        return seen + [other for other in (self.again, self.example.target) if other is not None]

    def pixels(self) -> Tensor:
        """The result as its file holds it: uint8 `[C, H, W]`, with the source's transparency, grey where it was."""
        drawn = grey(self.drawn) if self.example.is_grey and self.example.source.shape[1] == 3 else self.drawn
        pixels = pictures.to_uint8(drawn)[0].cpu()
        if self.example.alpha is None:
            return pixels
        opaque = F.interpolate(self.example.alpha, pixels.shape[-2:], mode="bilinear", antialias=True)
        return torch.cat([pixels.expand(3, -1, -1), opaque[0].mul(255).round().to(torch.uint8)])


def network_of(generator: nn.Module) -> nn.Module:
    """The network that draws; of two, the one that leads there."""
    return generator[0] if isinstance(generator, Both) else generator


@dataclass(frozen=True)
class Translating:
    """A trained game that draws from pictures, and how it should draw."""

    game: Game
    generator: nn.Module
    back: tuple[Game, nn.Module] | None  # the way back, where there is one
    seed: int
    device: torch.device
    tile: int | None = None  # side of the tiles that large pictures are drawn in; whole when None

    @torch.no_grad()
    def draw(self, example: Example) -> Translation:
        """One picture, computed by itself."""
        drawn = self._through(self.game, self.generator, example.source)
        again = None if self.back is None else self._through(*self.back, drawn)
        return Translation(example, drawn, again)

    def pairs(self, examples: Iterable[Example]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """What is drawn of each, its target and its source, uint8 `[1, C, H, W]`."""
        for one in map(self.draw, examples):
            assert one.example.target is not None
            result, target, source = map(pictures.to_uint8, (one.drawn, one.example.target, one.example.source))
            yield result, target, source

    def round_trips(self, examples: Iterable[Example]) -> Iterator[tuple[Tensor, Tensor]]:
        """Each source, and what comes back of it, uint8 `[1, C, H, W]`."""
        for one in map(self.draw, examples):
            assert one.again is not None
            yield pictures.to_uint8(one.example.source), pictures.to_uint8(one.again)

    def _through(self, game: Game, generator: nn.Module, source: Tensor) -> Tensor:
        label = torch.zeros(1, dtype=torch.int64, device=self.device)

        def whole(piece: Tensor) -> Tensor:
            with seeded(self.device, self.seed, "translate"):
                return game.sample(generator, Batch(label, given=piece.to(self.device))).cpu()

        network = network_of(generator)
        if self.tile is None or not isinstance(network, Translator):
            return whole(source)
        return tiled(whole, source, self.tile, network.multiple, network.radius)


class Translations(Drawing):
    """Any number of pictures, one after the other.

    Args:
        examples: What to draw from.
        n: How many of them there are.
        draw: Draws one.
        single: Whether one picture is meant, which an image file then holds by itself.
    """

    def __init__(
        self, examples: Iterable[Example], n: int, draw: Callable[[Example], Translation], single: bool = False
    ) -> None:
        self.translations: Iterable[Translation] = map(draw, tracked(examples, n, "translating"))
        self.n, self.single = n, single

    def samples(self) -> Tensor | list[Tensor]:
        """`[n, C, H, W]`, or a list of `[C, H, W]` where they have several sizes; kept, so that they can be written."""
        self.translations = list(self.translations)
        drawn = [translation.drawn for translation in self.translations]
        return torch.cat(drawn) if len({one.shape for one in drawn}) == 1 else [one[0] for one in drawn]

    def writers(self) -> Mapping[str, Save]:
        images: dict[str, Save] = dict.fromkeys(ENDINGS, self._one) if self.single else {".png": self._sheet}
        return {**images, ".npz": self._arrays, "": self._folder}

    def check(self, out: Path) -> None:
        super().check(out)
        if ending(out) == ".png" and not self.single and self.n > 256:
            raise ConfigError(two_lines(f"a sheet of {self.n} pictures is too large", "use out=FOLDER, or a smaller n"))

    def _one(self, out: Path) -> list[Path]:
        (translation,) = self.translations
        pixels = translation.pixels()
        if len(pixels) == 4 and ending(out) in (".jpg", ".jpeg", ".bmp"):
            raise ConfigError(two_lines(f"out={out}: such a file keeps no transparency", "use out=x.png"))
        return [save_picture(pixels, out)]

    def _sheet(self, out: Path) -> list[Path]:
        """Each row a picture, what it was drawn from, and the target or the way back where known."""
        rows = [translation.columns() for translation in self.translations]
        size = max(((row[1].shape[-2], row[1].shape[-1]) for row in rows), key=lambda sides: sides[0] * sides[1])
        columns = [torch.cat([_framed(row[k], size) for row in rows]) for k in range(len(rows[0]))]
        return [save_picture(pictures.side_by_side(columns), out)]

    def _arrays(self, out: Path) -> list[Path]:
        """`arr_0`: uint8 [n, H, W, C]."""
        drawn = self.samples()
        if not isinstance(drawn, Tensor):
            raise ConfigError(two_lines(f"out={out}: one array holds pictures of one size", "use out=FOLDER"))
        return save_arrays(out, {"arr_0": pictures.to_uint8(drawn).movedim(-3, -1).numpy()})

    def _folder(self, out: Path) -> list[Path]:
        """One PNG a picture, of its own name and size; each is whole or absent, whenever this is killed."""
        with made(out):
            remove_leftovers(out)
            for translation in self.translations:
                path = out / f"{translation.example.name}.png"
                with made(path.parent):
                    pictures.save(translation.pixels(), path)
        return [out]


def _framed(picture: Tensor, size: tuple[int, int]) -> Tensor:
    """A picture `[1, C, h, w]` as `[1, 3, *size]`, as large as it fits and in the middle of white."""
    height, width = picture.shape[-2:]
    scale = min(size[0] / height, size[1] / width)
    inside = max(1, round(height * scale)), max(1, round(width * scale))
    picture = picture.float().cpu().expand(-1, 3, -1, -1)
    picture = picture if inside == (height, width) else F.interpolate(picture, inside, mode="nearest")
    top, left = (size[0] - inside[0]) // 2, (size[1] - inside[1]) // 2
    return F.pad(picture, (left, size[1] - inside[1] - left, top, size[0] - inside[0] - top), value=1.0)


@dataclass(frozen=True)
class Translate(Mode):
    """Pictures drawn from pictures.

    Args:
        n: How many; all when null, but of the run's own data a sheet of 16.
    """

    name: ClassVar[str] = "translation"
    n: PositiveInt | None = None

    @property
    def title(self) -> str:
        return "translations"

    def draw(self, subject: Subject) -> Drawing:
        sources = subject.sources
        if sources is None:
            raise Incompatible(two_lines("this generator is given no pictures", "leave source= and mode= out"))
        n = len(sources) if self.n is None else min(self.n, len(sources))
        back = subject.turned()
        translating = Translating(subject.game, subject.generator, back, subject.seed, subject.device, subject.tile)
        network = network_of(subject.generator)
        if subject.tile is not None and isinstance(network, Translator) and network.radius is None:
            log.warning(
                "tile=%d: this network reads the whole picture (instance norm), so tiles differ from it; leave tile= "
                "out where there is memory enough",
                subject.tile,
            )
        return Translations(islice(sources, n), n, translating.draw, sources.single)
