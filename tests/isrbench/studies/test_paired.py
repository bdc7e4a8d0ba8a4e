"""Paired differences: which arms, paired how, with which interval, and what is concluded."""

import numpy as np
import pandas as pd
import pytest

from isrbench.harness.api.registry import metrics
from isrbench.studies.adapters_page import page
from isrbench.studies.paired import ALL, Finding, Question, compare_arms, resampled_means

ASKED = (Question("mor", "lora", "why"),)


def rows(values: dict[str, np.ndarray], metric="psnr") -> pd.DataFrame:
    """Rows of arms whose values are (seeds, levels, photos)."""
    return pd.DataFrame([
        {"arm": arm, "seed": seed, "level": (0.2, 0.8)[level], "photo": f"p{photo}", "metric": metric, "value": value}
        for arm, table in values.items() for (seed, level, photo), value in np.ndenumerate(table)
    ])  # fmt: skip


def noise(seed: int, spread: float = 1.0, shape=(3, 2, 60)) -> np.ndarray:
    return np.random.default_rng(seed).normal(25, spread, shape)


def compared(lora, mor, metric="psnr"):
    found = compare_arms(rows({"lora": lora, "mor": mor}, metric), ASKED, [metrics().get(metric)])
    return {difference.stratum: difference for difference in found}


def test_pairing_cancels_what_is_common_to_an_image():
    lora = noise(0, spread=5)
    found = compared(lora, lora + 0.1 + noise(1, 0.02) - 25)
    assert found[ALL].mean == pytest.approx(0.1, abs=0.01) and found[ALL].finding is Finding.BETTER
    assert 0.09 < found[ALL].low < found[ALL].mean < found[ALL].high < 0.11
    assert set(found) == {"level 0.2", "level 0.8", ALL} and found[ALL].seeds == 3 and found[ALL].images == 60


def test_what_is_worse_depends_on_the_metric():
    lora = noise(0)
    assert compared(lora, lora - 0.1)[ALL].finding is Finding.WORSE
    assert compared(lora, lora - 0.1, "gmsd")[ALL].finding is Finding.BETTER


def test_small_differences_are_equivalent_and_noisy_ones_not_told_apart():
    lora = noise(0)
    assert compared(lora, lora + 0.005)[ALL].finding is Finding.EQUIVALENT
    noisy = compared(lora, noise(1))[ALL]
    assert noisy.finding is Finding.OPEN and noisy.low < 0 < noisy.high and noisy.p_holm > 0.05


def test_seeds_count_as_seeds_and_not_as_more_images():
    """A difference of one seed of three is no finding, however many images show it."""
    lora = noise(0)
    shift = np.array([0.3, 0.0, 0.0])[:, None, None]
    found = compared(lora, lora + shift)[ALL]
    assert found.mean == pytest.approx(0.1) and found.low == pytest.approx(0) and found.finding is Finding.OPEN
    means = resampled_means(np.repeat(shift[:, 0], 50, axis=1))
    assert set(np.round(np.unique(np.round(means, 6)), 2)) == {0.0, 0.1, 0.2, 0.3}


def test_p_values_are_corrected_over_questions_and_strata():
    lora = noise(0)
    values = {"lora": lora, "mor": noise(1), "moe": noise(2)}
    questions = (*ASKED, Question("mor", "moe", "why"), Question("mor", "absent", "left out"))
    found = compare_arms(rows(values), questions, [metrics().get("psnr")])
    assert len(found) == 6 and all(d.p_holm >= d.p for d in found)
    least = min(found, key=lambda d: d.p)
    assert least.p_holm == pytest.approx(min(1.0, 6 * least.p))


def test_arms_over_other_images_are_refused():
    table = rows({"lora": noise(0), "mor": noise(1)})
    with pytest.raises(ValueError, match="mor and lora were not run over the same"):
        compare_arms(table.iloc[:-1], ASKED, [metrics().get("psnr")])


def test_the_page_shows_means_and_answers():
    lora = noise(0)
    table = rows({"lora": lora, "mor": lora + 0.5})
    psnr = metrics().get("psnr")
    text = page(table, compare_arms(table, ASKED, [psnr]), [psnr])
    low, high = lora[:, 0].mean(), lora[:, 1].mean()
    assert text.startswith("60 photos, seeds 0, 1, 2.\n") and "With one seed" not in text
    assert f"{low:.2f} / {high:.2f}" in text and f"{low + 0.5:.2f} / {high + 0.5:.2f}" in text
    assert "+0.500 [+0.500, +0.500] better, p = 0.00" in text and "within ±0.02 dB" in text


def test_the_page_says_what_one_seed_leaves_out():
    table = rows({"lora": noise(0, shape=(1, 2, 60)), "mor": noise(1, shape=(1, 2, 60))})
    assert "With one seed" in page(table, [], [metrics().get("psnr")])
