"""The page in a real headless Chromium, and what can be said of it without one."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from isrbench.reports.comparison import compare
from tests.support.browser import all_of, choose, open_page, open_viewer, texts
from tests.support.pages import images_of
from tests.support.report_frames import (
    MESSAGE,
    TRACEBACK,
    frames,
    of_images,
    of_methods,
    of_metrics,
    on_dataset,
    part_of,
    with_manifests,
    without_routing,
)

FILE = "<img onerror=alert(1)>.png"


def test_page_needs_no_network_and_every_link_leads_to_a_file(page):
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", text)
    links = [p for i in images_of(page) for pair in (i["lr"], i["hr"], *i["out"]) for p in pair if p]
    links += re.findall(r'(?:src|href)="((?:plots|tables)/[^"]+)"', text)
    # One method failed on one image; a plot is linked and shown for either ground; tables are linked.
    assert len(links) == 2 * (30 * 5 - 1) + 4 * text.count("<figure>") + 10
    for link in links:
        assert (page.parent / link).is_file(), link


def plots_size(page):
    """Bytes of the plots that one ground shows."""
    return sum(p.stat().st_size for p in (page.parent / "plots").rglob("*.svg") if ".dark" not in p.name)


def test_page_is_small(page):
    """Of 30 images: a page of 100 stays below the limit of the next test if each image adds what it adds here."""
    assert page.stat().st_size < 150_000
    assert plots_size(page) < 1_000_000


@pytest.mark.slow
def test_page_of_100_images_is_small(tmp_path):
    page = compare(frames(tmp_path / "images", count=100)).to_html(tmp_path / "out")
    assert page.stat().st_size < 500_000, "2 MB is the limit, and the plots come on top"
    assert page.stat().st_size + plots_size(page) < 2_000_000


def test_text_of_users_is_escaped(page):
    text = page.read_text(encoding="utf-8")
    assert "ValueError: boom &lt;b&gt;bold" in text and "<b>bold" not in text
    assert "&lt;b&gt;line&lt;/b&gt;" in text and "<b>line" not in text
    assert "<img src=x" not in text and "</script><b>" not in text
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", p.name) for p in page.parent.rglob("*")), "odd names on disk"


def test_odd_file_names_are_harmless_as_files_titles_and_sets(tmp_path):
    made = of_metrics(without_routing(frames(tmp_path / "images", count=10, names=[FILE])), "psnr")
    odd = tmp_path / FILE
    odd.write_bytes(Path(made.images["hr_path"].iloc[0]).read_bytes())
    images = made.images.copy()
    images.loc[images["image"] == FILE, ["lr_path", "hr_path"]] = str(odd)
    titles = {"bicubic": FILE, "folder": "b", "mor": "c"}
    made = with_manifests(replace(made, images=images), lambda m: m.model_copy(update={"title": titles[m.name]}))
    page = compare(on_dataset(made, FILE), baseline="bicubic").to_html(tmp_path / "out")
    opened = open_page(page, 1280, 900)
    try:
        open_viewer(opened)
        assert opened.execute_script("return [...document.images].filter(i => i.hasAttribute('onerror')).length") == 0
        assert FILE in texts(opened, ".shot b") and texts(opened, "h1") == [FILE]
        assert [e for e in opened.get_log("browser") if e["level"] in {"SEVERE", "WARNING"}] == []
    finally:
        opened.quit()
    assert "<img onerror" not in page.read_text(encoding="utf-8")
    assert r"&lt;img onerror=alert(1)&gt;" in (tmp_path / "out/tables/img-onerror-alert-1-png.md").read_text()


def test_table_sorts_both_ways(browser):
    all_of(browser, "button[data-group='1']")[0].click()
    head = all_of(browser, ".group[data-group='1'] thead button")[1]
    column = ".group[data-group='1'] tbody tr td:nth-child(2) .v"
    head.click()
    down = [float(t) for t in texts(browser, column)]
    assert down == sorted(down, reverse=True) and len(set(down)) == 3
    head.click()
    assert [float(t) for t in texts(browser, column)] == sorted(down)
    sorts = browser.execute_script(
        "return [...document.querySelectorAll(\".group[data-group='1'] thead th\")].map(h => h.ariaSort)"
    )
    assert sorts == ["none", "ascending", "none", "none", "none"]


def test_blank_cells_sort_last_whichever_way(browser):
    head = all_of(browser, ".group[data-group='0'] thead button")[1]
    for _ in range(2):
        head.click()
        assert texts(browser, ".group[data-group='0'] tbody th")[-1] == "OSEDiff PNGs"


def test_strata_switch_changes_table_and_gallery(browser):
    assert len(all_of(browser, ".shot")) == 30
    all_of(browser, "button[data-group='3']")[0].click()
    assert len(all_of(browser, ".shot")) == 10
    assert [g.is_displayed() for g in all_of(browser, "div.group")] == [False, False, False, True]
    assert texts(browser, ".count") == ["10 images"]


def test_gallery_sorts_by_severity_metric_and_spread(browser, page):
    by_name = {i["name"]: i for i in images_of(page)}
    severities = [by_name[n]["severity"] for n in texts(browser, ".shot b")]
    assert severities == sorted(severities, reverse=True)
    all_of(browser, ".order")[0].click()
    assert [by_name[n]["severity"] for n in texts(browser, ".shot b")] == sorted(severities)
    all_of(browser, ".order")[0].click()
    choose(browser, ".sort", "metric value")
    choose(browser, ".metric", "LPIPS")
    choose(browser, ".method", "MoR-SR (tiny)")
    values = [by_name[n]["values"]["lpips"][1] for n in texts(browser, ".shot b")]
    assert values == sorted(values, reverse=True)
    choose(browser, ".sort", "where methods differ most")
    known = [[v for v in by_name[n]["values"]["lpips"] if v is not None] for n in texts(browser, ".shot b")]
    spreads = [max(v) - min(v) for v in known]
    assert spreads == sorted(spreads, reverse=True)


def test_cells_show_intervals_and_differences(browser):
    interval = ".group[data-group='0'] .ci"
    assert not all_of(browser, interval)[0].is_displayed()
    all_of(browser, "button[data-show='intervals']")[0].click()
    assert all_of(browser, interval)[0].is_displayed() and re.fullmatch(
        r"\[[\d.]+, [\d.]+\]", texts(browser, interval)[0]
    )
    all_of(browser, "button[data-show='differences']")[0].click()
    shown = [e.text for e in all_of(browser, ".group[data-group='0'] .diff") if e.is_displayed()]
    assert "baseline" in shown and any(re.search(r"^\+[\d.]+\n\[.*\]\np[\s\u00a0][<=]", text) for text in shown)


def test_absent_images_are_no_failures_and_metrics_say_how_to_fix(tmp_path):
    made = without_routing(of_metrics(frames(tmp_path / "images", count=6), "psnr", "musiq"))
    made = of_images(made, "bicubic", ["scene_000", "scene_002", "scene_003", "scene_004", "scene_005"])
    scores = made.scores.copy()
    missing = (scores["metric"] == "musiq") & (scores["method"] == "mor")
    scores.loc[missing, ["value", "status"]] = [float("nan"), "unavailable"]
    scores["message"] = scores["message"].mask(missing, "no weights of MUSIQ")
    scores["fix"] = scores["fix"].mask(missing, "isrbench fetch weights -m musiq")
    text = compare(replace(made, scores=scores)).to_html(tmp_path / "out").read_text(encoding="utf-8")
    assert "1 failed image<" in text and "Bicubic has 5 of 6 images" in text
    assert "unavailable on 6 images" in text and '<span class="error">no weights of MUSIQ</span>' in text
    assert "Fix: <code>isrbench fetch weights -m musiq</code>" in text


def test_a_failure_shows_its_message_and_folds_its_traceback(browser):
    assert texts(browser, ".failures .error") == [MESSAGE]
    assert texts(browser, ".failures pre") == [TRACEBACK] and not all_of(browser, ".failures pre")[0].is_displayed()
    all_of(browser, ".failures details summary")[0].click()
    assert all_of(browser, ".failures pre")[0].is_displayed()


def test_a_corrupt_image_is_noted(tmp_path):
    made = of_methods(frames(tmp_path / "images", count=4), "bicubic")
    bad = tmp_path / "bad.png"
    bad.write_bytes(b"no image")
    made.images.loc[made.images["image"] == "scene_001", "hr_path"] = str(bad)
    text = compare(made).to_html(tmp_path / "out").read_text(encoding="utf-8")
    assert f"not a readable image, left out of the gallery: {bad}" in text


def test_tabs_name_whole_and_part(tmp_path):
    made = without_routing(of_metrics(frames(tmp_path / "images", count=4, failed=False), "psnr"))
    page = compare(part_of(made, "folder", ["scene_000"], whole=4)).to_html(tmp_path / "out")
    opened = open_page(page, 1280, 900)
    try:
        assert texts(opened, "[data-tab]") == ["sample", "sample, 1 of 4 images"]
        all_of(opened, "[data-tab='1']")[0].click()
        assert [h.text for h in all_of(opened, "h1") if h.is_displayed()] == ["sample, 1 of 4 images"]
        assert [e for e in opened.get_log("browser") if e["level"] in {"SEVERE", "WARNING"}] == []
    finally:
        opened.quit()


def test_links_in_the_bar_lead_to_parts_of_the_shown_set(browser):
    assert [a.text for a in all_of(browser, ".anchors a")] == [
        "Summary", "Analyses", "Gallery", "Plots", "Runs", "Leaderboard",
    ]  # fmt: skip
    order = browser.execute_script("return [...document.querySelectorAll('h2')].map(h => h.id)")
    assert order == ["d0-summary", "d0-analyses", "d0-gallery", "d0-plots", "d0-runs"]
    all_of(browser, ".anchors a[data-part='plots']")[0].click()
    assert browser.execute_script("return document.getElementById('d0-plots').getBoundingClientRect().top") < 200


def test_analyses_stay_when_the_stratum_changes_and_say_what_cannot_be_computed(browser):
    titles = texts(browser, ".analysis h3")
    assert len(titles) == 2 and "depend on severity?" in titles[0] and "rank the methods alike?" in titles[1]
    assert texts(browser, ".analysis tbody th") == ["MoR-SR (tiny)", "OSEDiff PNGs"]
    assert "Not computed: no two metrics have means of the same 3 methods." in texts(browser, ".analysis .caption")
    all_of(browser, "button[data-group='1']")[0].click()
    assert all(article.is_displayed() for article in all_of(browser, ".analysis"))
    assert all_of(browser, ".analysis .ci")[0].is_displayed()


def test_plots_follow_the_theme(browser):
    for theme, shown in (("light", ".on-light"), ("dark", ".on-dark")):
        browser.execute_script(f"document.documentElement.dataset.theme = '{theme}'")
        drawn = browser.execute_script(
            "return [...document.querySelectorAll('figure a')].filter(a => getComputedStyle(a).display !== 'none')"
            ".map(a => a.className)"
        )  # not is_displayed: a plot that is not loaded yet has no height
        assert set(drawn) == {shown[1:]} and len(drawn) == len(all_of(browser, "figure"))


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
    all_of(browser, "#theme")[0].click()
    assert browser.execute_script("return document.documentElement.dataset.theme") == "light"


def _luminance(colour: str) -> float:
    parts = [int(c) / 255 for c in re.findall(r"\d+", colour)[:3]]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_phone_width_does_not_scroll_sideways(page):
    phone = open_page(page, 390, 844)
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


def test_thumbnails_load_lazily(tmp_path):
    made = of_metrics(frames(tmp_path / "images", count=90, failed=False), "psnr")
    page = compare(of_methods(made, "bicubic")).to_html(tmp_path / "out")
    opened = open_page(page, 390, 844)
    try:
        loaded = "return [...document.querySelectorAll('.shot img')].filter(i => i.complete && i.naturalWidth).length"
        time.sleep(0.5)
        assert opened.execute_script(loaded) < 90, "what is far below the screen waits"
        opened.execute_script("scrollTo(0, document.body.scrollHeight)")
        opened.execute_script("document.querySelectorAll('.shot')[89].scrollIntoView()")
        last = "const i = document.querySelectorAll('.shot img')[89]; return i.complete && i.naturalWidth > 0"
        assert any(opened.execute_script(last) or time.sleep(0.2) for _ in range(20))
    finally:
        opened.quit()
