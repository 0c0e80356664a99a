"""Outputs: files are replaced whole, anything else is written through, and inputs are never overwritten."""

from __future__ import annotations

import io
import json
import os
import pty
import shutil
import stat
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import Inside, Shell
from gan_cli import evaluate, sample
from gan_cli.errors import NotWritable
from gan_cli.store import outputs
from gan_cli.store.disk import NotWritten

PIXELS = ("detector=pixels", "metrics=[fid]")


@pytest.fixture
def noise(here: Path) -> str:
    """A file of pictures."""
    np.savez("noise.npz", arr_0=np.random.default_rng(0).integers(0, 256, (20, 8, 8, 1), np.uint8))
    return "noise.npz"


def write(path: Path, content: bytes = b"new") -> None:
    with outputs.writing(path) as file:
        file.write(content)


def test_a_file_is_replaced_whole_and_folders_are_made(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "x"
    write(path, b"old")
    with suppress(RuntimeError), outputs.writing(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert os.listdir(path.parent) == ["x"]


def test_leftovers_of_a_killed_process_are_removed_and_nothing_else(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    names = {f".x.{dead.pid}.tmp": False, f".x.{os.getppid()}.tmp": True, f".y.{dead.pid}.tmp": True, "x.1.tmp": True}
    for name in names:
        (tmp_path / name).write_bytes(b"half")
    write(tmp_path / "x")
    assert {name: (tmp_path / name).exists() for name in names} == names
    assert (tmp_path / "x").read_bytes() == b"new"


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "x").write_bytes(b"old")
    (tmp_path / "link").symlink_to("there/x")
    (tmp_path / "second").symlink_to("link")
    (tmp_path / "dangling").symlink_to("there/later/y")
    for name, target in {"second": "there/x", "dangling": "there/later/y"}.items():
        write(tmp_path / name)
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / target).read_bytes() == b"new"
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(NotWritten):
        write(tmp_path / "loop")


def test_a_pipe_is_written_through(tmp_path: Path) -> None:
    fifo = tmp_path / "x.json"
    os.mkfifo(fifo)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(fifo.read_bytes()))
    reader.start()
    write(fifo, b"all of it")
    reader.join()
    assert read == [b"all of it"]
    assert stat.S_ISFIFO(fifo.stat().st_mode)
    assert os.listdir(tmp_path) == ["x.json"]


def test_a_device_is_written_through() -> None:
    """The far end of a terminal, since a failure there could destroy nothing."""
    near, far = pty.openpty()
    path = Path(os.ttyname(far))
    before = path.stat().st_ino
    write(path, b"seen")
    assert os.read(near, 4) == b"seen"
    assert (path.stat().st_ino, stat.S_ISCHR(path.stat().st_mode)) == (before, True)
    os.close(near)
    os.close(far)


def test_open_files_of_the_shell_go_on_where_they_are(tmp_path: Path) -> None:
    """`gan ... json=/dev/fd/3 3>>log`: what is there already stays."""
    with (tmp_path / "log").open("wb") as file:
        for name in (f"/dev/fd/{file.fileno()}", f"/proc/self/fd/{file.fileno()}"):
            assert outputs.is_stream(Path(name))
            write(Path(name), b"line\n")
        (tmp_path / "link").symlink_to(f"/dev/fd/{file.fileno()}")
        write(tmp_path / "link", b"line\n")
    assert (tmp_path / "log").read_bytes() == b"line\n" * 3
    for name in ("-", "/dev/stdout", "/dev/fd/1"):
        assert outputs.is_standard(Path(name))


@pytest.mark.parametrize("name", ["-", "/dev/stdout"])
def test_numbers_on_standard_output_are_all_that_is_there(noise: str, gan: Shell, name: str) -> None:
    done = gan("eval", noise, *PIXELS, f"reference={noise}", f"json={name}")
    assert done.returncode == 0, done.stderr
    assert "fd_pixels" in json.loads(done.stdout)["metrics"]
    assert "of noise.npz against noise.npz" in done.stderr
    assert os.listdir(".") == [noise]


