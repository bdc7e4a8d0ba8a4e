"""The page that most tests open, and the browser that opens it."""

from __future__ import annotations

from pathlib import Path

import pytest

from isrbench.reports.comparison import compare
from tests.support.browser import open_page, settle
from tests.support.once import made_once
from tests.support.report_frames import NASTY, frames


@pytest.fixture(scope="session")
def page(tmp_path_factory) -> Path:
    def write(folder: Path) -> None:
        compare(frames(folder / "images", names=[NASTY])).to_html(folder / "out")

    return made_once(tmp_path_factory, "page", write) / "out" / "index.html"


@pytest.fixture(scope="module")
def browser(page):
    opened = open_page(page, 1280, 1000)
    yield opened
    opened.quit()


@pytest.fixture(autouse=True)
def fresh(request):
    if "browser" in request.fixturenames:
        browser = request.getfixturevalue("browser")
        browser.get("about:blank")
        browser.get(request.getfixturevalue("page").as_uri())
        settle(browser)
