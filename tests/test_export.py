"""gan export and load: what leaves can be read again, draws the same, and says what it is."""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from conftest import SMALL_TRANSLATORS, TINY, Inside, words
from gan_cli import evaluate, load, sample, train
from gan_cli.config import plain_yaml
from gan_cli.errors import CheckpointError, ConfigError, Incompatible
from gan_cli.export import card
from gan_cli.store import exported
from gan_cli.store.disk import read_json


@pytest.fixture
def run(here: Path) -> Path:
    """A run with labels."""
    return train(*words("hydra.run.dir=run", "conditioning=concat")).folder


def exported_from(gan_here: Inside, *arguments: str) -> Path:
    done = gan_here("export", *arguments)
    assert done.returncode == 0, done.stderr
    return Path(done.stdout.split(": ")[1].split(" (")[0])


def test_load_draws_what_gan_sample_draws(run: Path) -> None:
    generator = load(run)
    assert isinstance(generator, nn.Module)
    assert not any(module.training for module in generator.modules())
    assert (generator.latent_dim, generator.classes, generator.channels, generator.step) == (4, 10, 1, 2)
    assert (generator.resolution, generator.class_names) == (16, tuple(map(str, range(10))))
    latent, label = generator.latents(5, seed=3)
    torch.testing.assert_close(generator(latent, label), sample(run, "n=5", "seed=3"))
    with pytest.raises(ConfigError, match="a label for each row"):
        generator(latent)


def test_load_takes_what_sample_takes(run: Path) -> None:
    raw = load(run, ema=False, truncation=0.5)
    latent, label = raw.latents(4, classes=(7,))
    assert latent.abs().max() <= 0.5
    assert label.tolist() == [7] * 4
    torch.testing.assert_close(raw(latent, label), sample(run, "n=4", "ema=false", "truncation=0.5", "classes=7"))
    with pytest.raises(ConfigError, match="choices: a2b, b2a"):
        load(run, direction="back")  # type: ignore[arg-type]


def test_points_have_no_sides(here: Path) -> None:
    generator = load(train(*words("dataset=ring", "hydra.run.dir=ring")).folder)
    assert (generator.resolution, generator.channels) == (None, 2)
    assert generator(torch.randn(3, 4)).shape == (3, 2)


def test_exported_weights_are_a_generator_again(run: Path, gan_here: Inside) -> None:
    """It samples, is measured, loaded and exported from its file alone, bit for bit as from the run."""
    file = exported_from(gan_here, "run")
    assert file == Path("run/exports/step-000000002.safetensors")
    alone = file.rename("alone.safetensors")
    assert torch.equal(sample(alone, "n=9", "seed=4"), sample(run, "n=9", "seed=4"))
    assert torch.equal(sample(alone, "mode=directions", "n=2"), sample(run, "mode=directions", "n=2"))
    assert load(alone).class_names == load(run).class_names
    again = exported_from(gan_here, str(alone), "out=again.safetensors")
    assert again.read_bytes() == alone.read_bytes()
    measured = ("n=20", "detector=pixels", "metrics=[fid]", "reference=digits:all")
    assert evaluate(alone, *measured).fd_pixels.value == evaluate(run, *measured).fd_pixels.value


def test_no_path_of_this_machine_leaves(here: Path, gan_here: Inside) -> None:
    train(*words("hydra.run.dir=run", "dataset.root=/home/me/secret"))
    file = exported_from(gan_here, "run")
    assert b"secret" not in file.read_bytes()
    assert "secret" not in file.with_suffix(".md").read_text()


