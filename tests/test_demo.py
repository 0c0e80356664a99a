"""The demo: what it says, draws and advises, without training it to its end."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
import torch
from sklearn.datasets import load_digits

from conftest import QUIET
from gan_cli import demo
from gan_cli.cli import main
from gan_cli.config import compose


def test_it_ends_by_steps_so_that_a_busy_machine_draws_the_same_digits() -> None:
    config = compose.compose("train", ["experiment=demo"]).config
    limits = {key: config["trainer"][key] for key in ("max_steps", "max_images", "max_minutes", "max_epochs")}
    assert limits == {"max_steps": limits["max_steps"], "max_images": None, "max_minutes": None, "max_epochs": None}
    assert limits["max_steps"] > 0
    assert config["evaluation"]["every_steps"] is None


def test_half_blocks_show_which_of_two_pixels_are_bright() -> None:
    upper, lower = torch.tensor([[0, 0, 255, 255], [0, 255, 0, 255]], dtype=torch.uint8)
    images = torch.stack([upper, lower]).view(1, 1, 2, 4)
    assert demo.as_text(images.repeat(3, 1, 1, 1), columns=2 + 1) == " ▄▀█" * 3
    assert demo.as_text(images.repeat(4, 1, 1, 1), columns=2) == "\n".join([" ▄▀█" * 2] * 2)


def test_digits_enlarged_by_repetition_are_read_correctly() -> None:
    digits = load_digits()
    images = torch.from_numpy(digits.images * (255 / 16)).round().to(torch.uint8).unsqueeze(1)
    large = images.repeat_interleave(2, -1).repeat_interleave(2, -2)
    torch.testing.assert_close(demo.shrink(large), torch.from_numpy(digits.data).float(), atol=0.05, rtol=0)
    assert (demo.read(large) == torch.from_numpy(digits.target)).float().mean() > 0.99


@pytest.mark.parametrize(("seconds", "said"), [(0.1, "5 s"), (31, "35 s"), (99, "100 s"), (101, "2 min")])
def test_an_estimate_is_rounded_up(seconds: float, said: str) -> None:
    assert demo.duration(seconds) == said


def test_the_pace_is_measured_and_nothing_is_left_behind(here: Path) -> None:
    steps, speed = demo.pace("experiment=demo", "trainer.max_steps=7", seconds=0)
    assert steps == 7
    assert speed > 0
    assert not list(here.iterdir())


def test_it_shows_its_digits_and_what_it_advises_can_be_typed(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    demo.main("trainer.max_steps=2", *QUIET)
    said = capsys.readouterr().out
    assert said.startswith("2 steps take about ")
    (grid,) = here.glob("outputs/train/*/samples/demo.png")
    assert str(grid.relative_to(here)) in said
    advice = [shlex.split(line)[1:] for line in said.split("Try next:\n")[1].splitlines()]
    assert [words[0] for words in advice] == ["sample", "sample", "sample", "train", "train"]
    for words in advice[:4]:
        assert main(words) == 0
    assert any("classes7" in path.name for path in grid.parent.iterdir())
    for words in advice[4:]:
        assert main([*words, "trainer.max_steps=2", *QUIET]) == 0
