"""The wheel carries the configs and runs from any folder, without the source checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

from conftest import words

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)], cwd=ROOT, check=True)
    (found,) = out.glob("*.whl")
    return found


def test_every_config_is_inside(wheel: Path) -> None:
    inside = set(zipfile.ZipFile(wheel).namelist())
    for path in (ROOT / "conf").rglob("*.yaml"):
        assert f"gan_cli/{path.relative_to(ROOT)}" in inside
    for folder in ("gan_cli/pages", "gan_cli/export/web"):  # templates, scripts and styles
        names = {f"{folder}/{path.name}" for path in (ROOT / folder).iterdir() if path.is_file()}
        assert names
        assert names <= inside
    assert "gan_cli/py.typed" in inside  # so that importers see its types
    assert not [name for name in inside if name.startswith(("tests/", "outputs/", "conf/"))]


def test_installed_in_an_empty_environment_it_trains_from_any_folder(wheel: Path, tmp_path: Path) -> None:
    """The environment holds only the wheel; its dependencies come in by path, without this checkout."""
    home = tmp_path / "environment"
    venv.create(home, with_pip=False)
    binaries = home / ("Scripts" if os.name == "nt" else "bin")
    (site,) = home.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    lent = os.pathsep.join(p for p in sys.path if p.endswith("-packages"))
    work = tmp_path / "elsewhere"
    work.mkdir()
    env = {**os.environ, "PYTHONPATH": lent}
    where = [str(binaries / "python"), "-c", "import gan_cli; print(gan_cli.__file__)"]
    assert subprocess.run(where, cwd=work, env=env, capture_output=True, text=True).stdout.startswith(str(site))
    command = [str(binaries / "python"), "-m", "gan_cli", "train", *words()]
    done = subprocess.run(command, cwd=work, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert list(work.glob("outputs/train/*/result.json"))
    help_text = subprocess.run(
        [*command[:3], "train", "--help"], cwd=work, env=env, capture_output=True, text=True
    ).stdout
    assert "wgan_gp" in help_text
