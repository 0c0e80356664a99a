"""Two 'machines' of two processes each under torchrun: network namespaces on one bridge; one process is killed, twice.

    python tests/cluster/run.py [--folder build/cluster]

Needs Linux with `unshare` and `ip`, and the right to make a network namespace (root, or user namespaces).
Everything happens inside one namespace of its own, which ends with this program; the machine's network stays as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INSIDE = "GAN_CLUSTER_INSIDE"
MACHINES = {"one": "10.77.0.1", "two": "10.77.0.2"}
PORT = 29_431
KILLS = 2
RUN = (
    *("model=mlp", "model.latent_dim=4", "model.generator.hidden=[8]", "model.discriminator.hidden=[8]"),
    *("dataset=ring", "dataset.batch_size=8", "callback=[history,checkpoints]", "callback.checkpoints.every_steps=50"),
    *("trainer.device=cpu", "trainer.log_every=50", "hydra.run.dir=outputs/train/cluster"),
)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def build_network(folder: Path) -> dict[str, int]:
    """A namespace for each machine, on one bridge; returns the process that keeps each alive."""
    ip("link", "set", "lo", "up")
    ip("link", "add", "bridge0", "type", "bridge")
    ip("link", "set", "bridge0", "up")
    keepers = {}
    for name, address in MACHINES.items():
        keeper = subprocess.Popen(["unshare", "--net", "sleep", "600"])
        wait_for(lambda: own_network(keeper.pid), 10, "a namespace")  # noqa: B023
        keepers[name] = keeper.pid
        ip("link", "add", f"v-{name}", "type", "veth", "peer", "name", "eth0", "netns", str(keeper.pid))
        ip("link", "set", f"v-{name}", "master", "bridge0", "up")
        for words in (("addr", "add", f"{address}/24", "dev", "eth0"), ("link", "set", "eth0", "up")):
            subprocess.run(["nsenter", "-t", str(keeper.pid), "-n", "ip", *words], check=True)
        subprocess.run(["nsenter", "-t", str(keeper.pid), "-n", "ip", "link", "set", "lo", "up"], check=True)
    return keepers


def own_network(process: int) -> bool:
    return os.readlink(f"/proc/{process}/ns/net") != os.readlink("/proc/self/ns/net")


def wait_for(true: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise SystemExit(f"waited {seconds:g} s for {what}")
        time.sleep(0.2)


def start(name: str, keeper: int, folder: Path, steps: int) -> subprocess.Popen[bytes]:
    """torchrun on one machine, in a process group of its own."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=2", "--max-restarts=3"]
    rendezvous = ["--rdzv-backend=c10d", f"--rdzv-endpoint={MACHINES['one']}:{PORT}", "--rdzv-id=cluster"]
    # A namespace has the host's name, so it cannot find out by itself that the rendezvous is at its own address.
    here = [f"--local-addr={MACHINES[name]}", f"--rdzv-conf=is_host={int(name == 'one')}"]
    command = [*torchrun, *rendezvous, *here, "-m", "gan_cli", "train", *RUN, f"trainer.max_steps={steps}"]
    settings = {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "eth0", "PYTHONPATH": str(ROOT)}
    with (folder / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            ["nsenter", "-t", str(keeper), "-n", *command],
            cwd=folder,
            env={**os.environ, **settings},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def main(folder: Path, steps: int) -> None:
    keepers = build_network(folder)
    started = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - started:6.1f} s  {text}", flush=True)

    agents = {name: start(name, keeper, folder, steps) for name, keeper in keepers.items()}
    runs = folder / "outputs" / "train"
    try:
        wait_for(lambda: any(runs.glob("*/checkpoints/step-*.pt")), 120, "a first checkpoint")
        say("a first checkpoint is there")
        (run,) = runs.iterdir()
        for kill in range(1, KILLS + 1):
            victim = next(process for process in running_in(keepers["two"]) if is_rank(process))
            os.kill(victim, signal.SIGKILL)
            say(f"process {victim} of machine two is killed, and torchrun starts all again")
            wait_for(lambda: len(resumed(run)) == kill, 180, "the run to go on")  # noqa: B023
            say(f"the run went on: {run}")
        for name, agent in agents.items():
            code = agent.wait(timeout=240)
            say(f"machine {name} ended with {code}")
        result = json.loads((run / "result.json").read_text())
        assert result["status"] == "finished", result
        assert result["step"] == steps, result
        assert [path.name for path in sorted((run / "ranks").iterdir())] == [f"rank-{n}.log" for n in (1, 2, 3)]
        assert len(list(runs.iterdir())) == 1, "one run, one folder"
        told = [(folder / f"{name}.log").read_text() for name in MACHINES]
        assert not any("connectFullMesh" in text for text in told), "each kill costs one restart"
        steps_written = [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]
        assert steps_written == sorted(set(steps_written)), "each step's numbers once"
        say(f"finished at step {result['step']}, {len(resumed(run))} session(s) after the first")
    finally:
        for agent in agents.values():
            if agent.poll() is None:
                os.killpg(agent.pid, signal.SIGKILL)
        for keeper in keepers.values():
            for process in [*running_in(keeper), keeper]:
                os.kill(process, signal.SIGKILL)


def running_in(keeper: int) -> list[int]:
    """The other processes of a machine: those that share its network."""
    home = os.readlink(f"/proc/{keeper}/ns/net")
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.readlink(entry / "ns" / "net") == home and int(entry.name) != keeper:
                found.append(int(entry.name))
        except OSError:  # it has just ended
            continue
    return found


def is_rank(process: int) -> bool:
    return (
        b"torch.distributed.run" not in (words := Path(f"/proc/{process}/cmdline").read_bytes()) and b"gan_cli" in words
    )


def resumed(run: Path) -> list[dict[str, object]]:
    try:
        found: list[dict[str, object]] = json.loads((run / "manifest.json").read_text()).get("resumed", [])
    except OSError:
        return []
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "cluster" / time.strftime("%Y%m%d-%H%M%S"))
    parser.add_argument("--steps", type=int, default=6000)
    asked = parser.parse_args()
    if INSIDE not in os.environ:
        os.environ[INSIDE] = "1"
        os.execvp("unshare", ["unshare", "--net", "--map-root-user", sys.executable, *sys.argv])
    asked.folder.mkdir(parents=True, exist_ok=True)
    main(asked.folder, asked.steps)
