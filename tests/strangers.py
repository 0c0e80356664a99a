"""Run folders that somebody else may have written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from conftest import save

NASTY = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'{{7*7}}${7*7}$$x$$<!--\x1b[2J\u202e"


def run_folder(folder: Path, word: str = "plain", rows: int = 3) -> Path:
    """A run by hand, with this word wherever there may be one."""
    folder.mkdir(parents=True)
    names = ["D(real)", "generator/loss", f"kid_{word}", f"health/{word}", f"alarm/{word}", word]
    lines = [json.dumps({"step": i + 1, **{name: 0.25 * i + k for k, name in enumerate(names)}}) for i in range(rows)]
    (folder / "metrics.jsonl").write_text("\n".join(lines))
    config = {"name": word, "loss": {"weight": word, word: 3}, "trainer": {"max_steps": 9}}
    (folder / "config.yaml").write_text(json.dumps(config))
    data = {"samples": 3, "class_names": [word], "sha256": word}
    manifest = {"command": f"gan train {word}", "versions": {}, "overrides": [f"name={word}", "seed=1"], "data": data}
    (folder / "manifest.json").write_text(json.dumps({**manifest, "choices": {word: word}, "start": word}))
    alarm = {"step": 2, "name": word, "message": word, "remedy": word, "cleared": None}
    best = {"metric": word, "value": 1.5, "step": 3}
    result = {"status": "failed", "error": word, "step": 3, "alarms": [alarm], "best": best, "last": {word: 1.0}}
    (folder / "result.json").write_text(json.dumps(result))
    value = {"value": 0.125, "se": 0.5, "n_fake": word, "n_real": 4, "convention": word, "reference": word}
    record = {"step": 3, "time": "2026-01-02T03:04:05+00:00", "metrics": {word: value, "fid": {"value": "nan"}}}
    (folder / "evals").mkdir()
    (folder / "evals" / "a.json").write_text(json.dumps(record))
    (folder / "evals" / "b.json").write_text("{")
    save(folder / "samples" / "step-000000000.png", np.zeros((8, 8, 3), np.uint8))
    save(folder / "samples" / "step-000000003.png", np.ones((8, 8, 3), np.uint8))
    return folder
