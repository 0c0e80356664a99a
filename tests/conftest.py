"""What all tests share: small runs, and the command line as a user's shell starts it."""

from __future__ import annotations

import gc
import logging
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

# Two test processes side by side are much faster with one thread each; set before torch starts its pool.
os.environ["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS") or "1"

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torchvision import models

import remembered
from forked import Forked
from gan_cli import Result, train
from gan_cli.cli import main
from gan_cli.config import build, compose, trust
from gan_cli.data.images import Images

remembered.remember()
signal.signal(signal.SIGINT, signal.default_int_handler)  # which the tests may be started without, in the background
CONF = Path(__file__).resolve().parents[1] / "conf"
# Not the user's own; shared by the processes of one run of the tests.
CACHE = (
    Path(tempfile.gettempdir()) / f"gan-tests-{os.getuid()}-{os.environ.get('PYTEST_XDIST_TESTRUNUID', os.getpid())}"
)
os.environ["GAN_CACHE"] = str(CACHE)
# A run of seconds that still has every part of a run but the slow pictures.
SMALL_MLP = ("model=mlp", "model.latent_dim=4", "model.generator.hidden=[8]", "model.discriminator.hidden=[8]")
SMALL_DCGAN = ("model=dcgan", "model.latent_dim=4", "model.width=2")
SMALL_RESIDUAL = {
    model: (f"model={model}", "model.latent_dim=4", "model.width=1")
    for model in ("sngan", "sagan", "biggan", "wgan_gp_resnet")
}
SMALL_GROWING = ("model.latent_dim=4", "model.channel_base=32", "model.channel_max=4")
SMALL_STYLED = (*SMALL_GROWING, "model.generator.style_dim=4", "model.generator.mapping_layers=2")
SMALL_PROGRESSIVE = {
    "pggan": ("model=pggan", *SMALL_GROWING),
    "stylegan": ("model=stylegan", *SMALL_STYLED),
    "stylegan2": ("model=stylegan2", *SMALL_STYLED),
}
SMALL_R3GAN = ("model=r3gan", "model.latent_dim=4", "model.width=8", "model.blocks=1")
SMALL_R3GAN2 = ("model=r3gan2", *SMALL_GROWING, "model.blocks=1", "model.group_width=2")
SMALL = {
    "mlp": SMALL_MLP,
    "r3gan": SMALL_R3GAN,
    "r3gan2": SMALL_R3GAN2,
    "dcgan": SMALL_DCGAN,
    **SMALL_RESIDUAL,
    **SMALL_PROGRESSIVE,
}  # by the name of the model
# Generators that draw from pictures, with data that are here.
_PATCHES = ("model.width=2", "model.discriminator.layers=1")
_BLOCK = ("model.width=2", "model.generator.blocks=1")
SMALL_TRANSLATORS = {
    "cyclegan": (
        *("dataset=china2flower", "dataset.resolution=16", "dataset.batch_size=2", "model=cyclegan", *_PATCHES),
        *("model.generator.blocks=1", "game.past.size=2"),
    ),
    "pix2pix": ("given=outline", "dataset.resolution=32", "model=pix2pix", *_PATCHES),
    "srgan": ("given=smaller", "dataset.resolution=32", "model=srgan", *_BLOCK),
    "esrgan": ("given=smaller", "dataset.resolution=32", "model=esrgan", *_BLOCK, "model.generator.growth=2"),
}
TINY = ("trainer.max_steps=2", "dataset.batch_size=8", "trainer.device=cpu", "trainer.log_every=1")  # of any run
QUIET = ("callback=[history,checkpoints]", "trainer.log_every=2", "trainer.device=cpu")


def words(*more: str, model: tuple[str, ...] = SMALL_MLP, steps: int = 2) -> tuple[str, ...]:
    """The overrides of a small run."""
    return (*model, "dataset.batch_size=8", f"trainer.max_steps={steps}", *QUIET, *more)


def checked(words: Sequence[str]) -> build.Checked:
    """The config that these overrides compose, ready to be built."""
    return build.check(compose.compose("train", words).config, trust.for_runs())


BEFORE_COLLECTION = torch.get_rng_state()


