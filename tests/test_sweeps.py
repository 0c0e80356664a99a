"""Sweeps: a job that is refused or fails scores worst in a search and never ends the sweep; the exit code tells."""

from __future__ import annotations

import importlib
import json
import os
from contextlib import ExitStack
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from omegaconf import OmegaConf

from conftest import Inside, files_of_at_most, words
from gan_cli.config.compose import Composed
from gan_cli.errors import ConfigError, RunFailed
from gan_cli.store.disk import NotWritten
from gan_cli.sweeps import folder, play


def test_a_sweep_in_which_no_job_can_begin_leaves_nothing(gan_here: Inside, here: Path) -> None:
    told = gan_here("train", "-m", *words(), "seed=-1,-2")
    assert told.returncode == 2
    assert "0: seed=-1 is not valid" in told.stderr
    assert told.stderr.splitlines()[-1] == "  it should be greater than or equal to 0"
    assert list(here.iterdir()) == []


def test_a_typo_in_a_sweep_is_reported_before_anything_is_written(gan_here: Inside, here: Path) -> None:
    for word in ("model=dcgn,mlp", "trainer.max_step=1,2", "evaluation.detector=pixels,points"):
        told = gan_here("train", "-m", *words(), word)
        assert told.returncode == 2
        assert len(told.stderr.strip().splitlines()) <= 2
    assert list(here.iterdir()) == []


def test_failures_are_kept_beside_the_jobs(gan_here: Inside, here: Path) -> None:
    told = gan_here("train", "-m", *words(), "seed=0,-1", "hydra.sweep.dir=sweep")
    assert told.returncode == 2
    (failure,) = [json.loads(line) for line in Path("sweep/failures.jsonl").read_text().splitlines()]
    assert (failure["job"], failure["code"]) == (1, 2)
    assert "seed=-1" in failure["words"]
    assert "seed=-1 is not valid" in failure["error"]
    assert sorted(p.name for p in Path("sweep").iterdir() if p.is_dir()) == ["0-seed0"]


