"""Paired differences: which arms, paired how, with which interval, and what is concluded."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from isrbench.harness.api.registry import metrics
from isrbench.harness.errors import UserError
from isrbench.studies.adapters_page import page
from isrbench.studies.paired import ALL, Finding, Question, compare_arms, uncertainty

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
    assert found.mean == pytest.approx(0.1) and found.low < 0 and found.finding is Finding.OPEN


def test_three_seeds_that_agree_are_not_certainty():
    """Student's t over the seeds' means, two degrees of freedom: 0.0313 / 0.0121 = 2.58."""
    differences = np.array([0.011, 0.030, 0.053])[:, None] + np.zeros((3, 50))
    own = uncertainty(differences)
    assert own.freedom == 2 and own.p == pytest.approx(0.123, abs=0.001)
    assert own.interval(0.95)[0] < 0


def test_one_seed_is_the_paired_t_test():
    differences = noise(3, 0.2, (1, 80)) - 25
    test = stats.ttest_1samp(differences[0], 0)
    low, high = test.confidence_interval(0.95)
    assert uncertainty(differences).p == pytest.approx(test.pvalue)
    assert uncertainty(differences).interval(0.95) == pytest.approx((low, high))


def test_no_difference_is_found_where_there_is_none():
    """Of 400 worlds without a difference, in which seeds and photos scatter, at most 5% have p < 0.05."""
    rng = np.random.default_rng(0)
    worlds = (
        rng.normal(0, 0.03, (3, 1)) + rng.normal(0, 0.05, (1, 60)) + rng.normal(0, 0.05, (3, 60)) for _ in range(400)
    )
    assert sum(uncertainty(world).p < 0.05 for world in worlds) <= 20


def test_what_is_the_same_everywhere_is_certain():
    same = uncertainty(np.zeros((3, 10)))
    assert same.p == 1 and same.interval(0.95) == (0, 0)
    assert uncertainty(np.full((3, 10), 0.5)).p == 0


def test_p_values_are_corrected_over_questions_and_strata():
    lora = noise(0)
    values = {"lora": lora, "mor": noise(1), "moe": noise(2)}
    questions = (*ASKED, Question("mor", "moe", "why"), Question("mor", "absent", "left out"))
    found = compare_arms(rows(values), questions, [metrics().get("psnr")])
    assert len(found) == 6 and all(d.p_holm >= d.p for d in found)
    least = min(found, key=lambda d: d.p)
    assert least.p_holm == pytest.approx(min(1.0, 9 * least.p)), "the question that was not asked counts, too"


def test_arms_over_other_images_are_refused():
    table = rows({"lora": noise(0), "mor": noise(1)})
    with pytest.raises(UserError, match="mor and lora were not run over the same"):
        compare_arms(table.iloc[:-1], ASKED, [metrics().get("psnr")])


def test_the_page_shows_means_and_answers():
    lora = noise(0)
    table = rows({"lora": lora, "mor": lora + 0.5})
    psnr = metrics().get("psnr")
    text = page(table, compare_arms(table, ASKED, [psnr]), [psnr])
    low, high = lora[:, 0].mean(), lora[:, 1].mean()
    assert text.startswith("60 photos, seeds 0, 1, 2.\n") and "With one seed" not in text
    assert f"{low:.2f} / {high:.2f}" in text and f"{low + 0.5:.2f} / {high + 0.5:.2f}" in text
    assert "+0.500 [+0.500, +0.500] better, p < 0.001" in text and "within ±0.02 dB" in text


def test_the_page_says_what_one_seed_leaves_out():
    table = rows({"lora": noise(0, shape=(1, 2, 60)), "mor": noise(1, shape=(1, 2, 60))})
    assert "With one seed" in page(table, [], [metrics().get("psnr")])
