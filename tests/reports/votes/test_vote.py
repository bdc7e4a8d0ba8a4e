"""From runs to a page, through a real browser to a file of votes, and back to scores beside the metrics."""

from __future__ import annotations

import json
import re
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.stats import kendalltau

from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import read_rgb
from isrbench.reports.aligned import AlignedRuns, align
from isrbench.reports.comparison import compare
from isrbench.reports.votes.ballot import make_ballot
from isrbench.reports.votes.files import token
from isrbench.reports.votes.page import write_ballot
from tests.support.browser import all_of, open_page, texts
from tests.support.logistic import logistic_scores
from tests.support.report_frames import frames, of_images, of_methods, without_routing

STRENGTHS = {"Bicubic": -0.8, "MoR-SR (tiny)": 0.6, "OSEDiff PNGs": 0.2}


def tokens_of(aligned: AlignedRuns) -> dict[str, tuple[str, str]]:
    """Token -> (method, image)."""
    return {
        token(aligned.runs.loc[label, "manifest"].identity, image): (label, image)
        for label in aligned.labels
        for image in aligned.images.index
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return without_routing(frames(tmp_path_factory.mktemp("vote") / "images", count=14, failed=False))


def test_each_pair_meets_once_a_round_and_once_on_each_image(made):
    (aligned,) = align(made)
    ballot = make_ballot(aligned, 8, seed=3)
    known = tokens_of(aligned)
    assert len(ballot.images) == 8 == len(ballot.rounds)
    met = Counter()
    for asked in ballot.rounds:
        pairs = [frozenset(known[name][0] for name in names) for _, *names in asked]
        assert len(set(pairs)) == len(pairs) == 3
        for (place, *names), pair in zip(asked, pairs, strict=True):
            assert {known[name][1] for name in names} == {ballot.images[place]}
            met[pair, place] += 1
    assert len(met) == 3 * 8 and set(met.values()) == {1}
    assert make_ballot(aligned, 8, seed=3) == ballot != make_ballot(aligned, 8, seed=4)
    severities = aligned.images.loc[list(ballot.images), "severity"]
    assert severities.min() == aligned.images["severity"].min() and severities.max() == aligned.images["severity"].max()


def test_one_method_or_no_common_image_is_no_vote(made):
    with pytest.raises(UserError, match="takes two methods"):
        make_ballot(align(of_methods(made, "bicubic"))[0], 5, 0)
    gone = replace(made, images=made.images.assign(lr_path="/nonexistent.png"))
    with pytest.raises(UserError, match="no image whose files"):
        make_ballot(align(gone)[0], 5, 0)
    apart = of_images(made, "mor", ["scene_003"])
    assert make_ballot(align(apart)[0], 5, 0).images == ("scene_003",)


@pytest.mark.browser
def test_votes_of_a_browser_become_scores_beside_the_metrics(made, tmp_path):
    (aligned,) = align(made)
    ballot = make_ballot(aligned, 12, seed=0)
    files = write_ballot(ballot, tmp_path / "vote")
    _blind(files, ballot, aligned)
    given = _vote(files[0], tokens_of(aligned), tmp_path / "votes")
    (file,) = (tmp_path / "votes").iterdir()
    stored = json.loads(file.read_text(encoding="utf-8"))
    assert [(*vote["shown"], vote["choice"]) for vote in stored["votes"]] == given
    assert all(vote["seconds"] >= 0 for vote in stored["votes"]) and file.name == f"votes-sample-{stored['voter']}.json"

    comparison = compare(made, votes=[tmp_path / "votes"])
    rows = comparison.analyses["votes"].set_index("method")
    labels, known = list(aligned.labels), tokens_of(aligned)
    won = {"first": 1.0, "tie": 0.5, "second": 0.0}
    expected = logistic_scores(
        [(labels.index(known[a][0]), labels.index(known[b][0]), won[choice]) for a, b, choice in given], len(labels)
    )
    assert rows.loc[labels, "score"].to_numpy() == pytest.approx(expected, abs=1e-5)
    assert (rows["low"] < rows["score"]).all() and (rows["score"] < rows["high"]).all()
    assert rows["votes"].sum() == 2 * len(given) and rows["won"].sum() == len(given)

    taus = comparison.analyses["votes-agreement"].set_index("metric")["tau"]
    for metric, sign in (("psnr", 1), ("lpips", -1)):
        means = [sign * aligned.values[metric][label].mean() for label in labels]
        assert taus[metric] == pytest.approx(kendalltau(expected.round(4), means).statistic)
    page = comparison.to_html(tmp_path / "report").read_text(encoding="utf-8")
    assert "sample: what do people prefer?" in page and "do metrics rank the methods as people do?" in page
    assert f"{len(given)} blind votes of 1 voter on 12 images" in page
    assert (tmp_path / "report" / "tables" / "sample.votes.csv").is_file()


def _blind(files: list[Path], ballot, aligned: AlignedRuns) -> None:
    """Neither the page nor the names, sizes in pixels or metadata of its files tell the methods apart."""
    text = files[0].read_text(encoding="utf-8")
    for label, run in aligned.runs.iterrows():
        assert label not in text and run["run"] not in text and f'"{run["method"]}"' not in text
    for name, source in ballot.versions.items():
        with Image.open(files[0].parent / "images" / f"{name}.webp") as image:
            assert set(image.info) <= {"loop", "background", "timestamp", "duration"}
        assert np.array_equal(read_rgb(files[0].parent / "images" / f"{name}.webp"), read_rgb(source))
    assert all(re.fullmatch(r"(in-\d{3}|[0-9a-f]{16})\.webp", file.name) for file in files[1:])


def _vote(page: Path, known: dict[str, tuple[str, str]], downloads: Path) -> list[tuple[str, str, str]]:
    """Answer all questions but three by keys, take one back, leave and come back, download; what was answered."""
    from selenium.webdriver import ActionChains, Keys

    rng, given = np.random.default_rng(5), []
    browser = open_page(page, 1280, 900)
    try:
        downloads.mkdir()
        browser.execute_cdp_cmd("Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(downloads)})
        # The order follows from the voter's number: this one, so that each test sees the same.
        browser.execute_script(
            "const { ballot } = JSON.parse(document.getElementById('data').textContent);"
            "localStorage.setItem(`isrbench-vote-${ballot}`, JSON.stringify({ voter: '0123456789abcdef', votes: [] }))"
        )
        browser.refresh()
        for number in range(33):
            shown = _shown(browser)
            gap = STRENGTHS[known[shown[0]][0]] - STRENGTHS[known[shown[1]][0]]
            choice = "tie" if rng.random() < 0.1 else "first" if rng.random() < 1 / (1 + np.exp(-gap)) else "second"
            keys = {"first": Keys.ARROW_LEFT, "second": Keys.ARROW_RIGHT, "tie": Keys.ARROW_DOWN}
            ActionChains(browser).send_keys(keys[choice]).perform()
            given.append((*shown, choice))
            if number == 4:
                ActionChains(browser).send_keys(Keys.BACKSPACE).perform()
                assert _shown(browser) == given.pop()[:2], "the same question again"
                all_of(browser, "[data-choice='b']")[0].click()
                given.append((*shown, "second"))
            if number == 8:
                after = _shown(browser)
                browser.get("about:blank")
                browser.get(page.as_uri())
                assert _shown(browser) == after, "votes and order outlive the page"
        assert texts(browser, ".progress")[0].startswith("33 votes · 3 more")
        all_of(browser, ".download")[0].click()
        for _ in range(50):
            if list(downloads.glob("*.json")):
                break
            time.sleep(0.1)
        assert [e for e in browser.get_log("browser") if e["level"] == "SEVERE"] == []
    finally:
        browser.quit()
    # Sides are drawn: a method is not always on one of them.
    assert {side for a, _, _ in given for side in [known[a][0]]} == set(STRENGTHS)
    return given


def _shown(browser) -> tuple[str, str]:
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(browser, 10).until(lambda b: b.execute_script("return !document.querySelector('.answer').disabled"))
    found = browser.execute_script(
        "return [...document.querySelectorAll('.stage img')].map(i => i.getAttribute('src'))"
    )
    return tuple(Path(source).stem for source in found)  # type: ignore[return-value]


def test_votes_on_other_runs_are_refused_and_few_votes_have_no_scores(made, tmp_path):
    (aligned,) = align(made)
    known = {pair: name for name, pair in tokens_of(aligned).items()}
    first, second = known["Bicubic", "scene_000"], known["OSEDiff PNGs", "scene_000"]
    file = tmp_path / "votes.json"

    def votes(*shown: tuple[str, str]):
        answers = [{"shown": list(pair), "choice": "second", "time": str(i)} for i, pair in enumerate(shown)]
        file.write_text(json.dumps({"format": "isrbench-votes/1", "voter": "v", "votes": answers}))
        return compare(made, votes=file)

    with pytest.raises(UserError, match="none of the 1 votes is about a run"):
        votes(("0" * 16, "1" * 16))
    (compared,) = votes((first, second), ("0" * 16, second)).sets
    table = compared.analysis("votes").table
    assert "No scores: some methods never lost" in table.caption and "1 blind vote of 1 voter" in table.caption
    assert [entries[0].text for _, entries in table.rows] == ["–", "–"]
    assert table.notes == ("in no vote: MoR-SR (tiny)", "left out: 1 votes on other runs than these")
