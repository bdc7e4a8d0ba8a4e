"""Cards and the viewer in a real headless Chromium."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace

import pytest

from isrbench.reports.comparison import compare
from tests.support.browser import all_of, choose, drag, open_page, open_viewer, texts
from tests.support.report_frames import NASTY, frames, of_metrics, without_routing


def test_no_console_error_and_no_foreign_code_runs(browser):
    assert texts(browser, ".shot b").count(NASTY) == 1
    assert browser.execute_script("return window.hacked") is None
    names = texts(browser, ".shot b")
    open_viewer(browser, names.index(NASTY))
    assert texts(browser, "#viewer-name") == [NASTY]
    assert browser.execute_script("return window.hacked") is None
    assert [e for e in browser.get_log("browser") if e["level"] in {"SEVERE", "WARNING"}] == []


def test_slider_moves_by_drag_and_by_key(browser):
    from selenium.webdriver import ActionChains

    stage = open_viewer(browser)
    clip = "return document.querySelector('img.a').style.clipPath"
    assert browser.execute_script(clip) == "inset(0px 50% 0px 0px)"
    handle = all_of(browser, ".handle")[0]
    ActionChains(browser).drag_and_drop_by_offset(handle, round(stage.size["width"] * 0.25), 0).perform()
    right = float(re.search(r"0px ([\d.]+)%", browser.execute_script(clip))[1])
    assert right == pytest.approx(25, abs=1)
    ActionChains(browser).send_keys("[").perform()
    assert float(re.search(r"0px ([\d.]+)%", browser.execute_script(clip))[1]) == pytest.approx(right + 5, abs=0.5)


def test_the_command_of_the_framed_spot_draws_that_spot(browser):
    open_viewer(browser, next(i for i, name in enumerate(texts(browser, ".shot b")) if name != NASTY))
    all_of(browser, ".export button")[0].click()
    words = shlex.split(texts(browser, ".export code")[0])
    assert words[:2] == ["isrbench", "figure"] and sum("-sample-0000000" in word for word in words) == 3
    given = dict(zip(words[5::2], words[6::2], strict=True))
    name = texts(browser, "#viewer-name")[0]
    assert (given["--dataset"], given["--images"], given["--out"]) == ("sample", name, f"{name}.pdf")
    left, top, side = map(int, given["--box"].split(","))
    place = "return document.querySelector('{}').getBoundingClientRect().toJSON()"
    spot, stage = (browser.execute_script(place.format(what)) for what in (".spot", ".stage"))
    scale = 64 / stage["width"]
    assert side == pytest.approx(spot["width"] * scale, abs=1)
    assert left == pytest.approx((spot["x"] - stage["x"]) * scale, abs=1.5)
    assert top == pytest.approx((spot["y"] - stage["y"]) * scale, abs=1.5)


def test_zoom_shows_the_same_spot_in_every_version(browser):
    stage = open_viewer(browser)
    zoom = "const z = document.querySelector('.zoom'); z.value = 4; z.dispatchEvent(new Event('input'))"
    browser.execute_script(zoom)
    drag(browser, stage, 90, 60)
    sides = browser.execute_script(
        "return ['a', 'b'].map(c => document.querySelector('.stage img.' + c).style.transform)"
    )
    assert sides[0] == sides[1] and sides[0].startswith("scale(4)")
    patches = browser.execute_script("return [...document.querySelectorAll('.crop img')].map(p => p.style.transform)")
    assert len(patches) == 5 and len(set(patches)) == 1
    stage_size = stage.size["width"] * 4
    patch_size = "const p = document.querySelector('.crop img'); return p.getBoundingClientRect().width"
    assert browser.execute_script(patch_size) == pytest.approx(2 * stage_size, rel=0.01), "twice the stage's scale"
    spot = browser.execute_script("return document.querySelector('.spot').getBoundingClientRect().toJSON()")
    crop = browser.execute_script("return document.querySelector('.crop').clientWidth")
    assert spot["width"] == pytest.approx(crop / 2, abs=1), "the frame is what the patches show"
    assert browser.execute_script("return [...document.querySelectorAll('.crop img')].every(i => i.matches('.pixel'))")
    before = patches[0]
    drag(browser, stage, -60, 0)
    after = browser.execute_script("return document.querySelector('.crop img').style.transform")
    assert after != before, "moving the image moves every patch"


def test_viewer_keys_and_choices(browser):
    from selenium.webdriver import ActionChains, Keys

    names = texts(browser, ".shot b")
    open_viewer(browser)
    ActionChains(browser).send_keys(Keys.ARROW_RIGHT).perform()
    assert texts(browser, "#viewer-name") == [names[1]]
    ActionChains(browser).send_keys(Keys.ARROW_LEFT).send_keys(Keys.ARROW_LEFT).perform()
    assert texts(browser, "#viewer-name") == [names[-1]], "it goes round"
    choose(browser, ".pa", "HR")
    assert texts(browser, ".ta") == ["HR"]
    assert "/hr/" in browser.execute_script("return document.querySelector('img.a').src")
    assert texts(browser, ".values tbody th") == ["Bicubic", "MoR-SR (tiny)", "OSEDiff PNGs"]
    assert "severity" in texts(browser, ".facts-line")[0]
    ActionChains(browser).send_keys(Keys.ESCAPE).perform()
    assert not all_of(browser, "#viewer")[0].is_displayed()


def test_keys_move_a_zoomed_image_and_the_right_button_moves_nothing(browser):
    from selenium.webdriver import ActionChains, Keys

    stage = open_viewer(browser)
    clip = "return document.querySelector('img.a').style.clipPath"
    before = browser.execute_script(clip)
    ActionChains(browser).move_to_element_with_offset(stage, 90, 50).context_click().perform()
    ActionChains(browser).move_by_offset(-60, 0).perform()
    assert browser.execute_script(clip) == before
    ActionChains(browser).send_keys("+", "+", Keys.ARROW_LEFT).perform()
    moved = "return document.querySelector('img.b').style.transform"
    one = browser.execute_script(moved)
    name = texts(browser, "#viewer-name")
    ActionChains(browser).send_keys(Keys.ARROW_UP).perform()
    assert browser.execute_script(moved) != one and texts(browser, "#viewer-name") == name
    ActionChains(browser).send_keys("n").perform()
    assert texts(browser, "#viewer-name") != name
    ActionChains(browser).send_keys("0", ",").perform()
    assert browser.execute_script(moved).startswith("scale(1)")
    assert "55%" in browser.execute_script(clip)


def test_the_page_behind_keeps_still_and_only_a_press_outside_closes(browser):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.support.ui import WebDriverWait

    open_viewer(browser)
    assert browser.execute_script("return getComputedStyle(document.documentElement).overflowY") == "hidden"
    name = all_of(browser, "#viewer-name")[0]
    # Where it is in the window: the page behind may be scrolled.
    box = browser.execute_script("return arguments[0].getBoundingClientRect().toJSON()", name)
    to_corner = (3 - int(box["x"] + box["width"] / 2), 3 - int(box["y"] + box["height"] / 2))  # on the backdrop
    ActionChains(browser).click_and_hold(name).move_by_offset(*to_corner).release().perform()
    assert all_of(browser, "#viewer")[0].is_displayed()
    all_of(browser, "#viewer .close")[0].click()
    # A dialog's close event is queued: it fires some time after the click.
    released = "return getComputedStyle(document.documentElement).overflowY != 'hidden'"
    WebDriverWait(browser, 10).until(lambda page: page.execute_script(released))


def test_cards_show_the_chosen_version_and_missing_files_say_so(tmp_path):
    made = without_routing(of_metrics(frames(tmp_path / "images", count=4), "psnr"))
    images = made.images.copy()
    images.loc[images["image"] == "scene_000", ["lr_path", "hr_path", "output_path"]] = "/nonexistent.png"
    images["hr_path"] = None
    opened = open_page(compare(replace(made, images=images)).to_html(tmp_path / "out"), 1000, 900)
    try:
        choose(opened, ".sort", "name")
        all_of(opened, ".order")[0].click()
        shown = "return [...document.querySelectorAll('.shot')].map(s => s.firstChild.getAttribute('src') ?? 'blank')"
        sources = opened.execute_script(shown)
        if sources[0] != "blank":
            sources = sources[::-1]
        assert sources[0] == "blank" and all("/m1/" in source for source in sources[1:]), "the newest"
        choose(opened, ".version", "LR")
        assert sum("/lr/" in source for source in opened.execute_script(shown)) == 3
        names = texts(opened, ".shot b")
        open_viewer(opened, names.index("scene_000"))
        assert all_of(opened, ".nothing")[0].is_displayed()
        all_of(opened, "#viewer .next")[0].click()
        assert texts(opened, ".ta") == ["Bicubic"] and texts(opened, ".tb") == ["MoR-SR (tiny)"]
        assert [e for e in opened.get_log("browser") if e["level"] == "SEVERE"] == []
    finally:
        opened.quit()