def test_a_picture_on_standard_output(finished: Path, here: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    for words, files in ((("n=4",), 1), (("mode=project", "mode.image=x.png", "mode.steps=1", "n=1"), 1)):
        sample(finished, "n=1", "out=x.png")
        capsysbinary.readouterr()
        sample(finished, *words, "out=-")
        with Image.open(io.BytesIO(capsysbinary.readouterr().out)) as picture:
            assert picture.format == "PNG"
        assert os.listdir(here) == ["x.png"][:files]


def test_every_kind_of_drawing_goes_through_links_and_pipes(finished: Path, here: Path) -> None:
    for ending, words in {
        ".png": (),
        ".npz": (),
        ".webp": ("mode=interpolate",),
        ".gif": ("mode=interpolate",),
    }.items():
        (here / f"to{ending}").symlink_to(f"real{ending}")
        sample(finished, "n=2", *words, f"out=to{ending}")
        assert (here / f"to{ending}").is_symlink()
        os.mkfifo(here / f"pipe{ending}")
        read: list[bytes] = []
        reader = threading.Thread(target=lambda e=ending, r=read: r.append((here / f"pipe{e}").read_bytes()))  # type: ignore[misc]
        reader.start()
        sample(finished, "n=2", *words, f"out=pipe{ending}")
        reader.join()
        assert len(read[0]) == (here / f"real{ending}").stat().st_size
    assert len(os.listdir(here)) == 12


def test_no_command_overwrites_its_own_input(finished: Path, here: Path, noise: str, gan_here: Inside) -> None:
    """By its name, another spelling, a hard link or a symbolic one; refused before anything is computed."""
    rng = np.random.default_rng(0)
    Path("folder").mkdir()
    for i in range(20):
        Image.fromarray(rng.integers(0, 256, (8, 8), np.uint8)).save(f"folder/{i}.png")
    sample(finished, "n=1", "out=x.png")
    Path("hard.png").hardlink_to("x.png")
    Path("soft.png").symlink_to("x.png")
    Path("hard.json").hardlink_to("folder/3.png")
    Path("scores-nearest.png").symlink_to("folder/4.png")
    last = finished / "checkpoints" / "last.pt"
    Path("last.png").symlink_to(last)
    Path("best.npz").hardlink_to("x.png")
    project = ("sample", str(finished), "mode=project", "mode.image=x.png", "mode.steps=1", "n=1")
    measure = ("eval", noise, "reference=folder", *PIXELS)
    before = {p: p.read_bytes() for place in (here, finished) for p in place.rglob("*") if p.is_file()}
    for words in (
        (*project, "out=x.png"),
        (*project, "out=./folder/../x.png"),
        (*project, "out=hard.png"),
        (*project, "out=soft.png"),
        (*project, "out=best.png"),  # its latents would go to best.npz
        ("sample", str(last), "n=1", f"out={here}/last.png"),
        (*measure, f"json={noise}"),
        (*measure, "json=folder/0.png"),
        (*measure, "json=hard.json"),
        (*measure, "json=scores.json"),
        ("eval", str(finished), *PIXELS, "n=20", f"json={finished}/config.yaml"),
        ("eval", str(last), *PIXELS, "n=20", f"json={finished}/metrics.jsonl"),
    ):
        done = gan_here(*words)
        assert done.returncode == 2, (words, done)
        assert len(done.stderr.strip().splitlines()) == 2, done.stderr
        assert "would overwrite" in done.stderr
    assert before == {p: p.read_bytes() for place in (here, finished) for p in place.rglob("*") if p.is_file()}
    for _ in range(2):  # what the same command wrote before is not an input
        evaluate(noise, *PIXELS, "json=folder/scores.json", reference="folder")
        sample(finished, "n=1", "out=y.png")


def test_a_strangers_run_leads_nothing_out_of_its_folder(finished: Path, here: Path, gan_here: Inside) -> None:
    """A picture that is a link, a folder that is one."""
    shutil.copytree(finished, "run", ignore=shutil.ignore_patterns("evals", "samples"))
    Path("elsewhere").mkdir()
    Path("mine.png").write_bytes(b"mine")
    assert gan_here("sample", "run", "n=1").returncode == 0
    (picture,) = Path("run/samples").glob("*.png")
    picture.unlink()
    picture.symlink_to(here / "mine.png")
    Path("run/evals").symlink_to(here / "elsewhere")
    for words in (("sample", "run", "n=1"), ("eval", "run", "n=20", *PIXELS)):
        done = gan_here(*words)
        assert done.returncode == 2, done
        assert len(done.stderr.strip().splitlines()) == 2
    picture.unlink()
    Path("run/samples").rmdir()
    Path("run/samples").symlink_to(here / "elsewhere")
    assert gan_here("sample", "run", "n=1").returncode == 2
    assert (os.listdir("elsewhere"), Path("mine.png").read_bytes()) == ([], b"mine")


def test_what_cannot_be_written_costs_two_lines(finished: Path, here: Path, noise: str) -> None:
    Path("file").write_text("")
    Path("dir.json").mkdir()
    for name in ("file/x.json", "dir.json", "/sys/x.json"):
        with pytest.raises(NotWritable, match="cannot be written") as caught:
            evaluate(noise, *PIXELS, f"json={name}", reference=noise)
        assert len(str(caught.value).splitlines()) == 2
    for name in ("file/x.png", "file/x.npz", "file/folder"):
        with pytest.raises(NotWritable, match="cannot be written") as caught:
            sample(finished, "n=1", f"out={name}")
        assert len(str(caught.value).splitlines()) == 2
    assert sorted(os.listdir(here)) == ["dir.json", "file", noise]


def test_this_folder_is_a_place_for_pictures(finished: Path, here: Path, gan_here: Inside) -> None:
    """It has no name that another ending could be put to. What lies there is not mixed with the pictures."""
    drawn = gan_here("sample", str(finished), "n=2", "out=.")
    assert (drawn.returncode, len([*here.rglob("*.png")])) == (0, 2), drawn
    Path("mine.png").write_bytes(b"")
    again = gan_here("sample", str(finished), "n=2", "out=.")
    assert (again.returncode, "would be mixed" in again.stderr) == (2, True)
    roundabout = gan_here("sample", str(finished), "n=2", "out=new/..")
    assert (roundabout.returncode, "would be mixed" in roundabout.stderr, Path("new").exists()) == (2, True, False)


def test_what_was_measured_stays_in_the_run_where_the_answer_cannot_be_written(
    finished: Path, here: Path, gan_here: Inside
) -> None:
    shutil.copytree(finished, "run")
    before = {*Path("run").glob("evals/*.json")}
    done = gan_here("eval", "run", "n=20", *PIXELS, "json=/sys/x.json")
    assert (done.returncode, "cannot be written" in done.stderr) == (2, True)
    assert len({*Path("run").glob("evals/*.json")} - before) == 1


@pytest.mark.parametrize("command", ["train", "sample", "eval", "runs"])
@pytest.mark.parametrize("place", [".", "/"])
def test_an_answer_that_would_be_a_folder_is_refused_before_the_work(
    finished: Path, here: Path, gan_here: Inside, command: str, place: str
) -> None:
    source = [str(finished)] if command in ("sample", "eval") else []
    done = gan_here(command, *source, f"json={place}")
    assert (done.returncode, done.stdout, os.listdir(here)) == (2, "", [])
    assert done.stderr.splitlines()[0].endswith(f"json={place} is a folder")
    assert len(done.stderr.splitlines()) == 2


@pytest.mark.parametrize("place", [".", "/"])
def test_an_experiment_has_a_name(gan_here: Inside, place: str) -> None:
    done = gan_here("config", f"out={place}")
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 2)
    assert "experiment/mine.yaml" in done.stderr