def test_what_a_full_disk_cannot_keep_of_a_sweep_is_told(
    gan_here: Inside, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing can be written any more from a failure on."""
    swept = (*words(), "seed=0,-1,-2", "hydra.sweep.dir=sweep")
    note = folder.Sweep.note
    with ExitStack() as full:

        def filling(sweep: folder.Sweep, failure: folder.Failure) -> None:
            if failure.job == 1:
                full.enter_context(files_of_at_most(0))
            note(sweep, failure)

        monkeypatch.setattr(folder.Sweep, "note", filling)
        told = gan_here("train", "-m", *swept)
    monkeypatch.undo()
    assert told.returncode == 1
    assert "Traceback" not in told.stderr
    what, remedy = told.stderr.splitlines()[-2:]
    assert what.startswith(
        "gan train: 2 jobs of the sweep failed: #1: seed=-1 is not valid; #2: seed=-2 is not valid; "
    )
    assert what.endswith("sweep.json cannot be written: file too large")
    assert remedy == "  once that is fixed, gan train -m resume=sweep jobs=1,2 runs them again"
    assert "  #2 seed=-2: seed=-2 is not valid" in told.stdout.splitlines()
    monkeypatch.chdir(here)
    again = gan_here("train", "-m", "resume=sweep", "jobs=1,2")
    assert (again.returncode, [failure.job for failure in folder.Sweep("sweep").failed()]) == (2, [1, 2])


def test_a_line_that_a_full_disk_cut_off_spoils_no_other(here: Path) -> None:
    sweep = folder.Sweep(here / "sweep")
    failures = [folder.Failure(job, ("seed=-1",), "x" * 300, 2) for job in range(3)]
    sweep.note(failures[0])
    with files_of_at_most(sweep.failures.stat().st_size + 100), pytest.raises(NotWritten, match="file too large"):
        sweep.note(failures[1])
    sweep.note(failures[2])
    assert sweep.failed() == [failures[0], failures[2]]


FORGETFUL = '''
from hydra._internal.core_plugins.basic_launcher import BasicLauncher

class Forgetful(BasicLauncher):
    """Loses its last job and says nothing, as one on a machine that is switched off."""
    def launch(self, job_overrides, initial_job_idx):
        return super().launch(job_overrides[:-1], initial_job_idx)
'''


def test_a_job_that_the_launcher_lost_is_told_and_goes_on(
    gan_here: Inside, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in {
        "conf/hydra/launcher/forgetful.yaml": "_target_: hydra_plugins.forgetful.Forgetful\n",
        "hydra_plugins/forgetful.py": FORGETFUL,
    }.items():
        (here / name).parent.mkdir(parents=True)
        (here / name).write_text(text)
    monkeypatch.syspath_prepend(here)
    Plugins.instance().register(importlib.import_module("hydra_plugins.forgetful").Forgetful)
    sweep = ("--config-dir", "conf", *words(), "seed=0,1", "hydra.sweep.dir=sweep")
    told = gan_here("train", "-m", *sweep, "hydra/launcher=forgetful")
    assert told.returncode == 1
    assert told.stderr.strip().splitlines()[-2:] == [
        "gan train: 1 of the sweep's jobs did not finish, and the launcher did not say why",
        "  gan train -m resume=sweep continues them",
    ]
    again = gan_here("train", "-m", "resume=sweep", "hydra/launcher=basic")
    assert again.returncode == 0, again.stderr
    assert len(list(here.glob("sweep/*/result.json"))) == 2


def test_a_search_without_a_number_to_go_by_is_refused(gan_here: Inside, here: Path) -> None:
    folder = here / "conf" / "hydra" / "sweeper"
    folder.mkdir(parents=True)
    (folder / "mine.yaml").write_text("_target_: hydra_plugins.my_sweeper.Search\n")
    asked = ("train", "-m", "--config-dir", "conf", *words(), "hydra/sweeper=mine", "optimizer.lr=1e-3,1e-4")
    told = gan_here(*asked)
    assert told.returncode == 2
    assert told.stderr.splitlines()[1] == "  add evaluation.every_steps=500"
    assert not (here / "outputs").exists()


@pytest.mark.parametrize(
    ("direction", "ends", "score"),
    [
        ("minimize", ConfigError("refused"), float("inf")),
        ("minimize", RunFailed("failed"), float("inf")),
        ("minimize", ValueError("a bug"), float("inf")),
        ("maximize", ConfigError("refused"), float("-inf")),
        ("minimize", None, float("inf")),
        ("minimize", 0.5, 0.5),
        ("maximize", 0.5, -0.5),  # a score is better the lower it is, whichever way the search goes
    ],
)
def test_what_a_search_is_told_of_a_job(here: Path, direction: str, ends: object, score: float) -> None:
    """Whichever process runs the job, the failure is in the sweep's folder."""

    def job(composed: Composed, own: list[str]) -> float | None:
        if isinstance(ends, Exception):
            raise ends
        return ends  # type: ignore[return-value]

    job_of = {"num": 3, "override_dirname": ""}
    meta = {
        "job": job_of,
        "overrides": {"task": ["seed=1"]},
        "sweeper": {"_target_": "x.Search", "direction": direction},
        "sweep": {"dir": str(here)},
        "runtime": {"cwd": os.getcwd(), "output_dir": str(here / "3"), "choices": {"model": "mlp"}},
    }
    HydraConfig.instance().cfg = OmegaConf.create({"hydra": meta})  # type: ignore[assignment]
    try:
        jobs = play.Jobs(job, lambda run: None)
        assert play.one(OmegaConf.create({"model": {"_target_": "x"}}), jobs, None, False, []) == score
    finally:
        HydraConfig.instance().cfg = None
    assert folder.Sweep(here).failures.exists() == isinstance(ends, Exception)


def test_two_measurements_of_one_process_are_two_files(gan_here: Inside, finished: Path, here: Path) -> None:
    before = set(Path(finished / "evals").glob("*.json"))
    for _ in range(2):
        assert gan_here("eval", str(finished), "detector=pixels", "metrics=[fid]", "n=20").returncode == 0
    assert len(set((finished / "evals").glob("*.json")) - before) == 2


def test_jobs_in_processes_of_their_own_report_how_they_ended(gan_here: Inside, here: Path) -> None:
    asked = ("hydra/launcher=joblib", "hydra.launcher.n_jobs=2", "hydra.sweep.dir=sweep")
    told = gan_here("train", "-m", *words(), *asked, "seed=0,-1")
    assert told.returncode == 2
    assert "one job of the sweep failed: #1: seed=-1 is not valid" in told.stderr
    assert json.loads((here / "sweep" / "0-seed0" / "result.json").read_text())["status"] == "finished"
    assert not (here / "sweep" / "1-seed-1").exists()


def test_what_all_jobs_are_refused_for_is_told_once(gan_here: Inside, here: Path) -> None:
    told = gan_here("train", "-m", *words("dataset.batch_size=0"), "seed=range(4)", "hydra.sweep.dir=sweep")
    assert told.returncode == 2
    assert told.stderr.count("dataset.batch_size=0") == 1
    assert "4 jobs of the sweep failed: #0, #1 and 2 more: dataset.batch_size=0 is not valid" in told.stderr
    assert not list(here.iterdir())


def test_an_empty_working_directory_stays(gan_here: Inside, here: Path) -> None:
    for arguments in (
        ("train", *words(), "init_from=nowhere", "hydra.run.dir=run"),
        ("train", *words(), "init_from=nowhere", f"hydra.run.dir={here / 'other' / 'run'}"),
        ("train", "-m", *words(), "seed=-1,-2", "hydra.sweep.dir=sweep"),
    ):
        assert gan_here(*arguments).returncode == 2
        assert here.is_dir()
        assert list(here.iterdir()) == []


def test_a_job_is_named_by_what_was_tried_also_where_the_others_have_no_score(here: Path, gan_here: Inside) -> None:
    pixels = "evaluation.detector._target_=gan_cli.metrics.detectors.Pixels"
    watched = ["evaluation.every_steps=2", "evaluation.n=64", pixels]
    told = gan_here("train", "-m", *words(), *watched, "optimizer.lr=1e38,1e-4", "hydra.sweep.dir=sweep")
    assert told.returncode == 1
    (table,) = [line for line in told.stdout.splitlines() if line.startswith("1  ")]
    assert table.startswith("1  optimizer.lr=0.0001  ")
    assert gan_here("compare", "sweep").stdout.splitlines()[1] == table
