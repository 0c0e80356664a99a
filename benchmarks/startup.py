"""Seconds until `gan` answers, and until the first step of a run is done. Median of several fresh processes."""

from __future__ import annotations

import json
import resource
import statistics
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


def listed(count: int) -> dict[str, float]:
    """`gan runs` over so many run folders: the median of wall seconds, and of user and system seconds of the CPU."""
    config = "seed: 0\ntags: []\ndataset:\n  given: null\ntrainer:\n  max_steps: 1000\n"
    best = {"metric": "kid_pixels_5000", "value": 0.1, "step": 900, "better": "smaller"}
    with tempfile.TemporaryDirectory() as folder:
        for i in range(count):
            run = Path(folder) / "outputs" / "train" / f"20260101-{i:06d}-0000-x"
            (run / "checkpoints").mkdir(parents=True)
            facts = {"start": "2026-01-01T00:00:00+00:00", "seed": i, "choices": {"model": "dcgan"}, "overrides": []}
            result = {"status": "finished", "step": 1000, "best": best}
            (run / "config.yaml").write_text(config)
            (run / "manifest.json").write_text(json.dumps(facts))
            (run / "result.json").write_text(json.dumps(result))
            (run / "metrics.jsonl").write_text("".join(f'{{"step": {step}, "loss": 1.0}}\n' for step in range(1000)))
            for name in (".lock", "train.log", "checkpoints/last.pt"):
                (run / name).touch()
        spent = []

        def once() -> None:
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([sys.executable, "-m", "gan_cli", "runs"], cwd=folder, capture_output=True, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            spent.append(after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime)

        once()
        del spent[:]
        return {"wall": seconds(once, 5)[0], "cpu": statistics.median(spent)}


def main() -> None:
    report(
        "startup",
        gan=wall(),
        train_help=wall("train", "--help"),
        cfg_job=wall("train", "--cfg", "job"),
        first_step=first_step(),
        runs_1000=listed(1000),
    )


if __name__ == "__main__":
    main()
