"""The run folder: what is where, who wrote it, and how it ended."""

from __future__ import annotations

import logging
import os
import platform
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from logging import LogRecord
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan_cli.console import Plain
from gan_cli.errors import NotARun, two_lines
from gan_cli.store import machine
from gan_cli.store.disk import naming, read_json, remove_leftovers, write_json, write_text
from gan_cli.store.locks import alone_in

if TYPE_CHECKING:
    from gan_cli.types import Clock

STAMP = re.compile(r"^\d{8}-\d{6}-[0-9a-f]{4}-")  # what a run folder's name begins with
GIVE = "give a run folder, such as outputs/train/<run>"
ENDED = ("finished", "diverged")  # the statuses of a run that reached its end
PACKAGES = ("gan-cli", "torch", "torchvision", "hydra-core", "omegaconf", "numpy", "pytorch-fid")


class Log(logging.FileHandler):
    """A log that cannot be written is no reason to fail, nor to repeat an error that others report too."""

    def handleError(self, record: logging.LogRecord) -> None:
        pass


class Run:
    """One run's folder; the README says what each file holds."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.config = self.folder / "config.yaml"
        self.manifest = self.folder / "manifest.json"
        self.metrics = self.folder / "metrics.jsonl"
        self.samples = self.folder / "samples"
        self.checkpoints = self.folder / "checkpoints"
        self.plots = self.folder / "plots"
        self.tensorboard = self.folder / "tensorboard"
        self.trackers = self.folder / "trackers"
        self.evals = self.folder / "evals"
        self.exports = self.folder / "exports"
        self.log = self.folder / "train.log"
        self.ranks = self.folder / "ranks"
        self.result = self.folder / "result.json"
        self.report = self.folder / "report.html"
        self.trace = self.folder / "trace.json"

    @classmethod
    def open(cls, folder: Path | str) -> Run:
        """An existing run. Raises NotARun when there is no run in the folder."""
        run = cls(folder)
        if not os.path.isdir(folder):  # False too for a name that no file can have
            raise NotARun(two_lines(f"{folder} is not a folder", GIVE))
        if not run.config.is_file():
            raise NotARun(two_lines(f"{folder} is not a run folder: it has no config.yaml", GIVE))
        run.check_contained()
        return run

    def check_contained(self) -> None:
        """Raises NotARun where a link leads out of the folder: whatever is written into a run stays in it."""
        home = self.folder.resolve()
        own = [path for path in vars(self).values() if path != self.folder]
        for path in [*own, *self.checkpoints.glob("*"), *self.evals.glob("*")]:
            if path.is_symlink() and not path.resolve().is_relative_to(home):
                raise NotARun(f"{path} is a link that leads out of the run's folder\n  put the file itself there")

    @property
    def files(self) -> tuple[Path, ...]:
        return self.config, self.manifest, self.metrics, self.log, self.result, self.report, self.trace

    @property
    def folders(self) -> tuple[Path, ...]:
        pictures = self.samples, self.plots, self.tensorboard, self.trackers
        return *pictures, self.checkpoints, self.evals, self.exports, self.ranks

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keeps other processes from training this run; removes the leftovers of one that was killed while writing.

        If it had to make the folder and nothing was written into it, the folder is removed afterwards.

        Raises:
            NotARun: Another process is training it, or there is a folder where a file belongs.
            NotWritten: Nothing can be written here.
        """
        with alone_in(self.folder, "trained"):
            self._tidy()
            yield

    def _tidy(self) -> None:
        misplaced = [path for path in self.files if path.is_dir()]
        misplaced += [path for path in self.folders if path.exists() and not path.is_dir()]
        if misplaced:
            kinds = ("a folder", "a file") if misplaced[0].is_dir() else ("a file", "a folder")
            raise NotARun(f"{misplaced[0]} is {kinds[0]}, and {kinds[1]} belongs there\n  move it away")
        for folder in (self.folder, *self.folders):
            remove_leftovers(folder)

    def read_result(self) -> dict[str, Any]:
        """result.json; empty when the run has not ended properly."""
        return read_json(self.result)

    def read_manifest(self) -> dict[str, Any]:
        return read_json(self.manifest)

    def imported(self) -> bool:
        """Whether it holds weights of other people's code, and was never trained here."""
        return isinstance(self.read_manifest().get("origin"), dict)

    def finished(self) -> Clock | None:
        """How far the run had come when it reached its end; None where it has not, or does not say."""
        from gan_cli.types import Clock  # imports torch, which most readers of a run need not wait for

        result = self.read_result()
        step, images, seconds = (result.get(key) for key in ("step", "images", "seconds"))
        if result.get("status") not in ENDED or not isinstance(step, int) or not isinstance(images, int):
            return None
        return Clock(step, images, seconds) if isinstance(seconds, int | float) else None

    def data(self) -> dict[str, Any]:
        """What the manifest says of the data; empty where it does not."""
        data = self.read_manifest().get("data")
        return data if isinstance(data, dict) else {}

    def size(self) -> int:
        """How many real images it trains on; 0 where the manifest does not say."""
        samples = self.data().get("samples")
        return samples if isinstance(samples, int) and samples > 0 else 0

    def begin(self, config: str, command: str, facts: Mapping[str, Any]) -> None:
        """Writes manifest and config, or adds a session to the manifest of a resumed run; it has no result yet.

        The config, which makes the folder a run's, comes last: one that could not begin is no run.

        Raises:
            NotWritten: Of a new run neither is left.
        """
        resumes = self.config.exists()
        session = {"command": command, "start": now(), "end": None, **environment()}
        manifest = self.read_manifest() if resumes else {}
        if manifest:
            manifest["resumed"] = [*_sessions(manifest), session]
        else:
            manifest = {**session, **facts}
        try:
            write_json(self.manifest, manifest)
            write_text(self.config, config)
        except BaseException:
            if not resumes:
                with suppress(OSError):
                    self.manifest.unlink(missing_ok=True)
                    self.config.unlink(missing_ok=True)
            raise
        with naming(self.result):
            self.result.unlink(missing_ok=True)

    def end(self, result: Mapping[str, Any]) -> None:
        """Writes the result and closes the session in the manifest. Raises NotWritten, also if the run was removed."""
        with naming(self.result):
            self.folder.stat()
        write_json(self.result, result)
        manifest = self.read_manifest()
        session = [manifest, *_sessions(manifest)][-1]
        session["end"] = now()
        write_json(self.manifest, manifest)

    @contextmanager
    def logging(self, earlier: Sequence[LogRecord] = ()) -> Iterator[None]:
        """Everything that the program logs goes, with times, into train.log; first what was logged `earlier`."""
        with naming(self.log):
            handler = Log(self.log)
        with _into(handler, earlier):
            yield

    @contextmanager
    def logging_of(self, rank: int) -> Iterator[None]:
        """What the run's process number `rank` logs goes into a file of its own, ranks/rank-<n>.log."""
        path = self.ranks / f"rank-{rank}.log"
        with naming(path):
            path.parent.mkdir(exist_ok=True)
            handler = Log(path)
        with _into(handler, ()):
            yield


