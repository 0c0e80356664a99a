"""kill -9 at random moments: over training and its checkpoints, `gan eval` and its cache, `gan sample`, a sweep."""

from __future__ import annotations

import filecmp
import json
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import runs
from cases import Case, Lab, must, must_equal, nothing_left_over
from child import Child, Moment, after, until, writing
from PIL import Image

from gan_cli.store.run import Run, step_of

MEASURE = ("n=300", "metrics=[kid,fid]", "json=found.json")
DRAWN = {"folder": "images", "npz": "images.npz", "png": "images.png"}
SWEEP = ("model=mlp,dcgan", "seed=0,1", *runs.COMMON, "callback=[history,checkpoints]", "model.latent_dim=4")
SWEEP_LIMITS = ("dataset.resolution=16", "trainer.max_steps=15", "callback.checkpoints.every_steps=3")
SWEEP_JOBS = 4
TRIES = 20  # to kill what may be faster


def cases(quick: bool) -> list[Case]:
    chains, kills = (1, 2) if quick else (4, 6)
    found = [
        Case("kills", f"train-{name}-{i}", _chain(name, kills)) for name in runs.CONFIGURATIONS for i in range(chains)
    ]
    found += [Case("kills", f"cold-{name}", _chain(name, 1 if quick else 2, cold=True)) for name in ("mlp", "ada")]
    found += [
        Case("kills", f"eval-{detector}", _eval(detector, n)) for detector, n in (("pixels", kills), ("classifier", 2))
    ]
    found += [Case("kills", f"eval-cache-{i}", _eval("pixels", kills, cache=True)) for i in range(chains - 1)]
    found += [Case("kills", f"sample-{kind}", _sample(kind, 2 * kills)) for kind in DRAWN]
    found += [Case("kills", f"sweep-{i}", _sweep) for i in range(1 if quick else 6)]
    return found


def needs() -> tuple[str, ...]:
    return tuple(runs.CONFIGURATIONS)


@dataclass
class Disturbed:
    """A run that is killed now and then, and what its user types after each kill."""

    lab: Lab
    run: Path  # where it is
    begin: tuple[str, ...]  # what begins it there

    def words(self) -> tuple[str, ...]:
        """What the program itself says: begin, go on, or (where nothing was saved yet) begin anew beside it."""
        if not (self.run / "config.yaml").exists():
            return self.begin
        if any((self.run / "checkpoints").glob("*.pt")):
            return ("train", f"resume={self.run}")
        said = self.lab.gan("train", f"resume={self.run}", codes=(2,))
        must(f"gan train repeat={self.run}" in said, f"it does not say how to begin anew:\n{said}")
        anew = self.run.with_name(f"{self.run.name}-anew")
        self.begin, self.run = ("train", f"repeat={self.run}", f"hydra.run.dir={anew}"), anew
        return self.begin

    def to_the_end(self, whole: Path) -> None:
        """It ends like the run that nobody disturbed."""
        words = self.words()
        if not (self.run / "result.json").exists():
            self.lab.gan(*words)
        must_equal(self.run, whole)


def _chain(name: str, kills: int, cold: bool = False) -> Callable[[Lab], None]:
    """A run that is killed, goes on, is killed again, and in the end is as if nothing had been."""

    def harm(lab: Lab) -> None:
        for number in range(TRIES):
            if lab.tried >= kills:
                return
            run = lab.folder / f"run{number}"
            going = Disturbed(lab, run, ("train", *runs.CONFIGURATIONS[name].typed, f"hydra.run.dir={run}"))
            _disturb(lab, going, name, kills, cold)
            going.to_the_end(runs.whole(lab, name))

    return harm


def _disturb(lab: Lab, going: Disturbed, name: str, kills: int, cold: bool) -> None:
    """Kills and goes on, until it was killed often enough or was faster than that."""
    while lab.tried < kills and Run(going.run).finished() is None:
        child = lab.start(*going.words(), cold=cold)
        _moment(lab, name, going.run, cold)(child)
        if not child.strike():
            lab.end(child)
            return
        lab.tried += 1
    # Of one that was killed after the run's end; another start would take it over, and there is none.
    (going.run / ".lock").unlink(missing_ok=True)


