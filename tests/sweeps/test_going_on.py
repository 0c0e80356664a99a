"""A sweep that was killed goes on where it was; its words are its own; its answer is the same everywhere."""

from __future__ import annotations

import csv
import json
import shlex
import shutil
from pathlib import Path

import pytest

from conftest import Inside, same, weights, words
from gan_cli.cli import main
from gan_cli.config.compose import Composed
from gan_cli.config.job_names import job_name
from gan_cli.config.sweeps import plan
from gan_cli.errors import NotWritable
from gan_cli.evaluation.comparison import words_of
from gan_cli.store.locks import holding
from gan_cli.sweeps import play, request
from gan_cli.sweeps.devices import _free
from gan_cli.sweeps.folder import Sweep

MEASURED = ("evaluation.every_steps=2", "evaluation.n=20", "callback.checkpoints.every_steps=2")
SWEPT = words(*MEASURED, "loss=hinge,lsgan", "seed=0,1,-1", "hydra.sweep.dir=sweep", steps=4)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of four runs and two jobs that were refused; read it, do not write to it."""
    folder = tmp_path_factory.mktemp("swept")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["train", "-m", *SWEPT]) == 2
    return folder / "sweep"


@pytest.fixture
def swept(once: Path, here: Path) -> Sweep:
    """The same, as if it had been typed here."""
    shutil.copytree(once, "sweep", symlinks=True)
    record = json.loads(Path("sweep/sweep.json").read_text())
    Sweep("sweep").begin(record["words"], record["jobs"])
    Sweep("sweep").conclude({key: value for key, value in record.items() if key not in ("words", "where", "jobs")})
    return Sweep("sweep")


def answer(told: str) -> list[str]:
    """The last lines: the table, the best run, what failed."""
    lines = told.splitlines()
    return lines[max(i for i, line in enumerate(lines) if "kid_pixels_20" in line and "best" not in line) :]


def test_a_killed_sweep_goes_on_where_it_was(swept: Sweep, gan_here: Inside, here: Path) -> None:
    """As a kill leaves it: one job done, one past its first checkpoint, one before it, one never begun."""
    done, half, early, never = (run.folder for run in swept.runs())
    whole = {folder.name: weights(folder) for folder in (done, half, early, never)}
    before = (done / "manifest.json").stat().st_mtime_ns
    (half / "result.json").unlink()
    for name in ("last.pt", "step-000000004.pt", "best.pt"):
        (half / "checkpoints" / name).unlink()
    (early / "result.json").unlink()
    shutil.rmtree(early / "checkpoints")
    shutil.rmtree(never)
    table, record = swept.table.read_text(), json.loads(swept.record.read_text())
    told = gan_here("train", "-m", "resume=sweep")
    assert told.returncode == 2, told.stderr  # the two that failed are listed still
    assert "resuming at step 2" in told.stdout
    assert told.stdout.count("it is finished already") == 1
    assert (done / "manifest.json").stat().st_mtime_ns == before
    assert all(same(weights(here / "sweep" / name), found) for name, found in whole.items())
    assert swept.table.read_text() == table
    assert json.loads(swept.record.read_text()) == record
    assert "jobs=failed runs them again" in told.stderr
    assert [failure.job for failure in swept.failed()] == [2, 5]


def test_a_job_whose_folder_holds_only_remains_begins_again(swept: Sweep, gan_here: Inside, here: Path) -> None:
    """As a full disk left them: a config without a manifest, or a manifest without a config."""
    first, second = (run for run in swept.runs()[:2])
    whole = {run.folder.name: weights(run.folder) for run in (first, second)}
    for run, kept in ((first, run_file(first.config)), (second, run_file(second.manifest))):
        shutil.rmtree(run.folder)
        run.folder.mkdir()
        (run.folder / kept[0]).write_bytes(kept[1])
    told = gan_here("train", "-m", "resume=sweep")
    assert told.returncode == 2, told.stderr  # the two that failed are listed still
    assert [failure.job for failure in swept.failed()] == [2, 5]
    for run in (first, second):
        assert same(weights(run.folder), whole[run.folder.name])
        assert "resumed" not in run.read_manifest()
    shutil.rmtree(first.folder)
    first.folder.mkdir()
    for path in (first.config, first.folder / "thesis.txt"):
        path.write_text("not of a run")
    assert "thesis.txt, which is not of a run" in gan_here("train", "-m", "resume=sweep").stderr
    assert len(list(first.folder.iterdir())) == 2


def run_file(path: Path) -> tuple[str, bytes]:
    """Its name and content."""
    return path.name, path.read_bytes()


def test_jobs_are_run_again_alone(swept: Sweep, gan_here: Inside, here: Path) -> None:
    untouched = swept.runs()[0].folder / "manifest.json"
    before = untouched.stat().st_mtime_ns
    assert request.read(["-m", "resume=sweep"]).wanted == {0, 1, 3, 4}
    assert request.read(["-m", "resume=sweep", "jobs=failed"]).wanted == {2, 5}
    record = json.loads(swept.record.read_text())
    assert [row["again"] for row in record["failures"]] == [f"gan train -m resume=sweep jobs={n}" for n in (2, 5)]
    shutil.rmtree(swept.runs()[3].folder)
    told = gan_here(*shlex.split("train -m resume=sweep jobs=4,5"))
    assert told.returncode == 2
    assert told.stdout.count("\n#") == 2
    assert [run.folder.name for run in swept.runs()][3] == "4-lsgan-seed1"
    assert [failure.job for failure in swept.failed()] == [2, 5]
    assert untouched.stat().st_mtime_ns == before


def test_the_answer_is_the_same_everywhere(swept: Sweep, gan_here: Inside, here: Path) -> None:
    record = json.loads(swept.record.read_text())
    assert (record["metric"], record["better"], record["measured"]) == ("kid_pixels_20", "smaller", "while training")
    assert sorted(row["words"] for row in record["rows"]) == ["loss=hinge", "loss=lsgan"]
    rows = list(csv.DictReader(swept.table.open()))
    values = {row["run"]: float(row["kid_pixels_20"]) for row in rows}
    assert min(values, key=lambda run: values[run]) == record["best"]["run"]
    for row in record["rows"]:
        mean = sum(values[run] for run in row["runs"]) / 2
        assert row["metrics"]["kid_pixels_20"]["value"] == pytest.approx(mean)
    told = gan_here("compare", "sweep")
    assert told.returncode == 0
    assert "scores taken while training" in told.stdout
    assert f"gan train repeat=sweep/{record['best']['run']}" in told.stdout
    asked = json.loads(gan_here("compare", "sweep", "--json").stdout)
    assert asked == {key: value for key, value in record.items() if key in asked}
    assert gan_here("report", "sweep").returncode == 0
    page = (here / "sweep" / "report.html").read_text()
    assert page.index("Which came out best") < page.index("loss=") < page.index("Jobs that were refused or failed")
    verdict = gan_here("compare", "sweep", "--verdict")
    assert len(verdict.stdout.splitlines()) == 1
    assert json.loads(verdict.stdout)["pairs"] == 2


def test_every_run_of_a_sweep_is_measured(swept: Sweep, gan_here: Inside, here: Path) -> None:
    told = gan_here("eval", "sweep", "detector=pixels", "metrics=[fid]", "n=20")
    assert told.returncode == 0, told.stderr
    assert all(len(list(run.evals.glob("*.json"))) == 1 for run in swept.runs())
    record = json.loads(swept.record.read_text())
    assert (record["metric"], record["measured"]) == ("fd_pixels", "gan eval")
    assert "scores taken while training" not in gan_here("compare", "sweep").stdout
    refused = gan_here("eval", "sweep", "detector=pixels", "metric=[fid]")
    assert (refused.returncode, len(refused.stderr.splitlines())) == (2, 2)


def test_the_words_of_a_stranger_s_sweep_are_not_run(swept: Sweep, gan_here: Inside, here: Path) -> None:
    record = json.loads(swept.record.read_text())
    evil = [word.replace("loss=hinge,lsgan", "loss=hinge,lsgan dataset.root=/etc") for word in record["words"]]
    swept.record.write_text(json.dumps({**record, "words": [*evil, "hydra/launcher=joblib"]}))
    told = gan_here("train", "-m", "resume=sweep")
    assert (told.returncode, len(told.stderr.splitlines())) == (2, 2)
    assert "may be a stranger's" in told.stderr
    swept.record.write_text(json.dumps({**record, "where": str(here / "moved")}))
    assert "may be a stranger's" in gan_here("train", "-m", "resume=sweep").stderr
    assert request.read(["-m", "resume=sweep", *SWEPT]).again  # typed by the user
    for strange in (b"", b"[]", b"{", b"[" * 10_000, b'{"words": 3}', b'{"words": ["\\u0000"]}'):
        swept.record.write_bytes(strange)
        told = gan_here("train", "-m", "resume=sweep")
        assert (told.returncode, len(told.stderr.splitlines())) == (2, 2), strange


def test_what_cannot_go_on_is_refused(swept: Sweep, gan_here: Inside, here: Path) -> None:
    """In two lines, and nothing is touched."""
    before = {path: path.lstat().st_mtime_ns for path in here.rglob("*")}
    for asked, said in (
        (SWEPT, "sweep holds a sweep already"),
        (("resume=sweep", "optimizer.lr=1"), "keeps the words that it began with"),
        (("resume=sweep", "jobs=6"), "jobs=6 is not valid"),
        (("resume=sweep", "jobs=-1"), "jobs=-1 is not valid"),
        (("resume=sweep/0-hinge-seed0",), "is a run, not a sweep"),
        (("resume=nowhere",), "nowhere is not a folder"),
        (("resume=.",), ". is not a sweep"),
        (("jobs=1", "seed=0,1"), "goes with resume="),
        (("repeat=sweep", "seed=0,1"), "does not go with repeat="),
    ):
        told = gan_here("train", "-m", *asked)
        assert (told.returncode, len(told.stderr.splitlines())) == (2, 2), told.stderr
        assert said in told.stderr
    assert "gan train -m resume=sweep continues" in gan_here("train", "resume=sweep").stderr
    assert {path: path.lstat().st_mtime_ns for path in here.rglob("*")} == before


def test_a_job_that_its_launcher_starts_again_goes_on(swept: Sweep) -> None:
    """Slurm requeues a job, Ray tries one again: the same words in the same folder, in a sweep that has not ended."""
    run = swept.runs()[0]
    run.result.unlink()

    def begin(composed: Composed, own: list[str]) -> float | None:
        raise NotWritable("holds a run already")

    def again(words: list[str]) -> float | None:
        jobs = play.Jobs(begin, lambda folder: 0.25 if folder == run.folder else None)
        return play._played(Composed({}, {}, run.folder), words, jobs, again=False)

    assert again(list(words_of(run.folder))) == 0.25
    with pytest.raises(NotWritable):
        again([*words_of(run.folder)[:-1], "seed=7"])  # another job's


def test_a_job_in_another_folder_knows_where_the_sweep_is(here: Path) -> None:
    """The processes of a Ray that was there already begin where it was started."""
    typed = plan([*SWEPT, "-m"]).typed()
    assert [word for word in typed if word.startswith("hydra.sweep.dir=")] == [f"hydra.sweep.dir='{here / 'sweep'}'"]


def test_two_sweeps_do_not_share_a_folder(gan_here: Inside, here: Path) -> None:
    (here / "sweep").mkdir()
    with holding(here / "sweep" / ".lock", "process 7 on elsewhere"):
        told = gan_here("train", "-m", *SWEPT)
    assert (told.returncode, len(told.stderr.splitlines())) == (2, 2)
    assert "is being swept by process 7 on elsewhere" in told.stderr
    assert list((here / "sweep").iterdir()) == []


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("loss=hinge", "seed=0,1", "decide=loss"), "chooses between two values of loss"),
        (("loss=hinge,lsgan,wgan", "seed=0,1", "decide=loss"), "chooses between two values of loss"),
        (("loss=hinge,lsgan", "decide=loss"), "compares over seeds"),
        (("loss=hinge,lsgan", "seed=0,1", "decide=loss"), "needs a number to go by"),
        (("seed=range(0,99999999999)",), "more than 10000 jobs"),
        (("seed=0,1", "hydra/launcher=ray"), "a plugin that is not installed\n  pip install 'gan-cli[ray]'"),
        (("seed=0,1", "hydra/sweeper=optuna"), "gan search asks Optuna what to try: pip install 'gan-cli[search]'"),
    ],
)
def test_what_a_sweep_cannot_tell_is_refused_before_it_begins(
    asked: tuple[str, ...], said: str, gan_here: Inside, here: Path
) -> None:
    told = gan_here("train", "-m", *words(), *asked)
    assert (told.returncode, len(told.stderr.splitlines())) == (2, 2), told.stderr
    assert said in told.stderr
    assert list(here.iterdir()) == []


def test_a_decision_is_the_only_line_of_standard_output(gan_here: Inside, here: Path) -> None:
    told = gan_here("train", "-m", *words(*MEASURED, "seed=0,1", "loss=hinge,lsgan", "decide=loss"))
    assert told.returncode == 0, told.stderr
    (line,) = told.stdout.splitlines()
    found = json.loads(line)
    assert (found["decide"], found["a"], found["b"]) == ("loss", "loss=hinge", "loss=lsgan")
    (record,) = here.glob("outputs/sweeps/*/sweep.json")
    assert json.loads(record.read_text())["decision"] == found
    costs = {
        (word, row["seed"]): row["scores"]["kid_pixels_20"]["value"]
        for row in json.loads(record.read_text())["runs"]
        for word in row["words"]
    }
    paired = [costs["loss=lsgan", seed] - costs["loss=hinge", seed] for seed in ("0", "1")]
    assert found["difference"] == pytest.approx(sum(paired) / 2)


def test_seeds_alone_have_a_table(swept: Sweep, gan_here: Inside, here: Path) -> None:
    for run in swept.runs()[2:]:
        shutil.rmtree(run.folder)
    table = answer(gan_here("compare", "sweep").stdout)
    assert table[1].startswith("1  seed=0,1  ")
    assert table[1].endswith("(2 seeds)")


WRITES = "{_target_: pathlib.Path.write_text, self: {_target_: pathlib.Path, _args_: [harm]}, data: x}"


@pytest.mark.parametrize(
    "hydras",
    [
        f"hydra: {{callbacks: {{x: {WRITES}}}}}",
        f"mine: {WRITES}\nhydra: {{callbacks: {{x: '${{mine}}'}}}}",
        f"hydra: {{callbacks: {{x: {{_target_: hydra.experimental.callbacks.LogJobReturnCallback, more: {WRITES}}}}}}}",
        "hydra: {callbacks: {x: {_target_: hydra.experimental.callbacks.logging.FileHandler, filename: harm}}}",
        "hydra: {job_logging: {version: 1, handlers: {x: {'()': pathlib.Path.touch, self: harm}}}}",
        "hydra: {hydra_logging: {version: 1, handlers: {x: {class: my_logs.Handler}}}}",
        "hydra: {hydra_logging: {version: 1, handlers: {x: {class: logging.StreamHandler, stream: 'ext://my.x'}}}}",
    ],
)
@pytest.mark.parametrize("asked", [("-m", "seed=0,1", "loss=mine"), ("-m", "loss=hinge,mine"), ("--run", "loss=mine")])
def test_a_file_has_hydra_run_no_code_that_nobody_vouches_for(
    asked: tuple[str, ...], hydras: str, gan_here: Inside, here: Path
) -> None:
    (here / "conf" / "loss").mkdir(parents=True)
    loss = "loss: {_target_: gan_cli.losses.Hinge}"
    (here / "conf" / "loss" / "mine.yaml").write_text(f"# @package _global_\n{loss}\n{hydras}\n")
    told = gan_here("train", *asked, "--config-dir", "conf", *words())
    assert told.returncode == 2, told.stderr
    assert any(said in told.stderr for said in ("may not be used there", "cannot be found", "unknown setting 'mine'"))
    assert [path.name for path in here.iterdir()] == ["conf"]


@pytest.mark.parametrize("asked", [("-m", "seed=1,2"), ("-m", "mode=grid,evil"), ("--run", "mode=evil")])
def test_nor_where_samples_are_swept_over(asked: tuple[str, ...], finished: Path, gan_here: Inside, here: Path) -> None:
    (here / "conf" / "mode").mkdir(parents=True)
    text = f"# @package _global_\nmode: null\nhydra: {{callbacks: {{x: {WRITES}}}}}\n"
    (here / "conf" / "mode" / "evil.yaml").write_text(text)
    chosen = () if any(word.startswith("mode=") for word in asked) else ("mode=evil",)
    told = gan_here("sample", str(finished), "n=4", "--config-dir", "conf", *asked, *chosen)
    assert told.returncode == 2, told.stderr
    assert "may not be used there" in told.stderr
    assert [path.name for path in here.iterdir()] == ["conf"]


def test_a_launcher_that_hydra_ignores_is_told(gan_here: Inside, here: Path) -> None:
    """Hydra reads the launcher of an experiment that is chosen once, and not of one that is swept over."""
    folder = here / "conf" / "experiment"
    folder.mkdir(parents=True)
    for name in ("mine", "other"):
        (folder / f"{name}.yaml").write_text(
            "# @package _global_\ndefaults:\n  - override /hydra/launcher: joblib\n  - _self_\nseed: 0\n"
        )
    asked = ("--config-dir", "conf", *words(), "seed=0,1")
    assert plan([*asked, "experiment=mine,other"]).ignored == "joblib"
    assert plan([*asked, "experiment=mine"]).ignored is None
    assert plan([*asked, "experiment=mine,other", "hydra/launcher=joblib"]).ignored is None
    told = gan_here("train", "-m", *asked, "experiment=mine,other", "trainer.max_steps=-1")
    assert "the launcher joblib does not count" in told.stderr


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        (["loss=hinge", "optimizer.lr=0.0002", "seed=1"], "3-hinge-lr0.0002-seed1"),
        (["penalty=[r1,lecam]", "+model.discriminator.norm=layer"], "3-r1_lecam-norm-layer"),
        (["dataset.root=/a/b c/é", "seed=-1"], "3-root-_a_b_c_é-seed-1"),
        (["fixed=1"], "3"),
        ([f"name={'x' * 300}"], f"3-{'x' * 58}"),
        (["name=../../.."], "3-name"),
    ],
)
def test_the_folder_of_a_job_is_named_by_what_differs(typed: list[str], name: str) -> None:
    found = job_name(3, typed, {"fixed"})
    assert found == name
    assert "/" not in found
    assert len(found.encode()) < 256


def test_each_job_has_a_device_of_its_own(tmp_path: Path) -> None:
    from contextlib import ExitStack

    with ExitStack() as stack:
        assert [_free(tmp_path, job, 2, stack) for job in range(3)] == [0, 1, 0]
    assert list(tmp_path.iterdir()) == []
