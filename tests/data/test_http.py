"""Requests to another machine: connections that stay open, redirections, proxies."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from gan_cli.data import http
from gan_cli.data.ahead import AFAR, in_order
from gan_cli.data.http import Absent, part, pieces
from gan_cli.errors import DataError

CONTENT = bytes(range(256)) * 4


class Machine(ThreadingHTTPServer):
    """Sends parts of one file, or to elsewhere, and keeps count of connections."""

    daemon_threads = True

    def __init__(self) -> None:
        self.connections = 0
        self.asked: list[tuple[str, str]] = []  # what, and by whom of a proxy's users
        self.elsewhere = ""
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Machine
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer on an open connection waits for an acknowledgement

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Proxy-Authorization", "")))
        first, _, last = (self.headers.get("Range") or "").removeprefix("bytes=").partition("-")
        content = CONTENT[int(first or 0) : int(last or len(CONTENT)) + 1]
        if self.path.endswith("/elsewhere"):
            self.send_response(302)
            self.send_header("Location", self.server.elsewhere)
            content = b"elsewhere"
        elif self.path.endswith("/absent"):
            self.send_response(404)
        elif self.path.endswith("/whole"):
            self.send_response(200)
            content = CONTENT
        else:
            self.send_response(206 if first else 200)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(CONTENT)}")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    for variable in ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(http, "PAUSE", 0.0)
    http._opener.cache_clear()
    with Machine() as machine:
        thread = Thread(target=machine.serve_forever, args=(0.01,))
        thread.start()
        yield machine
        machine.shutdown()
        thread.join()
    http._opener.cache_clear()


def test_parts_of_one_machine_come_by_one_connection(machine: Machine) -> None:
    parts = [part(f"{machine.url}/a", begin, 7).content for begin in range(0, 70, 7)]
    assert b"".join(parts) == CONTENT[:70]
    assert b"".join(piece for _, piece in pieces(f"{machine.url}/a", 2000)) == CONTENT
    assert machine.connections == 1


def test_there_are_no_more_connections_than_threads_that_ask(machine: Machine) -> None:
    parts = in_order(lambda begin: part(f"{machine.url}/a", begin, 1).content, range(500), threads=4)
    assert b"".join(parts) == CONTENT[:500]
    assert machine.connections <= 4


@pytest.mark.parametrize(("what", "error"), [("absent", Absent), ("whole", DataError)])
def test_answers_that_are_not_wanted_hold_no_connection(machine: Machine, what: str, error: type[Exception]) -> None:
    for _ in range(AFAR.threads + 1):
        with pytest.raises(error):
            part(f"{machine.url}/{what}", 0, 1)
    assert part(f"{machine.url}/a", 5, 1).content == CONTENT[5:6]


def test_a_redirection_is_followed_to_another_machine_and_to_no_file_of_this_one(machine: Machine) -> None:
    port = machine.server_address[1]
    machine.elsewhere = f"http://localhost:{port}/a"
    assert part(f"{machine.url}/elsewhere", 3, 4) == (CONTENT[3:7], len(CONTENT), "")
    machine.elsewhere = "/a"
    assert part(f"{machine.url}/elsewhere", 3, 4).content == CONTENT[3:7]
    machine.elsewhere = "/elsewhere"
    with pytest.raises(DataError, match="answers 302 10 times in a row\n"):
        part(f"{machine.url}/elsewhere", 0, 1)
    for elsewhere in ("file:///etc/passwd", "ftp://127.0.0.1/a", "data:,a"):
        machine.elsewhere = elsewhere
        with pytest.raises(DataError, match="cannot be reached"):
            part(f"{machine.url}/elsewhere", 0, 1)


@pytest.mark.parametrize("user", ["", "a%40b:c%3A@"])
def test_a_proxy_is_asked_where_the_environment_names_one(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, user: str
) -> None:
    monkeypatch.setenv("http_proxy", machine.url.replace("//", f"//{user}"))
    assert part("http://nowhere.invalid/x", 1, 2).content == CONTENT[1:3]
    known = "Basic " + base64.b64encode(b"a@b:c:").decode() if user else ""
    assert machine.asked == [("http://nowhere.invalid/x", known)]
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert part(f"{machine.url}/a", 1, 2).content == CONTENT[1:3]
    assert machine.asked[1] == ("/a", "")


def test_a_name_of_a_machine_may_have_any_letters(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", machine.url)
    assert part("http://bücher.invalid:80/é x", 1, 2).content == CONTENT[1:3]
    assert machine.asked == [("http://xn--bcher-kva.invalid:80/%C3%A9%20x", "")]
    with pytest.raises(DataError, match="cannot be reached"):
        part(f"http://{'é' * 70}.invalid/x", 1, 2)
