"""The run folder: what lies where, who wrote it, and how it ended."""

from __future__ import annotations

import json
import logging
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from importlib import metadata
from logging import LogRecord
from pathlib import Path
from typing import Any

from gan_cli.files import write_json, write_text
from gan_cli.training.checkpoint import newest_first

STAMP = re.compile(r"^\d{8}-\d{6}-[0-9a-f]{4}-")  # what a run folder's name begins with
PACKAGES = ("gan-cli", "torch", "torchvision", "hydra-core", "omegaconf", "numpy", "pytorch-fid")


class NotARun(ValueError):
    """The path is neither a run folder nor a checkpoint."""


class Run:
    """One run's folder; see the README for what each file says."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.config = self.folder / "config.yaml"
        self.manifest = self.folder / "manifest.json"
        self.metrics = self.folder / "metrics.jsonl"
        self.samples = self.folder / "samples"
        self.checkpoints = self.folder / "checkpoints"
        self.plots = self.folder / "plots"
        self.tensorboard = self.folder / "tensorboard"
        self.evals = self.folder / "evals"
        self.log = self.folder / "train.log"
        self.result = self.folder / "result.json"

    @classmethod
    def open(cls, folder: Path | str) -> Run:
        """An existing run. Raises NotARun when there is no run in the folder."""
        run = cls(folder)
        if not run.folder.is_dir():
            raise NotARun(f"{folder} is no folder: give a run folder, such as outputs/train/<run>")
        if not run.config.is_file():
            raise NotARun(f"{folder} is no run folder: it has no config.yaml")
        return run

    def read_result(self) -> dict[str, Any]:
        """result.json, empty when the run has not ended in an orderly way."""
        try:
            result = json.loads(self.result.read_text())
        except (OSError, json.JSONDecodeError):
            return {}
        return result if isinstance(result, dict) else {}

    def read_manifest(self) -> dict[str, Any]:
        try:
            manifest = json.loads(self.manifest.read_text())
        except (OSError, json.JSONDecodeError):
            return {}
        return manifest if isinstance(manifest, dict) else {}

    def begin(self, config: str, facts: Mapping[str, Any]) -> None:
        """Writes config and manifest, or adds a session to the manifest of a resumed run."""
        session = {"command": command_line(), "start": now(), "end": None, **environment()}
        manifest = self.read_manifest()
        if manifest:
            manifest.setdefault("resumed", []).append(session)
        else:
            manifest = {**session, **facts}
        write_text(self.config, config)
        write_json(self.manifest, manifest)

    def end(self, result: Mapping[str, Any]) -> None:
        """Writes the result and closes the session in the manifest."""
        manifest = self.read_manifest()
        session = manifest["resumed"][-1] if manifest.get("resumed") else manifest
        session["end"] = now()
        write_json(self.manifest, manifest)
        write_json(self.result, result)

    @contextmanager
    def logging(self, earlier: Sequence[LogRecord] = ()) -> Iterator[None]:
        """Everything that the program says, with times, into train.log; before it what was said `earlier`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(self.log)
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        for record in earlier:
            handler.handle(record)
        logger = logging.getLogger("gan_cli")
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            handler.close()


@contextmanager
def heard(aloud: bool) -> Iterator[list[LogRecord]]:
    """What the program says meanwhile, for a log that is not open yet; unless `aloud`, nobody else hears it."""
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


def checkpoints_of(source: Path | str) -> tuple[list[Path], Run | None]:
    """The checkpoints to try, best choice first, and the run that they belong to.

    A file stands for itself; a run folder for its newest checkpoint.

    Raises:
        NotARun: Neither a checkpoint nor a run folder, or a run without any checkpoint.
    """
    path = Path(source)
    if path.is_file():
        home = path.resolve().parent.parent
        return [path], Run(home) if (home / "config.yaml").is_file() else None
    if not path.exists():
        raise NotARun(f"{source} does not exist: give a run folder (outputs/train/<run>) or a checkpoint (.pt)")
    run = Run.open(path)
    found = newest_first(run.checkpoints)
    if not found:
        raise NotARun(
            f"{source} has no checkpoint yet\n  gan train repeat={source} starts it anew, in a folder of its own"
        )
    return found, run


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def command_line() -> str:
    return shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]])


def environment() -> dict[str, Any]:
    """Versions, source revision and hardware of this process."""
    import torch

    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    hardware: dict[str, Any] = {"cpu": _processor(), "cores": os.cpu_count(), "threads": torch.get_num_threads()}
    if torch.cuda.is_available():
        hardware["gpus"] = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {"versions": versions, "git": git_revision(), "platform": platform.platform(), "hardware": hardware}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


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
