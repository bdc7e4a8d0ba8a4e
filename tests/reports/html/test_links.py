"""Permalinks, the filter, copying and printing, in a real headless Chromium."""

from __future__ import annotations

import base64
import shlex
import time
from urllib.parse import parse_qs

from tests.support.browser import all_of, choose, open_viewer, settle, texts
from tests.support.pages import images_of, set_of

SCREEN = {"width": 1280, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
STATE = (
    "return [document.querySelector('#viewer-name').textContent, document.querySelector('.ta').textContent,"
    " document.querySelector('.tb').textContent, document.querySelector('.zoom').value,"
    " document.querySelector('img.b').style.transform, document.querySelector('.split').value]"
)


def until(browser, script: str):
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 10).until(lambda page: page.execute_script(script))


def test_the_viewer_begins_with_baseline_and_newest_method(browser, page):
    said = set_of(page)
    assert [said["labels"][said[which]] for which in ("baseline", "newest")] == ["Bicubic", "MoR-SR (tiny)"]
    open_viewer(browser)
    assert texts(browser, ".ta") == ["Bicubic"] and texts(browser, ".tb") == ["MoR-SR (tiny)"]


def test_a_link_shows_image_pair_and_zoom_again(browser, page):
    name = images_of(page)[5]["name"]
    open_viewer(browser, 5)
    choose(browser, ".pa", "HR")
    choose(browser, ".pb", "OSEDiff PNGs")
    browser.execute_script(
        "const z = document.querySelector('.zoom'); z.value = 4; z.dispatchEvent(new Event('input'));"
        "const s = document.querySelector('.split'); s.value = 30; s.dispatchEvent(new Event('input'))"
    )
    until(browser, "return location.hash.includes('zoom=4')")
    link, seen = browser.current_url, browser.execute_script(STATE)
    facts = parse_qs(link.partition("#view?")[2])
    assert (facts["image"], facts["left"], facts["right"]) == ([name], ["HR"], ["OSEDiff PNGs"])
    browser.get("about:blank")
    browser.get(link)
    until(browser, "return document.querySelector('#viewer').open && document.querySelector('img.b').naturalWidth > 0")
    assert browser.execute_script(STATE) == seen
    all_of(browser, "#viewer .close")[0].click()
    until(browser, "return location.hash === '#d0-gallery'")


def test_a_link_leads_to_an_image_that_a_filter_hides_and_a_wrong_one_nowhere(browser, page):
    name = images_of(page)[7]["name"]
    _filter(browser, "nothing-is-called-so")
    assert texts(browser, ".count") == ["0 of 30 images"]
    browser.execute_script(f"location.hash = '#view?set=sample&image={name}'")
    until(browser, "return document.querySelector('#viewer').open")
    assert texts(browser, "#viewer-name") == [name]
    browser.get("about:blank")
    browser.get(f"{page.as_uri()}#view?set=sample&image=none&zoom=x&at=1,y")
    settle(browser)
    time.sleep(0.3)
    assert not all_of(browser, "#viewer")[0].is_displayed() and len(all_of(browser, ".shot")) == 30


def test_the_gallery_is_filtered_by_words_and_values(browser, page):
    images = {i["name"]: i for i in images_of(page)}
    choose(browser, ".method", "MoR-SR (tiny)")
    _filter(browser, "scene psnr<25.5 severity>=0.3 mild")
    shown = texts(browser, ".shot b")
    wanted = {
        name
        for name, image in images.items()
        if "scene" in name
        and image["values"]["psnr"][1] < 25.5
        and image["severity"] >= 0.3
        and image["level"] == "mild"
    }
    assert set(shown) == wanted and 0 < len(wanted) < 30
    assert texts(browser, ".count") == [f"{len(wanted)} of 30 images"]
    _filter(browser, "psnrr<25")
    assert (
        texts(browser, ".count")[0].startswith("“psnrr” is not known: severity, ")
        and len(all_of(browser, ".shot")) == 30
    )
    choose(browser, ".method", "OSEDiff PNGs")
    _filter(browser, "failed")
    assert texts(browser, ".shot b") == ["scene_028"]


def _filter(browser, text: str) -> None:
    browser.execute_script(
        "const f = document.querySelector('.filter'); f.value = arguments[0]; f.dispatchEvent(new Event('input'))", text
    )
    time.sleep(0.25)