def _moment(lab: Lab, name: str, run: Path, cold: bool) -> Moment:
    """Within the writing of a file, a while after some step, or a while after the start."""
    chance = lab.random
    step = _saved(run) + chance.randrange(1, runs.CONFIGURATIONS[name].steps // 3)
    begun = 4 if cold else 0
    return chance.choice(
        (
            writing(run, chance),
            until(lambda: _saved(run) >= step, chance.uniform(0, 0.05)),
            after(chance.uniform(0, 1.5) + begun),
        )
    )


def _saved(run: Path) -> int:
    """The last step that was saved."""
    return max((step_of(path) for path in (run / "checkpoints").glob("step-*.pt")), default=0)


def _killed(lab: Lab, begin: Callable[[], Child], folder: Path, seconds: float) -> None:
    """Kills what it begins within so many seconds, or as it writes into the folder; again where it was faster."""
    for _ in range(TRIES):
        child = begin()
        within = lab.random.random() < 0.4
        (writing(folder, lab.random, 1) if within else after(lab.random.uniform(0.02, 0.95) * seconds))(child)
        if child.strike():
            lab.tried += 1
            return
        lab.end(child)


def _eval(detector: str, kills: int, cache: bool = False) -> Callable[[Lab], None]:
    """`gan eval` killed in its passes, or as it writes what it keeps; then the right numbers."""

    def harm(lab: Lab) -> None:
        run, place = lab.folder / "run", lab.folder / "cache"
        shutil.copytree(runs.whole(lab, "mlp"), run)
        words = ("eval", str(run), f"detector={detector}", *MEASURE)
        environment = {"GAN_CACHE": str(place)}

        def measured() -> dict:
            lab.gan(*words, environment=environment)
            found: dict = json.loads((lab.folder / "found.json").read_text())["metrics"]
            return found

        def begin() -> Child:
            if cache:
                shutil.rmtree(place, ignore_errors=True)
            return lab.start(*words, environment=environment)

        start = time.monotonic()
        right = measured()
        seconds = time.monotonic() - start
        shutil.rmtree(place)
        for _ in range(kills):
            _killed(lab, begin, place if cache else lab.folder, seconds)
            must(measured() == right, "after a kill the numbers are others")
            nothing_left_over(lab.folder)

    return harm


def _sample(kind: str, kills: int) -> Callable[[Lab], None]:
    """`gan sample` killed as it draws or writes: each picture is whole or absent; drawn again, all are right."""

    def harm(lab: Lab) -> None:
        out, right = (lab.folder / place / DRAWN[kind] for place in ("drawn", "right"))
        words = ("sample", str(runs.whole(lab, "points" if kind == "npz" else "mlp")), "n=400")
        start = time.monotonic()
        lab.gan(*words, f"out={right}")
        seconds = time.monotonic() - start
        for _ in range(kills):
            _killed(lab, lambda: lab.start(*words, f"out={out}"), out.parent, seconds)
            for path in out.parent.rglob("[!.]*.png"):
                Image.open(path).load()
            lab.gan(*words, f"out={out}")
            must_be_alike(out.parent, right.parent)
            shutil.rmtree(out.parent)

    return harm


def must_be_alike(folder: Path, right: Path) -> None:
    """The same files with the same bytes, and no others."""
    found, wanted = (sorted(p.relative_to(f) for p in f.rglob("*") if p.is_file()) for f in (folder, right))
    must(found == wanted, f"{folder} holds {sorted(map(str, set(found) ^ set(wanted)))[:5]} too many or too few")
    differing = [path for path in found if not filecmp.cmp(folder / path, right / path, shallow=False)]
    must(not differing, f"{folder}: {differing[:5]} differ")


def _sweep(lab: Lab) -> None:
    """A sweep that is killed: typed again it runs, and what it had begun can be ended job by job."""
    words = ("train", "-m", *SWEEP, *SWEEP_LIMITS)
    _killed(lab, lambda: lab.start(*words), lab.folder / "outputs", 3 * runs.lasts(lab, "mlp"))
    begun = list((lab.folder / "outputs" / "sweeps").glob("*"))
    lab.gan(*words)
    (again,) = [folder for folder in (lab.folder / "outputs" / "sweeps").glob("*") if folder not in begun]
    must(len(list(again.glob("*/result.json"))) == SWEEP_JOBS, f"{again} lacks jobs")
    for job in [path for folder in begun for path in folder.iterdir() if path.is_dir()]:
        begin = ("train", f"repeat={again / job.name}", f"hydra.run.dir={job}")
        Disturbed(lab, job, begin).to_the_end(again / job.name)
