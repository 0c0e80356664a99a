"""The HTML file around what a page is for: its parts are put together, and text of a run stays text."""

from __future__ import annotations

import base64
import gzip
import html
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

from gan_cli.console import one_line
from gan_cli.export.graph import Graph
from gan_cli.export.runtime import Runtime

EMBEDDED = '<script type="text/plain" id="{name}">{part}</script>'


@dataclass(frozen=True)
class Inside:
    """What one kind of page has of its own; files are those of web/."""

    graph: Graph  # what its model computes
    facts: Mapping[str, Any]  # what its script knows of the network, as JSON
    main: str  # HTML of its picture and its controls
    style: tuple[str, ...] = ()  # CSS, beside that of every page
    scripts: tuple[str, ...] = ()  # JavaScript, in this order and after that of every page
    embedded: Mapping[str, bytes] = field(default_factory=dict)  # what else its script unpacks


def filled(inside: Inside, title: str, model: bytes, run: Runtime) -> str:
    """The page."""
    parts = {"model": model, "runtime": run.script, "wasm": run.wasm, **inside.embedded}
    return _read("page.html").format(
        title=html.escape(one_line(title)),
        style="".join(map(_read, ("page.css", *inside.style))),
        main=_read(inside.main),
        version=html.escape(one_line(run.version)),
        facts=in_script(inside.facts),
        embedded="\n".join(EMBEDDED.format(name=name, part=packed(part)) for name, part in parts.items()),
        script="\n".join(map(_read, ("page.js", *inside.scripts))),
    )


def packed(content: bytes) -> str:
    """Bytes as the page's script unpacks them."""
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def in_script(value: object) -> str:
    """A value as JSON within a script element, which no text in it can leave."""
    return json.dumps(value).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


@cache
def _read(name: str) -> str:
    return (resources.files("gan_cli.export") / "web" / name).read_text(encoding="utf-8")
