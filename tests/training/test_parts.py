"""Meter, averaged generator, schedules, optimizers' settings, runtime."""

from __future__ import annotations

import errno
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from conftest import checked, words
from gan_cli import rng
from gan_cli.config import build
from gan_cli.config.nodes import optimizer_node
from gan_cli.errors import ConfigError, NonFinite
from gan_cli.training import runtime
from gan_cli.training.ema import Ema
from gan_cli.training.meter import Meter
from gan_cli.training.runtime import out_of_memory, pick_device, stop_on_signals
from gan_cli.training.schedules import Constant, Cosine, Linear, Steps
from gan_cli.types import Ramp

CPU = torch.device("cpu")


def test_meter_means_over_updates_that_have_the_value() -> None:
    meter = Meter()
    for i in range(4):
        meter.add(("loss",), torch.tensor([float(i)]), step=i + 1)
    meter.add(("loss", "r1"), torch.tensor([10.0, 2.0]), step=5)
    assert meter.means() == {"loss": 16 / 5, "r1": 2.0}
    copy = Meter()
    copy.load_state_dict(meter.state_dict())
    assert copy.means() == meter.means()
    meter.reset()
    assert meter.means() == {}


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_meter_names_the_first_bad_term_and_its_step(bad: float) -> None:
    meter = Meter()
    for step in range(1, 8):
        early = bad if step >= 5 else 0.0
        late = bad if step >= 6 else 0.0
        meter.add(("late", "early"), torch.tensor([late, early]), step)
    with pytest.raises(NonFinite, match="early became infinite or not a number at step 5"):
        meter.means()


