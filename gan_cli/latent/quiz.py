"""Can people tell drawn pictures from real ones? A page that asks, and counts the answers itself.

Real and drawn pictures come one at a time in random order and without a time limit, as many of each, and each is
answered: guessing scores 50 %. The result is the share of right answers with Wilson's interval.
"""

from __future__ import annotations

import base64
import io
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any, ClassVar, NamedTuple

import torch
from annotated_types import Interval
from torch import Tensor

from gan_cli import pages, pictures, rng, sampling
from gan_cli.errors import Incompatible, two_lines
from gan_cli.latent import Mode, Subject
from gan_cli.latent.drawings import Drawing, Save
from gan_cli.latent.translate import Translating
from gan_cli.metrics.measure import Batches
from gan_cli.store import outputs

Z = 1.959963984540054  # the normal distribution has 95 % within this many standard deviations
PIECE = 256  # real pictures read at once
MOST = 500  # pictures of each kind


class Verdict(NamedTuple):
    """What a number of right answers means."""

    low: float
    high: float
    text: str


def wilson(right: int, n: int) -> tuple[float, float]:
    """The 95 % interval of a share of which `right` of `n` were seen: all p with |right/n - p| ≤ z √(p (1 - p) / n).

    Wilson, "Probable inference", J. Am. Stat. Assoc. 22 (1927).
    """
    share, spread = right / n, Z * Z / n
    centre = (share + spread / 2) / (1 + spread)
    half = Z / (1 + spread) * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def verdict(right: int, n: int) -> Verdict:
    """Against guessing, which is right half of the time."""
    low, high = wilson(right, n)
    if low > 0.5:
        return Verdict(low, high, "You can tell them apart: better than guessing.")
    if high < 0.5:
        return Verdict(low, high, "The drawn ones look more real to you than the real ones: worse than guessing.")
    return Verdict(low, high, "You cannot be shown to tell them apart: guessing does as well.")


def some(batches: Batches, n: int, classes: Sequence[int], chance: random.Random) -> list[Tensor]:
    """`n` pictures uint8 `[C, H, W]`, each of these classes (of all, if none are named) as likely as any other.

    Vitter's algorithm R: one pass, whatever the number of pictures.

    Raises:
        Incompatible: There are fewer, or classes are named and these pictures have no labels.
    """
    kept: list[Tensor] = []
    seen = 0
    for images, labels in batches(PIECE):
        if classes and labels is None:
            what = "classes=: the real pictures have no labels, so that they cannot be of these classes too"
            raise Incompatible(two_lines(what, "leave classes= out, or name labelled data: mode.reference=digits:all"))
        for i, image in enumerate(images):
            if classes and labels is not None and int(labels[i]) not in classes:
                continue
            seen += 1
            if len(kept) < n:
                kept.append(image.clone())
            elif (place := chance.randrange(seen)) < n:
                kept[place] = image.clone()
    if len(kept) < n:
        raise Incompatible(two_lines(f"n={n}: of such real pictures there are {len(kept)}", "lower n="))
    return kept


def hidden(drawn: Sequence[bool], chance: random.Random) -> str:
    """The answers, not to be read by who looks at the page's source: random bytes whose number of ones is odd for a
    drawn picture, in base64."""
    odd = [byte for byte in range(256) if byte.bit_count() % 2]
    even = [byte for byte in range(256) if not byte.bit_count() % 2]
    return base64.b64encode(bytes(chance.choice(odd if one else even) for one in drawn)).decode()


@dataclass(frozen=True)
class Questions(Drawing):
    """Pictures uint8 `[C, H, W]`: as many drawn as real ones.

    Attributes:
        facts: What is written into the results beside the answers.
    """

    drawn: Sequence[Tensor]
    real: Sequence[Tensor]
    seed: int
    facts: Mapping[str, Any]

    def samples(self) -> Tensor | list[Tensor]:
        """The drawn ones, `[n, C, H, W]` in [-1, 1]; a list where they have several sizes."""
        found = [picture.float() / 127.5 - 1 for picture in self.drawn]
        return torch.stack(found) if len({one.shape for one in found}) == 1 else found

    def writers(self) -> Mapping[str, Save]:
        return {".html": self._page}

    def _page(self, out: Path) -> list[Path]:
        content = self.page()
        with outputs.writing(out) as file:
            file.write(content)
        return [out]

    def page(self) -> bytes:
        chance = random.Random(rng.mix(self.seed, "quiz", "order"))
        mixed = [(picture, True) for picture in self.drawn] + [(picture, False) for picture in self.real]
        chance.shuffle(mixed)
        n = len(mixed)
        asked = {
            "pictures": [pages.data_uri("png", _png(picture)) for picture, _ in mixed],
            "key": hidden([drawn for _, drawn in mixed], chance),
            "verdicts": [verdict(right, n)._asdict() for right in range(n + 1)],
            "facts": {**self.facts, "seed": self.seed},
        }
        return pages.render(
            "quiz.html", [pages.own("theme.js"), pages.own("quiz.js")], title="Real or drawn?", n=n, asked=asked
        )


def _png(picture: Tensor) -> bytes:
    """Real and drawn pictures alike: pixels, and nothing else that could tell them apart."""
    file = io.BytesIO()
    pictures.write(picture, file, ".png")
    return file.getvalue()


@dataclass(frozen=True)
class Quiz(Mode):
    """Samples 0 ... n - 1 among as many real pictures; of a translator, what it draws of its first n sources.

    Args:
        n: Pictures of each kind.
        reference: The real ones; the run's data when None.
    """

    name: ClassVar[str] = "quiz"
    ending: ClassVar[str] = ".html"
    n: Annotated[int, Interval(ge=1, le=MOST)] = 25
    reference: str | None = None

    def use(self, file: Path) -> str:
        return f"open {file} in a browser"

    def draw(self, subject: Subject) -> Drawing:
        if subject.points:
            raise Incompatible("mode=quiz shows pictures, and these are points\n  use mode=grid")
        if subject.real is None:
            raise Incompatible("mode=quiz: there are no real pictures to mix in\n  mode.reference=FOLDER names some")
        chance = random.Random(rng.mix(subject.seed, "quiz", "real"))
        real = some(subject.real(self.reference), self.n, subject.classes, chance)
        drawn = list(islice(_drawn(subject, self.n), self.n))
        if len(drawn) < self.n:
            raise Incompatible(two_lines(f"n={self.n}: of pictures to draw from there are {len(drawn)}", "lower n="))
        return Questions(drawn, real, subject.seed, {"reference": self.reference or "the run's data"})


def _drawn(subject: Subject, n: int) -> Iterator[Tensor]:
    """Samples uint8 `[C, H, W]`."""
    if subject.sources is None:
        for block, _ in sampling.blocks(subject.game, subject.generator, subject.draws, n):
            yield from pictures.to_uint8(block).cpu()
        return
    translating = Translating(subject.game, subject.generator, None, subject.seed, subject.device, subject.tile)
    for example in subject.sources:
        yield pictures.to_uint8(translating.draw(example).drawn)[0].cpu()