def test_an_experiment_of_another_ending_is_told_the_ending(gan_here: Inside) -> None:
    done = gan_here("config", "out=experiment/q.txt")
    assert done.returncode == 2
    assert done.stderr.splitlines()[1].strip() == "out=experiment/q.yaml"


ENDLESS = """
import sys, torch
from pathlib import Path
from gan_cli.latent.drawings import Stream

def pieces():
    while True:
        print("written", flush=True)
        yield torch.rand(64, 3, 64, 64), torch.zeros(64, dtype=torch.int64)

Stream(pieces(), 10**6, False).write(Path(sys.argv[1]))
"""


def test_a_killed_folder_of_samples_holds_whole_pictures(finished: Path, here: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ENDLESS, "out"], stdout=subprocess.PIPE) as drawing:
        assert drawing.stdout is not None
        for _ in range(4):
            assert drawing.stdout.readline() == b"written\n"
        drawing.kill()
    pictures = list(here.glob("out/*.png"))
    assert len(pictures) >= 3 * 64
    for path in pictures:
        with Image.open(path) as picture:
            picture.load()
        path.unlink()
    Path("out", f".00000.png.{drawing.pid}.tmp").write_bytes(b"half")  # where it left none
    sample(finished, "n=3", "out=out")
    assert sorted(os.listdir("out")) == ["00000.png", "00001.png", "00002.png"]
