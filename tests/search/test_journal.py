"""The journal of a study: whole lines, on a disk that fills up too."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

pytest.importorskip("optuna")
from gan_cli.search.journal import Journal


def test_a_line_that_does_not_fit_is_not_there_in_part(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "journal"))
    journal.append_logs([{"a": 1}])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            journal.append_logs([{"b": 100 * "x"}])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    journal.append_logs([{"c": 3}, {"d": 4}])
    assert list(Journal(str(tmp_path / "journal")).read_logs(0)) == [{"a": 1}, {"c": 3}, {"d": 4}]
