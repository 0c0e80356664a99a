"""gan search: trials are ordinary runs, none is lost to a kill, and what came of each is counted."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import Inside, words
from gan_cli import train
from gan_cli.callbacks.history import History
from gan_cli.cli import main
from gan_cli.commands import search
from gan_cli.commands.train import Asked, trial
from gan_cli.config import own
from gan_cli.errors import NotWritable
from gan_cli.store.disk import read_json

MEASURED = ("evaluation.every_steps=1", "evaluation.n=32", "callback=[history,checkpoints]")
HERE = "hydra.run.dir=search"
RATES = "optimizer.lr=tag(log,interval(1e-5,1e-1))"


def asked(*more: str, steps: int = 2) -> tuple[str, ...]:
    return ("search", *words(*MEASURED, *more, steps=steps))


def account(folder: str | Path = "search") -> dict:
    return read_json(Path(folder) / "search.json")


def told(folder: str | Path) -> list[tuple]:
    """What a search tried and found; not how long it took."""
    keys = ("number", "ended", "values", "best", "step", "measured")
    return [tuple(row[key] for key in keys) for row in account(folder)["trials"]]


def ending(*arguments: str) -> int | None:
    """How a process ends that begins as a copy of this one, which saves the seconds of importing torch."""
    process = multiprocessing.get_context("fork").Process(target=main, args=(list(arguments),))
    process.start()
    process.join(100)
    return process.exitcode


KILL = '''
import os, signal, time
from pathlib import Path
from gan_cli.callbacks import Callback

class Kill(Callback):
    """Kills the process in the first attempt at trial 1, before and after something was saved."""
    def on_step(self, session):
        mark = Path("killed-at-" + str(session.clock.step))
        if session.run.folder.name[0] == "1" and session.clock.step in (1, 3) and not mark.exists():
            mark.touch()
            while session.clock.step == 3 and not (session.run.folder / "checkpoints" / "last.pt").exists():
                time.sleep(0.01)  # it is written meanwhile
            os.kill(os.getpid(), signal.SIGKILL)
'''


def test_what_every_trial_would_be_refused_for_is_told_once_at_the_start(gan_here: Inside, here: Path) -> None:
    for word, what in (
        ("evaluation.metric=nonsense", "evaluation.metric=nonsense cannot be watched while training"),
        ("evaluation.metric=modes", "modes"),
    ):
        refused = gan_here(*asked(RATES, "loss=hinge,lsgan", word, HERE))
        assert refused.returncode == 2
        assert len(refused.stderr.splitlines()) == 2
        assert what in refused.stderr
        assert refused.stdout == ""
        assert list(here.iterdir()) == []


def test_a_corner_that_is_refused_ends_no_search(gan_here: Inside, here: Path) -> None:
    """Nor does one reason at one corner and another at the next."""
    given = ("trials=6", "evaluation.metric=nonsense,kid", "sampler=random", "trainer.devices=auto", HERE)
    assert gan_here(*asked(*given)).returncode == 0
    assert {row["ended"] for row in account()["trials"]} == {"done", "refused"}


def test_a_search_that_was_killed_twice_finds_what_one_that_never_stopped_does(gan_here: Inside, here: Path) -> None:
    """Once before the trial saved anything, so that it begins again in a folder of its own; once after that."""
    (here / "my_kill.py").write_text(KILL)
    (here / "conf" / "callback").mkdir(parents=True)
    (here / "conf" / "callback" / "kill.yaml").write_text("kill:\n  _target_: my_kill.Kill\n")
    shared = (RATES, "loss=hinge,lsgan", "trials=3", "callback.checkpoints.every_steps=2")
    own = ("--config-dir", "conf", "trust=my_kill", "callback=[history,checkpoints,kill]")
    usual = asked(*shared, steps=4)
    dying = [word for word in usual if not word.startswith("callback=")]
    assert ending(*dying, *own, HERE) == -signal.SIGKILL
    assert [row["ended"] for row in account()["trials"]] == ["done"]
    again = ("search", "resume=search", "--config-dir", "conf", "trust=my_kill")
    assert ending(*again) == -signal.SIGKILL
    last = gan_here(*again)
    assert last.returncode == 0, last.stderr
    assert "#1 (left behind)" in last.stdout
    assert "resuming at step 2" in (here / "search" / "1-2" / "train.log").read_text()
    assert gan_here(*usual, "hydra.run.dir=whole").returncode == 0
    assert told("search") == told("whole")
    assert [row["run"] for row in account()["trials"]] == ["0", "1-2", "2"]


def test_a_search_goes_on_and_is_the_same_as_in_one_piece(gan_here: Inside, here: Path) -> None:
    usual = (RATES, "storage=journal", "sampler.startup=1")
    first = gan_here(*asked(*usual, "trials=1", HERE))
    assert first.returncode == 0, first.stderr
    assert gan_here("search", "resume=search", "trials=2").returncode == 0
    assert gan_here(*asked(*usual, "trials=3", HERE)).returncode == 0  # the same command goes on as well
    assert gan_here(*asked(*usual, "trials=3", "hydra.run.dir=whole")).returncode == 0
    assert told("search") == told("whole")
    assert len({row[2]["optimizer.lr"] for row in told("whole")}) == 3
    other = gan_here(*asked(RATES, HERE))
    assert other.returncode == 2
    assert "search holds another search" in other.stderr


FULL = '''
import os
from pathlib import Path
from gan_cli.callbacks import Callback

class Full(Callback):
    """Finds no space left in trial 1, at a step of which Path("full") tells."""
    def on_step(self, session):
        there = Path("full")
        if session.run.folder.name[0] == "1" and there.exists() and session.clock.step == int(there.read_text()):
            there.unlink()
            with open("/dev/full", "w") as file:
                file.write("x")
'''


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="of Linux")
@pytest.mark.parametrize(("step", "goes_on_in"), [(1, "1-2"), (3, "1")])  # before and after something was saved
def test_a_full_disk_costs_no_trial(gan_here: Inside, here: Path, step: int, goes_on_in: str) -> None:
    (here / "my_full.py").write_text(FULL)
    (here / "conf" / "callback").mkdir(parents=True)
    (here / "conf" / "callback" / "full.yaml").write_text("full:\n  _target_: my_full.Full\n")
    (here / "full").write_text(str(step))
    own = ("--config-dir", "conf", "trust=my_full")
    saved = ("callback=[history,checkpoints,full]", "callback.checkpoints.every_steps=2")
    done = gan_here(*asked(RATES, "trials=3", *saved, *own, HERE, steps=4))
    assert done.returncode == 1
    what, remedy = done.stderr.splitlines()
    assert "no space left on device" in what.lower()
    assert "gan search resume=search" in remedy
    assert [row["ended"] for row in account()["trials"]] == ["done"]
    assert gan_here("search", "resume=search", *own).returncode == 0
    assert gan_here(*asked(RATES, "trials=3", *saved, *own, "hydra.run.dir=whole", steps=4)).returncode == 0
    assert told("search") == told("whole")
    assert [row["run"] for row in account()["trials"]] == ["0", goes_on_in, "2"]


def test_the_best_trial_can_be_repeated_and_its_score_is_the_run_s(gan_here: Inside, here: Path) -> None:
    done = gan_here(*asked(RATES, "trials=2", HERE, "--json"))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    best = found["trials"][found["best"]]
    run = here / "search" / best["run"]
    assert best["best"]["value"] == min(row["best"]["value"] for row in found["trials"])
    assert read_json(run / "result.json")["best"]["value"] == best["best"]["value"]
    assert f"optimizer.lr={best['values']['optimizer.lr']}" in read_json(run / "manifest.json")["overrides"]
    assert "gan train repeat=search/" in done.stderr
    assert sum(found["importance"].values()) == pytest.approx(1)


def test_a_search_with_words_of_an_older_version_goes_on(gan_here: Inside, here: Path) -> None:
    typed = asked("search=[gamma]", "trials=1", HERE)
    done = gan_here(*(word.replace("search=", "space=") for word in typed))
    assert done.returncode == 0, done.stderr
    again = gan_here("search", "resume=search", "trials=2")
    assert again.returncode == 0, again.stderr
    rows = account()["trials"]
    assert [[*row["values"]] for row in rows] == [["penalty.r1.weight"]] * 2
    assert all(0.01 <= float(row["values"]["penalty.r1.weight"]) <= 100 for row in rows)


def test_a_trial_that_is_worse_ends_early_and_says_so(gan_here: Inside, here: Path) -> None:
    rates = ("optimizer.lr=1e-6,3e-2", "sampler=random")
    done = gan_here(*asked(*rates, "pruner=median", "pruner.trials=1", "trials=5", HERE, steps=3))
    assert done.returncode == 0, done.stderr
    rows = account()["trials"]
    pruned = [row for row in rows if row["ended"] == "pruned"]
    assert pruned
    for row in pruned:
        result = read_json(here / "search" / row["run"] / "result.json")
        assert (result["pruned"], result["step"]) == (row["step"], row["step"])
        before = [dict(o["measured"]) for o in rows[: row["number"]] if o["ended"] == "done"]
        there = sorted(values[row["step"]] for values in before if row["step"] in values)
        mine = min(value for _, value in row["measured"])
        assert mine > (there[(len(there) - 1) // 2] + there[len(there) // 2]) / 2  # worse than the median there


def test_refused_trials_are_counted_with_their_reason(gan_here: Inside, here: Path) -> None:
    done = gan_here(*asked("trainer.micro_batches=1,16", "sampler=random", "trials=4", HERE))
    assert done.returncode == 0, done.stderr
    rows = account()["trials"]
    assert {row["values"]["trainer.micro_batches"]: row["ended"] for row in rows} == {"1": "done", "16": "refused"}
    refused = next(row for row in rows if row["ended"] == "refused")
    assert refused["why"]
    assert not (here / "search" / str(refused["number"])).exists()
    page = gan_here("report", "search")
    assert page.returncode == 0, page.stderr
    text = (here / "search" / "report.html").read_text()
    assert "trainer.micro_batches=16" in text
    assert "of each trial" in text


@pytest.mark.parametrize("kept", ["sqlite", "journal", "sqlite:///shared.db"])
def test_a_search_of_which_no_trial_can_begin_leaves_nothing(gan_here: Inside, here: Path, kept: str) -> None:
    tried = ("trainer.micro_batches=16,32", "sampler=random", f"storage={kept}", "json=answer.json")
    done = gan_here(*asked(*tried, "trials=3"))
    assert done.returncode == 2
    *_, what, remedy = done.stderr.splitlines()
    assert what.startswith("gan search: all 3 trials were refused")
    assert remedy.startswith("  use dataset.batch_size=")
    shared = Path("shared.db")
    assert [path.name for path in here.iterdir()] == ([shared.name] if shared.exists() else [])
    assert gan_here(*asked(*tried, "study=search", "trials=1")).returncode == 2
    assert gan_here(*asked(RATES, f"storage={kept}", "trials=1", HERE)).returncode == 0  # the name is free again


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (("trails=3", RATES), "did you mean trials"),
        (("loss=hinge,hnge",), "did you mean hinge"),
        (("optimizer.rl=1e-3,1e-4",), "did you mean optimizer.lr"),
        (("trainer.micro_batches=range(0,3)",), "trainer.micro_batches=0"),
        (("optimizer.lr=tag(lgo,interval(1e-5,1e-3))",), "did you mean log"),
        (("search=[gama]",), "did you mean gamma"),
        (("seed=1",), "nothing to search over"),
        ((RATES, "evaluation.every_steps=null"), "add evaluation.every_steps=500"),
        ((RATES, "storage=sqlite:////nowhere/x.db"), "cannot be opened"),
        ((RATES, "storage=nowhere://x"), "cannot be opened"),
        ((RATES, "storage=sqlite+nowhere:///x"), "cannot be opened"),
        (
            (RATES, "storage=oracle+cx_oracle://a@localhost/x"),
            "driver, cx_Oracle, which is not installed\n  pip install",
        ),
        ((RATES, "storage=sqlite:///"), "kept in memory"),
        ((RATES, "storage=sqlite:///:memory:"), "kept in memory"),
        ((RATES, "storage=sqlit"), "did you mean sqlite"),
        ((RATES, "storage=postgresql://a:secret@localhost/x"), "leave it out"),
        ((RATES, "pruner=hyperband", "pruner.reduction=1"), "give 2 or more"),
        ((RATES, "-m"), "leave -m out"),
        ((RATES, "--run"), "leave --run out"),
        ((RATES, "repeat=run"), "takes the words of a new one"),
        (("resume=nowhere",), "does not go with resume="),
    ],
)
def test_a_mistake_costs_two_lines_and_leaves_nothing(
    gan_here: Inside, here: Path, typed: tuple[str, ...], meant: str
) -> None:
    done = gan_here(*asked(*typed))
    assert done.returncode == 2
    assert meant in done.stderr
    assert "secret" not in done.stderr
    assert len(done.stderr.splitlines()) <= 2
    assert list(here.iterdir()) == []


def test_without_optuna_the_extra_is_named(gan_here: Inside, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)  # type: ignore[arg-type]
    done = gan_here(*asked(RATES))
    assert done.returncode == 2
    assert done.stderr.splitlines()[1] == "  pip install 'gan-cli[search]'"
    assert list(here.iterdir()) == []


def test_a_strangers_search_asks_no_other_machine(gan_here: Inside, here: Path) -> None:
    elsewhere = ["dataset=webdataset", "dataset.root=http://127.0.0.1:1/0.tar", "model=mlp"]
    (here / "search").mkdir()
    (here / "search" / "search.json").write_text(json.dumps({"words": [RATES, *MEASURED, *elsewhere], "asked": 2}))
    done = gan_here("search", "resume=search")
    assert done.returncode == 2
    assert "was not begun here, and its data are at http://127.0.0.1:1/0.tar" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 2
    own.remember(json.dumps([RATES, *MEASURED, *elsewhere]))
    assert "has no study" in gan_here("search", "resume=search").stderr  # one that was begun here is gone on with


@pytest.mark.parametrize(
    "word", ["trust=os", "hydra.searchpath=[file:///tmp]", "--config-dir=x", "name=${oc.env:HOME}"]
)
def test_a_strangers_search_decides_no_code_and_no_folder(gan_here: Inside, here: Path, word: str) -> None:
    (here / "search").mkdir()
    (here / "search" / "search.json").write_text(json.dumps({"words": [RATES, *MEASURED, word]}))
    done = gan_here("search", "resume=search")
    assert done.returncode == 2
    assert "is not taken from a file" in done.stderr
    (here / "search" / "search.json").write_text(json.dumps({"words": [RATES, *MEASURED, "sampler._target_=os.abort"]}))
    done = gan_here("search", "resume=search")
    assert done.returncode == 2
    assert "may not be used" in done.stderr
    assert [path.name for path in (here / "search").iterdir()] == ["search.json"]


def test_a_storage_of_another_search_is_refused_and_one_that_is_gone_is_told(gan_here: Inside, here: Path) -> None:
    shared = f"storage=sqlite:///{here}/shared.db"
    assert gan_here(*asked(RATES, shared, "trials=1", HERE)).returncode == 0
    other = gan_here(*asked(RATES, shared, "trials=1", "hydra.run.dir=other"))
    assert other.returncode == 2
    assert "has a study called search already" in other.stderr
    assert not (here / "other").exists()
    (here / "shared.db").rename(here / "elsewhere.db")
    gone = gan_here("search", "resume=search")
    assert gone.returncode == 2
    assert "has no study called search" in gone.stderr


@pytest.mark.parametrize("kept", ["sqlite", "sqlite:///shared.db"])
def test_a_search_that_is_stopped_before_it_has_its_words_leaves_nothing(
    gan_here: Inside, here: Path, kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = asked(RATES, f"storage={kept}", "trials=1", HERE)

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(search, "write_json", stop)
        assert gan_here(*typed).returncode == 130
    assert not (here / "search").exists()
    assert gan_here(*typed).returncode == 0  # the name is free again


def test_a_search_that_is_stopped_in_its_first_trial_goes_on(
    gan_here: Inside, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(History, "on_step", lambda *_: signal.raise_signal(signal.SIGINT))
        stopped = gan_here(*asked(RATES, "trials=2", HERE))
    assert stopped.returncode == 130
    assert stopped.stderr.endswith("gan search: stopped; the trials are in search\n  gan search resume=search\n")
    assert gan_here("search", "resume=search").returncode == 0
    assert account()["counts"] == {"done": 2}


def test_a_search_whose_words_are_gone_is_refused(gan_here: Inside, here: Path) -> None:
    assert gan_here(*asked(RATES, "trials=1", HERE)).returncode == 0
    (here / "search" / "search.json").unlink()
    refused = gan_here("search", "resume=search")
    assert refused.returncode == 2
    assert "search.json, which has the words of its search, is gone" in refused.stderr
    shutil.rmtree(next((here / "search").glob("0*")))
    again = gan_here(*asked("optimizer.lr=tag(log,interval(1e-4,1e-3))", "trials=1", HERE))
    assert again.returncode == 2
    assert "which has its words, is gone\n  put it back" in again.stderr


def test_a_trial_that_was_killed_before_its_first_checkpoint_begins_anew(here: Path) -> None:
    chosen = list(words("callback=[history]", "hydra.run.dir=run"))
    train(*chosen)
    Path("run/result.json").unlink()
    other = Asked("gan search", [*chosen, "seed=7"], ())
    with pytest.raises(NotWritable, match="holds a run already"):  # not the trial's
        trial(other, Path("run"))
    assert trial(replace(other, settings=chosen), Path("run")).status == "finished"
