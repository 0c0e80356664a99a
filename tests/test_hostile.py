"""Strangers' run folders and checkpoints run nothing, delete nothing, and write only into the run itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import nn

from conftest import Inside, words
from gan_cli import evaluate, sample, train
from gan_cli.config import build, listed, nodes, own, plain_yaml, saved, trust
from gan_cli.config.choices import packaged
from gan_cli.config.compose import compose
from gan_cli.errors import CheckpointError, ConfigError, DataError
from gan_cli.games.base import Game
from gan_cli.runs.bounds import Modest
from gan_cli.runs.glance import glance, looks_like_one
from gan_cli.store.archives import config_in

REFUSED = r"may not be used|interpolation"
HOSTILE: list[tuple[str, Any]] = [
    ("loss._target_", "os.system"),
    ("loss._target_", "subprocess.Popen"),
    ("loss._target_", "builtins.eval"),
    ("loss._target_", "torch.hub.load"),
    ("loss._target_", "torch.load"),
    ("loss._target_", "gan_cli.training.trainer.torch.hub.load"),  # an alias through a trusted module
    ("loss._target_", "gan_cli.data.images.os.system"),
    ("loss._target_", "gan_cli.networks.dcgan.nn.utils.spectral_norm"),
    ("loss._target_", "gan_cli.data.folder.os.remove"),
    ("loss._target_", "gan_cli.data.folder._write"),
    ("loss._target_", "gan_cli.store.checkpoint.save"),
    ("loss._target_", "gan_cli.cli.main"),
    ("loss._target_", "torch.nn.Module.load_state_dict"),
    ("prior._target_", "hydra.utils.instantiate"),
    ("game._target_", "gan_cli.config.build.make"),
    ("model.generator", {"_target_": "gan_cli.networks.mlp.Generator", "hidden": {"_target_": "os.getcwd"}}),
    ("loss.real_label", "${oc.env:HOME}"),
    ("loss.real_label", "${oc.decode:'1'}"),
    ("${oc.env:HOME}", 1),
    # a part, but from another place
    ("loss._target_", "gan_cli.priors.Normal"),
    ("prior._target_", "gan_cli.callbacks.checkpoints.Checkpoints"),
    ("model.generator.conditioning._target_", "torch.nn.Identity"),
]


def change(config: dict, key: str, value: Any) -> dict:
    node = config
    *path, last = [key] if key.startswith("$") else key.split(".")
    for name in path:
        node = node[name]
    node[last] = value
    return config


@pytest.mark.parametrize(("key", "value"), HOSTILE, ids=lambda v: str(v)[:60])
def test_hostile_checkpoints(finished: Path, here: Path, key: str, value: Any) -> None:
    state = torch.load(finished / "checkpoints" / "last.pt", weights_only=True)
    state["config"] = yaml.safe_dump(change(yaml.safe_load(state["config"]), key, value))
    torch.save(state, here / "evil.pt")
    for attempt in (lambda: sample(here / "evil.pt"), lambda: evaluate(here / "evil.pt", "detector=pixels")):
        with pytest.raises(ConfigError, match=REFUSED):
            attempt()


@pytest.mark.parametrize(("key", "value"), HOSTILE, ids=lambda v: str(v)[:60])
def test_hostile_run_folders(finished: Path, here: Path, key: str, value: Any) -> None:
    stranger(finished, here, lambda config: change(config, key, value))
    with pytest.raises(ConfigError, match=REFUSED):
        train("resume=run", "trainer.max_steps=9")
    with pytest.raises(ConfigError, match=REFUSED):
        train("repeat=run", "trainer.max_steps=9")


def stranger(finished: Path, here: Path, changed: Callable[[dict], Any], text: str = "") -> Path:
    """A run folder as somebody else might hand it over, its config changed in the folder and in the checkpoint."""
    run = here / "run"
    shutil.copytree(finished, run)
    config = yaml.safe_load((run / "config.yaml").read_text())
    content = yaml.safe_dump(changed(config) or config, sort_keys=False) + text
    (run / "config.yaml").write_text(content)
    state = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
    for path in (run / "checkpoints").glob("*.pt"):
        path.unlink()
    torch.save({**state, "config": content}, run / "checkpoints" / "last.pt")
    return run


def inside(config: dict, node: Any) -> None:
    """Hides a node in a generator's argument."""
    config["model"]["generator"]["conditioning"]["hidden"] = node