def test_ema_half_life() -> None:
    """After one half-life of images the old value counts half."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.constant_(network.weight, 0.0)
    ema = Ema(network, half_life=640, rampup=0.0)
    nn.init.constant_(network.weight, 1.0)
    for i in range(10):
        ema.update(images=64 * (i + 1), shown=64)
    assert ema.network.weight.item() == pytest.approx(0.5)
    assert not any(p.requires_grad for p in ema.network.parameters())


def test_ema_rampup_and_plain_copy() -> None:
    network = nn.BatchNorm1d(2)
    assert Ema(network, 10_000, 0.05).decay(images=1000, shown=50) == pytest.approx(0.5)
    plain = Ema(network, 0, 0.05)
    network(torch.randn(8, 2))
    plain.update(64, 64)
    assert torch.equal(plain.network.running_mean, network.running_mean)
    assert plain.network.num_batches_tracked == 1


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (Constant(), (1, 1, 1, 1)),
        (Linear(), (1, 0.75, 0.5, 0)),
        (Linear(start=0.5, final=0.2), (1, 1, 1, 0.2)),
        (Cosine(), (1, (2 + 2**0.5) / 4, 0.5, 0)),
        (Linear(end=0.5), (1, 0.5, 0, 0)),
        (Cosine(final=0.5), (1, 0.5 + 0.5 * (2 + 2**0.5) / 4, 0.75, 0.5)),
        (Steps([0.75, 0.25, 0.5], 0.1), (1, 0.1, 0.01, 0.001)),
        (Steps([0.5, 0.5]), (1, 1, 0.25, 0.25)),
        (Steps([]), (1, 1, 1, 1)),
    ],
)
def test_schedules(schedule: Ramp, values: tuple[float, ...]) -> None:
    assert [schedule.at(0, p) for p in (0, 0.25, 0.5, 1)] == pytest.approx(values)


def test_steps_are_factor_to_the_number_of_bounds_behind() -> None:
    schedule = Steps([0.125, 0.25, 0.5, 0.75], 0.5)
    for done in torch.linspace(0, 1, 41).tolist():
        assert schedule.at(0, done) == 0.5 ** sum(done >= bound for bound in (0.125, 0.25, 0.5, 0.75))


def test_the_learning_rates_step_down_at_fractions_of_the_run(here: Path) -> None:
    trainer = build.trainer(checked(words("schedule=steps", "schedule.at=[0.5,0.75]", "schedule.factor=0.1", steps=8)))
    trainer.place()
    rates = []
    for _ in range(8):
        trainer.step()
        rates.append(trainer.optimizers["generator"].param_groups[0]["lr"] / 2e-4)
    assert rates == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])
    with pytest.raises(ConfigError, match=r"schedule\.at=\[0\.5, 1\.5\] is not valid"):
        checked(words("schedule=steps", "schedule.at=[0.5,1.5]"))
    with pytest.raises(ConfigError, match=r"schedule\.factor"):
        checked(words("schedule=steps", "schedule.factor=-1"))


def test_each_player_has_its_own_optimizer_settings() -> None:
    config = {
        "_target_": "x",
        "lr": 1.0,
        "betas": [0, 1],
        "generator": {"lr": None, "betas": [0.5, 1]},
        "discriminator": {"lr": 4.0},
    }
    common = {"_target_": "x"}
    assert optimizer_node(config, "generator") == {**common, "lr": 1.0, "betas": [0.5, 1]}
    assert optimizer_node(config, "discriminator") == {**common, "lr": 4.0, "betas": [0, 1]}


def test_seeds_are_mixed_not_added() -> None:
    seeds = {rng.mix(seed, rank, step) for seed in range(10) for rank in range(10) for step in range(10)}
    assert len(seeds) == 1000
    assert rng.mix(1, 2) == rng.mix(1, 2)


def test_unknown_devices_are_refused() -> None:
    assert pick_device("cpu") == CPU
    for name in ("tpu9", "cuda:99"):
        with pytest.raises(ValueError, match="device"):
            pick_device(name)


def test_first_signal_asks_second_interrupts(monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    with stop_on_signals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)  # the same Ctrl-C, passed on by a launcher
        assert stop.asked
        monkeypatch.setattr(runtime, "PATIENCE", 0.0)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGTERM) is before


def test_whoever_handles_the_end_of_a_jobs_time_hears_of_it_when_all_is_saved() -> None:
    """As submitit does, which sends the job again and leaves by SystemExit; what is ignored stays so."""
    told: list[int] = []

    def sends_again(number: int, frame: object) -> None:
        told.append(number)
        raise SystemExit(-1)

    kept = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGUSR2)}
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    signal.signal(signal.SIGUSR2, sends_again)

    def trains() -> None:
        with stop_on_signals() as stop:
            signal.raise_signal(signal.SIGUSR1)
            assert not stop.asked
            signal.raise_signal(signal.SIGUSR2)
            signal.raise_signal(signal.SIGUSR2)
            assert stop.asked
            assert not told

    try:
        with pytest.raises(SystemExit):
            trains()
        assert told == [signal.SIGUSR2]
        assert signal.getsignal(signal.SIGUSR2) is sends_again
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


@pytest.mark.parametrize(
    ("error", "lacks"),
    [
        (MemoryError(), True),
        (OSError(errno.ENOMEM, "x"), True),
        (OSError(errno.ENOSPC, "x"), False),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 4 bytes"), True),
        (RuntimeError("shapes differ"), False),
        (SystemError("error return without exception set"), True),  # of an import of Python 3.11
        (SystemError("bad argument to internal function"), False),
    ],
)
def test_what_a_lack_of_memory_looks_like(error: Exception, lacks: bool) -> None:
    assert out_of_memory(error) is lacks


def test_freed_memory_is_used_again() -> None:
    """Once a process of its own has settled, large tensors cost it no page faults."""
    code = (
        "import resource, torch\n"
        "from gan_cli.training.runtime import keep_freed_memory\n"
        "keep_freed_memory()\n"
        "def faults():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    torch.ones(16, 1024, 1024).sum()\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "print(faults(), min(faults() for _ in range(20)))\n"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    first, later = map(int, printed.split())
    assert first > 10 * later or platform.libc_ver()[0] != "glibc"
