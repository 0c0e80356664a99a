"""What all HTML pages share: facts are escaped, scripts are ours, and nothing is fetched."""

from __future__ import annotations

import base64
import hashlib

import pytest

from gan_cli.pages import own, policy, render, shown


def test_a_policy_names_each_script_by_its_hash() -> None:
    digest = base64.b64encode(hashlib.sha256(b"let x = 1 < 2;").digest()).decode()
    told = dict(part.split(" ", 1) for part in policy(["let x = 1 < 2;"]).split("; "))
    assert told["script-src"] == f"'sha256-{digest}'"
    assert told["default-src"] == "'none'"
    assert told["img-src"] == "data:"
    assert "script-src 'none'" in policy([])


@pytest.mark.parametrize("script", ["'</script>'", "'</SCRIPT x'", "'<!--'"])
def test_a_script_cannot_end_its_own_element(script: str) -> None:
    with pytest.raises(ValueError, match="ends its own element"):
        render("quiz.html", [script], title="", n=0, asked={})


def test_facts_are_text_and_data_stay_in_their_element() -> None:
    asked = {"b": "</script>", "a": ["&'<!--", 1.5]}
    page = render("quiz.html", [own("theme.js")], title="<b>&", n=2, asked=asked).decode()
    assert "<h1>&lt;b&gt;&amp;</h1>" in page
    data = page.partition('id="asked">')[2].partition("</script>")[0]
    assert "<" not in data
    assert data.index('"b"') < data.index('"a"')  # in the order in which they came


def test_a_missing_fact_is_no_empty_place() -> None:
    with pytest.raises(Exception, match="'n' is undefined"):
        render("quiz.html", [], title="", asked={})


def test_shown_text_is_bounded_and_obeyed_by_nobody() -> None:
    assert shown("a" * 400, 10) == "a" * 9 + "…"
    assert shown("\x1b[2J\u202ex\udcff") == "\\x1b[2J\\u202ex\\udcff"
