"""The quiz in a browser: it asks, counts as the formulas say, and saves the answers."""

from __future__ import annotations

import base64
import json
import re
import shutil
import time
from pathlib import Path

from chromium import chromium

from conftest import Inside
from gan_cli.latent.quiz import wilson

SHOTS = Path(__file__).resolve().parents[2] / "build" / "browser"


def key(page: bytes) -> list[bool]:
    """Which of its pictures are drawn."""
    (asked,) = re.findall(rb'<script type="application/json" id="asked">(.*?)</script>', page, re.DOTALL)
    return [byte.bit_count() % 2 == 1 for byte in base64.b64decode(json.loads(asked)["key"])]


def test_answers_are_counted_and_saved(finished: Path, gan_here: Inside, here: Path) -> None:
    done = gan_here("sample", str(finished), "mode=quiz", "n=10", "out=q.html")
    assert done.returncode == 0, done.stderr
    drawn = key((here / "q.html").read_bytes())
    wrong = {0, 4, 5}
    profile = here / "profile"
    with chromium(profile) as page:
        page.send("Page.setDownloadBehavior", behavior="allow", downloadPath=str(here))
        page.open(here / "q.html", width=390, height=844, dark=True)
        page.until("document.getElementById('picture').naturalWidth > 0")
        page.picture(SHOTS / "quiz-phone.png")
        for i, one in enumerate(drawn):
            said = one != (i in wrong)
            if i % 2:
                page.press("d" if said else "r")
            else:
                page.says(f"document.getElementById('{'drawn' if said else 'real'}').click()")
        page.press("d")  # once more than there are pictures
        page.picture(SHOTS / "quiz-result.png", whole=True)
        low, high = wilson(17, 20)
        told = page.says("document.getElementById('score').textContent")
        assert told.startswith(f"17 of 20 right: 85.0 % (95 % interval {100 * low:.1f} % to {100 * high:.1f} %;")
        assert "can tell them apart" in page.says("document.getElementById('verdict').textContent")
        counts = [
            page.says(f"Number(document.getElementById('{k}').textContent)")
            for k in ("real-real", "real-drawn", "drawn-real", "drawn-drawn")
        ]
        assert (sum(counts), counts[1] + counts[2]) == (20, 3)
        assert page.says("document.documentElement.scrollWidth") == 390
        page.says("document.getElementById('save').click()")
        end = time.monotonic() + 20
        while not (here / "quiz.json").is_file() and time.monotonic() < end:
            time.sleep(0.1)
        assert page.complaints == []
        assert {*page.asked_for} == {(here / "q.html").resolve().as_uri()}
    saved = json.loads((here / "quiz.json").read_text())
    assert (saved["n"], saved["right"], saved["low"], saved["high"]) == (20, 17, low, high)
    assert [one["is"] == "drawn" for one in saved["answers"]] == drawn
    assert {i for i, one in enumerate(saved["answers"]) if one["is"] != one["said"]} == wrong
    shutil.rmtree(profile, ignore_errors=True)
