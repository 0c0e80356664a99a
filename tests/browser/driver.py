"""Chromium without a window, driven through chromedriver by the WebDriver protocol, as far as the checks need it."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars"),
    "--host-resolver-rules=MAP * ~NOTFOUND",  # no page reaches any network
)


class Browser:
    """One window."""

    def __init__(self, address: str, session: str) -> None:
        self.home = f"{address}/session/{session}"

    def _post(self, path: str, **body: Any) -> Any:
        return asked(f"{self.home}/{path}", body)

    def open(self, url: str) -> None:
        self._post("url", url="about:blank")  # a page whose address differs in its # alone is not loaded again
        self._post("url", url=url)

    def run(self, script: str, *arguments: Any) -> Any:
        """What the body of a JavaScript function returns."""
        return self._post("execute/sync", script=script, args=arguments)

    def resize(self, width: int, height: int) -> None:
        self._post("window/rect", width=width, height=height)

    def screenshot(self, path: Path) -> None:
        with urllib.request.urlopen(f"{self.home}/screenshot", timeout=60) as answer:
            path.write_bytes(base64.b64decode(json.load(answer)["value"]))

    def errors(self) -> list[str]:
        """What the console reported since it was last asked."""
        entries = asked(f"{self.home}/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE"]

    def until(self, condition: str, patience: float = 120.0) -> None:
        """Waits for a JavaScript expression to be true. Raises TimeoutError."""
        end = time.monotonic() + patience
        while not self.run(f"return Boolean({condition})"):
            if time.monotonic() > end:
                raise TimeoutError(condition)
            time.sleep(0.1)


def asked(url: str, body: Any) -> Any:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=180) as answer:
        return json.load(answer)["value"]


@contextmanager
def browser(dark: bool = False) -> Iterator[Browser]:
    """A browser with a profile of its own, which goes with it."""
    driver = shutil.which("chromedriver")
    if driver is None:
        raise SystemExit("make browser needs chromium and chromedriver\n  apt-get install chromium chromium-driver")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as profile:
        process = subprocess.Popen([driver, f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _until_it_answers(f"{address}/status")
            flags = [*FLAGS, f"--user-data-dir={profile}", *(["--force-dark-mode"] if dark else [])]
            options = {"goog:chromeOptions": {"args": flags}, "goog:loggingPrefs": {"browser": "ALL"}}
            session = asked(f"{address}/session", {"capabilities": {"alwaysMatch": options}})["sessionId"]
            yield Browser(address, session)
            urllib.request.urlopen(urllib.request.Request(f"{address}/session/{session}", method="DELETE"), timeout=60)
        finally:
            process.terminate()
            process.wait()


def _until_it_answers(url: str) -> None:
    for _ in range(100):
        try:
            with urllib.request.urlopen(url, timeout=1):
                return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError("chromedriver does not answer")
