"""The leaderboard in a real browser."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isrbench.reports.comparison import compare
from isrbench.reports.html.leaderboard import write_leaderboard
from tests.support.browser import all_of, choose, open_page, texts
from tests.support.report_frames import NASTY, frames, of_methods, on_dataset, together, with_manifests


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("board")
    first = frames(folder / "a", 8, failed=False)
    second = on_dataset(frames(folder / "b", 6, failed=False), NASTY, images=6, whole=6, content_hash="c" * 64)
    second = of_methods(second, "bicubic", "mor")
    second = replace(second, **{name: part.assign(run=part["run"] + "-2") for name, part in vars(second).items()})
    (written,) = write_leaderboard(compare(together(first, second)).sets, folder)
    return written


def methods(browser) -> list[str]:
    return texts(browser, ".board tbody th")


@pytest.mark.browser
def test_choosing_sorting_filtering_and_a_link_to_it(page):
    browser = open_page(page, 1280, 800)
    try:
        assert methods(browser)[:2] == ["MoR-SR (tiny)", "Bicubic"]
        assert texts(browser, ".why")[0].startswith("not run on")
        choose(browser, "#scope", "sample")
        choose(browser, "#group", "LPIPS")
        assert len(methods(browser)) == 3 and texts(browser, ".board thead th")[-1] == "LPIPS ↓"
        assert texts(browser, "#over") == ["Ranked by LPIPS."]
        before = methods(browser)
        all_of(browser, ".board thead button")[1].click()
        assert methods(browser) == before[::-1]
        orders = [head.get_attribute("aria-sort") for head in all_of(browser, ".board thead th")]
        assert orders == [None, "none", "descending", "none", "none"]
        all_of(browser, "#filter")[0].send_keys("mor")
        assert methods(browser) == ["MoR-SR (tiny)"] and texts(browser, ".count") == ["1 of 3 methods"]
        link = browser.current_url
        browser.get("about:blank")
        browser.get(link)
        assert methods(browser) == ["MoR-SR (tiny)"] and texts(browser, ".board thead th")[-1] == "LPIPS ↓"
        choose(browser, "#scope", NASTY)
        assert browser.execute_script("return window.hacked") is None
        assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    finally:
        browser.quit()


@pytest.mark.browser
def test_it_fits_a_phone(page):
    from selenium.webdriver.support.ui import WebDriverWait

    browser = open_page(page, 390, 800)
    try:
        assert browser.execute_script("return document.documentElement.scrollWidth") <= 390
        assert all_of(browser, ".hint")[0].is_displayed(), "columns are out of sight, and the page says so"
        choose(browser, "#group", "LPIPS")
        size = {"width": 1280, "height": 800, "deviceScaleFactor": 1, "mobile": False}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        WebDriverWait(browser, 10).until(lambda _: not all_of(browser, ".hint")[0].is_displayed())
    finally:
        browser.quit()


def test_the_report_links_to_it_where_there_is_one(tmp_path):
    made = frames(tmp_path / "images", 4, failed=False)
    both, one = (of_methods(made, *names) for names in (("bicubic", "folder"), ("bicubic",)))
    for name, part, there in (("two", both, True), ("one", one, False)):
        index = compare(with_manifests(part, lambda manifest: manifest)).to_html(tmp_path / name)
        assert ('href="leaderboard.html"' in index.read_text(encoding="utf-8")) is there
        assert (tmp_path / name / "leaderboard.html").is_file() is there
    compare(one).to_html(tmp_path / "two")
    assert not (tmp_path / "two/leaderboard.html").exists(), "the last report's, and no longer true"
