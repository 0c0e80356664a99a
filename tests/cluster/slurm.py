"""A Slurm of one node runs a sweep of four jobs through submitit; one is requeued while it trains.

    python tests/cluster/slurm.py [--folder build/slurm/NAME]

Needs root on Linux, `pip install 'gan-cli[slurm]'`, and Debian's packages: apt-get install slurm-wlm munge iproute2
No file of the machine's own Slurm is read or written: configuration, key and spool are in a temporary folder.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from common import ADDRESS, Trial, main, wait_for

PROGRAMS = ("munged", "mungekey", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "squeue", "sinfo")
REQUEUED = 1  # the job


def lacking() -> str:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"needs {', '.join(missing)}: apt-get install slurm-wlm munge"
    return "" if find_spec("submitit") else "needs submitit: pip install 'gan-cli[slurm]'"


def configuration(state: Path) -> str:
    """One node of two cores. Processes are followed by their parents, since control groups may be out of reach."""
    host = socket.gethostname().partition(".")[0]
    return f"""
ClusterName=trial
SlurmctldHost={host}({ADDRESS})
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={state}/munge.socket
StateSaveLocation={state}/control
SlurmdSpoolDir={state}/node
SlurmctldPidFile={state}/control.pid
SlurmdPidFile={state}/node.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=20
NodeName={host} NodeAddr={ADDRESS} CPUs=2 State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=60 State=UP
"""


def start_slurm(trial: Trial) -> None:
    """munge, the controller and the node, each with its log in the trial's folder."""
    state = trial.state
    state.chmod(0o755)  # munge lets nobody in where others cannot look for its socket
    (state / "control").mkdir()
    (state / "slurm.conf").write_text(configuration(state))
    os.environ["SLURM_CONF"] = str(state / "slurm.conf")
    subprocess.run(["mungekey", "--create", f"--keyfile={state}/munge.key"], check=True)
    named = {"key-file": "munge.key", "socket": "munge.socket", "pid-file": "munge.pid", "seed-file": "munge.seed"}
    settings = [f"--{key}={state / file}" for key, file in named.items()]
    daemon("munge", trial, "munged", "--foreground", "--force", *settings)
    wait_for((state / "munge.socket").exists, 20, "munge")
    daemon("control", trial, "slurmctld", "-D", "-c")
    daemon("node", trial, "slurmd", "-D")
    wait_for(lambda: "idle" in told("sinfo", "--noheader", "--format=%T"), 60, "the node to be idle")


def daemon(name: str, trial: Trial, *command: str) -> None:
    with (trial.folder / f"{name}.log").open("w") as log:
        subprocess.Popen(command, stdout=log, stderr=log)


def told(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True).stdout


def play(trial: Trial) -> dict[str, str]:
    start_slurm(trial)
    versions = {name: version(name) for name in ("hydra-core", "hydra-submitit-launcher", "submitit")}
    versions["slurm"] = told("sbatch", "--version").split()[-1]
    trial.say(f"Slurm {versions['slurm']} has an idle node")
    code = trial.start("basic").wait(timeout=300)
    assert code == 0, f"exit code {code}: see {trial.folder}/basic.err"
    trial.say("four jobs one after the other, without Slurm, to compare with")
    sweep = trial.start("slurm", "hydra/launcher=submitit_slurm", "hydra.launcher.timeout_min=10")
    wait_for(lambda: trial.half_done("slurm", REQUEUED) or sweep.poll() is not None, 120, "a checkpoint")
    jobs = told("squeue", "--noheader", "--format=%F_%K %T").splitlines()
    (requeued,) = (job.split()[0] for job in jobs if f"_{REQUEUED} " in job)
    subprocess.run(["scontrol", "requeue", requeued], check=True)
    trial.say(f"scontrol requeue {requeued}, while it trains")
    code = sweep.wait(timeout=400)
    trial.say(f"the sweep ended with {code}")
    trial.check("slurm", code, REQUEUED)
    return versions


if __name__ == "__main__":
    main(str(__doc__), "slurm", lacking, play)
