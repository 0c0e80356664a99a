"""Reads a file at an address piece by piece, and goes on where a connection was cut, or reads a part of it (RFC 9110:
Range, If-Range)."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import NamedTuple
from urllib.parse import quote, unquote, urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

from urllib3 import BaseHTTPResponse, PoolManager, ProxyManager, make_headers
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    LocationParseError,
    LocationValueError,
    ProtocolError,
    ProxyError,
    SSLError,
)

from gan_cli.data.ahead import AFAR
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
HOPS = 10  # redirections of one request
NEVER_REACHED = (ConnectTimeoutError, ProxyError, SSLError)
ELSEHOW = "try again with a network, or fetch the files another way and name their folder: dataset.root=FOLDER"


class Absent(Exception):
    """The machine answers that it has no such file; the message says what it said."""


class _Cut(ProtocolError):
    """The connection ended before the file did."""


class _Refused(HTTPError):
    """The machine answers, and not with the file."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}".rstrip())
        self.status = status


@cache
def _opener(scheme: str, host: str) -> PoolManager:
    """Keeps connections to a machine open for the next request, each used by one thread at a time; by way of the proxy
    that the environment, or the system, names for it. It knows HTTP alone: nothing leads to a file of this machine."""
    proxy = "" if proxy_bypass(host) else getproxies().get(scheme, "")
    if not proxy:
        return PoolManager(maxsize=AFAR.threads, block=True, timeout=SILENCE, retries=False)
    parts = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    known = f"{unquote(parts.username)}:{unquote(parts.password or '')}" if parts.username else None
    plain = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    headers = make_headers(proxy_basic_auth=known)
    return ProxyManager(plain, proxy_headers=headers, maxsize=AFAR.threads, block=True, timeout=SILENCE, retries=False)


if sys.platform != "win32":  # which does not fork
    os.register_at_fork(after_in_child=_opener.cache_clear)  # two processes cannot share a connection


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
            with _opened(address, done, mark) as answer:
                done, whole, mark = _place(answer, done)
                _check_size(address, whole or 0, most)
                for piece in tracked(answer.stream(CHUNK), whole or 0, title, len):
                    _check_size(address, done + len(piece), most)
                    yield done, piece
                    done += len(piece)
            if whole is not None and done < whole:
                raise _Cut("the connection was cut")
            if done == 0:
                yield 0, b""
            return
        except HTTPError as error:
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
            with _answered(address, {"Range": f"bytes={begin}-{begin + size - 1}"}) as answer:
                if answer.status != 206:
                    what = f"{host} sends {address} whole, where a part was asked for"
                    raise DataError(two_lines(what, "leave dataset.disk out: its shards are then kept here"))
                _, whole, mark = _place(answer, begin)
                content = answer.read(size)
            if len(content) < min(size, (whole or 0) - begin):
                raise _Cut("the connection was cut")
            GIVEN_UP.discard(host)
            return Part(content, whole or 0, mark)
        except HTTPError as error:
            left -= 1
            passing = _may_change(error, 1)  # that there is such a machine was known before
            if passing and left == 0:
                GIVEN_UP.add(host)
            if not passing or left == 0:
                raise _refusal(address, error) from error
        time.sleep(pause)
        pause *= 2


def _opened(address: str, begin: int, mark: str) -> AbstractContextManager[BaseHTTPResponse]:
    """The answer to a request for the file from `begin` on, if it is still the one that had the mark."""
    return _answered(address, {"Range": f"bytes={begin}-", "If-Range": mark} if begin and mark else {})


@contextmanager
def _answered(address: str, headers: Mapping[str, str]) -> Iterator[BaseHTTPResponse]:
    """The answer, which has yet to be read, of the machine that is asked or that it sends us to."""
    headers = {"User-Agent": "gan", "Accept-Encoding": "identity", **headers}
    address = _plain(address)
    for _ in range(HOPS):
        parts = urlsplit(address)
        answer = _opener(parts.scheme, parts.netloc).request(
            "GET",
            address,
            headers=headers,
            redirect=False,
            preload_content=False,
            decode_content=False,
            enforce_content_length=False,
        )
        try:
            if answer.status in (200, 206):
                yield answer
                return
        finally:  # a connection that was not read to its end is of no more use, and makes room for another
            answer.close()
            answer.release_conn()
        elsewhere = answer.get_redirect_location()
        if not elsewhere:
            raise _Refused(answer.status, answer.reason or "")
        address = _plain(urljoin(address, elsewhere))
    raise _Refused(answer.status, f"{HOPS} times in a row")


def _plain(address: str) -> str:
    """The same address in ASCII: the name of the machine as that of IDNA, and of the path what has to be quoted."""
    parts = urlsplit(address)
    try:
        netloc = parts.netloc if parts.netloc.isascii() else parts.netloc.encode("idna").decode()
    except UnicodeError as error:
        raise LocationParseError(address) from error
    return parts._replace(netloc=netloc, path=quote(parts.path, safe="/%~!$&'()+,;=:@")).geturl()


def _place(answer: BaseHTTPResponse, asked: int) -> tuple[int, int | None, str]:
    """Where an answer's bytes begin, how many the whole file has, and the mark by which it is known again."""
    entity, changed = answer.headers.get("ETag") or "", answer.headers.get("Last-Modified") or ""
    mark = changed if not entity or entity.startswith("W/") else entity
    if answer.status == 206:
        found = ANSWERED.fullmatch(answer.headers.get("Content-Range") or "")
        if found is None or int(found[1]) != asked:
            raise ProtocolError("it answers with another part than was asked for")
        return asked, int(found[2]), mark
    length = answer.headers.get("Content-Length") or ""
    return 0, int(length) if length.isdecimal() and len(length) < 19 else None, mark


def _check_size(address: str, size: int, most: int) -> None:
    if size > most:
        what = f"{address} has {size:,} bytes or more, and {most:,} at most are expected"
        raise DataError(two_lines(what, "pack them again there, in shards of usual size, with their index.json"))


def _may_change(error: HTTPError, done: int) -> bool:
    """Whether another try may help: with what broke off, and not with a machine that was never reached."""
    if isinstance(error, _Refused):
        return error.status in FOR_NOW
    if isinstance(error, LocationValueError):
        return False
    return done > 0 or not isinstance(error, NEVER_REACHED)


def _refusal(address: str, error: HTTPError) -> Exception:
    host = urlsplit(address).netloc
    if isinstance(error, _Refused):
        what = f"{address}: {host} answers {shown(str(error))}"
        return Absent(what) if error.status in NOT_THERE else DataError(two_lines(what, ELSEHOW))
    if isinstance(error, _Cut):
        what = f"{address}: the connection to {host} was cut {TRIES} times"
        return DataError(two_lines(what, ELSEHOW))
    words = _reason(error).splitlines()[0]
    return DataError(two_lines(f"{host} cannot be reached ({shown(words)}): {address}", ELSEHOW))


def _reason(error: HTTPError) -> str:
    """The words of the system, where an error of its own is behind this one."""
    behind: list[BaseException] = [error]
    for each in behind:
        if isinstance(each, OSError) and each.strerror:
            return each.strerror
        behind += [one for one in (*each.args, each.__cause__) if isinstance(one, BaseException) and one not in behind]
    return str(error) or type(error).__name__
