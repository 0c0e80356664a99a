"""A run that was stopped, however it was stopped, continues as if it had not been."""

from __future__ import annotations

import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import SMALL_DCGAN, Inside, same, save, weights, words
from forked import Forked
from gan_cli import train
from gan_cli.errors import ConfigError, Incompatible, NotWritable, Refused, RunFailed
from gan_cli.store import checkpoint
from gan_cli.store.rows import read_rows
from gan_cli.store.run import newest_first

TIMES = {"seconds"}


def numbers(folder: Path) -> list[dict]:
    """metrics.jsonl without what depends on the wall clock."""
    return [{k: v for k, v in row.items() if k not in TIMES} for row in read_rows(folder / "metrics.jsonl")]


def without_time(state: dict) -> dict:
    return {k: v for k, v in state.items() if "seconds" not in k}


VARIANTS = {
    "mlp": words("loss=wgan_gp", "schedule=constant"),
    "dcgan": words("penalty=[r1]", "penalty.r1.interval=2", "dataset.flip=true", model=SMALL_DCGAN),
    "spectral": words("model.discriminator.spectral_norm=true", "optimizer=rmsprop", "model.discriminator.dropout=0.3"),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_three_and_three_steps_are_six(here: Path, variant: str) -> None:
    base = VARIANTS[variant]
    whole = train(*base, "trainer.max_steps=6").folder
    half = train(*base, "trainer.max_steps=3").folder
    resumed = train(f"resume={half}", "trainer.max_steps=6")
    assert resumed.folder == half
    assert same(weights(whole), weights(half))
    assert numbers(whole) == numbers(half)
    assert len(numbers(whole)) == 3
    # and it is no coincidence: another seed gives other weights
    other = train(*base, "trainer.max_steps=6", "seed=1").folder
    assert not same(weights(whole), weights(other))


def wait_for(check: Callable[[], bool], process: Forked | None = None, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not check():
        assert process is None or process.poll() is None, process.said()
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("number", "processes"),
    [(signal.SIGKILL, 1), (signal.SIGTERM, 1), (signal.SIGINT, 1), (signal.SIGUSR1, 1), (signal.SIGUSR2, 2)],
)
def test_after_any_signal(here: Path, number: signal.Signals, processes: int) -> None:
    folder = here / "run"
    shared = f"trainer.devices={processes}"
    base = words(f"hydra.run.dir={folder}", "callback.checkpoints.every_steps=5", shared, steps=100_000)
    process = Forked("train", *base, folder=here)
    wait_for(lambda: (folder / "checkpoints" / "step-000000010.pt").exists(), process)
    process.send_signal(number)
    process.wait(60)
    output = "".join(process.said())
    if number == signal.SIGKILL:
        assert not (folder / "result.json").exists()
    else:
        assert process.returncode == 130
        assert f"gan train resume={folder}" in output
        assert "Traceback" not in output
        assert json.loads((folder / "result.json").read_text())["status"] == "stopped"
    reached = checkpoint.load(newest_first(folder / "checkpoints")[0])["clock"]["step"]
    assert reached >= 10
    end = reached + 7
    train(f"resume={folder}", f"trainer.max_steps={end}")
    whole = train(*base, f"hydra.run.dir={here / 'whole'}", f"trainer.max_steps={end}").folder
    assert same(weights(whole), weights(folder))
    assert numbers(whole) == numbers(folder)


def test_a_damaged_checkpoint_is_skipped_with_a_warning(here: Path, capsys: pytest.CaptureFixture) -> None:
    base = words("callback.checkpoints.every_steps=2")
    folder = train(*base, "trainer.max_steps=4").folder
    newest = folder / "checkpoints" / "step-000000004.pt"
    newest.write_bytes(newest.read_bytes()[:-50])  # last.pt is the same file
    capsys.readouterr()
    train(f"resume={folder}", "trainer.max_steps=6")
    captured = capsys.readouterr()
    assert "step-000000004.pt" in captured.err
    assert "using step-000000002.pt" in captured.err
    assert "WARNING" in next(x for x in (folder / "train.log").read_text().splitlines() if "step-000000002.pt" in x)
    whole = train(*base, "trainer.max_steps=6").folder
    assert same(weights(whole), weights(folder))
    assert numbers(whole) == numbers(folder)


def test_a_finished_run_wants_more_to_do(here: Path) -> None:
    folder = train(*words()).folder
    with pytest.raises(ConfigError, match=r"is finished: step 2.*\n.*trainer\.max_steps="):
        train(f"resume={folder}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model=dcgan", "keeps its model"),
        ("model.latent_dim=7", "keeps it"),
        ("seed=3", "keeps it"),
        ("trainer.max_step=9", r"did you mean trainer\.max_steps"),
        ("dataset.resolution=32", "keeps it"),
    ],
)
def test_what_a_resumed_run_may_not_change(here: Path, change: str, message: str) -> None:
    folder = train(*words()).folder
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(Refused, match=message):
        train(f"resume={folder}", "trainer.max_steps=4", change)
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_a_resumed_run_takes_new_settings(here: Path) -> None:
    folder = train(*words()).folder
    train(f"resume={folder}", "trainer.max_steps=4", "optimizer.generator.lr=0.5", "loss.real_label=0.9")
    groups = checkpoint.load(folder / "checkpoints" / "last.pt")["optimizers"]
    assert groups["generator"]["param_groups"][0]["lr"] == 0.5
    assert groups["discriminator"]["param_groups"][0]["lr"] == 2e-4
    manifest = json.loads((folder / "manifest.json").read_text())
    assert len(manifest["resumed"]) == 1
    assert manifest["resumed"][0]["end"] is not None
    assert "real_label: 0.9" in (folder / "config.yaml").read_text()


