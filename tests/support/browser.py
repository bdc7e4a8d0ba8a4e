"""A real headless Chromium for the tests of the page."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")


def open_page(page: Path, width: int, height: int):
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
    settle(browser)
    return browser


def settle(browser) -> None:
    """Wait for the page, and for the first piece of its images where it has a gallery."""
    from selenium.webdriver.support.ui import WebDriverWait

    there = (
        "document.readyState === 'complete' && (!document.querySelector('.gallery') || document.querySelector('.shot'))"
    )
    WebDriverWait(browser, 30).until(lambda page: page.execute_script(f"return {there}"))


def all_of(browser, selector: str):
    return browser.find_elements("css selector", selector)


def texts(browser, selector: str) -> list[str]:
    found = f"[...document.querySelectorAll({json.dumps(selector)})]"
    return browser.execute_script(f"return {found}.map(e => e.textContent)")


def choose(browser, selector: str, text: str) -> None:
    from selenium.webdriver.support.ui import Select

    Select(all_of(browser, selector)[0]).select_by_visible_text(text)


def open_viewer(browser, place: int = 0):
    all_of(browser, ".shot")[place].click()
    time.sleep(0.2)
    return all_of(browser, "#viewer .stage")[0]


def drag(browser, stage, right: int, down: int) -> None:
    from selenium.webdriver import ActionChains

    chain = ActionChains(browser).move_to_element_with_offset(stage, 120, 100)
    chain.click_and_hold().move_by_offset(right, down).release().perform()
