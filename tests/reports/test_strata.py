"""How images are grouped."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isrbench.harness.errors import UserError
from isrbench.reports.aligned import align
from isrbench.reports.strata import Rule, parse_rule, strata
from tests.support.report_frames import frames


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> pd.DataFrame:
    return align(frames(tmp_path_factory.mktemp("images"), failed=False))[0].images


def test_strata_partition_the_images(images):
    groups = strata(images, parse_rule("quantile:3"))
    assert [g.name for g in groups] == ["severity low", "severity medium", "severity high"]
    assert sorted(image for g in groups for image in g.images) == sorted(images.index)
    assert [len(g.images) for g in groups] == [10, 10, 10]
    severity = images["severity"]
    assert severity[list(groups[0].images)].max() < severity[list(groups[1].images)].min()


severities = st.integers(0, 1_000_000).map(lambda millionths: millionths / 1_000_000)


@given(st.lists(severities, min_size=1, max_size=40), st.integers(1, 6))
def test_every_image_is_in_the_one_group_whose_interval_holds_it(values, quantiles):
    images = pd.DataFrame({"severity": values}, index=[str(i) for i in range(len(values))])
    groups = strata(images, Rule("severity", quantiles=quantiles))
    assert sorted(image for g in groups for image in g.images) == sorted(images.index)
    for group in groups:
        low, high = (float(edge) for edge in group.bounds.strip("[)]").split(","))
        own = images.loc[list(group.images), "severity"]
        assert len(own) and (own >= low).all() and (own <= high).all()
        assert group.bounds.endswith("]") or (own < high).all()


def test_strata_by_edges_dimension_and_level(images):
    low, high = strata(images, parse_rule("edges:0.4"))
    assert (images.loc[list(low.images), "severity"] < 0.4).all()
    assert (images.loc[list(high.images), "severity"] >= 0.4).all()
    assert parse_rule("edges") == Rule("edges") and parse_rule("edges:edges:0.5") == Rule("edges", edges=(0.5,))
    assert [g.name for g in strata(images, parse_rule("blur"))] == ["blur low", "blur medium", "blur high"]
    assert len(strata(images, parse_rule("noise:quantile:5"))) == 5
    assert [g.name for g in strata(images, parse_rule("level"))] == ["level mild", "level medium", "level severe"]
    assert parse_rule("hr-severity:quantile:2") == Rule("hr_severity", quantiles=2)
    poor = images.assign(hr_severity=np.linspace(0, 1, len(images)))
    assert [g.name for g in strata(poor, parse_rule("hr-severity"))] == [
        "HR severity low", "HR severity medium", "HR severity high",
    ]  # fmt: skip
    assert strata(poor, parse_rule("hr-severity:edges:0.5"))[0].images == tuple(images.index[:15])
    unknown = images.assign(severity=np.nan)
    assert strata(unknown, Rule("severity")) == []
    assert len(strata(images.assign(severity=0.5), Rule("severity"))) == 1, "equal images are one group"


NONSENSE = ("", "quantile", "quantile:0", "edges:", "edges:0.6,0.3", "edges:nan", "fog", "level:2")


@pytest.mark.parametrize("text", NONSENSE)
def test_strata_that_make_no_sense_are_refused(text):
    with pytest.raises(UserError, match="is not a way to group images"):
        parse_rule(text)


def test_equal_severities_are_one_group_and_edges_say_where_groups_meet(images):
    (alone,) = strata(images.assign(severity=0.02), Rule("severity"))
    assert (alone.name, alone.bounds) == ("severity all", "[0, 1]")
    mostly = strata(images.assign(severity=[0.0] * 20 + list(np.linspace(0.1, 1, 10))), Rule("severity"))
    assert [g.name for g in mostly] == ["severity low", "severity high"]
    close = strata(images.assign(severity=0.5 + np.arange(30) / 10_000), Rule("severity"))
    assert [g.bounds for g in close] == ["[0, 0.501)", "[0.501, 0.502)", "[0.502, 1]"]
    for group in close:
        assert len(group.images) == 10
    outside = strata(images, parse_rule("edges:0.98,0.99"))
    assert [(g.name, g.bounds) for g in outside] == [("severity all", "[0, 0.98)")]


@pytest.mark.parametrize(
    ("levels", "order"),
    [
        (["0.8", "0.2", "0.5"], ["0.2", "0.5", "0.8"]),
        (["10", "9", "100"], ["9", "10", "100"]),
        (["severe", "mild", "medium"], ["mild", "medium", "severe"]),
        (["b", "0.5", "mild"], ["mild", "0.5", "b"]),
    ],
)
def test_levels_come_in_their_order(levels, order):
    images = pd.DataFrame({"level": levels}, index=["x", "y", "z"])
    assert [g.name for g in strata(images, Rule("level"))] == [f"level {level}" for level in order]
