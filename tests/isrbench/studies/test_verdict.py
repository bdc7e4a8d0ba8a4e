"""What paired differences say, in words."""

from __future__ import annotations

import pytest

from isrbench.harness.api.registry import metrics
from isrbench.studies.verdict import Difference, Effect, Verdict, effect, margin, sentence, summary, verdict

PSNR, GMSD = metrics().get("psnr"), metrics().get("gmsd")
SAME, LOWER, HIGHER = Difference(0.003, -0.002, 0.008), Difference(-0.1, -0.2, -0.05), Difference(0.1, 0.05, 0.2)
WIDE = Difference(0.01, -0.1, 0.1)


def test_no_difference_is_one_that_tables_would_hardly_show() -> None:
    assert margin(PSNR) == pytest.approx(0.02) and margin(GMSD) == pytest.approx(0.0002)


@pytest.mark.parametrize(
    ("metric", "found", "expected"),
    [
        (PSNR, SAME, Effect.SAME), (PSNR, LOWER, Effect.WORSE), (PSNR, HIGHER, Effect.BETTER),
        (PSNR, WIDE, Effect.OPEN),
        (GMSD, LOWER, Effect.BETTER), (GMSD, HIGHER, Effect.WORSE), (GMSD, SAME, Effect.OPEN),
        (PSNR, Difference(-0.01, -0.015, -0.005), Effect.SAME),  # significant, and too small to matter
    ],
)  # fmt: skip
def test_effects_follow_the_metric_s_direction(metric, found, expected) -> None:
    assert effect(found, metric) is expected


@pytest.mark.parametrize(
    ("constant", "other", "opposite", "expected"),
    [
        (LOWER, LOWER, LOWER, Verdict.HELPS), (SAME, LOWER, LOWER, Verdict.PARTLY), (SAME, SAME, SAME, Verdict.IDLE),
        (SAME, SAME, WIDE, Verdict.OPEN), (HIGHER, SAME, SAME, Verdict.HURTS), (HIGHER, SAME, LOWER, Verdict.MIXED),
    ],
)  # fmt: skip
def test_verdicts(constant, other, opposite, expected) -> None:
    found = {"constant": constant, "other": other, "opposite": opposite, "off": HIGHER}
    assert verdict(found, PSNR) is expected
    assert verdict({"off": HIGHER}, PSNR) is None, "the adapter's gain says nothing of routing"


def test_the_sentences_say_what_was_measured() -> None:
    found = {"other": LOWER, "constant": SAME, "opposite": LOWER, "off": LOWER, "k=8": LOWER, "k=10": SAME}
    text = sentence(PSNR, found)
    assert text.startswith("PSNR: routing helps in part. Compared with own severity, a constant one is no different ")
    assert "(+0.003 dB, 95% interval -0.002 to +0.008)" in text and "another image's is worse (-0.100 dB" in text
    assert "the plain base is worse" in text and text.endswith("experts give -0.100 (k=8) to +0.003 (k=10).")
    assert sentence(PSNR, {"off": SAME}).startswith("PSNR: Compared with own severity, the plain base is no different")


def test_a_stratum_is_named_where_it_says_something_else() -> None:
    same = dict.fromkeys(("constant", "other", "opposite"), SAME)
    strata = {"level 0.2": same, "level 0.5": {**same, "other": WIDE}, "level 0.8": {**same, "opposite": LOWER}}
    assert sentence(PSNR, same, strata).endswith("+0.008). Within level 0.8 it helps in part.")


def test_one_sentence_says_whether_routing_helps() -> None:
    every = dict.fromkeys(("constant", "other", "opposite"), SAME)
    worse = dict.fromkeys(("constant", "other", "opposite"), HIGHER)
    assert summary([(PSNR, every), (GMSD, worse)]) == (
        "Routing by the image's own severity helps in GMSD; it makes no difference in PSNR."
    )
    assert summary([(PSNR, every)]) == "Routing by the image's own severity makes no difference in PSNR."
    assert "cannot be said" in summary([(PSNR, {"off": SAME})]) and "cannot be said" in summary([])
