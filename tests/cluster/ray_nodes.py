"""A Ray cluster of two nodes on this machine runs a sweep of four jobs; the process of one is killed while it trains.

    python tests/cluster/ray_nodes.py [--folder build/ray/NAME]

Needs root on Linux, Debian's package iproute2, and `pip install 'gan-cli[ray]'`.
"""

from __future__ import annotations

import os
import re
import secrets
import signal
import subprocess
import sys
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from common import ADDRESS, Trial, main, wait_for

PORT = 6379
NODE = "import sys; from ray.scripts.scripts import main; sys.exit(main())"  # `ray`, wherever it is installed
KILLED = 1  # the job


def lacking() -> str:
    return "" if find_spec("hydra_plugins.hydra_ray_launcher") else "needs Ray: pip install 'gan-cli[ray]'"


def start_nodes(trial: Trial) -> None:
    """Two nodes of one core: so two jobs at once. They know each other by a word of this trial's own."""
    token = trial.state / "token"
    token.write_text(secrets.token_hex(32))
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    common = [
        f"--node-ip-address={ADDRESS}",
        "--num-cpus=1",
        "--object-store-memory=100000000",
        "--disable-usage-stats",
    ]
    head = [
        "--head",
        "--disable-usage-stats",
        f"--port={PORT}",
        "--include-dashboard=false",
        f"--temp-dir={trial.state}",
    ]
    for name, words in (("head", head), ("second", [f"--address={ADDRESS}:{PORT}"])):
        with (trial.folder / f"{name}.log").open("w") as log:
            command = [sys.executable, "-c", NODE, "start", *words, *common]
            subprocess.run(command, check=True, stdout=log, stderr=log, env={**os.environ, "COLUMNS": "200"})


def trains(run: Path) -> int | None:
    """The process that has the run's lock, as this namespace numbers it."""
    found = re.search(r"process (\d+)", (run / ".lock").read_text())
    return int(found[1]) if found else None


def play(trial: Trial) -> dict[str, str]:
    versions = {name: version(name) for name in ("hydra-core", "hydra-ray-launcher", "ray", "cloudpickle")}
    start_nodes(trial)
    trial.say(f"Ray {versions['ray']} has two nodes")
    code = trial.start("basic").wait(timeout=300)
    assert code == 0, f"exit code {code}: see {trial.folder}/basic.err"
    trial.say("four jobs one after the other, without Ray, to compare with")
    sweep = trial.start("ray", "hydra/launcher=ray", f"hydra.launcher.ray.init.address={ADDRESS}:{PORT}")
    wait_for(lambda: trial.half_done("ray", KILLED) or sweep.poll() is not None, 120, "a checkpoint")
    run = trial.half_done("ray", KILLED)
    assert run is not None, f"the sweep ended with {sweep.poll()}: see {trial.folder}/ray.err"
    victim = trains(run)
    assert victim is not None
    os.kill(victim, signal.SIGKILL)
    trial.say(f"process {victim}, which trains job {KILLED}, is killed")
    code = sweep.wait(timeout=400)
    trial.say(f"the sweep ended with {code}")
    trial.check("ray", code, KILLED)
    return versions


if __name__ == "__main__":
    main(str(__doc__), "ray", lacking, play)