def test_both_ways_of_a_translator(here: Path, gan_here: Inside) -> None:
    train(*SMALL_TRANSLATORS["cyclegan"], *TINY, "callback=[history,checkpoints]", "hydra.run.dir=run")
    for direction in ("a2b", "b2a"):
        file = exported_from(gan_here, "run", f"direction={direction}")
        there, alone = load("run", direction=direction), load(file)
        source = torch.rand(1, there.source_channels, 21, 18)
        assert torch.equal(there(source), alone(source))
        assert there(source).shape[2:] == (21, 18)
    with pytest.raises(Incompatible, match="no way back"):
        load(file, direction="b2a")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "as=onyx"], "choices: html, onnx, safetensors"),
        (["run", "out=x.onnx"], "this form is a .safetensors file"),
        (["run", "as=onnx", "as.opset=3"], "as.opset"),
        (["run", "as=onnx", "as.tolerances=3"], "as.tolerance"),
        (["run", "direction=b2a"], "no way back"),
        (["nowhere"], "nowhere does not exist"),
        (["run", "out=/dev/full"], "no space left on device"),
        (["run", "n=3"], "unknown setting 'n'"),
        ([], "which run?"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_a_wrong_request_costs_two_lines(run: Path, gan_here: Inside, arguments: list[str], expected: str) -> None:
    done = gan_here("export", *arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert len(done.stderr.strip().splitlines()) <= 2
    assert not Path("run/exports").exists()


def test_without_the_extra_it_is_named(run: Path, gan_here: Inside, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    done = gan_here("export", "run", "as=onnx")
    assert done.returncode == 2
    assert done.stderr.splitlines()[1] == "  pip install 'gan-cli[export]'"


def test_an_input_is_not_overwritten(run: Path, gan_here: Inside) -> None:
    exported_from(gan_here, "run", "out=x.safetensors")
    before = Path("x.safetensors").read_bytes()
    done = gan_here("export", "x.safetensors")
    assert (done.returncode, "would overwrite" in done.stderr) == (2, True)
    assert Path("x.safetensors").read_bytes() == before


def test_a_link_in_a_strangers_run_is_not_followed(run: Path, gan_here: Inside) -> None:
    Path("precious").write_text("mine")
    (run / "exports").mkdir()
    (run / "exports" / "step-000000002.md").symlink_to(Path("precious").absolute())
    assert gan_here("export", "run").returncode == 2
    assert Path("precious").read_text() == "mine"


def remade(path: Path, change: dict[str, str], weights: dict[str, torch.Tensor] | None = None) -> Path:
    """An exported file with other facts in its header, or other weights."""
    import safetensors.torch

    held = safetensors.torch.load_file(path)
    facts = {**exported.header_of(path)["__metadata__"], **change}  # type: ignore[index]
    target = path.with_name("remade.safetensors")
    safetensors.torch.save_file(held if weights is None else weights, target, facts)
    return target


def test_a_strangers_file_is_bounded_and_runs_nothing(run: Path, gan_here: Inside) -> None:
    file = exported_from(gan_here, "run", "out=x.safetensors")
    config = exported.unpack(file)["config"]
    assert plain_yaml.read(config.encode())["model"]["latent_dim"] == 4
    hostile = {
        "may not be used there": {"config": config.replace("gan_cli.networks.mlp.Generator", "os.system", 1)},
        "do not fit its own config": {"config": config.replace("- 8\n", "- 800000000\n")},
        "interpolation": {"config": config.replace("latent_dim: 4", "latent_dim: ${oc.env:HOME}")},
        "not of a generator that gan exported": {"format": "pt"},
        "from 0 to 2": {"step": "-1"},
        "list of words": {"class_names": "[1, 2]"},
    }
    for expected, change in hostile.items():
        with pytest.raises(ValueError, match=expected):
            load(remade(file, change))
    nan = {name: torch.full_like(weight, torch.nan) for name, weight in exported.unpack(file)["ema"].items()}
    with pytest.raises(CheckpointError, match="infinite or not a number"):
        load(remade(file, {}, nan))
    names = remade(file, {"class_names": json.dumps(["\x1b[31m</script>"] * 10)})
    assert "\x1b" not in "".join(load(names).class_names)


def test_damaged_files_are_refused(run: Path, gan_here: Inside) -> None:
    whole = exported_from(gan_here, "run", "out=x.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", whole[:8])
    for content in (whole[:-10], whole[: 8 + length], whole[:20], struct.pack("<Q", 2**62) + whole[8:], b""):
        Path("y.safetensors").write_bytes(content)
        with pytest.raises(CheckpointError):
            load("y.safetensors")
    with pytest.raises(Incompatible, match="holds one generator"):
        load("x.safetensors", ema=False)


def test_the_card_says_what_was_measured_and_of_which_step(run: Path, gan_here: Inside) -> None:
    file = exported_from(gan_here, "run")
    text = file.with_suffix(".md").read_text()
    assert "Nothing was measured" in text
    assert "to be filled in" in text
    known = read_json(run / "manifest.json")["data"]
    assert f"samples `{known['samples']}`, sha256 `{known['sha256']}`" in text
    assert gan_here("eval", "run", "n=20", "detector=pixels", "metrics=[fid]").returncode == 0
    text = exported_from(gan_here, "run").with_suffix(".md").read_text()
    assert "at step 2." in text
    assert "| `fd_pixels` |" in text


def test_a_card_that_was_filled_in_stays(run: Path, gan_here: Inside) -> None:
    file = exported_from(gan_here, "run").with_suffix(".md")
    filled = file.read_text().replace(card.LICENCE, "CC0")
    file.write_text(filled)
    done = gan_here("export", "run")
    assert (done.returncode, "stays as it is" in done.stderr) == (0, True)
    assert file.read_text() == filled


def test_markdown_of_a_stranger_stays_code() -> None:
    assert card.code("a`b|c\n<script>\x1b") == "`a'b/c\\n<script>\\x1b`"
    held = card.block("x\n````\n# not a heading", "yaml")
    assert held.startswith("`````yaml\n")
    assert held.endswith("\n`````")