VICTIM = "victim.txt"
FAKE_SELF = {"_target_": "torch.nn.ParameterDict"}
ANY_FILE = {"_target_": "gan_cli.metrics.inception.find_weights", "weights": VICTIM}
# A node, wherever it may be hidden, that would run code, delete or overwrite a file, or never come back.
NODES: dict[str, Any] = {
    "hub": {"_target_": "gan_cli.metrics.pretrained.Dinov2", "weights": VICTIM, "repository": "run"},
    "delete": {
        "_target_": "gan_cli.metrics.store.Bookmark.remove",
        "self": {"_target_": "gan_cli.metrics.store.Bookmark", "path": ANY_FILE},
    },
    "overwrite": {"_target_": "gan_cli.callbacks.plots.plot", "rows": [], "names": [], "title": "x", "path": ANY_FILE},
    "write": {"_target_": "gan_cli.callbacks.history.History.on_start", "self": FAKE_SELF, "trainer": FAKE_SELF},
    "hang": {"_target_": "gan_cli.metrics.detectors.sha256", "path": "/dev/zero"},
    "callback": {"_target_": "gan_cli.callbacks.checkpoints.Checkpoints"},
    "files": {"_target_": "gan_cli.store.disk.write_text", "path": VICTIM, "text": ""},
    "method": {"_target_": "gan_cli.store.run.Run.begin", "self": FAKE_SELF, "config": "", "command": "", "facts": {}},
    "train": {"_target_": "gan_cli.commands.train.train", "_args_": ["resume=run"]},
    "deep": {"a": [{"b": [[{"_target_": "os.remove", "path": VICTIM}]]}]},
    "partial": {"_target_": "gan_cli.networks.conditioning.ConcatLatent", "_partial_": True, "classes": 10, "width": 1},
    "arguments": {"_target_": "gan_cli.networks.mlp.Generator", "_args_": [4, 1, 16]},
    "recursive": {"_target_": "gan_cli.networks.mlp.Generator", "_recursive_": False, "latent_dim": 4},
    "escape": {"_target_": "\x1b]0;title\x07\x1b[31mos.remove", "path": VICTIM},
}
PLACES_FOR_NODES: dict[str, Callable[[dict, Any], None]] = {
    "argument": inside,
    "generator": lambda config, node: change(config, "model.generator", node),
    "penalty": lambda config, node: change(config, "penalty", {"r1": node}),
    "auxiliary": lambda config, node: change(config, "auxiliary", {"x": {"y": node}}),
    "panel": lambda config, node: change(config, "panel", node),
    "list": lambda config, node: change(config, "model.generator.hidden", [8, node]),
}


def snapshot(folder: Path) -> dict[str, Any]:
    """Every file below a folder with its content; links as links."""
    paths = (p for p in folder.rglob("*") if p.is_symlink() or not p.is_dir())
    return {str(p): os.readlink(p) if p.is_symlink() else p.read_bytes() for p in paths}


# Every node in two places, and three of them in every place.
HIDDEN = [
    (name, place)
    for name in NODES
    for place in PLACES_FOR_NODES
    if place in ("argument", "list") or name in ("hub", "delete", "deep")
]


@pytest.mark.parametrize(("name", "place"), HIDDEN)
def test_a_node_that_does_harm_is_refused_before_anything_is_built(
    gan_here: Inside, finished: Path, here: Path, name: str, place: str
) -> None:
    (here / VICTIM).write_text("precious")
    run = stranger(finished, here, lambda config: PLACES_FOR_NODES[place](config, NODES[name]))
    (run / "hubconf.py").write_text(f"open({str(here / 'ran')!r}, 'w')\ndef dinov2_vitl14(**k): raise SystemExit(3)\n")
    before, loaded = snapshot(here), set(sys.modules)
    for command in (["sample", "run"], ["eval", "run", "detector=pixels"], ["train", "resume=run"]):
        told = gan_here(*command)
        assert told.returncode == 2, told.stderr
        assert "Traceback" not in told.stderr
        assert "HYDRA_FULL_ERROR" not in told.stderr
    assert snapshot(here) == before
    assert "hubconf" not in set(sys.modules) - loaded


