"""Seconds until `gan` answers, and until the first step of a run is done. Median of several fresh processes."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from common import report, seconds


def wall(*arguments: str) -> float:
    """Median wall time of a whole process, after one to warm the disk."""
    with tempfile.TemporaryDirectory() as folder:

        def once() -> None:
            subprocess.run([sys.executable, "-m", "gan_cli", *arguments], cwd=folder, capture_output=True, check=True)

        once()
        return seconds(once, 5)[0]


def first_step() -> float:
    """From the start of the process to the end of the first step."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.time()
        words = ("trainer.max_steps=1", "trainer.log_every=1", "hydra.run.dir=run")
        subprocess.run([sys.executable, "-m", "gan_cli", "train", *words], cwd=folder, capture_output=True, check=True)
        first = json.loads((Path(folder) / "run" / "metrics.jsonl").read_text().splitlines()[0])
        written = (Path(folder) / "run" / "metrics.jsonl").stat().st_mtime
        assert first["step"] == 1
        return written - start


def main() -> None:
    report(
        "startup",
        gan=wall(),
        train_help=wall("train", "--help"),
        cfg_job=wall("train", "--cfg", "job"),
        first_step=first_step(),
    )


if __name__ == "__main__":
    main()
