"""Names of parts are a file format: whatever conf/ once named can be loaded for ever."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from conftest import Inside
from gan_cli import sample, train
from gan_cli.config import build, listed, renamed, trust
from gan_cli.errors import ConfigError

DATA = Path(__file__).parent / "data"
# Every slot and target that conf/ has ever named; lines are only added.
GOLDEN = [tuple(line.rsplit(" ", 1)) for line in (DATA / "targets.txt").read_text().splitlines()]


def test_every_part_of_conf_is_on_the_list() -> None:
    named = {(slot, target) for slot, targets in listed.slots().items() for target in targets}
    missing = sorted(f"{slot} {target}" for slot, target in named - set(GOLDEN))
    assert not missing, f"add to {DATA / 'targets.txt'}:\n" + "\n".join(missing)


@pytest.mark.parametrize(("slot", "target"), GOLDEN, ids=lambda word: word)
def test_every_name_that_was_ever_given_is_found(slot: str, target: str) -> None:
    assert callable(trust.for_files().resolve(slot, target))


def test_what_moved_is_found_by_its_old_name(monkeypatch: pytest.MonkeyPatch) -> None:
    node = {"_target_": "gan_cli.old.Softplus"}
    with pytest.raises(ConfigError, match="may not be used"):
        build.check_part("loss", node, trust.for_files())
    monkeypatch.setattr(renamed, "RENAMED", {"gan_cli.old.Softplus": "gan_cli.losses.NonSaturating"})
    part = build.check_part("loss", node, trust.for_files())
    assert part.plain()["_target_"] == "gan_cli.losses.NonSaturating"


def test_a_ramp_that_moved_is_still_a_ramp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renamed, "RENAMED", {"gan_cli.old.Linear": "gan_cli.ramps.Linear"})
    ramp = {"_target_": "gan_cli.old.Linear", "start": 1, "end": 0, "images": 10}
    part = build.check_part("penalty.r1", {"_target_": "gan_cli.penalties.R1", "weight": ramp}, trust.for_files())
    assert float(build.make(part).weight) == 1


@pytest.mark.parametrize("source", ["run", "run/checkpoints/last.pt"])
def test_an_old_run_is_sampled(source: str) -> None:
    expected = torch.load(DATA / "run_expected.pt", weights_only=True)["samples"]
    torch.testing.assert_close(sample(DATA / source, "n=10", "seed=3"), expected, rtol=1e-4, atol=1e-4)


def test_an_old_run_is_resumed(here: Path) -> None:
    shutil.copytree(DATA / "run", here / "run")
    assert train("resume=run", "trainer.max_steps=6").step == 6
    state = torch.load(here / "run/checkpoints/last.pt", weights_only=True)["game"]
    for name, weight in torch.load(DATA / "run_expected.pt", weights_only=True)["game"].items():
        torch.testing.assert_close(state[name], weight, rtol=1e-3, atol=1e-4, msg=name)


def test_an_old_run_is_measured(gan_here: Inside, here: Path) -> None:
    shutil.copytree(DATA / "run", here / "run")
    done = gan_here("eval", "run", "n=64", "detector=pixels", "metrics=[kid]")
    assert done.returncode == 0, done.stderr
