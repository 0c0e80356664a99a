"""The command line as its users meet it: exit codes, typos, help, pipes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from conftest import Inside, Shell, same, save, weights, words
from gan_cli import evaluate, sample, train
from gan_cli.callbacks.history import History
from gan_cli.config.compose import compose
from gan_cli.config.saved import change
from gan_cli.config.words import readable
from gan_cli.errors import ConfigError, NotARun
from gan_cli.shell import main

LIGHT = """
import sys
from gan_cli.cli import main
assert main({}) == 0
assert not {{"torch", "hydra"}} & set(sys.modules)
"""
OWN_LOSS = """
from gan_cli.losses import Hinge

class {name}(Hinge):
    def generator(self, fake, real=None):
        {body}
"""

TWO_LINES = re.compile(r"(gan[^\n]*: [^\n]+\n  \S[^\n]*\n)+")  # what is wrong and the remedy, of each problem


@pytest.mark.parametrize("arguments", [[], ["--help"], ["train", "--help"], ["eval", "-h"], ["--version"]])
def test_help_does_not_wait_for_torch(arguments: list[str]) -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT.format(arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) < 70


def test_help_tells_groups_choices_and_defaults(gan_here: Inside) -> None:
    text = gan_here("train", "--help").stdout
    for word in ("loss", "wgan_gp", "cifar10", "default: dcgan", "seed=0", "trainer.max_steps", "resume=RUN"):
        assert word in text


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["trian"], "did you mean train?"),
        (["train", "model=dcgn"], "did you mean dcgan?"),
        (["train", "dataset=ring", "model=mlp", "experiment=ring_colapse"], "did you mean ring_collapse"),
        (["eval", "nowhere", "preset=nvidai"], "did you mean nvidia?"),
        (["train", "penalty=[r1,gradient_penaltie]"], "did you mean gradient_penalty"),
        (["train", "callback=[progres]"], "did you mean progress?"),
        (["eval", "nowhere", "metrics=[fdi]"], "did you mean fid"),
        (["eval", "nowhere", "detector=[clasifier]"], "did you mean classifier?"),
        (["train", "losss=hinge"], "did you mean loss?"),
        (["train", "lr=1e-3"], "did you mean optimizer.lr"),
        (["train", "trainer.max_step=5"], "did you mean trainer.max_steps?"),
        (["train", "penalty=[r1]", "penalty.r1.wieght=5"], "did you mean penalty.r1.weight?"),
        (["train", "trainer.max_steps"], "write settings as key=value"),
        (["train", "trainer.max_steps=-3"], "trainer.max_steps=-3 is not valid"),
        (["train", "--run", "trainer.max_steps=-3"], "trainer.max_steps=-3 is not valid"),
        (["train", "-r", "loss=hinge", "loss.real_label=0.9"], "loss=lsgan"),
        (["train", "--run", "hydra.run.dir=a/b/c/d", "dataset=folder"], "dataset.root is not set"),
        (["train", "model.width=wide"], "model.generator.width='wide' is not valid"),
        (["train", "model.generator.norm=bath"], "choose one of batch, instance, layer, none"),
        (["train", "dataset.resolution=28"], "dataset.resolution=16, 32, 64"),
        (["train", "penalty=[gradient_penalty]"], "model.discriminator.norm=layer"),
        (["train", "dataset=folder"], "dataset.root is not set"),
        (["train", "dataset=folder", "dataset.root=nowhere"], "nowhere is neither a folder nor a zip"),
        (["train", "dataset=cifar10", "dataset.root=x", "dataset.download=false"], "cifar-10-batches-bin"),
        (["train", "trainer.device=tpu"], "choose one of auto, cpu, cuda"),
        (["train", "seed=-1"], "seed=-1 is not valid"),
        (["train", "resume=nowhere"], "nowhere is not a folder"),
        (["train", "init_from=nowhere"], "nowhere does not exist"),
        (["train", "loss._target_=os.system"], "may not be used"),
        (
            ["train", "loss._target_="],
            "loss._target_ is empty\n  name a class or a function: loss._target_=module.Class",
        ),
        (["train", "penalty=[r1]", "penalty.r1._target_=''"], "penalty.r1._target_ is empty\n  name a class"),
        (["sample"], "which run?"),
        (["sample", "nowhere"], "nowhere does not exist"),
        (["eval", "nowhere"], "nowhere does not exist"),
        (["sample", "one", "two"], "more than one run: one, two"),
        (["eval", "one", "checkpoint=two"], "more than one run: one, two"),
        (["train", "seed=0,1"], "gan train -m seed=0,1 sweeps"),
        (["train", "model=mlp", "--mulitrun"], "did you mean --multirun"),
        (["train", "--seed=1"], "settings have no dashes: seed=1"),
        (["train", "--cfg", "jobs"], "choices: job, hydra, all"),
        (["train", "penalty.r1.weight=3"], "choose one that has it: penalty=[r1]"),
        (["train", "loss=hinge", "loss.real_label=0.9"], "loss=lsgan"),
        (["train", "model=mlp", "optimizer.lr=-1"], "optimizer.lr=-1"),
        (["train", "optimizer.lr=${linear:1,0.1}"], "optimizer.lr: "),
        (["train", "penalty=[r1]", "penalty.r1.weight=${liner:1,0.1,9}"], "penalty.r1.weight: "),
        (["train", "name={x} y"], "quote it: \"name='{x} y'\""),
        (["train", "=1"], "=1: the name of the setting is missing\n  write settings as key=value"),
        (["train", "seed=1e30"], "seed=1e+30 is not valid\n  it should be a whole number of fewer digits"),
        (
            ["train", "optimizer.lr=[1e-3]"],
            "optimizer.generator.lr=[0.001] is not valid\n  it should be a valid number\n",
        ),
        (["import", 300 * "x"], "xxx is not a file\n  name a checkpoint: a .pkl, .pth or .pt"),
        (["train", "model=mlp", "optimizer.lr=inf"], "lr=inf is not valid\n  it should be a finite number"),
        (["train", "penalty=[r1]", "penalty.r1.weight=inf"], "r1.weight=inf is not valid\n  it should be less"),
        (["train", "model=mlp", "optimizer.betas=[nan,0.9]"], "betas=(nan, 0.9) is not valid\n  it should be a finite"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_a_wrong_request_gets_two_lines_exit_code_2_and_leaves_nothing(
    gan_here: Inside, here: Path, arguments: list[str], expected: str
) -> None:
    done = gan_here(*arguments)
    assert done.returncode == 2, done.stderr
    assert expected in done.stderr
    assert TWO_LINES.fullmatch(done.stderr), done.stderr
    assert "Traceback" not in done.stderr
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["train", "model=dcgn"], "did you mean dcgan?"),
        (["train", "model.width=wide"], "model.generator.width='wide' is not valid"),
        (["sample", "nowhere"], "nowhere does not exist"),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else "",
)
def test_a_wrong_request_from_the_shell(gan: Shell, here: Path, arguments: list[str], expected: str) -> None:
    done = gan(*arguments)
    assert done.returncode == 2
    assert expected in done.stderr
    assert TWO_LINES.fullmatch(done.stderr), done.stderr
    assert list(here.iterdir()) == []


def test_a_folder_that_was_removed_is_not_called_a_full_disk(gan_here: Inside, here: Path) -> None:
    gone = here / "gone"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    done = gan_here("train", "model=mlp")
    assert done.returncode == 2
    assert done.stderr.startswith("gan train: the folder that this works in is not there any more")
    assert TWO_LINES.fullmatch(done.stderr), done.stderr


@pytest.mark.parametrize(
    "files",
    [
        {"mine": "defaults: [yours]", "yours": "defaults: [mine]"},
        {"mine": "_target_: gan_cli.losses.Hinge\nx: &x {y: *x}"},
    ],
    ids=["defaults", "alias"],
)
def test_a_file_that_leads_back_to_itself_is_not_called_brackets(
    gan_here: Inside, here: Path, files: dict[str, str]
) -> None:
    (here / "conf" / "loss").mkdir(parents=True)
    for name, text in files.items():
        (here / "conf" / "loss" / f"{name}.yaml").write_text(text)
    done = gan_here("train", "--config-dir", "conf", "loss=mine")
    assert done.returncode == 2
    assert "a config file leads back to itself" in done.stderr
    assert TWO_LINES.fullmatch(done.stderr), done.stderr


def test_a_file_that_holds_one_value_is_not_called_a_full_disk(gan_here: Inside, here: Path) -> None:
    (here / "conf" / "loss").mkdir(parents=True)
    (here / "conf" / "loss" / "mine.yaml").write_text("3\n")
    done = gan_here("train", "--config-dir", "conf", "loss=mine")
    assert done.returncode == 2
    assert done.stderr.startswith("gan train: a config file holds no settings")
    assert TWO_LINES.fullmatch(done.stderr), done.stderr


def test_a_locale_of_seven_bits_reads_the_same_files(finished: Path, here: Path) -> None:
    """conf/ and runs are UTF-8, whatever the locale says."""
    plain = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "HOME": str(here)}
    command = [sys.executable, "-m", "gan_cli", "sample", str(finished), "n=4", "out=x.png"]
    done = subprocess.run(command, env={**os.environ, **plain}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (here / "x.png").is_file()


@pytest.mark.parametrize(("encoding", "shown"), [("ascii", " 0 +- 0 "), ("latin-1", " 0 ± 0 "), ("utf-8", " 0 ± 0 ")])
def test_what_the_terminal_has_no_letters_for_ends_nothing(here: Path, encoding: str, shown: str) -> None:
    """A result is no less a result where `±` or the name of a folder cannot be shown."""
    for k in range(20):
        save(here / "été ☃" / f"{k}.png", np.random.default_rng(k).integers(0, 256, (8, 8, 3), np.uint8))
    command = [sys.executable, "-m", "gan_cli", "eval", "été ☃", "reference=été ☃", "detector=pixels", "metrics=[kid]"]
    done = subprocess.run(command, env={**os.environ, "PYTHONIOENCODING": encoding}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    said = done.stdout.decode(encoding)
    assert shown in said
    assert ("☃" if encoding == "utf-8" else "\\u2603") in said


def test_all_problems_are_told_at_once(gan_here: Inside) -> None:
    done = gan_here(
        "train", "trainer.max_steps=0", "seed=-1", "model.generator.width=x", "optimizer._target_=os.system"
    )
    assert done.returncode == 2
    for part in ("trainer.max_steps=0", "seed=-1", "model.generator.width", "os.system"):
        assert part in done.stderr


def test_a_run_from_the_shell_says_where_everything_is(gan: Shell, gan_here: Inside, here: Path) -> None:
    done = gan("train", *words())
    assert done.returncode == 0, done.stderr
    (folder,) = (here / "outputs" / "train").iterdir()
    last = done.stdout.strip().splitlines()[-4:]
    assert str(folder.relative_to(here)) in last[0]
    assert [line.split()[:2] for line in last[1:]] == [["gan", "sample"], ["gan", "eval"], ["gan", "train"]]
    assert folder.name.endswith("mlp-nonsaturating-digits")
    # each of these commands works as printed
    for line in last[1:3]:
        more = ["detector=pixels", "n=100"] if "eval" in line else []
        assert gan_here(*line.split()[1:], *more).returncode == 0
    assert gan_here(*last[3].split()[1:]).returncode == 0


def test_a_sweep_makes_a_folder_per_job(gan: Shell, here: Path) -> None:
    done = gan("train", "-m", *words(), "loss=hinge,lsgan", "seed=0,1")
    assert done.returncode == 0, done.stderr
    (sweep,) = (here / "outputs" / "sweeps").iterdir()
    jobs = sorted(p for p in sweep.iterdir() if p.is_dir())
    assert [p.name for p in jobs] == ["0-hinge-seed0", "1-hinge-seed1", "2-lsgan-seed0", "3-lsgan-seed1"]
    chosen = {tuple(json.loads((j / "manifest.json").read_text())["choices"][g] for g in ("loss",)) for j in jobs}
    assert chosen == {("hinge",), ("lsgan",)}
    assert all((j / "result.json").exists() for j in jobs)


def test_the_flag_of_a_sweep_may_stand_anywhere(gan_here: Inside, here: Path) -> None:
    done = gan_here("train", *words(), "-m", "seed=0,-1")
    assert done.returncode == 2
    assert "seed=-1 is not valid" in done.stderr
    (job,) = (path.parent for path in here.glob("outputs/sweeps/*/*/result.json"))
    manifest = json.loads((job / "manifest.json").read_text())
    assert manifest["command"].startswith("gan train model=mlp ")
    assert manifest["choices"]["experiment"] is None


@pytest.mark.parametrize("name", ["é ü.y", "a=b", "a[1]", "a{b}", "don't", "no #1", "C:\\x\\", "(x", "a\tb", "~x"])
def test_a_value_that_hydra_cannot_read_is_taken_literally(name: str) -> None:
    assert compose("train", [f"name={name}"]).config["name"] == name
    assert change({"name": None}, [f"name={name}"]) == {"name": name}


@pytest.mark.parametrize("value", ["[a, b]", "{a: 1}", "'a b'", "${seed}", "a,b", "null", "3", "1e-3"])
def test_a_value_that_means_something_to_hydra_keeps_its_meaning(value: str) -> None:
    assert readable(f"optimizer.lr={value}") == f"optimizer.lr={value}"


def test_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    assert (
        compose("train", ["dataset=folder", "dataset.root=~/my photos"]).config["dataset"]["root"]
        == "/home/me/my photos"
    )


def test_a_sweep_goes_on_after_an_impossible_job(gan_here: Inside, here: Path) -> None:
    done = gan_here("train", "-m", *words(), "model.generator.norm=none,bath,batch")
    assert done.returncode == 2
    assert "model.generator.norm=bath" in done.stderr
    assert len(list(here.glob("outputs/sweeps/*/*/result.json"))) == 2


def test_show_config(gan: Shell, here: Path) -> None:
    done = gan("train", "--cfg", "job", "loss=hinge")
    assert done.returncode == 0
    assert "gan_cli.losses.Hinge" in done.stdout
    assert list(here.iterdir()) == []


def test_output_into_a_closed_pipe(here: Path) -> None:
    done = subprocess.run(
        f"{sys.executable} -m gan_cli train --help | head -1", shell=True, capture_output=True, text=True
    )
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_completion(gan: Shell) -> None:
    assert gan("-sc", "query=bash", env={"COMP_LINE": "gan tr"}).stdout.split() == ["train"]
    found = gan("-sc", "query=bash", env={"COMP_LINE": "gan train loss=w"}).stdout.split()
    assert found == ["loss=wgan", "loss=wgan_gp"]
    assert gan("completion", "tcsh").returncode == 2


def test_users_own_configs_and_classes(
    gan: Shell, gan_here: Inside, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss of the user's own: one class in the working directory, one YAML, trust on the command line."""
    (here / "my_losses.py").write_text(OWN_LOSS.format(name="Mine", body="return 3 - fake"))
    (here / "my_conf" / "loss").mkdir(parents=True)
    (here / "my_conf" / "loss" / "mine.yaml").write_text("_target_: my_losses.Mine\n")
    arguments = ("train", "--config-dir", "my_conf", *words(), "loss=mine", "hydra.run.dir=run")
    refused = gan(*arguments)
    assert refused.returncode == 2
    assert "trust=my_losses" in refused.stderr
    done = gan(*arguments, "trust=my_losses")
    assert done.returncode == 0, done.stderr
    assert "mine" in gan("train", "--help", "--config-dir", "my_conf").stdout
    # a file may not vouch for itself: the run folder names the module, only the command line trusts it
    monkeypatch.setenv("GAN_TRUST", "my_losses")
    monkeypatch.syspath_prepend(here)
    assert gan_here("sample", "run").returncode == 2
    assert gan_here("sample", "run", "trust=my_losses").returncode == 0
    assert gan_here("train", "resume=run", "trainer.max_steps=3", "trust=my_losses").returncode == 0
    assert gan_here(*arguments[:-1], "hydra.run.dir=other").returncode == 0  # by $GAN_TRUST


