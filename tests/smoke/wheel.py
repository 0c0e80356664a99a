"""Installs the wheel into empty environments, by pip and by uv, and uses it as a newcomer would.

    make smoke                                  # both installers, then each extra
    python tests/smoke/wheel.py --by uv         # one of them

Needs a package registry, and room for torch in each environment. Not part of `make test`, which tries the same wheel
with the dependencies that are there already.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
RUN = "outputs/train/smoke"
EFFICIENTNETS = ",".join(f"efficientnet_lite{size}" for size in range(3))
COMMANDS = (
    ("--version",),
    ("train", "--help"),
    ("train", "model=mlp", "dataset=digits", "trainer.max_steps=20", "trainer.device=cpu", f"hydra.run.dir={RUN}"),
    ("sample", RUN, "n=4", "out=samples.png"),
    ("eval", RUN, "n=100", "detector=pixels", "metrics=[kid]"),
    ("runs",),
    ("show", RUN),
    ("train", f"resume={RUN}", "trainer.max_steps=30"),
)
UNPINNED = ("trackio",)  # it wants an older Pillow than was tested
# What each extra is for, tried once it is installed.
USES = {
    "report": (("report", RUN),),
    "export": (
        ("export", RUN, "as=onnx", "out=model.onnx"),
        ("export", RUN, "as=safetensors", "out=weights.safetensors"),
    ),
    "sweep": (("train", "-m", "model=mlp", "seed=0,1", "trainer.max_steps=2", "hydra/launcher=joblib"),),
    "search": (
        (
            "search",
            "model=mlp",
            "optimizer.lr=1e-4,1e-3",
            "trainer.max_steps=2",
            "evaluation.every_steps=2",
            "trials=2",
        ),
    ),
    "efficientnet": (
        ("eval", RUN, "n=64", "detector=[efficientnet_lite0,efficientnet_lite1,efficientnet_lite2]", "metrics=[kid]"),
    ),
    "loggers": (("train", "model=mlp", "callback=[mlflow]", "trainer.max_steps=2"),),
    "trackio": (("train", "model=mlp", "callback=[trackio]", "trainer.max_steps=2"),),
    "photos": (("train", "experiment=srresnet_small", "dataset.split=more", "trainer.max_steps=1"),),
}


def run(*words: str, cwd: Path) -> None:
    began = time.perf_counter()
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": ""})
    shown = " ".join(Path(word).name if word.startswith("/") else word for word in words)
    print(f"{'ok  ' if done.returncode == 0 else 'FAIL'} {time.perf_counter() - began:6.1f} s  {shown}", flush=True)
    if done.returncode:
        print(done.stdout[-2000:], done.stderr[-2000:], sep="\n")
        sys.exit(1)


def installer(by: str, home: Path, python: str) -> tuple[str, ...]:
    """Makes an empty environment; returns the words that install into it."""
    if by == "uv":
        uv = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))
        run(uv, "venv", "--quiet", "--python", python, str(home), cwd=home.parent)
        return uv, "pip", "install", "--quiet", "--python", str(home / "bin" / "python")
    run(python, "-m", "venv", str(home), cwd=home.parent)
    return str(home / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"


def smoke(by: str, wheel: Path, extras: list[str], work: Path) -> None:
    print(f"by {by}")
    home = work / by
    pinned = ("-c", str(ROOT / "constraints.txt"))
    install, gan = installer(by, home, sys.executable), str(home / "bin" / "gan")
    run(*install, str(wheel), *pinned, cwd=work)
    elsewhere = work / f"{by}-elsewhere"
    elsewhere.mkdir()
    for words in COMMANDS:
        run(gan, *words, cwd=elsewhere)
    for extra in extras:
        run(*install, f"{wheel}[{extra}]", *(() if extra in UNPINNED else pinned), cwd=work)
        for words in USES.get(extra, ()):
            run(gan, *words, cwd=elsewhere)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--by", nargs="+", choices=("pip", "uv"), default=("pip", "uv"))
    arguments = parser.parse_args()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = [name for name in project["optional-dependencies"] if name != "dev"]
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(work), cwd=ROOT)
        (wheel,) = work.glob("*.whl")
        for by in arguments.by:  # the extras once: they are the same files
            smoke(by, wheel, extras if by == arguments.by[-1] else [], work)


if __name__ == "__main__":
    main()