@contextmanager
def _into(handler: Log, earlier: Sequence[LogRecord]) -> Iterator[None]:
    """The program's lines go into this file too; first those of `earlier`."""
    handler.setFormatter(Plain("%(asctime)s %(levelname)s %(message)s"))
    for record in earlier:
        handler.handle(record)
    logger = logging.getLogger("gan_cli")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        with suppress(OSError):  # from a full disk
            handler.close()


@contextmanager
def heard(aloud: bool) -> Iterator[list[LogRecord]]:
    """Collects what the program logs meanwhile, for a file not open yet; unless `aloud`, it goes nowhere else."""
    records: list[LogRecord] = []

    class Ear(logging.Handler):
        def emit(self, record: LogRecord) -> None:
            records.append(record)

    logger = logging.getLogger("gan_cli")
    others = list(logger.handlers)
    logger.handlers[:] = [*(others if aloud else ()), Ear(logging.INFO)]
    try:
        yield records
    finally:
        logger.handlers[:] = others


def step_of(path: Path) -> int:
    """n of step-<n>.pt."""
    return int(path.stem.removeprefix("step-"))


def newest_first(folder: Path) -> list[Path]:
    """`last.pt`, then the step files from the newest; no `last.pt` that a process left behind when it was killed."""
    steps = sorted((p for p in folder.glob("step-*.pt") if p.stem[5:].isdigit()), key=step_of, reverse=True)
    last = folder / "last.pt"
    behind = last.is_symlink() and bool(steps) and last.resolve().name != steps[0].name
    return [last, *steps] if last.is_file() and not behind else steps


def checkpoints_of(source: Path | str) -> tuple[list[Path], Run | None]:
    """The checkpoints to try, in order of preference, and the run that they belong to.

    A file stands for itself; a run folder for its newest checkpoint.

    Raises:
        NotARun: Neither a checkpoint nor a run folder, or a run without any checkpoint.
    """
    path = Path(source)
    if path.is_file():
        home = Run(path.resolve().parent.parent)
        if not home.config.is_file():
            return [path], None
        home.check_contained()
        return [path], home
    if not path.exists():
        raise NotARun(
            two_lines(f"{source} does not exist", "give a run folder (outputs/train/<run>) or a checkpoint (.pt)")
        )
    run = Run.open(path)
    found = newest_first(run.checkpoints)
    if not found:
        repeat = f"gan train repeat={shlex.quote(str(source))}"
        raise NotARun(f"{source} has no checkpoint yet\n  {repeat} starts it again, in a folder of its own")
    return found, run


def _sessions(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The sessions that resumed the run."""
    resumed = manifest.get("resumed")
    return [session for session in resumed if isinstance(session, dict)] if isinstance(resumed, list) else []


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def environment() -> dict[str, Any]:
    """Versions, source revision and hardware of this process."""
    from importlib import metadata  # takes a while, as torch does: most readers of a run need neither

    import torch

    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    hardware: dict[str, Any] = {"cpu": machine.processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    if torch.cuda.is_available():
        hardware["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {"versions": versions, "git": git_revision(), "platform": platform.platform(), "hardware": hardware}


def git_revision(ask: Sequence[str] = ("git", "describe", "--always", "--dirty", "--abbrev=40")) -> str | None:
    """The commit of the program's source checkout, with "-dirty" when files differ; None outside of one."""
    root = Path(__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(ask, cwd=root, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
