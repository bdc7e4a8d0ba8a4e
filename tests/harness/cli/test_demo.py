"""``isrbench demo``: the page in a real browser, where Gradio is installed (docs/hub.md)."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from PIL import Image

from tests.support.browser import all_of, open_page, texts
from tests.support.cli import isrbench
from tests.support.images import write_pairs


def test_without_gradio_the_fix_is_said(capsys, monkeypatch):
    monkeypatch.setattr("isrbench.harness.cli.demo.find_spec", lambda name: None)
    code, _, err = isrbench(capsys, "demo")
    assert code == 2 and "needs Gradio" in err and len(err.splitlines()) == 2


class _At:
    """A page at an address."""

    def __init__(self, address: str) -> None:
        self._address = address

    def as_uri(self) -> str:
        return self._address


def wait(browser, selector: str, count: int = 1):
    for _ in range(600):
        found = all_of(browser, selector)
        if len(found) >= count:
            return found
        time.sleep(0.1)
    raise AssertionError(f"{selector} did not come: {browser.page_source[-2000:]}")


@pytest.mark.slow
@pytest.mark.browser
def test_a_photo_is_dropped_restored_and_compared(tmp_path: Path):
    pytest.importorskip("gradio", reason="needs Gradio, which does not go with the pinned Pillow: docs/hub.md")
    from isrbench.harness.cli.demo_page import build_page
    from isrbench.harness.engine.trying import load_method

    photo = next((write_pairs(tmp_path / "set", ["a"]) / "LR").iterdir())
    large = tmp_path / "large.png"
    Image.open(photo).resize((80, 40)).save(large)
    page = build_page([load_method(id, 4, "cpu") for id in ("bicubic", "mor")], scale=4, largest=32, device="cpu")
    _, address, _ = page.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False, share=False)
    browser = None
    try:
        browser = open_page(_At(address), 1280, 1400)  # type: ignore[arg-type]
        wait(browser, "input[type=file]")[0].send_keys(str(large))
        wait(browser, "img")
        for box in wait(browser, "input[type=checkbox]", 2):
            if not box.is_selected():
                box.click()
        all_of(browser, "#restore")[0].click()
        before, after = wait(browser, "#slider img", 2)[:2]
        sizes = [browser.execute_script("return [arguments[0].naturalWidth, arguments[0].naturalHeight]", i)
                 for i in (before, after)]  # fmt: skip
        assert sizes == [[128, 128]] * 2, "the middle 32x32, four times larger"
        assert "the middle 32x32 of 80x40" in " ".join(texts(browser, "#note"))
        said = " ".join(texts(browser, "#facts"))
        assert "Bicubic" in said and "MoR-SR (tiny)" in said
        assert "severity" in " ".join(texts(browser, "#severity")) and "blur" in " ".join(texts(browser, "#severity"))
        assert wait(browser, "#layers canvas, #layers svg") and "active experts" in " ".join(texts(browser, "#experts"))
        clip = "return getComputedStyle(arguments[0]).clipPath + arguments[0].parentElement.innerHTML"
        shown = browser.execute_script(clip, before)
        handle = wait(browser, "#slider .inner, #slider [role=slider], #slider .handle, #slider .outer")[0]
        from selenium.webdriver import ActionChains

        ActionChains(browser).click_and_hold(handle).move_by_offset(-60, 0).release().perform()
        assert browser.execute_script(clip, before) != shown, "the slider moves"
        assert not [e for e in browser.get_log("browser") if e["level"] == "SEVERE" and address in e["message"]]
    finally:
        if browser is not None:
            browser.quit()
        page.close()