def test_an_unexpected_error_is_one_line_and_in_the_log(
    gan: Shell, gan_here: Inside, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "return -fake if len(fake) < 8 else {}['oops']"  # in a batch, not when it is tried
    (here / "broken.py").write_text(OWN_LOSS.format(name="Broken", body=body))
    arguments = ("train", *words(), "loss._target_=broken.Broken", "loss=hinge", "trust=broken", "hydra.run.dir=run")
    monkeypatch.syspath_prepend(here)
    done = gan_here(*arguments)
    assert done.returncode == 1
    assert "KeyError" in done.stderr
    assert re.search(
        r"^  .*broken\.py:\d+: return -fake .*; HYDRA_FULL_ERROR=1 shows the traceback$", done.stderr, re.M
    )
    assert "Traceback" not in done.stderr
    assert "Traceback" in (here / "run" / "train.log").read_text()
    shown = gan(*arguments[:-1], "hydra.run.dir=other", env={"HYDRA_FULL_ERROR": "1"}).stderr
    assert "Traceback" in shown
    assert "oops" in shown


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupt_that_an_import_swallows_is_one_all_the_same(
    number: signal.Signals, own_modules: None, gan_here: Inside, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Libraries do so while they are loaded, and go on as if nothing had come: it waits until they are."""
    (here / "my_stop.py").write_text(
        "import os, signal, time\nfrom gan_cli.losses import Hinge\n"
        f"try:\n    os.kill(os.getpid(), {int(number)})\n    time.sleep(0.1)\n"
        "except KeyboardInterrupt:\n    pass\n"
        "class Mine(Hinge): pass\n"
    )
    monkeypatch.syspath_prepend(here)
    done = gan_here("train", *words(), "loss._target_=my_stop.Mine", "trust=my_stop", "hydra.run.dir=run")
    assert done.returncode == 130
    assert done.stderr.strip() == "gan train: interrupted"
    assert not (here / "run").exists()


@pytest.mark.parametrize(
    ("number", "of_sigint"),
    [
        (signal.SIGTERM, signal.default_int_handler),
        (signal.SIGTERM, signal.SIG_IGN),  # as in the background of a script
        (signal.SIGINT, signal.default_int_handler),
    ],
)
def test_an_interrupt_where_python_can_raise_nothing_comes_right_after(
    number: signal.Signals,
    of_sigint: Any,
    own_modules: None,
    gan_here: Inside,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (here / "my_end.py").write_text(
        "import os, time\nfrom gan_cli.losses import Hinge\n"
        f"class Last:\n    def __del__(self):\n        os.kill(os.getpid(), {int(number)})\n        time.sleep(5)\n"
        "class Mine(Hinge):\n    def __init__(self):\n        super().__init__()\n        Last()\n"
        "        for _ in range(500): time.sleep(0.01)\n"
    )
    monkeypatch.syspath_prepend(here)
    before = signal.signal(signal.SIGINT, of_sigint)
    done = gan_here("train", *words(), "loss._target_=my_end.Mine", "trust=my_end", "hydra.run.dir=run")
    signal.signal(signal.SIGINT, before)
    assert (done.returncode, done.stderr.strip()) == (130, "gan train: interrupted")
    assert not (here / "run").exists()


def test_an_import_that_hangs_is_interrupted_after_all(
    own_modules: None, gan_here: Inside, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "LONG", 0.1)
    (here / "my_hang.py").write_text("import os, signal, time\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(50)\n")
    monkeypatch.syspath_prepend(here)
    done = gan_here("train", *words(), "loss._target_=my_hang.Mine", "trust=my_hang", "hydra.run.dir=run")
    assert (done.returncode, done.stderr.strip()) == (130, "gan train: interrupted")


@pytest.mark.parametrize(
    ("of_sighup", "code"), [(signal.SIG_DFL, 130), (signal.SIG_IGN, 0)], ids=["a terminal", "nohup"]
)
def test_a_closed_terminal_interrupts_unless_it_is_ignored(
    of_sighup: Any, code: int, own_modules: None, gan_here: Inside, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "my_closed.py").write_text(
        "import os, signal\nfrom gan_cli.losses import Hinge\n"
        "class Mine(Hinge):\n    def __init__(self):\n        super().__init__()\n"
        "        os.kill(os.getpid(), signal.SIGHUP)\n"
    )
    monkeypatch.syspath_prepend(here)
    before = signal.signal(signal.SIGHUP, of_sighup)
    done = gan_here("train", *words(), "loss._target_=my_closed.Mine", "trust=my_closed", "hydra.run.dir=run")
    assert signal.signal(signal.SIGHUP, before) is of_sighup
    assert done.returncode == code
    assert done.stderr.strip() == ("gan train: interrupted" if code else "")
    assert (here / "run").exists() is (code == 0)


def test_an_interrupt_has_its_exit_code_also_where_nobody_reads_what_is_told(finished: Path, here: Path) -> None:
    command = [sys.executable, "-m", "gan_cli", "sample", str(finished), "n=100000", "out=pictures"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stderr.close()
    end = time.monotonic() + 60
    while not list(here.glob("pictures/*.png")):
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130


@pytest.mark.parametrize(
    "command",
    ["--version", "--help", "train --help", "completion bash", "cache", "show RUN", "logs RUN", "train --cfg job"],
)
def test_an_answer_that_cannot_be_printed_is_missed(
    finished: Path, gan_here: Inside, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """`/dev/full` is a disk without room."""
    with open("/dev/full", "w") as full:
        monkeypatch.setattr(sys, "stdout", full)
        done = gan_here(*command.replace("RUN", str(finished)).split())
    assert done.returncode == 2
    assert "standard output cannot be written: no space left on device\n  make room" in done.stderr


def test_a_signal_does_not_cut_off_how_to_go_on(gan_here: Inside, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first SIGTERM stops the training; the next arrives while its end is being told."""
    terminate = lambda *_: os.kill(os.getpid(), signal.SIGTERM)  # noqa: E731
    monkeypatch.setattr(History, "on_step", terminate)
    told = main._tell
    monkeypatch.setattr(main, "_tell", lambda problem: (terminate(), time.sleep(0.05), told(problem)))
    done = gan_here("train", *words("hydra.run.dir=run", steps=100))
    assert done.returncode == 130
    assert done.stderr.strip().splitlines()[-1] == "  gan train resume=run"


def test_an_error_is_told_where_sigterm_is_ignored(
    gan_here: Inside, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it is in all processes of a run but the first."""
    (here / "my_deaf.py").write_text(
        "import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nraise ImportError('no such luck')\n"
    )
    monkeypatch.syspath_prepend(here)
    done = gan_here("train", *words(), "loss._target_=my_deaf.Mine", "trust=my_deaf", "hydra.run.dir=run")
    assert done.returncode == 2
    assert "no such luck" in done.stderr


def test_python_use(finished: Path, here: Path) -> None:
    images = sample(finished, "n=3", "seed=5")
    assert images.shape == (3, 1, 16, 16)
    found = evaluate(finished, "detector=pixels", n=50, metrics=["fid"])
    assert found.fd_pixels.n == 50
    assert 0 < found["fd_pixels"].se < found["fd_pixels"].value
    with pytest.raises(ConfigError, match="did you mean"):
        train("model=mlpp")
    with pytest.raises(ConfigError, match="did you mean ring_collapse"):
        train("experiment=ring_colapse")
    with pytest.raises(ConfigError, match="did you mean nvidia"):
        evaluate(finished, "preset=nvidai")
    with pytest.raises(ConfigError, match="did you mean kid"):
        evaluate(finished, metrics=["kdi"])
    assert list(here.iterdir()) == []


def test_run_folder(finished: Path) -> None:
    """Every file that the documentation names is there and says what it should."""
    for name in ("config.yaml", "manifest.json", "metrics.jsonl", "result.json", "train.log", "samples/real.png"):
        assert (finished / name).stat().st_size > 0
    assert {p.name for p in (finished / "samples").iterdir()} == {
        "real.png",
        "step-000000000.png",
        "step-000000004.png",
    }
    assert {p.name for p in (finished / "plots").iterdir()} == {"losses.png", "scores.png"}
    manifest = json.loads((finished / "manifest.json").read_text())
    for key in ("command", "versions", "git", "hardware", "seed", "data", "start", "end", "overrides", "choices"):
        assert key in manifest
    assert manifest["end"] is not None
    assert len(manifest["data"]["sha256"]) == 64
    result = json.loads((finished / "result.json").read_text())
    assert (result["status"], result["step"], result["images"]) == ("finished", 4, 32)
    assert result["images_per_second"] > 0
    assert result["last"]["step"] == 4
    row = json.loads((finished / "metrics.jsonl").read_text().splitlines()[0])
    assert {"step", "images", "seconds", "discriminator/loss", "generator/loss", "D(real)", "D(fake)"} <= row.keys()
    assert np.asarray(Image.open(finished / "samples" / "step-000000004.png")).ndim == 3


def test_config_yaml_alone_repeats_the_run(finished: Path, here: Path) -> None:
    (here / "config.yaml").write_text((finished / "config.yaml").read_text())
    train("repeat=config.yaml", "hydra.run.dir=again")
    assert same(weights(finished), weights(here / "again"))
    assert (finished / "config.yaml").read_text() == (here / "again" / "config.yaml").read_text()


def test_a_repeated_run_takes_changes_and_has_a_folder_of_its_own(finished: Path, here: Path) -> None:
    result = train(f"repeat={finished}", "seed=1", "trainer.max_steps=2")
    assert result.folder.parent == Path("outputs/train")
    assert result.folder.name.endswith("-run")
    assert not same(weights(finished), weights(result.folder))
    assert result.step == 2
    with pytest.raises(ConfigError, match=r"optimizer\.lr"):
        train(f"repeat={finished}", "optimizer.lrr=1")
    with pytest.raises(NotARun, match=r"is not a folder"):
        train("repeat=nowhere")


def test_a_run_killed_before_its_first_checkpoint_has_a_way_on(gan_here: Inside, finished: Path, here: Path) -> None:
    (here / "killed").mkdir()
    (here / "killed" / "config.yaml").write_text((finished / "config.yaml").read_text())
    done = gan_here("train", "resume=killed")
    assert done.returncode == 2
    remedy = done.stderr.splitlines()[1].split()
    assert remedy[:3] == ["gan", "train", "repeat=killed"]
    assert gan_here(*remedy[1:3]).returncode == 0


def test_environment_variables_do_not_leak_between_tests() -> None:
    assert "GAN_TRUST" not in os.environ


def test_the_folder_that_one_works_in_stays_when_a_run_in_it_is_refused(gan_here: Inside, here: Path) -> None:
    assert gan_here("train", "--run", "hydra.run.dir=.", "trainer.max_steps=-3").returncode == 2
    assert here.is_dir()
