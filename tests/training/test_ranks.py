"""N processes compute what one would: the same losses, weights, samples and scores; and they end together."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch
import torch.distributed as dist
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from conftest import SMALL_DCGAN, SMALL_TRANSLATORS, checked, words
from gan_cli import train
from gan_cli.config import build
from gan_cli.config.trust import Trust
from gan_cli.errors import ConfigError, NotWritable, RunFailed
from gan_cli.runs.picking import picked
from gan_cli.store.rows import read_rows
from gan_cli.store.run import Run
from gan_cli.training import as_one, ranks, together
from gan_cli.training.ranks import launch
from gan_cli.training.runtime import Runtime
from gan_cli.training.together import Word

STEPS, TOLERANCE = 20, 1e-5
SHARED = ("dataset.batch_size=64", "dataset.flip=true")
UNNORMED = ("model.generator.norm=none", "model.discriminator.norm=none")
# Windows and flips of both sides; pools that are full after three steps, so that half of the fakes are then past ones.
CYCLE = (*SMALL_TRANSLATORS["cyclegan"], "game.past.size=10", "model.width=8", *UNNORMED)
CASES = {
    "gradient penalty": words("loss=wgan_gp", *SHARED, steps=STEPS),
    "penalties": words("penalty=[r1,r2,lecam]", *SHARED, steps=STEPS),
    "augmented": words("augment=[diffaugment]", "loss=hinge", *UNNORMED, *SHARED, model=SMALL_DCGAN, steps=STEPS),
    "judged together": words("augment=[instance_noise]", "game.judged=together", "loss=hinge", *SHARED, steps=STEPS),
    "labels": words("conditioning=projection", "loss=hinge", *SHARED, steps=STEPS),
    "past fakes": words("dataset.batch_size=4", model=CYCLE, steps=STEPS),
}
SYNCHRONISED = words("trainer.sync_batchnorm=true", "penalty=[r1]", *SHARED, model=SMALL_DCGAN, steps=5)
# Of the experiments that translate: made small, and without norms, which magnify rounding, spectral ones, which iterate
# once a pass, and dropout, which each process draws for its own rows.
PATCHES = ("dataset.resolution=16", "model.discriminator.layers=1", *UNNORMED)
ENLARGING = ("dataset.resolution=32", "model.generator.blocks=1")
NARROW = {
    "cyclegan": (*PATCHES, "model.generator.blocks=1", "model.discriminator.spectral_norm=false"),
    "pix2pix": (*PATCHES, "model.generator.depth=3", "model.generator.dropout=0"),
    "srresnet": ENLARGING,
    "srgan": (*ENLARGING, "model.discriminator.norm=none"),
    "esrgan": (*ENLARGING, "model.generator.growth=2"),
}
TRANSLATORS = {
    name: words("dataset.batch_size=4", "model.width=4", model=(f"experiment={name}_small", *narrow))
    for name, narrow in NARROW.items()
}
Played = tuple[list[dict[str, float]], dict[str, torch.Tensor]]


@pytest.fixture(autouse=True)
def handlers_kept() -> Iterator[None]:
    """torch's launcher leaves its own behind, in this process here."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def played(chosen: tuple[str, ...], devices: int, rank: int) -> Played:
    trainer = build.trainer(checked((*chosen, f"trainer.devices={devices}")), rank)
    trainer.place()
    read = []
    while not trainer.limits.reached(trainer.clock):
        trainer.step()
        read.append(trainer.read())
    return read, trainer.game.state_dict()


