"""Files are whole or absent, whoever tidies the folder meanwhile."""

from __future__ import annotations

import threading
from pathlib import Path

from gan_cli.store.disk import LEFTOVER, remove_leftovers, replacing


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
