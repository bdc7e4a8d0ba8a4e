"""The page in a real headless Chromium, and what can be said of it without one."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path

import pytest

from reports.build import build_report
from tests.report_frames import NASTY, frames

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    return build_report(frames(folder / "pictures", names=[NASTY]), folder / "out")[0]


def _open(page: Path, width: int, height: int):
    if not (CHROMIUM and DRIVER):
        pytest.skip("needs Chromium and chromedriver (Debian: apt-get install chromium chromium-driver)")
    selenium = pytest.importorskip("selenium.webdriver", reason="needs selenium")
    from selenium.webdriver.chrome.service import Service

    options = selenium.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in ("headless=new", "no-sandbox", "disable-gpu", "disable-dev-shm-usage", "hide-scrollbars"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = selenium.Chrome(options=options, service=Service(DRIVER))
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get(page.as_uri())
    return browser


@pytest.fixture(scope="module")
def browser(page):
    opened = _open(page, 1280, 1000)
    yield opened
    opened.quit()


@pytest.fixture(autouse=True)
def fresh(request):
    if "browser" in request.fixturenames:
        browser = request.getfixturevalue("browser")
        browser.get("about:blank")
        browser.get(request.getfixturevalue("page").as_uri())


def _all(browser, selector: str):
    return browser.find_elements("css selector", selector)


def _texts(browser, selector: str) -> list[str]:
    found = f"[...document.querySelectorAll({json.dumps(selector)})]"
    return browser.execute_script(f"return {found}.map(e => e.textContent)")


def _choose(browser, selector: str, text: str) -> None:
    from selenium.webdriver.support.ui import Select

    Select(_all(browser, selector)[0]).select_by_visible_text(text)


def _open_viewer(browser, place: int = 0):
    _all(browser, ".shot")[place].click()
    time.sleep(0.2)
    return _all(browser, "#viewer .stage")[0]


def test_page_needs_no_network_and_every_link_leads_to_a_file(page):
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", text)
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S)[1])
    links = [p for i in data[0]["images"] for p in (i["thumb"], i["lr"], i["hr"], *i["out"]) if p]
    links += re.findall(r'<img src="(plots/[^"]+)"', text)
    assert len(links) == 30 * 6 - 1 + text.count("<figure>")  # one method failed on one image
    for link in links:
        assert (page.parent / link).is_file(), link


def test_page_is_small(tmp_path):
    page = build_report(frames(tmp_path / "pictures", count=100), tmp_path / "out")[0]
    assert page.stat().st_size < 500_000, "2 MB is the limit, and the plots come on top"
    plots = sum(p.stat().st_size for p in (tmp_path / "out/plots").glob("*.svg"))
    assert page.stat().st_size + plots < 2_000_000


def test_text_of_users_is_escaped(page):
    text = page.read_text(encoding="utf-8")
    assert "ValueError: boom" in text and "&lt;b&gt;line&lt;/b&gt;" in text and "<b>line" not in text
    assert "<img src=x" not in text and "</script><b>" not in text
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", p.name) for p in page.parent.rglob("*")), "odd names on disk"


def test_no_console_error_and_no_foreign_code_runs(browser):
    assert _texts(browser, ".shot b").count(NASTY) == 1
    assert browser.execute_script("return window.hacked") is None
    names = _texts(browser, ".shot b")
    _open_viewer(browser, names.index(NASTY))
    assert _texts(browser, "#viewer-name") == [NASTY]
    assert browser.execute_script("return window.hacked") is None
    assert [e for e in browser.get_log("browser") if e["level"] in {"SEVERE", "WARNING"}] == []


def test_table_sorts_both_ways(browser):
    _all(browser, "button[data-group='1']")[0].click()
    head = _all(browser, ".group[data-group='1'] thead button")[1]
    column = ".group[data-group='1'] tbody tr td:nth-child(2) .v"
    head.click()
    down = [float(t) for t in _texts(browser, column)]
    assert down == sorted(down, reverse=True) and len(set(down)) == 3
    head.click()
    assert [float(t) for t in _texts(browser, column)] == sorted(down)
    sorts = browser.execute_script(
        "return [...document.querySelectorAll(\".group[data-group='1'] thead th\")].map(h => h.ariaSort)"
    )
    assert sorts == ["none", "ascending", "none", "none", "none"]


def test_blank_cells_sort_last_whichever_way(browser):
    head = _all(browser, ".group[data-group='0'] thead button")[1]
    for _ in range(2):
        head.click()
        assert _texts(browser, ".group[data-group='0'] tbody th")[-1] == "OSEDiff PNGs"


def test_strata_switch_changes_table_and_gallery(browser):
    assert len(_all(browser, ".shot")) == 30
    _all(browser, "button[data-group='3']")[0].click()
    assert len(_all(browser, ".shot")) == 10
    assert [g.is_displayed() for g in _all(browser, "div.group")] == [False, False, False, True]
    assert _texts(browser, ".count") == ["10 images"]


def test_gallery_sorts_by_severity_metric_and_spread(browser):
    data = json.loads(_texts(browser, "#data")[0])[0]
    by_name = {i["name"]: i for i in data["images"]}
    severities = [by_name[n]["severity"] for n in _texts(browser, ".shot b")]
    assert severities == sorted(severities, reverse=True)
    _all(browser, ".order")[0].click()
    assert [by_name[n]["severity"] for n in _texts(browser, ".shot b")] == sorted(severities)
    _all(browser, ".order")[0].click()
    _choose(browser, ".sort", "metric value")
    _choose(browser, ".metric", "LPIPS")
    _choose(browser, ".method", "MoR-SR tiny")
    values = [by_name[n]["values"]["lpips"][1] for n in _texts(browser, ".shot b")]
    assert values == sorted(values, reverse=True)
    _choose(browser, ".sort", "where methods differ most")
    known = [[v for v in by_name[n]["values"]["lpips"] if v is not None] for n in _texts(browser, ".shot b")]
    spreads = [max(v) - min(v) for v in known]
    assert spreads == sorted(spreads, reverse=True)


def test_slider_moves_by_drag_and_by_key(browser):
    from selenium.webdriver import ActionChains

    stage = _open_viewer(browser)
    clip = "return document.querySelector('img.a').style.clipPath"
    assert browser.execute_script(clip) == "inset(0px 50% 0px 0px)"
    handle = _all(browser, ".handle")[0]
    ActionChains(browser).drag_and_drop_by_offset(handle, round(stage.size["width"] * 0.25), 0).perform()
    right = float(re.search(r"0px ([\d.]+)%", browser.execute_script(clip))[1])
    assert right == pytest.approx(25, abs=1)
    ActionChains(browser).send_keys("[").perform()
    assert float(re.search(r"0px ([\d.]+)%", browser.execute_script(clip))[1]) == pytest.approx(right + 5, abs=0.5)


def _drag(browser, stage, right: int, down: int) -> None:
    from selenium.webdriver import ActionChains

    chain = ActionChains(browser).move_to_element_with_offset(stage, 120, 100)
    chain.click_and_hold().move_by_offset(right, down).release().perform()


def test_zoom_shows_the_same_spot_in_every_version(browser):
    stage = _open_viewer(browser)
    zoom = "const z = document.querySelector('.zoom'); z.value = 4; z.dispatchEvent(new Event('input'))"
    browser.execute_script(zoom)
    _drag(browser, stage, 90, 60)
    sides = browser.execute_script(
        "return ['a', 'b'].map(c => document.querySelector('.stage img.' + c).style.transform)"
    )
    assert sides[0] == sides[1] and sides[0].startswith("scale(4)")
    patches = browser.execute_script("return [...document.querySelectorAll('.crop img')].map(p => p.style.transform)")
    assert len(patches) == 5 and len(set(patches)) == 1
    before = patches[0]
    _drag(browser, stage, -60, 0)
    after = browser.execute_script("return document.querySelector('.crop img').style.transform")
    assert after != before, "moving the picture moves every patch"


def test_viewer_keys_and_choices(browser):
    from selenium.webdriver import ActionChains, Keys

    names = _texts(browser, ".shot b")
    _open_viewer(browser)
    ActionChains(browser).send_keys(Keys.ARROW_RIGHT).perform()
    assert _texts(browser, "#viewer-name") == [names[1]]
    ActionChains(browser).send_keys(Keys.ARROW_LEFT).send_keys(Keys.ARROW_LEFT).perform()
    assert _texts(browser, "#viewer-name") == [names[-1]], "it goes round"
    _choose(browser, ".pa", "HR")
    assert _texts(browser, ".ta") == ["HR"]
    assert "/hr/" in browser.execute_script("return document.querySelector('img.a').src")
    assert _texts(browser, ".values tbody th") == ["Bicubic", "MoR-SR tiny", "OSEDiff PNGs"]
    assert "severity" in _texts(browser, ".facts-line")[0]
    ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    assert not _all(browser, "#viewer")[0].is_displayed()


def test_themes_differ_and_stay_readable(browser):
    seen = set()
    for theme in ("light", "dark"):
        browser.execute_script(f"document.documentElement.dataset.theme = '{theme}'")
        colours = browser.execute_script(
            "const s = getComputedStyle(document.body); return [s.color, s.backgroundColor]"
        )
        luminance = [_luminance(colour) for colour in colours]
        contrast = (max(luminance) + 0.05) / (min(luminance) + 0.05)
        assert contrast > 7, (theme, colours)
        seen.add(tuple(colours))
    assert len(seen) == 2
    _all(browser, "#theme")[0].click()
    assert browser.execute_script("return document.documentElement.dataset.theme") == "light"


def _luminance(colour: str) -> float:
    parts = [int(c) / 255 for c in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_phone_width_does_not_scroll_sideways(page):
    phone = _open(page, 390, 844)
    try:
        wide = "return document.documentElement.scrollWidth"
        assert phone.execute_script(wide) <= 390
        phone.execute_script("document.querySelector('.shot').click()")
        time.sleep(0.3)
        box = phone.execute_script("return document.querySelector('.stage').getBoundingClientRect().toJSON()")
        assert box["left"] >= 0 and box["right"] <= 390
        assert phone.execute_script(wide) <= 390
        assert [e for e in phone.get_log("browser") if e["level"] == "SEVERE"] == []
    finally:
        phone.quit()


def test_thumbnails_load_lazily(browser):
    assert browser.execute_script("return [...document.querySelectorAll('.shot img')].every(i => i.loading === 'lazy')")
    loaded = "return [...document.querySelectorAll('.shot img')].filter(i => i.complete && i.naturalWidth).length"
    browser.execute_script("document.querySelector('.gallery').scrollIntoView()")
    time.sleep(0.5)
    assert browser.execute_script(loaded) > 0