def test_all_callbacks_or_none_train_the_same(here: Path) -> None:
    often = [f"callback.{name}.every_steps=1" for name in ("samples", "plots", "checkpoints", "health")]
    everything = "callback=[progress,health,history,tensorboard,samples,plots,checkpoints]"
    watched = train(*words(steps=5), everything, *often).folder
    alone = train(*words(steps=5), "callback=[checkpoints]").folder
    assert same(weights(watched), weights(alone))


def test_a_run_starts_from_another_ones_weights(here: Path) -> None:
    first = train(*words()).folder
    second = train(*words("optimizer.lr=0", f"init_from={first}"))
    a, b = weights(first), weights(second.folder)
    players = [k for k in a if k.startswith("/game/")]
    assert players
    assert all((a[k] == b[k]).all() for k in players)
    with pytest.raises(Incompatible, match="do not fit this model") as caught:
        train(*words(f"init_from={first}", model=SMALL_DCGAN))
    assert len(str(caught.value).splitlines()) == 2


def test_a_run_that_fails_keeps_what_was_good(here: Path) -> None:
    with pytest.raises(RunFailed, match=r"at step \d+; the last good checkpoint is .*step-0000000\d\d\.pt") as caught:
        train(
            *words("optimizer=sgd", "optimizer.lr=1e4", "loss=lsgan", "callback.checkpoints.every_steps=1", steps=500)
        )
    (folder,) = (here / "outputs" / "train").iterdir()
    result = json.loads((folder / "result.json").read_text())
    assert result["status"] == "failed"
    assert result["error"] == str(caught.value)
    for tensor in weights(folder).values():
        assert tensor.isfinite().all()


def test_two_processes_train_one_run_and_resume_it(here: Path) -> None:
    """Gradients are averaged over ranks: all of them hold the same weights, and the run resumes bit for bit."""
    base = words("trainer.devices=2", "loss=wgan_gp", "callback.checkpoints.every_steps=2", model=SMALL_DCGAN)
    train(*base, "hydra.run.dir=whole", "trainer.max_steps=4")
    shutil.copytree(here / "whole", here / "half")
    for later in ("result.json", "checkpoints/last.pt", "checkpoints/step-000000004.pt"):  # as if it had been killed
        (here / "half" / later).unlink()
    train("resume=half", "trainer.max_steps=4")
    assert same(weights(here / "whole"), weights(here / "half"))
    assert numbers(here / "whole") == numbers(here / "half")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=lambda s: s.name)
