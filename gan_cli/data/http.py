"""Reads a file at an address piece by piece, and goes on where a connection was cut, or reads a part of it (RFC 9110:
Range, If-Range)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from functools import cache
from http.client import HTTPException, InvalidURL
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from gan_cli.data.flaws import shown
from gan_cli.errors import DataError, two_lines
from gan_cli.progress import tracked

CHUNK = 2**18  # bytes
LARGEST = 2**36  # bytes of a file whose size nothing tells
SILENCE = 30.0  # seconds without a byte after which a connection counts as cut
TRIES, PAUSE = 4, 1.0  # without progress, and the seconds before the second; each pause is twice the last
PATIENCE = 8  # tries for a part that a run waits for: two minutes
GIVEN_UP: set[str] = set()  # hosts that did not answer for so long, and are asked once until one answers
FOR_NOW = frozenset({429, 500, 502, 503, 504})  # answers that another try may change
NOT_THERE = frozenset({403, 404, 410})  # some stores say 403 of what they do not have
ANSWERED = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})")
ELSEHOW = "try again with a network, or fetch the files another way and name their folder: dataset.root=FOLDER"


class Absent(Exception):
    """The machine answers that it has no such file; the message says what it said."""


class _Cut(OSError):
    """The connection ended before the file did."""


@cache
def _opener() -> OpenerDirector:
    """HTTP alone: no redirection leads to a file of this machine."""
    opener = OpenerDirector()
    for handler in (
        *(ProxyHandler, UnknownHandler, HTTPHandler, HTTPSHandler),
        *(HTTPDefaultErrorHandler, HTTPRedirectHandler, HTTPErrorProcessor),
    ):
        opener.add_handler(handler())
    return opener


def pieces(address: str, most: int) -> Iterator[tuple[int, bytes]]:
    """The bytes of a file, each piece with its place. A piece with the place 0 begins it, also where it is not the
    first: the server then began again after the connection was cut.

    Args:
        most: Bytes that the file has at most.

    Raises:
        Absent: There is no such file.
        DataError: It cannot be fetched, or is larger.
    """
    done = furthest = 0
    mark, left, pause = "", TRIES, PAUSE
    title = f"fetching {shown(address.rpartition('/')[2])}"
    while True:
        try:
            with closing(_opened(address, done, mark)) as answer:
                done, whole, mark = _place(answer, done)
                _check_size(address, whole or 0, most)
                for piece in tracked(iter(lambda: answer.read(CHUNK), b""), whole or 0, title, len):
                    _check_size(address, done + len(piece), most)
                    yield done, piece
                    done += len(piece)
            if whole is not None and done < whole:
                raise _Cut("the connection was cut")
            if done == 0:
                yield 0, b""
            return
        except (OSError, HTTPException) as error:
            if done > furthest:
                furthest, left, pause = done, TRIES, PAUSE
            left -= 1
            if left == 0 or not _may_change(error, done):
                raise _refusal(address, error) from error
        time.sleep(pause)
        pause *= 2


class Part(NamedTuple):
    """Some bytes of a file, how many the whole file has, and the mark by which it is known again; "" without one."""

    content: bytes
    whole: int
    mark: str


def part(address: str, begin: int, size: int) -> Part:
    """`size` bytes of a file, at least 1, from `begin` on; fewer where it ends before.

    Raises:
        Absent: There is no such file.
        DataError: They cannot be fetched: there is no answer for two minutes, or a whole file is sent instead.
    """
    host, pause = urlsplit(address).netloc, PAUSE
    left = 1 if host in GIVEN_UP else PATIENCE
    while True:
        try:
            with closing(_answer(address, {"Range": f"bytes={begin}-{begin + size - 1}"})) as answer:
                if answer.status != 206:
                    what = f"{host} sends {address} whole, where a part was asked for"
                    raise DataError(two_lines(what, "leave dataset.disk out: its shards are then kept here"))
                _, whole, mark = _place(answer, begin)
                content = answer.read(size)
            if len(content) < min(size, (whole or 0) - begin):
                raise _Cut("the connection was cut")
            GIVEN_UP.discard(host)
            return Part(content, whole or 0, mark)
        except (OSError, HTTPException) as error:
            left -= 1
            passing = _may_change(error, 1)  # that there is such a machine was known before
            if passing and left == 0:
                GIVEN_UP.add(host)
            if not passing or left == 0:
                raise _refusal(address, error) from error
        time.sleep(pause)
        pause *= 2


def _opened(address: str, begin: int, mark: str) -> Any:
    """The answer to a request for the file from `begin` on, if it is still the one that had the mark."""
    return _answer(address, {"Range": f"bytes={begin}-", "If-Range": mark} if begin and mark else {})


def _answer(address: str, headers: Mapping[str, str]) -> Any:
    headers = {"User-Agent": "gan", "Accept-Encoding": "identity", **headers}
    parts = urlsplit(address)
    plain = parts._replace(path=quote(parts.path, safe="/%~!$&'()+,;=:@"))
    return _opener().open(Request(plain.geturl(), headers=headers), timeout=SILENCE)


def _place(answer: Any, asked: int) -> tuple[int, int | None, str]:
    """Where an answer's bytes begin, how many the whole file has, and the mark by which it is known again."""
    entity, changed = answer.headers.get("ETag") or "", answer.headers.get("Last-Modified") or ""
    mark = changed if not entity or entity.startswith("W/") else entity
    if answer.status == 206:
        found = ANSWERED.fullmatch(answer.headers.get("Content-Range") or "")
        if found is None or int(found[1]) != asked:
            raise HTTPException("it answers with another part than was asked for")
        return asked, int(found[2]), mark
    length = answer.headers.get("Content-Length") or ""
    return 0, int(length) if length.isdecimal() and len(length) < 19 else None, mark


def _check_size(address: str, size: int, most: int) -> None:
    if size > most:
        what = f"{address} has {size:,} bytes or more, and {most:,} at most are expected"
        raise DataError(two_lines(what, "pack them again there, in shards of usual size, with their index.json"))


def _may_change(error: Exception, done: int) -> bool:
    """Whether another try may help: with what broke off, and not with a machine that was never reached."""
    if isinstance(error, HTTPError):
        return error.code in FOR_NOW
    return done > 0 or not isinstance(error, URLError | InvalidURL)


def _refusal(address: str, error: Exception) -> Exception:
    host = urlsplit(address).netloc
    if isinstance(error, HTTPError):
        what = f"{address}: {host} answers {error.code} {shown(str(error.reason))}".rstrip()
        return Absent(what) if error.code in NOT_THERE else DataError(two_lines(what, ELSEHOW))
    if isinstance(error, _Cut):
        what = f"{address}: the connection to {host} was cut {TRIES} times"
        return DataError(two_lines(what, ELSEHOW))
    reason = error.reason if isinstance(error, URLError) else error
    words = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
    return DataError(two_lines(f"{host} cannot be reached ({shown(str(words).splitlines()[0])}): {address}", ELSEHOW))
