"""The small runs that harm is done to, each made once without any as what must come out."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from cases import Lab, Lost

COMMON = ("trainer.device=cpu", "trainer.log_every=1", "dataset.batch_size=8", "callback.checkpoints.keep=100")
MLP = ("model=mlp", "model.latent_dim=4", "model.generator.hidden=[8]", "model.discriminator.hidden=[8]")
LARGE = ("model=mlp", "model.generator.hidden=[256,256]", "model.discriminator.hidden=[256,256]")
DCGAN = ("model=dcgan", "model.latent_dim=4", "model.width=4", "dataset.resolution=16")


@dataclass(frozen=True)
class Configuration:
    """A run of seconds: what to type, how many steps it has, how often it is saved."""

    words: tuple[str, ...]
    steps: int
    every: int = 1
    callbacks: str = "history,checkpoints"

    @property
    def typed(self) -> tuple[str, ...]:
        limits = (f"trainer.max_steps={self.steps}", f"callback.checkpoints.every_steps={self.every}")
        return (*COMMON, f"callback=[{self.callbacks}]", *self.words, *limits)


CONFIGURATIONS = {
    "mlp": Configuration(MLP, 60),
    "large": Configuration(LARGE, 30, callbacks="checkpoints,history"),
    "ada": Configuration((*DCGAN, "augment=[ada]", "penalty=[r1]", "penalty.r1.interval=4"), 80, 3),
    "measured": Configuration((*MLP, "evaluation.every_steps=5", "evaluation.n=200"), 60, 3),
    "conditional": Configuration((*DCGAN, "conditioning=projection", "dataset.classes=10"), 60, 2),
    "points": Configuration(
        (*MLP, "dataset=ring", "loss=wgan_gp", "callback.samples.every_steps=7", "callback.plots.every_steps=30"),
        *(40, 2),
        "progress,health,history,tensorboard,samples,plots,checkpoints",
    ),
}


def make(name: str, lab: Lab) -> None:
    """The uninterrupted run, and how long it took."""
    lab.gan("train", *CONFIGURATIONS[name].typed, f"hydra.run.dir={lab.folder / 'warm'}")  # fills caches
    start = time.monotonic()
    lab.gan("train", *CONFIGURATIONS[name].typed, f"hydra.run.dir={whole(lab, name)}")
    (lab.shared / f"{name}.seconds").write_text(str(time.monotonic() - start))


def whole(lab: Lab, name: str) -> Path:
    """The uninterrupted run; read it, do not write to it."""
    return lab.shared / name


def lasts(lab: Lab, name: str) -> float:
    """Seconds that the uninterrupted run took."""
    return float((lab.shared / f"{name}.seconds").read_text())


def half(lab: Lab, name: str = "mlp") -> Path:
    """A copy of the run as it was at about half of its steps, as if killed: nothing says how it ended."""
    configuration = CONFIGURATIONS[name]
    folder = lab.folder / "run"
    shutil.copytree(whole(lab, name), folder)
    middle = configuration.steps // 2 // configuration.every * configuration.every
    kept = [path for path in (folder / "checkpoints").glob("step-*.pt") if int(path.stem[5:]) <= middle]
    for path in (folder / "checkpoints").glob("*.pt"):
        if path not in kept:
            path.unlink()
    if not kept:
        raise Lost(f"{name} was not saved before step {middle}")
    (folder / "checkpoints" / "last.pt").hardlink_to(max(kept))
    (folder / "result.json").unlink()
    return folder