def test_a_signal_to_the_first_process_stops_all_and_saves(here: Path, number: signal.Signals) -> None:
    folder = here / "run"
    base = words("trainer.devices=2", f"hydra.run.dir={folder}", "callback.checkpoints.every_steps=2", steps=100_000)
    process = Forked("train", *base, folder=here)
    wait_for(lambda: (folder / "checkpoints" / "last.pt").exists(), process)
    process.send_signal(number)
    process.wait(90)
    if number == signal.SIGKILL:  # the others end by themselves
        wait_for((folder / "result.json").exists)
    else:
        assert process.returncode == 130, process.said()
        assert f"gan train resume={folder}" in process.said()[1]
    assert json.loads((folder / "result.json").read_text())["status"] == "stopped"


def test_a_folder_with_a_run_is_not_overwritten(here: Path) -> None:
    folder = train(*words()).folder
    before = {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    with pytest.raises(NotWritable, match="holds a run already"):
        train(*words(f"hydra.run.dir={folder}"))
    assert {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()} == before


def test_a_reader_that_leaves_early_stops_no_training(here: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "gan_cli",
        "train",
        *words("callback=[progress,checkpoints]", "callback.progress.every_steps=1", steps=40),
        "hydra.run.dir=run",
    ]
    process = subprocess.Popen(command, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(120) == 0
    assert json.loads((here / "run" / "result.json").read_text())["status"] == "finished"


def test_a_closed_terminal_saves_the_run(here: Path) -> None:
    base = words("hydra.run.dir=run", "callback.checkpoints.every_steps=2", steps=100_000)
    process = Forked("train", *base, folder=here)
    wait_for(lambda: (here / "run" / "checkpoints" / "last.pt").exists(), process)
    process.send_signal(signal.SIGHUP)
    assert process.wait(60) == 130
    assert json.loads((here / "run" / "result.json").read_text())["status"] == "stopped"


def test_a_run_finds_its_data_from_any_folder_and_warns_when_they_changed(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, first in (("here", 0), ("elsewhere", 100)):
        (here / name / "photos").mkdir(parents=True)
        for i in range(3):
            Image.new("L", (8, 8), first + i).save(here / name / "photos" / f"{i}.png")
    data = ("dataset=folder", "dataset.root=photos", "dataset.resolution=8", "dataset.channels=1")
    monkeypatch.chdir(here / "here")
    folder = train(*words(*data)).folder.resolve()
    monkeypatch.chdir(here / "elsewhere")
    train(f"resume={folder}", "trainer.max_steps=4")
    assert "the data have changed" not in (folder / "train.log").read_text()
    train(f"resume={folder}", "trainer.max_steps=6", f"dataset.root={here / 'elsewhere' / 'photos'}")
    assert "the data have changed since this run began" in (folder / "train.log").read_text()


@pytest.mark.parametrize("data", ["x", 3, None, ["sha256"], {}])
def test_a_manifest_that_was_edited_by_hand_stops_no_run(here: Path, data: object) -> None:
    folder = train(*words()).folder
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "data": data}))
    assert train(f"resume={folder}", "trainer.max_steps=4").step == 4
    assert "the data have changed" not in (folder / "train.log").read_text()


def test_the_limit_that_a_run_reached_is_the_one_to_raise(gan_here: Inside) -> None:
    told = gan_here("train", *words("hydra.run.dir=a run", "trainer.max_images=16", steps=100))
    command = shlex.split(told.stdout.splitlines()[-1])
    assert command[-1] == "trainer.max_images=32"
    assert gan_here(*command[1:]).returncode == 0
    again = gan_here("train", "resume=a run")
    assert again.returncode == 2
    assert "trainer.max_images=64" in again.stderr


