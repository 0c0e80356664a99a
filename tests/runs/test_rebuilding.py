"""Averages of another width, made from those in a run's checkpoints: as near as is said, or refused."""

from __future__ import annotations

import json
import logging
import math
import shutil
from pathlib import Path

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from conftest import Inside, checked, same, words
from gan_cli import evaluate, load, sample, train
from gan_cli.config import build
from gan_cli.errors import CheckpointError, Incompatible
from gan_cli.runs import rebuilding
from gan_cli.runs.rebuilding import Sum, rebuild
from gan_cli.store import checkpoint
from gan_cli.training.profiles import Profile

KEPT = ("trainer.averages=[0.05,0.1]", "callback.checkpoints.every_steps=2", "callback.checkpoints.keep_every=1")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with averages in eight checkpoints; read it, do not write to it."""
    folder = tmp_path_factory.mktemp("kept") / "run"
    train(*words(*KEPT, f"hydra.run.dir={folder}", steps=16))
    return folder


@pytest.fixture
def run(kept: Path, here: Path) -> Path:
    """A copy to write to."""
    return Path(shutil.copytree(kept, here / "run", symlinks=True))


def flat(state: dict[str, Tensor]) -> Tensor:
    return torch.cat([value.double().flatten() for value in state.values()])


def test_what_was_not_kept_is_as_if_it_had_been(here: Path) -> None:
    """Within |∫ (q - p)(θ - c) dτ| ≤ ‖q - p‖ ‖θ - c‖ for any c, as q and p both add up to 1."""
    trainer = build.trainer(checked(words("trainer.averages=[0.05,0.08,0.1]", steps=60)))
    trainer.place()
    generator, course, paths = trainer.players["generator"], [], []
    for step in range(1, 61):
        trainer.step()
        course.append(flat(generator.state_dict()))
        if step % 5 == 0:
            state = trainer.state_dict()
            state["averages"] = {width: state["averages"][width] for width in (0.05, 0.1)}
            paths.insert(0, here / f"step-{step}.pt")
            checkpoint.save({"config": "", **checkpoint.snapshot(state)}, paths[0])
    direct = {width: average.network.state_dict() for width, average in trainer.averages.items()}
    found, rebuilt = rebuild(paths, 0.08, generator)
    assert (rebuilt.width, rebuilt.snapshots) == (0.08, 24)
    wanted = Profile(0.08, float(trainer.clock.images))
    spread = (torch.stack(course) - flat(direct[0.08])).square().sum(0) * (trainer.clock.images / 60)
    most = rebuilt.error * math.sqrt(wanted.inner(wanted)) * spread.sqrt()
    off = (flat(found) - flat(direct[0.08])).abs()
    assert bool((off <= most + 1e-6).all())
    # That is little: a hundredth of the way from one of the averages that were kept to the other.
    between = (flat(direct[0.05]) - flat(direct[0.1])).norm()
    assert off.norm() < 0.01 * between
    again, rebuilt = rebuild(paths, 0.1, generator)
    assert rebuilt.error < 1e-6
    torch.testing.assert_close(flat(again), flat(direct[0.1]), rtol=1e-6, atol=1e-7)


def test_every_command_takes_it(kept: Path, caplog: pytest.LogCaptureFixture, here: Path) -> None:
    network = load(kept, average=0.08)
    drawn = sample(kept, "average=0.08", "n=2")
    torch.testing.assert_close(network(*network.latents(2)), torch.Tensor(drawn), rtol=0, atol=1e-6)
    assert (drawn - sample(kept, "n=2")).abs().max() > 1e-4
    with caplog.at_level(logging.INFO, "gan_cli"):
        found = evaluate(kept, "average=0.08", "detector=pixels", metrics="fid", n=20)
    note = next(iter(found.values())).drawn
    assert note is not None
    assert note.startswith("average of width 0.08 from 16 snapshots, its profile 1.")
    assert note in caplog.text


def test_a_file_of_its_own_name(run: Path, gan_here: Inside) -> None:
    for words_ in (("sample", "run", "average=0.08", "n=2", "--json"), ("export", "run", "average=0.08", "--json")):
        told = gan_here(*words_)
        assert told.returncode == 0, told.stderr
        assert "average of width 0.08 from 16 snapshots" in told.stderr
        assert "average0.08" in json.loads(told.stdout)["written"][0]
    (exported,) = (run / "exports").glob("*average0.08.safetensors")
    weights = safetensors.torch.load_file(exported)
    assert same(weights, load(run, average=0.08, device="cpu").network.state_dict())
    assert "average of width 0.08 from 16 snapshots" in exported.with_suffix(".md").read_text()


def test_a_checkpoint_alone_has_its_own_two(kept: Path, here: Path) -> None:
    shutil.copyfile(kept / "checkpoints" / "step-000000008.pt", here / "alone.pt")
    state = torch.load(here / "alone.pt", weights_only=True)
    network = load(here / "alone.pt", average=0.1, device="cpu").network
    torch.testing.assert_close(network.state_dict(), dict(state["averages"][0.1]), rtol=1e-6, atol=1e-7)
    with pytest.raises(Incompatible, match=r"of width 0\.05, 0\.1 in 1 checkpoint make one whose profile is 60% off"):
        load(here / "alone.pt", average=0.2)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("average=0.3",), "average=0.3: widths are from 0.01 to 0.28"),
        (("average=nan",), "average=nan: widths are from 0.01 to 0.28"),
        (("average=0.08", "ema=false"), "average=0.08 does not go with ema=false"),
        (("average=0.01",), r"in 8 checkpoints make one whose profile is \d+% off, and 10% .*\n.*keep_every=1"),
    ],
)
def test_refusals(kept: Path, asked: tuple[str, ...], message: str) -> None:
    with pytest.raises(Incompatible, match=message) as caught:
        sample(kept, *asked)
    assert len(str(caught.value).splitlines()) == 2


def test_a_run_that_kept_none(finished: Path) -> None:
    with pytest.raises(Incompatible, match=r"holds no averages .*\n  trainer\.averages=\[0\.05,0\.1\] keeps them"):
        load(finished, average=0.1)


def test_an_exported_generator_has_none(run: Path, gan_here: Inside) -> None:
    assert gan_here("export", "run", "out=g.safetensors").returncode == 0
    told = gan_here("sample", "g.safetensors", "average=0.1")
    assert told.returncode == 2
    assert "g.safetensors holds one generator" in told.stderr


def test_damaged_and_foreign_snapshots_are_left_out(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    steps = sorted((run / "checkpoints").glob("step-*.pt"))
    steps[0].write_bytes(steps[0].read_bytes()[:-50])
    state = torch.load(steps[1], weights_only=True)
    state["averages"][0.05] = {"w": torch.ones(3)}
    torch.save(state, steps[1])
    state = torch.load(steps[2], weights_only=True)
    state["averages"][0.1] = {name: value.long() for name, value in state["averages"][0.1].items()}
    torch.save(state, steps[2])
    with caplog.at_level(logging.INFO, "gan_cli"):
        load(run, average=0.08)
    assert "from 10 snapshots" in caplog.text
    warned = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert [path.name in line for path, line in zip(reversed(steps[:3]), warned, strict=True)] == [True] * 3
    assert "its averages do not fit its own config; it is left out" in warned[1]
    assert "averages.0.1." in warned[0]
    steps[-1].write_bytes(steps[-1].read_bytes()[:-50])
    with pytest.raises(Incompatible, match="in 4 checkpoints"):
        load(run, average=0.02)


def test_a_checkpoint_that_goes_while_all_are_read(
    run: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A run that is still training removes what it need not keep."""
    before = rebuilding.combination
    gone = run / "checkpoints" / "step-000000008.pt"
    monkeypatch.setattr(rebuilding, "combination", lambda *a: (gone.unlink(), before(*a))[1])
    with pytest.raises(CheckpointError, match=f"{gone.name} has changed while it was read\n  the same command"):
        load(run, average=0.08)


def test_more_checkpoints_than_are_read(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "MOST_FILES", 5)
    paths = sorted((kept / "checkpoints").glob("step-*.pt"), reverse=True)
    generator = build.trainer(checked(words())).players["generator"]
    assert rebuild(paths, 0.05, generator)[1].snapshots == 8  # of every second one, from the newest


def test_what_is_nowhere_negative_stays_so() -> None:
    network = nn.BatchNorm1d(2)
    total = Sum(network)
    for factor, variance, mean, count in ((1.5, [0.1, 2.0], [-1.0, 1.0], 7), (-0.5, [1.0, 1.0], [1.0, 1.0], 3)):
        state = network.state_dict()
        values = {"running_var": torch.tensor(variance), "running_mean": torch.tensor(mean)}
        total.add({**state, **values, "num_batches_tracked": torch.tensor(count)}, factor)
    found = total.state()
    assert found["running_var"].tolist() == pytest.approx([0.0, 2.5])
    assert found["running_mean"].tolist() == pytest.approx([-2.0, 1.0])
    assert found["num_batches_tracked"] == 7
    assert found["weight"].dtype == torch.float32
