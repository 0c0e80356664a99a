"""Damaged small files: what lies beside the checkpoints of a run, measurements, caches."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random

import runs
from cases import NOTHING_WRONG, Case, Lab, must, must_equal, numbers

OTHER = (b"\xff\xfe\x00\x80", b"[]", b"5\n", b'"x"', b"{}", b"null", b"a: &a [*a]", b"\x00" * 300, b'{"step": "x"}\n')
TOLD = (0, 1, 2)


def cut(whole: bytes, random: Random) -> bytes:
    return whole[: random.randrange(max(len(whole), 1))]


def flip(whole: bytes, random: Random) -> bytes:
    at = random.randrange(max(len(whole), 1))
    return whole[:at] + bytes([byte ^ 1 << random.randrange(8) for byte in whole[at : at + 1]]) + whole[at + 1 :]


def emptied(whole: bytes, random: Random) -> bytes:
    return b""


def replaced(whole: bytes, random: Random) -> bytes:
    return random.choice(OTHER)


BYTES: dict[str, Callable[[bytes, Random], bytes]] = {
    damage.__name__: damage for damage in (cut, flip, emptied, replaced)
}
BY_CHANCE = ("cut", "flip", "replaced")
DAMAGES = (*BYTES, "folder")
RESUME, SAMPLE = ("train", "resume=run"), ("sample", "run", "n=4", "out=x.png")
COMPARE, EVAL = (
    ("compare", "run", "right"),
    ("eval", "run", "n=100", "detector=pixels", "metrics=[kid]", "json=found.json"),
)
# What reads the file.
FILES = {
    "config.yaml": (RESUME, SAMPLE, COMPARE),
    "manifest.json": (RESUME, SAMPLE, COMPARE),
    "metrics.jsonl": (RESUME, COMPARE),
    "result.json": (RESUME, COMPARE),
    "evals": (COMPARE, EVAL),
}
NEEDED = ("config.yaml",)  # without the others a run goes on to the same end


def cases(quick: bool) -> list[Case]:
    kinds = ("cut", "folder") if quick else DAMAGES
    found = [
        Case("small", f"{file}-{kind}-{i}", _small(file, kind))
        for file in FILES
        for kind in kinds
        for i in range(3 if kind in BY_CHANCE and not quick else 1)
    ]
    found += [Case("small", f"cache-{kind}", _cache("pixels", kind)) for kind in kinds]
    found += [Case("small", f"classifier-{kind}", _cache("classifier", kind)) for kind in kinds[1:2]]  # it learns anew
    return found + [Case("small", f"decoded-{kind}", _decoded(kind)) for kind in kinds]


def needs() -> tuple[str, ...]:
    return ("mlp",)


def spoil(path: Path, kind: str, random: Random) -> None:
    """Damages a file, under this name alone, or puts a folder in its place."""
    whole = path.read_bytes()
    path.unlink()
    if kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(BYTES[kind](whole, random))


def _small(file: str, kind: str) -> Callable[[Lab], None]:
    """The file is damaged, and each command that reads it either works or says in words why not."""

    def harm(lab: Lab) -> None:
        run = runs.half(lab)
        ended = json.loads((runs.whole(lab, "mlp") / "result.json").read_text())
        (run / "result.json").write_text(json.dumps({**ended, "status": "stopped"}))
        (lab.folder / "right").symlink_to(runs.whole(lab, "mlp"))
        if file == "evals":
            lab.gan(*EVAL)
        aside = lab.folder / "aside"
        run.rename(aside)
        for words in FILES[file]:
            shutil.copytree(aside, run)
            target = next((run / "evals").glob("*.json")) if file == "evals" else run / file
            spoil(target, kind, lab.random)
            saved = {path.name: path.read_bytes() for path in (run / "checkpoints").glob("step-*.pt")}
            goes_on = words == RESUME and file not in NEEDED and kind != "folder"
            lab.gan(*words, codes=NOTHING_WRONG if goes_on else TOLD)
            lab.tried += 1
            left = {name: (run / "checkpoints" / name) for name in saved}
            lost = [name for name, path in left.items() if not path.is_file() or path.read_bytes() != saved[name]]
            must(not lost, f"gan {' '.join(words)} lost {lost}")
            if goes_on:
                _ended(lab, run, file)
            shutil.rmtree(run)

    return harm


def _ended(lab: Lab, run: Path, file: str) -> None:
    """It came to the same end; what it had told before is gone only where that was damaged."""
    right = runs.whole(lab, "mlp")
    if file == "metrics.jsonl":
        rows = numbers(run)
        shutil.copyfile(right / file, run / file)
        must(all(row in numbers(run) for row in rows[-25:]), f"{run}/metrics.jsonl goes on with other numbers")
    must_equal(run, right)


def _cache(detector: str, kind: str) -> Callable[[Lab], None]:
    """Every file of the cache, one after the other: the numbers stay."""

    def harm(lab: Lab) -> None:
        shutil.copytree(runs.whole(lab, "mlp"), lab.folder / "run")
        kept = lab.folder / "cache"
        words = ("eval", "run", "n=200", f"detector={detector}", "metrics=[fid,kid]", "json=found.json")

        def measured() -> dict:
            lab.gan(*words, environment={"GAN_CACHE": str(kept)})
            found: dict = json.loads((lab.folder / "found.json").read_text())["metrics"]
            return found

        right = measured()
        files = sorted(path for path in kept.rglob("*") if path.is_file())
        must(files, f"nothing was kept in {kept}")
        for path in files:
            spoil(path, kind, lab.random)
            lab.tried += 1
            must(measured() == right, f"{path} was damaged ({kind}), and the numbers are others")
            if path.is_dir():
                path.rmdir()

    return harm


def _decoded(kind: str) -> Callable[[Lab], None]:
    """The decoded pictures of a folder: the run reads the same data."""

    def harm(lab: Lab) -> None:
        kept, pictures = lab.folder / "cache", lab.folder / "pictures"
        lab.gan("sample", str(runs.whole(lab, "mlp")), "n=40", f"out={pictures}")
        data = ("dataset=folder", f"dataset.root={pictures}", "dataset.resolution=8")
        words = ("train", *runs.COMMON, *runs.MLP, *data, "callback=[checkpoints]", "trainer.max_steps=1")

        def read(name: str) -> object:
            lab.gan(*words, f"hydra.run.dir={lab.folder / name}", environment={"GAN_CACHE": str(kept)})
            return json.loads((lab.folder / name / "manifest.json").read_text())["data"]["sha256"]

        right = read("right")
        for number, path in enumerate(sorted(path for path in kept.rglob("*") if path.is_file())):
            spoil(path, kind, lab.random)
            lab.tried += 1
            must(read(f"again{number}") == right, f"{path} was damaged ({kind}), and the data are others")
            if path.is_dir():
                path.rmdir()

    return harm