def pytest_collection_finish() -> None:
    """Numbers drawn while tests are collected depend on which tests are, and differ in each process.

    What has been imported and collected stays to the end, and is not searched for garbage again and again.
    """
    gc.collect()
    gc.freeze()
    if not torch.equal(torch.get_rng_state(), BEFORE_COLLECTION):
        raise pytest.UsageError("a test module draws random numbers when it is imported: draw them inside the test")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """A test draws the same numbers each time; on the CPU alone, as torch.manual_seed writes down who calls it."""
    torch.default_generator.manual_seed(0)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GAN_TRUST", raising=False)
    return tmp_path


@pytest.fixture
def own_modules() -> Iterator[None]:
    """Modules that a test imports from its folder are forgotten after it, and those of other tests before it."""
    path = list(sys.path)

    def forget() -> None:
        for name in [name for name in sys.modules if name.startswith("my_")]:
            del sys.modules[name]

    forget()
    yield
    sys.path[:] = path
    forget()


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run on digits; read it, do not write to it."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    train(*words(f"hydra.run.dir={folder}", "callback=[history,checkpoints,samples,plots]", steps=4))
    return folder


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """No file grows beyond so many bytes during the block, as if the disk were full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class Told(NamedTuple):
    """What a command printed and how it ended; attributes are named as in subprocess.CompletedProcess."""

    returncode: int
    stdout: str
    stderr: str


Shell = Callable[..., Told]


@pytest.fixture
def gan(here: Path) -> Shell:
    """`gan ...` in a process of its own."""

    def run(*arguments: str, env: Mapping[str, str] | None = None) -> Told:
        process = Forked(*arguments, folder=here, environment={**os.environ, **(env or {})})
        return Told(process.wait(), *process.said())

    return run


Inside = Callable[..., Told]


@pytest.fixture
def gan_here(here: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Inside:
    """`gan ...` by its entry point within this process, which saves the seconds of starting another."""

    def run(*arguments: str) -> Told:
        for logger in ("hydra", None):  # Hydra gives them streams that are closed after a test
            monkeypatch.setattr(logging.getLogger(logger), "handlers", [])
        capsys.readouterr()
        return Told(main(list(arguments)), *capsys.readouterr())

    return run


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a run's last checkpoint, by its path in the state."""
    state = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)
    found: dict[str, torch.Tensor] = {}

    def walk(node: object, path: str) -> None:
        if isinstance(node, torch.Tensor):
            found[path] = node
        elif isinstance(node, dict):
            for key, value in node.items():
                walk(value, f"{path}/{key}")
        elif isinstance(node, list | tuple):
            for i, value in enumerate(node):
                walk(value, f"{path}/{i}")

    walk(state, "")
    return found


def save(path: Path, picture: np.ndarray) -> Path:
    """A picture uint8 `[H, W]` or `[H, W, 3 or 4]` as a file, in a folder that is made for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


def coded(number: int, height: int, width: int) -> np.ndarray:
    """A picture uint8 `[height, width, 3]`, whose places differ: x in red, y in green, a number in blue."""
    down, right = np.indices((height, width))
    return np.stack([5 * right, 7 * down, np.full_like(down, 2 * number)], -1).astype(np.uint8)


def backbone(name: str) -> nn.Sequential:
    """The features of torchvision's network of this name, with weights by chance."""
    with torch.device("meta"):
        network = models.get_model(name, weights=None).features.to_empty(device="cpu")
    for layer in network:
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.normal_(layer.bias)  # type: ignore[arg-type]
    made: nn.Sequential = network.requires_grad_(False)
    return made


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    """Equal names and equal bits."""
    return a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


def alike(one: Images, other: Images) -> None:
    """The same set: its fingerprint, its batches in any order, what is previewed, and all pictures."""
    assert len(one) == len(other)
    assert one.fingerprint() == other.fingerprint()
    for each in (one, other):
        each.place(torch.device("cpu"), seed=3)
    for draw in (0, 1, 2, 7, 3, 3):  # also out of order
        a, b = one.batch(draw), other.batch(draw)
        assert torch.equal(a.real, b.real)
        assert torch.equal(a.label, b.label)
    assert torch.equal(one.previewed(5).real, other.previewed(5).real)
    assert torch.equal(one.images, other.images)


__all__ = ["Result", "alike", "checked", "coded", "same", "save", "weights", "words"]
