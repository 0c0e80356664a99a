"""Checkpoints that are cut short, or in which a bit has turned: refused in words, or as good as whole."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import runs
from cases import Case, Lab, difference, in_words, must, must_equal

from gan_cli.errors import CheckpointError
from gan_cli.training.checkpoint import load, load_newest

Damage = Callable[[bytes, Random], bytes]
EACH = 50  # damages of one kind in a case


def cut(whole: bytes, random: Random) -> bytes:
    """Cut anywhere, and often near the end, where the archive's directory is."""
    return whole[: random.choice((random.randrange(len(whole)), len(whole) - random.randrange(1, 2000)))]


def flip(whole: bytes, random: Random) -> bytes:
    """One bit turned anywhere, and often in the headers of the archive, which no checksum covers."""
    places = [random.randrange(len(whole)), len(whole) - random.randrange(1, 6000), random.randrange(3000)]
    headers = [at for at in _found(whole, b"PK") if at + 60 < len(whole)]
    at = random.choice([*places, random.choice(headers) + random.randrange(60)])
    return whole[:at] + bytes([whole[at] ^ 1 << random.randrange(8)]) + whole[at + 1 :]


def _found(whole: bytes, mark: bytes) -> list[int]:
    places, at = [], whole.find(mark)
    while at >= 0:
        places.append(at)
        at = whole.find(mark, at + 1)
    return places


DAMAGES: dict[str, Damage] = {"cut": cut, "flip": flip}


def cases(quick: bool) -> list[Case]:
    found = [
        Case("checkpoints", f"{kind}-{name}", _loaded(damage, name))
        for kind, damage in DAMAGES.items()
        for name in (("mlp",) if quick else ("mlp", "ada", "conditional", "measured"))
    ]
    for kind, damage in DAMAGES.items():
        found += [Case("checkpoints", f"{kind}-gone-on-{i}", _gone_on(damage)) for i in (0, 1)]
        found += [Case("checkpoints", f"{kind}-alone", _alone(damage))]
    return found


def needs() -> tuple[str, ...]:
    return ("mlp", "ada", "conditional", "measured")


def _loaded(damage: Damage, name: str) -> Callable[[Lab], None]:
    """Through the loader, with a whole one behind it."""

    def harm(lab: Lab) -> None:
        last, older = (runs.whole(lab, name) / "checkpoints" / f"{stem}.pt" for stem in ("last", _first(lab, name)))
        whole, right, before = last.read_bytes(), load(last), load(older)
        damaged = lab.folder / "last.pt"
        for _ in range(EACH):
            damaged.write_bytes(damage(whole, lab.random))
            lab.tried += 1
            state, path, problems = load_newest([damaged, older])
            wanted = right if path == damaged else before
            must(not difference(state, wanted), f"{damaged} was loaded, and differs in {difference(state, wanted)}")
            must(bool(problems) == (path == older), f"not said of {damaged}: {problems}")
            try:
                load(damaged)
                must(path == damaged, "refused, then loaded")
            except CheckpointError as error:
                must(str(damaged) in str(error) and "\n  " in str(error), f"not in two lines: {error}")

    return harm


def _first(lab: Lab, name: str) -> str:
    return min(path.stem for path in (runs.whole(lab, name) / "checkpoints").glob("step-*.pt"))


def _newest(run: Path) -> list[Path]:
    """The newest checkpoint, by both of its names."""
    last = run / "checkpoints" / "last.pt"
    return [last, *(path for path in last.parent.glob("step-*.pt") if path.samefile(last))]


def _gone_on(damage: Damage) -> Callable[[Lab], None]:
    """A run whose newest checkpoint is damaged is sampled, and goes on, from the one before."""

    def harm(lab: Lab) -> None:
        run = runs.half(lab)
        newest = _newest(run)
        whole = newest[0].read_bytes()
        newest[0].write_bytes(damage(whole, lab.random))  # both names are one file
        lab.tried += 1
        lab.gan("sample", str(run), "n=4", "out=x.png")
        lab.gan("train", f"resume={run}")
        must_equal(run, runs.whole(lab, "mlp"))

    return harm


def _alone(damage: Damage) -> Callable[[Lab], None]:
    """Where no checkpoint is whole, every command says so, and none is touched."""

    def harm(lab: Lab) -> None:
        run = runs.half(lab)
        for path in (run / "checkpoints").glob("*.pt"):
            whole = path.read_bytes()
            path.unlink()
            path.write_bytes(whole[: lab.random.randrange(len(whole) - 100)] if damage is cut else b"?" + whole[1:])
        before = {path: path.read_bytes() for path in (run / "checkpoints").glob("*")}
        for words in (("sample", str(run), "n=4"), ("eval", str(run), "n=20"), ("train", f"resume={run}")):
            in_words(lab.gan(*words, codes=(2,)), "cut short|damaged|no checkpoint")
            lab.tried += 1
        must(before == {p: p.read_bytes() for p in (run / "checkpoints").glob("*")}, "checkpoints were touched")

    return harm