def test_the_values_of_an_image_scroll_beside_it_under_a_fixed_column(browser):
    open_viewer(browser)
    box = "const b = document.querySelector('.right .scroll'); "
    browser.execute_script(
        "document.querySelectorAll('.values tr').forEach(r => {"
        " for (let i = 0; i < 12; i++) r.append(r.lastElementChild.cloneNode(true)) })"
    )
    wide, narrow = browser.execute_script(box + "return [b.scrollWidth, b.clientWidth]")
    edge = browser.execute_script("return document.querySelector('.right').getBoundingClientRect().right")
    assert wide > narrow and edge <= 1280
    first = "return document.querySelector('.values tbody th').getBoundingClientRect().left"
    before = browser.execute_script(first)
    browser.execute_script(box + "b.scrollLeft = 10000")
    assert browser.execute_script(first) == before
    last = "return document.querySelector('.values tbody tr').lastChild.getBoundingClientRect().right"
    assert browser.execute_script(last) <= browser.execute_script(box + "return b.getBoundingClientRect().right") + 1


def test_a_table_is_copied_as_latex(browser):
    browser.execute_script(
        "navigator.clipboard.writeText = (text) => { window.copied = text; return Promise.resolve(); }"
    )
    all_of(browser, "div.group[data-group='0'] .copy-latex")[0].click()
    text = until(browser, "return window.copied")
    assert text.startswith(r"\begin{table}") and r"\textbf{" in text and text.count("Bicubic") >= 2
    assert texts(browser, "div.group[data-group='0'] .copy-latex") == ["Copied"]


def test_a_click_copies_without_more_ado(browser):
    open_viewer(browser)
    all_of(browser, "#viewer .copy-link")[0].click()
    assert until(browser, "return document.querySelector('.copy-link').textContent === 'Copied'")


def test_the_command_of_a_figure_names_image_and_framed_spot(browser, page):
    stage = open_viewer(browser, 2)
    browser.execute_script("navigator.clipboard.writeText = async (text) => { window.copied = text }")
    browser.execute_script(
        "const z = document.querySelector('.zoom'); z.value = 2; z.dispatchEvent(new Event('input'))"
    )
    all_of(browser, "#viewer .export button")[0].click()
    words = shlex.split(until(browser, "return window.copied"))
    first = words.index("--dataset")
    options = dict(zip(words[first::2], words[first + 1 :: 2], strict=True))
    assert words[:2] == ["isrbench", "figure"] and options["--dataset"] == "sample"
    assert options["--images"] == images_of(page)[2]["name"]
    box = browser.execute_script("return document.querySelector('.spot').getBoundingClientRect().toJSON()")
    view = browser.execute_script("return document.querySelector('.stage').getBoundingClientRect().toJSON()")
    pixels = 64 / (2 * stage.size["width"])  # of the restored image in one of the screen
    left, top, side = (int(number) for number in options["--box"].split(","))
    assert abs(left - (16 + (box["x"] - view["x"]) * pixels)) <= 1 and abs(side - box["width"] * pixels) <= 1
    assert abs(top - (16 + (box["y"] - view["y"]) * pixels)) <= 1


def test_print_keeps_all_columns(browser):
    """A table three times as wide as the paper is made smaller until it fits."""
    browser.execute_script(
        "document.querySelectorAll(\"div.group[data-group='0'] table.scores tr\").forEach(r => {"
        " for (let i = 0; i < 40; i++) r.append(r.lastElementChild.cloneNode(true)) })"
    )
    browser.execute_script("window.addEventListener('beforeprint', () => { window.asked = true })")
    made = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})
    assert base64.b64decode(made["data"]).startswith(b"%PDF") and browser.execute_script("return window.asked")
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", {**SCREEN, "width": 1032})  # A4, landscape
        box = "return document.querySelector('table.scores').getBoundingClientRect().right"
        assert browser.execute_script(box) > 1032
        browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
        assert browser.execute_script(box) <= 1032
        assert (
            browser.execute_script("return getComputedStyle(document.querySelector('.scroll')).overflowX") == "visible"
        )
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", SCREEN)


def test_provenance_stands_on_top(browser):
    assert texts(browser, ".provenance span") == [
        "content aaaaaaaa", "3 runs of 2026-01-01", "seed 0", "severity by tiny (1a2b3c4d)",
    ]  # fmt: skip
