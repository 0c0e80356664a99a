"""Arrays in files: what says of itself more than it holds, or nothing that can be read, is refused."""

from __future__ import annotations

import io

import numpy as np
import pytest

from gan_cli.data.arrays import header


def stated(text: bytes, version: bytes = b"\x01\x00") -> io.BytesIO:
    """An array whose header is this text."""
    return io.BytesIO(b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text)


def test_a_header_leaves_the_file_at_its_values() -> None:
    file = io.BytesIO()
    np.save(file, np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)))
    file.seek(0)
    assert header(file) == ((2, 3), True, np.dtype(np.float32))
    assert np.frombuffer(file.read(), np.float32).tolist() == [0, 3, 1, 4, 2, 5]


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{'descr': '<f4",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,",
        b"{1: 2, 'a': 3}",
        b"{'descr': [], 'fortran_order': False, 'shape': 2}",
        b"{'descr': 3, 'fortran_order': False, 'shape': (2,)}",
        b"(" * 9000,
        b"-" * 9000 + b"1",
        b"\xff\0'",
        b"{'descr': '<f4', 'fortran_order': False, 'shape': (2L,'}",
    ],
)
def test_any_text_for_a_header_is_refused_in_one_way(text: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        header(stated(text))


def test_a_format_of_the_future_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown format"):
        header(stated(b"{}", b"\x09\x00"))