def resumed(chosen: tuple[str, ...], rank: int, path: Path) -> Played:
    """The same as one of two processes, stopped halfway: all go on from what rank 0 saved."""
    read = []
    for end in (STEPS // 2, STEPS):
        trainer = build.trainer(checked((*chosen, f"trainer.max_steps={end}", "trainer.devices=2")), rank)
        trainer.place()
        if path.exists():
            trainer.load_state_dict(torch.load(path, weights_only=True))
        while not trainer.limits.reached(trainer.clock):
            trainer.step()
            read.append(trainer.read())
        if rank == 0:
            torch.save(trainer.state_dict(), path)
        together.told("saved")
    return read, trainer.game.state_dict()


def write_all(job: tuple[dict[str, tuple[str, ...]], Path], rank: int) -> dict[str, str]:
    """Plays every case as one of two processes; rank 0 writes what came of it."""
    cases, path = job
    told = {name: played(chosen, 2, rank) for name, chosen in cases.items()}
    told["resumed"] = resumed(cases["past fakes"], rank, path.with_name("halfway.pt"))
    for name, value in ((n, v) for _, state in told.values() for n, v in state.items()):
        first = value.clone()
        dist.broadcast(first, src=0)
        assert torch.equal(value, first), f"{name} is another one in process {rank}"
    if rank == 0:
        torch.save(told, path)
    return {"status": "finished"}


def note_environment(path: Path, rank: int) -> dict[str, str]:
    """What a process finds under the names of the test below."""
    found = [os.environ.get(name, "nothing") for name in ("GAN_FIRST", "GAN_THEN")]
    (path / str(rank)).write_text(" ".join([*found, os.getcwd()]))
    dist.barrier()  # one that has left already cannot be met by another
    return {"status": "finished"}


def test_processes_have_the_environment_of_their_launch(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though they are forked off a process that began with the first launch. A closed terminal that is ignored, as
    under `nohup`, stays so."""
    monkeypatch.setenv("GAN_FIRST", "a")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    launch(note_environment, here, 1)
    assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    assert (here / "0").read_text() == f"a nothing {here}"
    monkeypatch.delenv("GAN_FIRST")
    monkeypatch.setenv("GAN_THEN", "b")
    (here / "below").mkdir()
    monkeypatch.chdir("below")
    launch(note_environment, here, 2)
    assert [(here / rank).read_text() for rank in "01"] == [f"nothing b {here / 'below'}"] * 2


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Played]:
    path = tmp_path_factory.mktemp("two") / "played.pt"
    launch(write_all, ({**CASES, **TRANSLATORS, "synchronised": SYNCHRONISED}, path), 2)
    return torch.load(path, weights_only=True)


def check_alike(one: Played, other: Played, steps: int, which: str = "", tolerance: float = TOLERANCE) -> None:
    (losses, weights), (others, their_weights) = one, other
    assert len(losses) == len(others) == steps
    for mine, theirs in zip(losses, others, strict=True):
        assert mine == pytest.approx(theirs, abs=tolerance)
    for name in (name for name in weights if name.startswith(which)):
        torch.testing.assert_close(their_weights[name], weights[name], rtol=0, atol=tolerance)


@pytest.mark.parametrize("case", CASES)
def test_two_halves_of_a_batch_are_the_batch(case: str, by_two: dict[str, Played]) -> None:
    """1 x 64 and 2 x 32: the same latents, flips, mixtures and augmentations, split by rows."""
    check_alike(played(CASES[case], 1, 0), by_two[case], STEPS)


@pytest.mark.parametrize("experiment", TRANSLATORS)
def test_translators_learn_the_same_of_a_batch_by_two_processes_and_in_parts(
    experiment: str, by_two: dict[str, Played]
) -> None:
    """Spectral normalisation, which ESRGAN's discriminator has, iterates once a pass: twice where there are two parts,
    and so D is another one, a little. Adam makes a step of that."""
    chosen = TRANSLATORS[experiment]
    whole, in_parts = played(chosen, 1, 0), played((*chosen, "trainer.micro_batches=2"), 1, 0)
    check_alike(whole, by_two[experiment], 2)
    check_alike(whole, in_parts, 2, *(("generator", 1e-3) if experiment == "esrgan" else ()))


def test_processes_that_go_on_do_so_bit_for_bit(by_two: dict[str, Played]) -> None:
    """With past fakes of all of them: the pool in the checkpoint is everybody's."""
    (losses, weights), (others, their_weights) = by_two["past fakes"], by_two["resumed"]
    assert losses == others
    pool = weights["there.past.fakes"]
    assert len(pool.flatten(1).unique(dim=0)) == 10
    for name, weight in weights.items():
        assert torch.equal(weight, their_weights[name]), name


def test_synchronised_batch_norm_is_that_of_the_whole_batch(by_two: dict[str, Played]) -> None:
    """Twice differentiated too. A bias before batch norm has no gradient but rounding, which Adam makes a step of; the
    running means follow it."""
    (losses, weights), (others, their_weights) = played(SYNCHRONISED, 1, 0), by_two["synchronised"]
    for mine, theirs in zip(losses, others, strict=True):
        assert mine == pytest.approx(theirs, abs=TOLERANCE)
    for name in [name for name in weights if name.endswith("weight")]:
        torch.testing.assert_close(their_weights[name], weights[name], rtol=1e-4, atol=TOLERANCE)


def test_samples_grids_and_scores_do_not_depend_on_the_number_of_processes(here: Path) -> None:
    """Nor does the run's health; and the run goes on with another number of them, from the same state."""
    measured = ("evaluation.every_steps=2", "evaluation.n=150", "callback.health.every_steps=2")
    base = words("callback=[history,checkpoints,samples,health]", *measured, steps=2)
    train(*base, "hydra.run.dir=one")
    train("resume=one", "trainer.max_steps=4", "optimizer.lr=0")
    train(*base, "hydra.run.dir=two")
    train("resume=two", "trainer.max_steps=4", "optimizer.lr=0", "trainer.devices=2")
    one, two = Path("one"), Path("two")
    grid = "step-000000004.png"
    assert (one / "samples" / grid).read_bytes() == (two / "samples" / grid).read_bytes()
    scores = [
        [value for row in read_rows(run / "metrics.jsonl") for name, value in row.items() if name.endswith("_150")]
        for run in (one, two)
    ]
    assert scores[0] == scores[1]
    assert len(scores[0]) == 2
    first, second = (
        {name: value for name, value in read_rows(run / "metrics.jsonl")[-1].items() if name != "seconds"}
        for run in (one, two)
    )
    assert len([name for name in first if name.startswith("health/")]) == 6
    assert second == pytest.approx(first, rel=1e-5)
    assert "process 1 of 2, from step 2, on cpu" in (two / "ranks" / "rank-1.log").read_text()


def test_translators_draw_what_is_watched_together(here: Path) -> None:
    """Each draws its share of the pictures, an odd number of them, and of the grids between; scores are the same."""
    watched = ("evaluation.every_steps=1", "evaluation.n=9", "evaluation.metric=fid")
    base = ("experiment=srresnet_small", *ENLARGING, "model.width=4", "dataset.batch_size=4", "trainer.max_steps=2")
    calls = ("optimizer.lr=0", *watched, "callback=[history,checkpoints,samples]", "callback.samples.every_steps=1")
    train(*base, *calls, "hydra.run.dir=one")
    train(*base, *calls, "hydra.run.dir=two", "trainer.devices=2")
    one, two = (
        [value for row in read_rows(Path(run, "metrics.jsonl")) for name, value in row.items() if name.endswith("_9")]
        for run in ("one", "two")
    )
    assert len(one) == 2
    assert two == one
    for grid in Path("one", "samples").iterdir():
        assert Path("two", "samples", grid.name).read_bytes() == grid.read_bytes()


@pytest.mark.parametrize(
    ("experiment", "metric"), [("srresnet", "psnr_gain"), ("cyclegan", "cycle_error")], ids=["pairs", "round trips"]
)
def test_pairs_that_are_watched_are_drawn_together(here: Path, experiment: str, metric: str) -> None:
    """An odd number of pictures, each whole; scores are the same."""
    small = (*NARROW[experiment], "model.width=4", "dataset.batch_size=4", "trainer.max_steps=1", "callback=[history]")
    base = (f"experiment={experiment}_small", *small, "evaluation.every_steps=1", "evaluation.n=5")
    train(*base, f"evaluation.metric={metric}", "optimizer.lr=0", "hydra.run.dir=one")
    train(*base, f"evaluation.metric={metric}", "optimizer.lr=0", "hydra.run.dir=two", "trainer.devices=2")
    (one,), (two,) = (read_rows(Path(run, "metrics.jsonl"))[-1:] for run in ("one", "two"))
    assert two[f"{metric}_5"] == one[f"{metric}_5"]


def test_each_process_looks_at_what_it_draws(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 150 samples in blocks of 64, rank 0 sees the first and the third, and rank 1 the second; of the data, and of
    two samples to see what the detector gives, rank 0 alone."""
    (here / "noting_part.py").write_text(
        "import os\n"
        "from gan_cli.metrics.detectors import Pixels\n"
        "class Noting(Pixels):\n"
        "    def __call__(self, images):\n"
        "        with open(f'seen by {os.environ.get(\"RANK\", \"none\")}', 'a') as file:\n"
        "            print(len(images), file=file)\n"
        "        return super().__call__(images)\n"
    )
    monkeypatch.syspath_prepend(str(here))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")]))
    mine = ("evaluation.detector._target_=noting_part.Noting", "trust=noting_part", "evaluation.metric=fid")
    base = words(*mine, "callback=[history]", "evaluation.every_steps=2", "evaluation.n=150", "hydra.run.dir=run")
    train(*base, "trainer.devices=2")
    assert Path("seen by 0").read_text().split()[-2:] == ["64", "22"]
    assert Path("seen by 1").read_text().split() == ["64"]


MADE = [
    (torch.arange(6.0).view(2, 3), torch.tensor([2**40]), torch.tensor(True).to(torch.uint8)),
    (
        torch.linspace(-1, 1, 60).view(1, 3, 4, 5),
        torch.empty(0, dtype=torch.int64),
        torch.ones(2, 2, 2, 2, 2, dtype=torch.uint8),
    ),
    (torch.tensor([torch.nan, -torch.inf]).double(), torch.zeros(1, 0, 3, dtype=torch.int64), torch.ones(1).half()),
    (torch.tensor([0.1, 2.0, -3.0]).bfloat16(), torch.tensor([-1]), torch.empty(0)),
]


def sent(path: Path, rank: int) -> dict[str, str]:
    """Tensors of all shapes and types, which rank 0 wants all of, and then only the first of."""
    compute = lambda k: MADE[k % len(MADE)]  # noqa: E731
    if rank == 0:
        whole = list(together.measured(7)(compute, 7))
        begun = together.drawn(compute, 5)
        next(begun)
        begun.close()
        torch.save(whole, path)
    heard: list[tuple[str, int]] = []

    def noted(word: str, count: int) -> None:
        heard.append((word, count))
        assert not list(together.contributed(compute, count))

    word = together.agreed(Word.STOP, lambda count: noted("draw", count), lambda part: noted("measure", part))
    assert word is Word.STOP
    assert heard == ([] if rank == 0 else [("measure", 7), ("draw", 5)])
    return {"status": "finished"}


def test_what_others_make_arrives_as_it_is_and_all_of_it_even_if_no_more_is_wanted(tmp_path: Path) -> None:
    launch(sent, tmp_path / "sent.pt", 2)
    arrived = torch.load(tmp_path / "sent.pt", weights_only=True)
    assert len(arrived) == 7
    for k, block in enumerate(arrived):
        for mine, theirs in zip(block, MADE[k % len(MADE)], strict=True):
            assert mine.dtype == theirs.dtype
            torch.testing.assert_close(mine, theirs, rtol=0, atol=0, equal_nan=True)


def begun(path: Path, rank: int) -> dict[str, str]:
    """Picks how to compute, and places a trainer whose average is another one in each process."""
    chosen = checked(words("trainer.devices=2", "trainer.runtime=auto"))
    found = picked(chosen, Trust())
    trainer = build.trainer(found.checked, rank)
    for parameter in trainer.ema.network.parameters():
        parameter.data.fill_(rank)
    trainer.place()
    assert all(not parameter.any() for parameter in trainer.ema.network.parameters())
    (path / str(rank)).write_text(json.dumps([found.checked.config, found.how]))
    return {"status": "finished"}


def test_processes_begin_alike(tmp_path: Path) -> None:
    """With what the first one picked, whose timed steps are its own, and with its weights."""
    launch(begun, tmp_path, 2)
    (first, how), (second, nothing) = (json.loads((tmp_path / rank).read_text()) for rank in "01")
    assert first == second
    assert None not in [first["trainer"][key] for key in ("precision", "channels_last", "compile", "threads")]
    assert how.startswith("a step takes")
    assert not nothing


def test_what_is_foreseen_is_looked_at_by_the_first_process_alone(here: Path) -> None:
    base = ("experiment=optimal_discriminator", "trainer.max_steps=2", "callback.density.every_steps=2")
    train(*base, "dataset.batch_size=64", "trainer.devices=2", "hydra.run.dir=run")
    assert "optimal_difference" in read_rows(Path("run/metrics.jsonl"))[-1]


def test_a_lack_of_memory_is_not_taken_for_another_process_that_ended() -> None:
    with pytest.raises(torch.OutOfMemoryError), together.reached():
        raise torch.OutOfMemoryError("CUDA out of memory")
    with pytest.raises(together.Lost, match=r"has ended \(Duplicate GPU detected\)"), together.reached():
        raise RuntimeError("Duplicate GPU detected\nmore")


def test_what_a_process_draws_for_itself_is_no_part_of_the_batch() -> None:
    """The whole batch's draws are those of one process, whose stream is 0."""
    alone, *shared = (Runtime(torch.device("cpu"), rank=rank, world=world) for rank, world in ((0, 1), (0, 2), (1, 2)))
    assert alone.stream == 0
    assert len({0, *(runtime.stream for runtime in shared)}) == 3


def test_a_process_that_fails_ends_the_run_with_its_error_and_the_run_goes_on(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "my_part.py").write_text(
        "import os\n"
        "from gan_cli.penalties import R1\n"
        "class Fails(R1):\n"
        "    steps = 0\n"
        "    def forward(self, current):\n"
        "        self.steps += os.environ.get('RANK') == '1'\n"
        "        if self.steps == 3 and not os.path.exists('mended'):\n"
        "            raise FloatingPointError('the third step of process 1')\n"
        "        return super().forward(current)\n"
    )
    monkeypatch.syspath_prepend(str(here))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")]))
    base = words("penalty=[r1]", "penalty.r1._target_=my_part.Fails", "trust=my_part", "hydra.run.dir=run", steps=6)
    with TemporaryDirectory() as temporary:
        monkeypatch.setattr(tempfile, "tempdir", temporary)
        with pytest.raises(RunFailed, match=r"process 1 of 2 failed: .*the third step of process 1"):
            train(*base, "trainer.devices=2", "callback.checkpoints.every_steps=1")
        left = {path.name.rpartition("-")[0] for path in Path(temporary).iterdir()}
        assert left <= {"pymp", "pytorch-errorfile"}  # of Python's server of forks, and what torch leaves of a failure
    result = json.loads(Path("run/result.json").read_text())
    assert result["status"] == "failed"
    assert "the third step of process 1" in result["error"]
    assert "FloatingPointError" in Path("run/ranks/rank-1.log").read_text()
    Path("mended").touch()
    assert train("resume=run", "trainer.devices=1", "trust=my_part").step == 6


def begin_again(chosen: tuple[str, ...]) -> None:
    """The command, as each of torchrun's processes runs it."""
    train(*chosen)


def test_processes_that_are_killed_are_started_again_in_one_folder(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first checkpoint the run begins anew, after it the run goes on; each kill costs one restart."""
    (here / "my_part.py").write_text(
        "import os, signal\n"
        "from gan_cli.penalties import R1\n"
        "class Killed(R1):\n"
        "    steps = 0\n"
        "    def forward(self, current):\n"
        "        self.steps += os.environ.get('RANK') == '1'\n"
        "        if self.steps == {'0': 2, '1': 4}.get(os.environ['TORCHELASTIC_RESTART_COUNT']):\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return super().forward(current)\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(here), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(str(here))
    multiprocessing.set_forkserver_preload(list(ranks.IMPORTED))
    place = {"rdzv_backend": "c10d", "rdzv_endpoint": "localhost:0", "run_id": "again"}
    settings = {"max_restarts": 2, "monitor_interval": 0.1, "start_method": ranks.METHOD}
    config = LaunchConfig(min_nodes=1, max_nodes=1, nproc_per_node=2, **place, **settings)
    base = words("penalty=[r1]", "penalty.r1._target_=my_part.Killed", "trust=my_part", steps=6)
    elastic_launch(config, begin_again)((*base, "name=again", "callback.checkpoints.every_steps=3"))
    (run,) = map(Run, Path("outputs/train").iterdir())
    assert run.read_result()["status"] == "finished"
    assert [row["step"] for row in read_rows(run.metrics)] == [2, 4, 6]
    assert re.findall(r"resuming at step (\d+)", run.log.read_text()) == ["3"]


def test_what_was_there_before_the_first_start_is_refused_at_every_start(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the words are the same, and it has no checkpoint."""
    base = words("hydra.run.dir=run", "callback=[history]")
    train(*base)
    Path("run/result.json").unlink()
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    alone = {"RANK": 0, "WORLD_SIZE": 1, "LOCAL_RANK": 0, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": store.port}
    monkeypatch.setenv("TORCHELASTIC_USE_AGENT_STORE", "True")
    for name, value in alone.items():
        monkeypatch.setenv(name, str(value))
    for restart in ("0", "1"):
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", restart)
        with pytest.raises(NotWritable, match="run holds a run already"):
            train(*base)


@pytest.mark.parametrize(
    ("words_too_many", "problem"),
    [
        ((f"trainer.devices={(os.cpu_count() or 1) + 1}", "dataset.batch_size=840"), "this machine has"),
        (
            ("trainer.devices=2", "dataset.batch_size=7"),
            r"does not divide into trainer.devices=2 .*parts\n  use dataset.batch_size=6 or 8, or",
        ),
        (("trainer.devices=2", "dataset.batch_size=1"), r"parts\n  use dataset.batch_size=2, or"),
    ],
)
def test_what_cannot_be_shared_is_refused_and_leaves_nothing(
    here: Path, words_too_many: tuple[str, ...], problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        train(*words(*words_too_many, "hydra.run.dir=run"))
    assert not list(here.iterdir())


def test_automatic_devices_are_one_process_without_gpus(here: Path) -> None:
    assert train(*words("trainer.devices=auto")).step == 2


@pytest.mark.parametrize("size", [1, 5, 100])
def test_buckets_keep_order_and_types_and_lose_nothing(size: int) -> None:
    tensors = [torch.zeros(3), torch.zeros(9), torch.zeros(1), torch.zeros(2, dtype=torch.float64), torch.zeros(4)]
    found = list(together.buckets(tensors, size))
    assert [id(t) for bucket in found for t in bucket] == [id(t) for t in tensors]
    for bucket in found:
        assert len({t.dtype for t in bucket}) == 1
        assert len(bucket) == 1 or sum(t.numel() for t in bucket) <= size


@pytest.mark.parametrize("world", [1, 2, 4])
def test_rows_drawn_by_all_are_those_drawn_by_one(world: int) -> None:
    """However the size is written; what has another first dimension remains each rank's own."""
    rows = 12 // world
    draws = (
        lambda n: torch.rand(n, 2),
        lambda n: torch.randn((n, 1, 1)),
        lambda n: torch.randint(9, (n,)),
        lambda n: torch.randint(3, 5, size=(n, 2)),
        lambda n: torch.rand_like(torch.zeros(n, 3)),
        lambda n: torch.randn(n, dtype=torch.float64),
        lambda n: torch.rand_like(torch.zeros(2 * n, 3)),  # for real samples and fakes in turns
    )
    torch.manual_seed(3)
    whole = [draw(12) for draw in draws]
    shares = []
    for rank in range(world):
        with as_one.AsOne(rank, world, rows, 3, False):
            shares.append([draw(rows) for draw in draws])
    for expected, *pieces in zip(whole, *shares, strict=True):
        assert torch.equal(torch.cat(pieces), expected)
    with as_one.AsOne(0, world, rows, 3, False):
        assert torch.rand_like(torch.zeros(())).shape == ()  # one number, and no rows


def test_places_in_a_group_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert ranks.member() is None
    monkeypatch.setenv("SLURM_PROCID", "3")
    monkeypatch.setenv("SLURM_NTASKS", "4")
    assert ranks.member() is None  # in a batch script, not in a step of srun
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    monkeypatch.setenv("SLURM_LOCALID", "1")
    assert ranks.member() == (3, 4, 1)
    monkeypatch.setenv("RANK", "4")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ConfigError, match="RANK=4"):
        ranks.member()
