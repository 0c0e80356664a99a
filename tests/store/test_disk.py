"""Files are whole or absent, whoever tidies the folder meanwhile."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from conftest import files_of_at_most
from gan_cli.store.disk import LEFTOVER, NotWritten, is_full, remove_leftovers, replacing, write_text


def test_what_is_being_written_is_never_taken_for_a_leftover(tmp_path: Path) -> None:
    done = threading.Event()

    def tidy() -> None:
        while not done.is_set():
            remove_leftovers(tmp_path)

    tidying = [threading.Thread(target=tidy) for _ in range(2)]
    for thread in tidying:
        thread.start()
    try:
        for i in range(500):
            content = b"%d" % i
            with replacing(tmp_path / "a", durable=False) as file:
                file.write(content)
            assert (tmp_path / "a").read_bytes() == content
    finally:
        done.set()
        for thread in tidying:
            thread.join()
    assert [path for path in tmp_path.iterdir() if LEFTOVER.search(path.name)] == []


def test_an_error_that_arose_from_itself_is_looked_through_once(tmp_path: Path) -> None:
    with files_of_at_most(10), pytest.raises(NotWritten, match="file too large") as caught:
        write_text(tmp_path / "a", "x" * 20_000)
    assert not is_full(caught.value)
    around = ValueError("a writer's own word for it")
    around.__cause__ = OSError("first")
    around.__cause__.__context__ = around
    assert not is_full(around)
    around.__context__ = around.__cause__ = OSError(28, "no space left on device")
    assert is_full(around)