def test_a_checkpoint_is_not_resumed_but_its_run_is(here: Path, gan_here: Inside) -> None:
    run = train(*words()).folder
    told = gan_here("train", f"resume={run}/checkpoints/last.pt", "trainer.max_steps=4")
    assert told.returncode == 2
    assert told.stderr.splitlines()[1] == (
        f"  resume={run} goes on from the newest checkpoint, "
        f"init_from={run}/checkpoints/last.pt begins a run with these weights"
    )


def test_a_longer_run_says_that_its_schedule_jumps(here: Path, capsys: pytest.CaptureFixture) -> None:
    run = train(*words("schedule=linear", steps=4)).folder
    capsys.readouterr()
    train(f"resume={run}", "trainer.max_steps=8")
    warned = capsys.readouterr().err
    assert "100% of it were done, now 50%" in warned
    assert "learning rates go from 0 to 0.5 of their first value; a run of this length" in warned
    assert warned.strip() in (run / "train.log").read_text().replace("WARNING ", "warning: ")
    steady = train(*words("schedule=constant", steps=4)).folder
    train(f"resume={steady}", "trainer.max_steps=8")
    assert "jumps" not in (steady / "train.log").read_text()


def test_a_resumed_run_begins_where_it_began(here: Path) -> None:
    """Its config says what weights it started from: `repeat=` starts another from the same."""
    first, run = (train(*words()).folder for _ in range(2))
    before = (run / "config.yaml").read_text()
    with pytest.raises(ConfigError, match=r"init_from: a resumed run keeps it\n  ") as told:
        train(f"resume={run}", "trainer.max_steps=4", f"init_from={first}")
    assert len(str(told.value).splitlines()) == 2
    assert (run / "config.yaml").read_text() == before


def test_scores_against_two_references_of_one_name_are_not_mixed(here: Path) -> None:
    for home, grey in (("one", 40), ("two", 200)):
        for i in range(2):
            save(here / home / "photos" / f"{i}.bmp", np.full((16, 16), grey, np.uint8))  # as many bytes in both
    shutil.copytree("one", "copied")
    measured = ("evaluation.every_steps=2", "evaluation.n=2", "evaluation.metric=fid")
    run = train(*words(*measured, "evaluation.reference=one/photos", "hydra.run.dir=run")).folder
    with pytest.raises(ConfigError, match=r"reference=two/photos is not .*one/photos.*\n  give it another name"):
        train(f"resume={run}", "trainer.max_steps=4", "evaluation.reference=two/photos")
    assert len(numbers(run)) == len(read_rows(run / "metrics.jsonl"))
    train(f"resume={run}", "trainer.max_steps=4", "evaluation.reference=copied/photos")
    shutil.move("one/photos", "elsewhere")
    Path("two/photos").rename("two/others")
    train(f"resume={run}", "trainer.max_steps=6", "evaluation.reference=two/others")  # of another name
    names = {key for row in read_rows(run / "metrics.jsonl") for key in row if "photos" in key or "others" in key}
    assert names == {"fd_pixels_photos_2", "fd_pixels_others_2"}


def test_a_checkpoint_of_another_run_is_told(here: Path, gan_here: Inside) -> None:
    """It draws and goes on, as its weights fit; who reads the numbers knows whose they are."""
    for name, seed in (("a", 0), ("b", 3)):
        train(*words(f"seed={seed}", f"hydra.run.dir={name}"))
    asked = (("sample", "a", "n=4", "out=x.npz"), ("train", "resume=a", "trainer.max_steps=4"))
    assert "does not belong" not in gan_here(*asked[0]).stderr
    shutil.copy("b/checkpoints/step-000000002.pt", "a/checkpoints/step-000000002.pt")
    for one in asked:
        told = gan_here(*one)
        assert told.returncode == 0
        first, second = [line for line in told.stderr.splitlines() if "belong" in line or "move it" in line]
        assert first.endswith(" does not belong to a/config.yaml: in it seed is 3, there it is 0")
        assert second == "  if it is another run's, move it back to that"
