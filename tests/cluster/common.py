"""What the trials of launchers share: a namespace that ends with its program, and a sweep to compare.

Everything happens in a network and a process namespace of its own: no address, port or process of the machine is
touched, and the kernel ends whatever was started when the trial ends, however that comes about.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
INSIDE = "GAN_CLUSTER_INSIDE"  # the folder for what the daemons keep
ADDRESS = "10.77.0.1"
STEPS = 1500
SWEEP = (
    *("model=mlp", "model.latent_dim=4", "model.generator.hidden=[16]", "model.discriminator.hidden=[16]"),
    *("dataset=ring", "dataset.batch_size=16", "trainer.device=cpu", f"trainer.max_steps={STEPS}"),
    *("callback=[history,checkpoints]", "callback.checkpoints.every_steps=100", "evaluation.every_steps=500"),
    *(
        "evaluation.n=200",
        "evaluation.metric=w2",
        "loss=hinge,lsgan",
        "seed=0,1",
        "hydra.sweep.dir=outputs/sweeps/four",
    ),
)


class Trial:
    """Runs the sweep under launchers, and says when what happened.

    Attributes:
        folder: Of the sweeps and the logs; it stays.
        state: Of the daemons; it goes.
    """

    def __init__(self, folder: Path, state: Path) -> None:
        self.folder, self.state = folder, state
        self.began = time.monotonic()
        self.moments: list[tuple[float, str]] = []

    def say(self, text: str) -> None:
        self.moments.append((round(time.monotonic() - self.began, 1), text))
        print(f"{self.moments[-1][0]:6.1f} s  {text}", flush=True)

    def start(self, name: str, *launcher: str) -> subprocess.Popen[str]:
        """The sweep in a folder of its own, with its output in NAME.out and NAME.err."""
        place = self.folder / name
        place.mkdir()
        with (self.folder / f"{name}.out").open("w") as out, (self.folder / f"{name}.err").open("w") as err:
            return subprocess.Popen(
                [sys.executable, "-m", "gan_cli", "train", "-m", *SWEEP, *launcher],
                cwd=place,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdout=out,
                stderr=err,
                text=True,
            )

    def runs(self, name: str) -> list[Path]:
        """The runs of a sweep, in the order of their numbers."""
        return sorted((self.folder / name / "outputs" / "sweeps" / "four").glob("[0-9]-*"))

    def half_done(self, name: str, job: int) -> Path | None:
        """The run of a job once it has saved something, while it trains."""
        found = [run for run in self.runs(name) if run.name.startswith(f"{job}-")]
        saved = found and any((found[0] / "checkpoints").glob("step-*.pt"))
        return found[0] if saved and not (found[0] / "result.json").exists() else None

    def answer(self, name: str) -> list[str]:
        """The last lines: the table, the best run, where everything is."""
        return (self.folder / f"{name}.out").read_text().rstrip().rpartition("\n\n")[2].splitlines()

    def check(self, name: str, code: int, resumed: int) -> None:
        """That a sweep ended as the one under Hydra's own launcher did: exit code, last lines, every weight.

        Args:
            resumed: The job that was started again.
        """
        assert code == 0, f"exit code {code}: see {self.folder / name}.err"
        assert self.answer(name) == self.answer("basic"), "the last lines differ"
        self.say(f"exit code {code} and the last lines are those of hydra/launcher=basic")
        sessions = [len(json.loads((run / "manifest.json").read_text()).get("resumed", [])) for run in self.runs(name)]
        assert sessions[resumed] == 1, sessions
        (step,) = re.findall(r"resuming at step (\d+)", (self.runs(name)[resumed] / "train.log").read_text())
        self.say(f"job {resumed} was resumed at step {step} of {STEPS}")
        for mine, plain in zip(self.runs(name), self.runs("basic"), strict=True):
            assert mine.name == plain.name
            assert same(mine, plain), f"{mine.name} has other weights than the run that never stopped"
        self.say("all four runs have the weights, averages and optimizers of those that never stopped, bit for bit")


def same(one: Path, other: Path) -> bool:
    """Whether two runs ended in the same state; the seconds apart."""
    import torch

    def numbers(run: Path) -> dict[str, object]:
        state = torch.load(run / "checkpoints" / "last.pt", weights_only=True)
        return {key: state[key] for key in ("game", "ema", "optimizers")}

    def alike(a: object, b: object) -> bool:
        if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
            return torch.equal(a, b)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
        if isinstance(a, list | tuple) and isinstance(b, list | tuple):
            return len(a) == len(b) and all(map(alike, a, b))
        return a == b

    return alike(numbers(one), numbers(other))


def wait_for(true: Callable[[], object], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise SystemExit(f"waited {seconds:g} s for {what}")
        time.sleep(0.1)


def machine() -> dict[str, object]:
    import torch

    words = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(":")[2].strip() for line in words if line.startswith("model name")), platform.machine())
    return {"cpu": cpu, "cores": os.cpu_count(), "python": platform.python_version(), "torch": torch.__version__}


def main(description: str, name: str, lacking: Callable[[], str], play: Callable[[Trial], dict[str, str]]) -> None:
    """The command line of a trial.

    Args:
        lacking: What it needs and this machine has not, in one line; empty where all is there.
        play: The trial; returns the versions of what was tried.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / name / time.strftime("%Y%m%d-%H%M%S"))
    asked = parser.parse_args()
    if INSIDE not in os.environ:
        problem = _no_namespaces() or lacking()
        if problem:
            print(f"make test-{name}: {problem}", file=sys.stderr)
            raise SystemExit(2)
        raise SystemExit(_inside(["--folder", str(asked.folder.absolute())]))
    build_network()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    asked.folder.mkdir(parents=True)
    trial = Trial(asked.folder, Path(os.environ[INSIDE]))
    versions = play(trial)
    row = {"benchmark": f"test-{name}", "command": f"make test-{name}", "versions": versions, "machine": machine()}
    print(json.dumps({**row, "seconds": trial.moments[-1][0], "moments": trial.moments, "answer": trial.answer(name)}))


def build_network() -> None:
    """A network of one address: Slurm and Ray want another than the loopback's."""
    for words in ("link set lo up", "link add eth0 type bridge", f"addr add {ADDRESS}/24 dev eth0", "link set eth0 up"):
        subprocess.run(["ip", *words.split()], check=True)


def _no_namespaces() -> str:
    if any(shutil.which(program) is None for program in ("unshare", "ip")) or os.geteuid() != 0:
        return "needs root on Linux, with unshare and ip (Debian's packages util-linux, iproute2)"
    tried = subprocess.run(["unshare", "--net", "--pid", "--fork", "--mount-proc", "true"], capture_output=True)
    return f"no namespace can be made here: {tried.stderr.decode().strip()}" if tried.returncode else ""


def _inside(words: Sequence[str]) -> int:
    """This program again in namespaces of its own; returns its exit code."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(128 + number))  # noqa: B023
    with tempfile.TemporaryDirectory(prefix="gan-cluster-") as state:
        namespaces = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        program = subprocess.Popen(
            [*namespaces, sys.executable, sys.argv[0], *words], env={**os.environ, INSIDE: state}
        )
        try:
            return program.wait()
        finally:
            program.kill()
            program.wait()
