"""onnxruntime-web, which runs a model in a browser: from a folder of the user's, or fetched by npm once."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from gan_cli.errors import PackageMissing, two_lines
from gan_cli.store.disk import naming, replacing

log = logging.getLogger(__name__)

VERSION = "1.30.0"
SCRIPT, WASM, ABOUT = "dist/ort.wasm.bundle.min.mjs", "dist/ort-wasm-simd-threaded.wasm", "package.json"
HOMES = ("", "package", "node_modules/onnxruntime-web")  # where a folder may have the package
LARGEST = 2**27  # bytes of one of its files
PATIENCE = 300  # seconds for npm
BY_HAND = f"where there is npm: npm pack onnxruntime-web@{VERSION}, unpack it, and name the folder: as.runtime=FOLDER"


class Runtime(NamedTuple):
    """The parts of the package that a page needs."""

    script: bytes  # a module
    wasm: bytes
    version: str


def found(folder: str | None) -> Runtime:
    """The runtime in the folder; without one, in the cache, or from npm.

    Raises:
        PackageMissing: It is not there.
    """
    if folder is not None:
        home = Path(folder).expanduser()
        for inside in HOMES:
            if (home / inside / SCRIPT).is_file():
                return _read(lambda name: (home / inside / name).read_bytes())  # noqa: B023
        what = f"as.runtime={folder}: there is no onnxruntime-web in it ({SCRIPT})"
        raise PackageMissing(two_lines(what, f"npm pack onnxruntime-web@{VERSION}, unpack it, and name that folder"))
    kept = _cache()
    if not kept.is_file():
        _fetch(kept)
    try:
        with tarfile.open(kept) as archive:
            return _read(lambda name: _member(archive, f"package/{name}"))
    except (tarfile.TarError, KeyError, EOFError, ValueError) as error:
        what = f"{kept} is damaged ({error})"
        raise PackageMissing(two_lines(what, "remove it, and it will be fetched again")) from error


def check(folder: str | None) -> None:
    """Raises PackageMissing where `found` would find nothing, as far as that can be seen without fetching."""
    if folder is not None:
        found(folder)
    elif not _cache().is_file() and shutil.which("npm") is None:
        raise PackageMissing(two_lines("as=html embeds onnxruntime-web, and neither it nor npm is here", BY_HAND))


def _cache() -> Path:
    cache = Path(os.environ.get("GAN_CACHE") or "~/.cache/gan").expanduser()
    return cache / "onnxruntime-web" / f"{VERSION}.tgz"


def _read(read: Callable[[str], bytes]) -> Runtime:
    try:
        version = str(json.loads(read(ABOUT))["version"])[:20]
    except (OSError, KeyError, ValueError, TypeError):
        version = "of an unknown version"
    try:
        return Runtime(read(SCRIPT), read(WASM), version)
    except OSError as error:
        raise PackageMissing(two_lines(f"onnxruntime-web is not whole: {error}", BY_HAND)) from error


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.getmember(name)
    file = archive.extractfile(member)
    if file is None or member.size > LARGEST:
        raise ValueError(f"{name} is not a file that can be used")
    return file.read()


def _fetch(target: Path) -> None:
    """Has npm fetch the package, which checks its digest, and keeps it."""
    npm = shutil.which("npm")
    if npm is None:
        raise PackageMissing(two_lines("as=html embeds onnxruntime-web, and neither it nor npm is here", BY_HAND))
    log.info("fetching onnxruntime-web %s with npm, once (33 MB)", VERSION)
    with tempfile.TemporaryDirectory() as folder:
        words = [npm, "pack", "--silent", "--ignore-scripts", f"onnxruntime-web@{VERSION}"]
        try:
            done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise PackageMissing(two_lines(f"npm could not fetch onnxruntime-web: {error}", BY_HAND)) from error
        packed = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(packed) != 1:
            lines = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()
            raise PackageMissing(two_lines(f"npm could not fetch onnxruntime-web: {lines[0][:200]}", BY_HAND))
        with naming(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as file:
            file.write(packed[0].read_bytes())
