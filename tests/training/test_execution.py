"""Compiled networks compute what networks compute, in the updates that differentiate once; and a run resumes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from conftest import SMALL_DCGAN, SMALL_PROGRESSIVE, checked, words
from gan_cli import train
from gan_cli.auxiliaries import PathLength
from gan_cli.data.points import Points, ring
from gan_cli.errors import ConfigError, Incompatible
from gan_cli.games.adversarial import Adversarial
from gan_cli.games.parts import Parts
from gan_cli.games.unrolled import Unrolled
from gan_cli.losses import NonSaturating
from gan_cli.networks import mlp
from gan_cli.penalties import R1, LeCam, OfGradients
from gan_cli.priors import Normal
from gan_cli.store.checkpoint import load
from gan_cli.training.execution import Compiled, changes, networks_of
from gan_cli.training.runtime import Runtime, process_settings_kept
from gan_cli.training.schedules import Constant
from gan_cli.training.trainer import Trainer
from gan_cli.types import Round

TRACED = "aot_eager"  # traces and differentiates as inductor does, and needs no C++ compiler


def trainer(compiled: bool, kind: type[Adversarial] = Adversarial, **terms: Any) -> Trainer:
    torch.manual_seed(0)
    networks = mlp.Generator(2, 2, (), (8,)), mlp.Discriminator(2, (), (8,))
    game = kind(Parts(*networks, NonSaturating(), Normal(2), **terms))
    optimizers = {name: torch.optim.SGD(player.parameters(), 0.1) for name, player in game.players().items()}
    execution = Compiled(game.players(), backend=TRACED) if compiled else None
    built = Trainer(
        game, Points(ring(), batch_size=8), optimizers, 0, Constant(), max_steps=4, device="cpu", execution=execution
    )
    built.place()
    return built


def weights(trainer: Trainer) -> Tensor:
    return torch.cat([p.detach().flatten() for p in trainer.game.parameters()])


def test_compiled_steps_are_the_eager_ones_with_and_without_a_lazy_penalty() -> None:
    ours, theirs = (trainer(compiled, penalties={"r1": R1(1.0, interval=2)}) for compiled in (True, False))
    before = weights(ours)
    for _ in range(2):
        ours.step()
        theirs.step()
    torch.testing.assert_close(weights(ours), weights(theirs), rtol=1e-5, atol=1e-6)
    assert not torch.allclose(weights(ours), before)
    assert all("forward" not in vars(player) for player in ours.players.values())  # between steps nothing is changed


def test_a_resumed_run_with_compiled_networks_is_the_same() -> None:
    whole, first, second = (trainer(True, penalties={"r1": R1(1.0, interval=2)}) for _ in range(3))
    for _ in range(3):
        whole.step()
    first.step()
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    second.step()
    second.step()
    assert torch.equal(weights(second), weights(whole))


@pytest.mark.parametrize(
    ("kind", "terms", "expected"),
    [
        (Adversarial, {}, {"discriminator": [False] * 4, "generator": [False] * 4}),
        (Adversarial, {"penalties": {"lecam": LeCam()}}, {"discriminator": [False] * 4, "generator": [False] * 4}),
        (
            Adversarial,
            {"penalties": {"r1": R1(interval=2)}},
            {"discriminator": [True, False] * 2, "generator": [False] * 4},
        ),
        (
            Adversarial,
            {"auxiliaries": {"p": PathLength(interval=4)}},
            {"discriminator": [False] * 4, "generator": [True, False, False, False]},
        ),
        (Unrolled, {}, {"discriminator": [False] * 4, "generator": [True] * 4}),
    ],
)
def test_phases_say_which_updates_differentiate_twice(
    kind: type[Adversarial], terms: dict[str, Any], expected: dict[str, list[bool]]
) -> None:
    networks = mlp.Generator(2, 2, (), (8,)), mlp.Discriminator(2, (), (8,))
    game = kind(Parts(*networks, NonSaturating(), Normal(2), **terms))
    assert {p.player: [p.twice(update) for update in range(4)] for p in game.phases()} == expected


def test_fakes_that_are_handed_over_are_computed_as_the_stricter_update_needs_them() -> None:
    networks = mlp.Generator(2, 2, (), (8,)), mlp.Discriminator(2, (), (8,))
    parts = Parts(*networks, NonSaturating(), Normal(2), auxiliaries={"p": PathLength(interval=4)})
    first, _ = Adversarial(parts, fakes="reused").phases()
    assert (first.player, first.twice(1)) == ("discriminator", True)


class Steep(OfGradients):
    """Made of gradients, which it does not say."""

    twice = False

    def forward(self, current: Round) -> Tensor:
        return R1.forward(self, current)  # type: ignore[arg-type]

    needs = R1.needs


def test_what_cannot_be_compiled_is_said_in_two_lines_and_nothing_is_changed() -> None:
    broken, sound = trainer(True, penalties={"mine": Steep()}), trainer(True)
    before, random = weights(broken), torch.get_rng_state()
    with pytest.raises(Incompatible, match="updates of the discriminator cannot be compiled") as caught:
        broken.execution.rehearse(broken.runtime, broken.game, broken.data.batch(0))  # type: ignore[attr-defined]
    assert len(str(caught.value).splitlines()) == 2
    said = sound.execution.rehearse(sound.runtime, sound.game, sound.data.batch(0))  # type: ignore[attr-defined]
    assert "discriminator and the generator" in said
    assert torch.equal(weights(broken), before)
    assert torch.equal(torch.get_rng_state(), random)
    assert all(p.grad is None for t in (broken, sound) for p in t.game.parameters())


def test_a_machine_without_a_compiler_is_told_before_the_run(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ConfigError, match=r"needs a C\+\+ compiler \(no-such-compiler\)\S* which is not here\n  "):
        train(*words("trainer.compile=true", "hydra.run.dir=run"))
    assert not Path("run").exists()


def test_networks_that_change_with_the_clock_are_not_compiled() -> None:
    from gan_cli.config import build

    game = build.game(checked(words(model=SMALL_PROGRESSIVE["pggan"])))
    execution = Compiled(game.players(), backend=TRACED)
    assert execution.moving == ["discriminator", "generator"]
    assert not execution.forwards
    assert not changes(mlp.Discriminator(2, (), (8,)))


def test_of_a_list_of_networks_each_is_compiled_and_an_empty_one_is_none() -> None:
    pair = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)])
    assert networks_of(pair) == list(pair)
    assert networks_of(nn.Identity()) == []


def tensors(state: Any) -> list[Tensor]:
    if isinstance(state, Tensor):
        return [state]
    inner = state.values() if isinstance(state, dict) else state if isinstance(state, list | tuple) else ()
    return [tensor for value in inner for tensor in tensors(value)]


@pytest.mark.parametrize(
    "settings",
    [
        ("trainer.channels_last=true",),
        ("trainer.channels_last=true", "trainer.precision=bfloat16", "optimizer.fused=true", "trainer.threads=1"),
    ],
)
def test_a_run_resumes_bit_for_bit_with_each_setting(here: Path, settings: tuple[str, ...]) -> None:
    train(*words(*settings, "hydra.run.dir=whole", model=SMALL_DCGAN, steps=4))
    train(*words(*settings, "hydra.run.dir=parts", model=SMALL_DCGAN, steps=2))
    train("resume=parts", "trainer.max_steps=4")
    whole, parts = (load(Path(run, "checkpoints", "last.pt")) for run in ("whole", "parts"))
    for part in ("game", "ema", "optimizers"):
        assert len(tensors(whole[part])) > 4
        assert all(torch.equal(a, b) for a, b in zip(tensors(whole[part]), tensors(parts[part]), strict=True))


def test_what_a_run_sets_for_its_process_ends_with_it() -> None:
    before = torch.get_num_threads(), torch.backends.cudnn.benchmark
    with process_settings_kept():
        Runtime(torch.device("cpu"), threads=before[0] + 1, benchmark=True).prepare()
        assert (torch.get_num_threads(), torch.backends.cudnn.benchmark) == (before[0] + 1, True)
    assert (torch.get_num_threads(), torch.backends.cudnn.benchmark) == before


def test_channels_last_changes_where_numbers_lie_and_not_what_they_are() -> None:
    network = nn.Conv2d(3, 4, 3)
    before, pixels = network.weight.detach().clone(), torch.randn(2, 3, 8, 8)
    Runtime(torch.device("cpu"), channels_last=True).place(network)
    assert torch.equal(network.weight, before)
    assert network(pixels).is_contiguous(memory_format=torch.channels_last)
    assert str(Runtime(torch.device("cpu"), channels_last=True, threads=2)) == "cpu, channels last, 2 threads"