def bomb(levels: int) -> str:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, levels)]
    return "\n".join(lines) + "\n"


TEXTS = {
    "aliases": bomb(9),
    "pairs": "x: !!pairs [[_target_, os.getcwd]]\n",
    "omap": "x: !!omap [{_target_: os.getcwd}]\n",
    "binary": "x: !!binary aGVsbG8=\n",
    "set": "x: !!set {a, b}\n",
    "object": "x: !!python/object/apply:os.getcwd []\n",
    "twice": "seed: 1\n",
    "anchor": "x: &x 1\n",
    "recursion": "x: &x [*x]\n",
    "nested": "x: " + "[" * 3000 + "\n",
    "digits": "x: " + "9" * 5000 + "\n",
    "number": "1: x\n",
    "long": "x: " + "y" * plain_yaml.LARGEST + "\n",
    "documents": "---\nx: 1\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_config_that_is_not_plain_yaml_is_refused(gan_here: Inside, finished: Path, here: Path, name: str) -> None:
    stranger(finished, here, lambda config: None, TEXTS[name])
    for command in (["sample", "run"], ["train", "resume=run"], ["train", "repeat=run"]):
        told = gan_here(*command)
        assert told.returncode == 2, told.stderr
        assert "was refused" in told.stderr
        assert len(told.stderr.strip().splitlines()) == 2


def test_bytes_that_are_not_text_are_refused(gan_here: Inside, finished: Path, here: Path) -> None:
    run = stranger(finished, here, lambda config: None)
    (run / "config.yaml").write_bytes((run / "config.yaml").read_bytes() + b"x: \xff\n")
    told = gan_here("train", "resume=run")
    assert (told.returncode, len(told.stderr.strip().splitlines())) == (2, 2)
    assert "UTF-8" in told.stderr


@pytest.mark.parametrize("name", ["x/../../../escaped", "../escaped", "..", "a\nb", "a/b", "x" * 300, ""])
def test_a_name_leads_nowhere(gan_here: Inside, finished: Path, here: Path, name: str) -> None:
    stranger(finished, here, lambda config: change(config, "name", name))
    before = snapshot(here)
    told = gan_here("train", "repeat=run")
    assert told.returncode == 2
    assert "name=" in told.stderr
    assert snapshot(here) == before


LINKED = ("train.log", "metrics.jsonl", "manifest.json", "result.json", "samples", "checkpoints", "plots", "evals")


@pytest.mark.parametrize("name", [*LINKED, "tensorboard", "checkpoints/step-000000001.pt"])
def test_links_out_of_a_run_folder_are_not_followed(gan_here: Inside, finished: Path, here: Path, name: str) -> None:
    run = stranger(finished, here, lambda config: None)
    (here / "outside").mkdir()
    (here / VICTIM).write_text("precious")
    link = run / name
    shutil.rmtree(link) if link.is_dir() else link.unlink(missing_ok=True)
    link.symlink_to(here / ("outside" if "." not in name else VICTIM))
    before = snapshot(here)
    reading = (["sample", "run"], ["eval", "run", "detector=pixels"], ["compare", "run", "run"])
    for command in (*reading, ["train", "resume=run"], ["train", "repeat=run"]):
        told = gan_here(*command)
        assert told.returncode == 2, (command, told)
        assert "leads out of" in told.stderr
    assert snapshot(here) == before


def test_places_in_a_strangers_file_are_not_used(finished: Path, here: Path, caplog: pytest.LogCaptureFixture) -> None:
    theirs = {name: str(here / name) for name in ("root", "cache", "features", "weights", "code")}

    def moved(config: dict) -> None:
        config["dataset"] |= {"root": theirs["root"], "cache": theirs["cache"]}
        config["evaluation"] |= {"cache": theirs["features"], "every_steps": 1, "n": 20}
        config["init_from"] = theirs["weights"]

    stranger(finished, here, moved)
    train("resume=run", "trainer.max_steps=5")
    evaluate(here / "run", "detector=pixels", n=20)
    assert sorted(p.name for p in here.iterdir()) == ["run"]
    saved = yaml.safe_load((here / "run" / "config.yaml").read_text())
    assert not [value for value in (saved["dataset"]["root"], saved["evaluation"]["cache"]) if str(here) in value]
    assert saved["init_from"] is None


def test_detectors_of_a_strangers_run_load_no_code_of_theirs(gan_here: Inside, finished: Path, here: Path) -> None:
    def theirs(config: dict) -> None:
        config["evaluation"] |= {"every_steps": 1, "detector": NODES["hub"]}

    run = stranger(finished, here, theirs)
    (run / "hubconf.py").write_text(f"open({str(here / 'ran')!r}, 'w')\n")
    (here / VICTIM).write_bytes(b"x")
    assert gan_here("train", "resume=run", "trainer.max_steps=5").returncode == 2
    assert not (here / "ran").exists()


@pytest.fixture
def photographs(here: Path) -> Path:
    folder = here / "photographs"
    folder.mkdir()
    for i in range(20):
        pixels = np.random.default_rng(i).integers(0, 256, (16, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def test_ones_own_photographs_are_found_and_a_stranger_has_to_be_told_where(
    gan_here: Inside, here: Path, photographs: Path
) -> None:
    own_words = words("dataset=folder", "dataset.root=photographs", "dataset.resolution=16", "dataset.channels=1")
    folder = train(*own_words, "hydra.run.dir=run").folder
    assert evaluate(folder, "detector=pixels", n=20).fd_pixels.n == 20
    config = (folder / "config.yaml").read_text()
    assert own.is_own(config)
    other = config.replace("strict: false", "strict: true")
    (folder / "config.yaml").write_text(other)
    state = torch.load(folder / "checkpoints" / "last.pt", weights_only=True)
    torch.save({**state, "config": other}, folder / "checkpoints" / "last.pt")
    told = gan_here("eval", "run", "detector=pixels", "n=20")
    assert told.returncode == 2
    assert str(photographs) in told.stderr
    assert gan_here("eval", "run", "detector=pixels", "n=20", f"root={photographs}").returncode == 0
    assert gan_here("train", "resume=run", "trainer.max_steps=3").returncode == 2
    assert gan_here("train", "resume=run", "trainer.max_steps=3", f"dataset.root={photographs}").returncode == 0


TOO_LARGE: dict[str, Callable[[dict], Any]] = {
    "width": lambda config: change(config, "model.generator.hidden", [10**9]),
    "latents": lambda config: change(config, "prior.latent_dim", 10**12),
    "jury": lambda config: change(config, "panel", {"_target_": "gan_cli.networks.panel.Jury", "count": 10**9}),
    "side": lambda config: change(config, "model.generator.resolution", 10**6),
    "side of the data": lambda config: change(config, "dataset.resolution", 10**6),
    "other layers": lambda config: change(config, "model.discriminator.spectral_norm", True),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_a_config_cannot_ask_for_more_than_its_weights_are(
    gan_here: Inside, finished: Path, here: Path, name: str
) -> None:
    stranger(finished, here, TOO_LARGE[name])
    told = gan_here("eval", "run", "detector=pixels", "n=20")
    assert told.returncode == 2, told.stderr
    assert len(told.stderr.strip().splitlines()) == 2


@pytest.mark.parametrize(
    "make",
    [
        lambda: torch.randn(65536, 65536),
        lambda: torch.zeros((2**20, 2**20)),
        lambda: torch.ones(101, device="cpu"),
        lambda: nn.Linear(20, 6),
        lambda: [nn.Linear(9, 10) for _ in range(3)],
        lambda: [nn.Linear(2, 1) for _ in range(4)],
    ],
)
def test_what_is_built_is_no_larger_than_its_weights(make: Callable[[], object]) -> None:
    refusal = CheckpointError("too large", "")
    with Modest(100, 6, refusal), pytest.raises(CheckpointError) as told:
        make()
    assert told.value is refusal


def test_building_within_the_bounds_changes_nothing() -> None:
    torch.manual_seed(0)
    with Modest(100, 6, CheckpointError("too large", "")):
        bounded = nn.Sequential(nn.Linear(9, 10), nn.BatchNorm1d(10), nn.Linear(5, 7))
    torch.manual_seed(0)
    free = nn.Sequential(nn.Linear(9, 10), nn.BatchNorm1d(10), nn.Linear(5, 7))
    assert all(torch.equal(a, b) for a, b in zip(bounded.parameters(), free.parameters(), strict=True))
    nn.Linear(200, 200)  # outside, the bounds are lifted


def test_sampling_does_not_load_the_compiler(finished: Path, here: Path) -> None:
    """It takes a second to import, as long as everything else together."""
    words = ["sample", str(finished), "n=1", "out=one.png"]
    look = "assert not {'torch._dynamo', 'sympy'} & {*sys.modules}"
    program = f"import sys; from gan_cli.cli import main; main({words}); {look}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (here / "one.png").is_file()


def test_a_run_folders_hydra_section_has_no_effect(finished: Path, here: Path) -> None:
    """Logging classes of a composed Hydra config would be instantiated; a resumed run is not composed by Hydra."""
    shutil.copytree(finished, here / "run")
    config = here / "run" / "config.yaml"
    evil = {"handlers": {"x": {"()": "os.system", "command": f"touch {here / 'written'}"}}, "root": {"handlers": ["x"]}}
    config.write_text(config.read_text() + yaml.safe_dump({"hydra": {"job_logging": evil}}))
    train("resume=run", "trainer.max_steps=5")
    assert not (here / "written").exists()


def test_a_module_beside_the_run_is_not_imported(finished: Path, here: Path) -> None:
    (here / "payload.py").write_text(f"open({str(here / 'written')!r}, 'w')\nclass Loss: pass\n")
    stranger(finished, here, lambda config: change(config, "loss._target_", "payload.Loss"))
    with pytest.raises(ConfigError, match="trust=payload"):
        train("resume=run", "trainer.max_steps=9")
    assert not (here / "written").exists()


def test_users_own_code_composed_on_their_own_command_line_needs_trust_too(here: Path) -> None:
    with pytest.raises(ConfigError, match="may not be used"):
        train(*words("loss._target_=os.system"))


OWN = """
import os
from torch.hub import load
from gan_cli.losses import Hinge

class Mine(Hinge):
    def method(self): ...

class _Hidden(Hinge): ...
"""


@pytest.fixture
def mine(here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (here / "my_losses.py").write_text(OWN)
    monkeypatch.syspath_prepend(here)
    yield
    sys.modules.pop("my_losses", None)


def test_trust_in_one_call_does_not_outlive_it(mine: None, here: Path) -> None:
    own_words = words("loss=hinge", "loss._target_=my_losses.Mine")
    before = list(sys.argv)
    folder = train(*own_words, "trust=my_losses").folder
    assert sys.argv == before
    assert not [name for name, value in os.environ.items() if "my_losses" in value]
    for attempt in (
        lambda: train(*own_words),
        lambda: sample(folder),
        lambda: evaluate(folder, "detector=pixels", n=20),
        lambda: train(f"resume={folder}", "trainer.max_steps=3"),
    ):
        with pytest.raises(ConfigError, match="trust=my_losses"):
            attempt()
    assert sample(folder, "n=2", "trust=my_losses").shape[0] == 2
    assert train(f"resume={folder}", "trainer.max_steps=3", "trust=my_losses").step == 3


def test_what_is_printed_after_a_run_says_whom_to_trust(mine: None, gan_here: Inside) -> None:
    told = gan_here("train", *words("loss=hinge", "loss._target_=my_losses.Mine"), "trust=my_losses")
    for line in told.stdout.strip().splitlines()[-3:]:
        more = ["detector=pixels", "n=20"] if " eval " in line else []
        assert gan_here(*line.split()[1:], *more).returncode == 0


@pytest.mark.parametrize("target", [f"my_losses.{name}" for name in ("os.system", "load", "Mine.method", "_Hidden")])
def test_what_a_trusted_module_imports_or_hides_is_not_its_own(mine: None, target: str) -> None:
    with pytest.raises((trust.Untrusted, LookupError)):
        trust.for_files(("my_losses",)).resolve("loss", target)


def test_one_class_may_be_vouched_for_by_name(mine: None) -> None:
    assert trust.for_files(("torch.optim.Adamax",)).resolve("optimizer", "torch.optim.Adamax") is torch.optim.Adamax
    with pytest.raises(trust.Untrusted):
        trust.for_files(("torch.optim.Adamax",)).resolve("optimizer", "torch.optim.Rprop")


def test_the_list_is_what_conf_names() -> None:
    """Every choice of every group may be named in its place, and in no other."""
    slots = listed.slots()
    assert "gan_cli.losses.Hinge" in slots["loss"]
    assert "gan_cli.losses.Hinge" not in slots["prior"]
    assert "gan_cli.networks.conditioning.ConcatLatent" in slots["model.generator.conditioning"]
    assert slots["dataset.source.of"] == slots["dataset.source"]
    assert not [name for named in slots.values() for name in named if name.startswith("torch.nn")]
    for model in packaged()["model"]:  # with each conditioning: tests/test_compose.py
        build.check(compose("train", [f"model={model}"]).config, trust.for_files(()))


UNSEEN = """
import sys
from gan_cli.cli import main
for words in (["sample", "run"], ["eval", "run"], ["train", "resume=run"], ["train", "repeat=run"]):
    assert main(words) == 2, words
assert "torch" not in sys.modules
"""


def test_what_the_config_text_rules_out_is_refused_before_torch_is_imported(finished: Path, here: Path) -> None:
    stranger(finished, here, lambda config: change(config, "prior._target_", "os.system"))
    done = subprocess.run([sys.executable, "-c", UNSEEN], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("key", "value"), HOSTILE, ids=lambda v: str(v)[:60])
def test_the_first_look_refuses_what_names_another_part(finished: Path, here: Path, key: str, value: Any) -> None:
    stranger(finished, here, lambda config: change(config, key, value))
    with pytest.raises(ConfigError, match=REFUSED):
        glance("run", ())
    with pytest.raises(ConfigError, match=REFUSED):
        nodes.check_names(saved.read((here / "run/config.yaml").read_bytes(), "run"), nodes.of_run, trust.for_files())


def test_the_first_look_reads_what_is_loaded_and_leaves_the_rest_to_the_second(finished: Path, here: Path) -> None:
    last = finished / "checkpoints" / "last.pt"
    assert config_in(last) == torch.load(last, weights_only=True)["config"]
    glance(str(finished), ())
    (here / "cut.pt").write_bytes(last.read_bytes()[:-100])
    torch.save(torch.zeros(2, 3, 4, 4), here / "images.pt")
    torch.save({**{str(i): i for i in range(1000)}, "config": "seed: 0"}, here / "late.pt")
    for name in ("cut.pt", "images.pt", "late.pt"):
        assert config_in(here / name) is None
        assert not looks_like_one(name)
        glance(name, ())


def test_a_removed_setting_falls_back_to_the_parts_default() -> None:
    composed = compose("train", ["~dataset.batch_size", "~trainer.micro_batches"]).config
    config = build.check(composed, trust.for_runs()).config
    assert (config["dataset"]["batch_size"], config["trainer"]["micro_batches"]) == (64, 1)


def test_the_types_of_weights_are_looked_at_before_data_are_made() -> None:
    """A checkpoint that is refused costs no more than its game."""

    def look(game: Game) -> None:
        raise CheckpointError("seen", "name another")

    nowhere = build.check(
        compose("train", [*words("dataset=folder", "dataset.root=nowhere")]).config, trust.for_runs(())
    )
    with pytest.raises(CheckpointError, match="seen"):
        build.trainer(nowhere, 0, look)
    with pytest.raises(DataError, match="nowhere"):
        build.trainer(nowhere)
