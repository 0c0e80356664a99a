"""Self-contained HTML pages: one file that opens from the disk, fetches nothing, and runs no script but ours.

Facts may come from a stranger's run folder: Jinja escapes each of them, data reach the scripts as JSON that cannot end
its element, and the page's own policy lets a browser run only the scripts whose hashes it names, and fetch nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

import jinja2

from gan_cli.console import UNPRINTABLE

LONGEST = 300  # characters of a word that is shown


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("gan_cli", "pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["shown"] = shown
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}  # Bokeh refers to what came before
    return environment


def own(name: str) -> str:
    """A script or a style sheet of this package."""
    return resources.files("gan_cli.pages").joinpath(name).read_text(encoding="utf-8")


def render(template: str, scripts: Sequence[str], **facts: Any) -> bytes:
    """The page that a template of this package makes of these facts.

    Args:
        scripts: The texts of its scripts, in order; they are code of ours or of a library, never facts.

    Raises:
        ValueError: A script would end its element early.
    """
    for script in scripts:
        if "</script" in script.lower() or "<!--" in script:
            raise ValueError("a script that ends its own element")
    page = _environment().get_template(template)
    return page.render(scripts=scripts, policy=policy(scripts), style=own("page.css"), **facts).encode(
        errors="backslashreplace"
    )


def policy(scripts: Sequence[str]) -> str:
    """The Content-Security-Policy of a page: these scripts run, pictures may be embedded, and nothing is fetched."""
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    own_style = "style-src 'unsafe-inline'"
    return f"default-src 'none'; script-src {allowed}; {own_style}; img-src data:; base-uri 'none'; form-action 'none'"


def shown(word: object, most: int = LONGEST) -> str:
    """Text that may come from a file: bounded, and what would act or reorder instead of showing made visible."""
    text = str(word)
    cut = text if len(text) <= most else f"{text[: most - 1]}…"
    return UNPRINTABLE.sub(lambda found: ascii(found[0])[1:-1], cut)


def data_uri(kind: str, content: bytes) -> str:
    """A picture as the address of an image element."""
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
