"""Quality against cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from isrbench.harness.api.metric import Direction
from isrbench.harness.api.records import Invocation
from isrbench.reports.aligned import AlignedRuns, align
from isrbench.reports.costs import comparable, milliseconds
from isrbench.reports.figures.pareto import front, front_line, label_points, labels_collide, pareto, plain_log_axis
from isrbench.reports.figures.style import Target, figure
from isrbench.reports.statistics import means
from tests.support.plots import assert_drawn
from tests.support.report_frames import frames, with_manifests


@pytest.fixture
def aligned(tmp_path) -> AlignedRuns:
    """Three methods, all with a cost."""
    (own,) = align(frames(tmp_path / "images", count=4, failed=False))
    runs = own.runs.assign(macs=[1e9, 2e9, 4e9], latency_ms=[1.0, 2.0, 3.0], complexity_size="16x16")
    return replace(own, runs=runs)


def test_quality_against_cost_is_drawn(aligned, tmp_path):
    cells = means(aligned, list(aligned.images.index))
    files, words = pareto(aligned, cells, aligned.metrics[0], "macs", Target(tmp_path, "macs"))
    assert_drawn(files)
    assert words == "PSNR against MACs (LR 16x16)"


def test_a_latency_whose_calls_scatter_is_marked(aligned, tmp_path):
    cells = means(aligned, list(aligned.images.index))
    runs = aligned.runs.assign(latency_spread=[0.1, 0.35, None])
    files, words = pareto(
        replace(aligned, runs=runs), cells, aligned.metrics[0], "latency_ms", Target(tmp_path, "latency")
    )
    assert_drawn(files)
    assert words == "PSNR against latency (LR 16x16, cpu); hollow: calls scatter by more than 20%: MoR-SR (tiny)"


def test_two_methods_have_no_front(aligned, tmp_path):
    runs = aligned.runs.assign(macs=[1e9, None, 4e9])
    cells = means(aligned, list(aligned.images.index))
    assert pareto(replace(aligned, runs=runs), cells, aligned.metrics[0], "macs", Target(tmp_path, "c")) == ([], "")


def test_front_holds_what_nothing_beats():
    points = {"cheap": (1.0, 20.0), "beaten": (2.0, 19.0), "good": (3.0, 25.0), "expensive": (9.0, 25.0)}
    assert front(points, Direction.HIGHER) == ["cheap", "good"]
    assert front(points, Direction.LOWER) == ["cheap", "beaten"]


def test_only_latencies_measured_alike_are_compared(aligned):
    runs = aligned.runs.assign(device=["cpu", "cuda", "cpu"])
    chosen, condition, others = comparable(replace(aligned, runs=runs), list(aligned.labels), "latency_ms")
    assert (chosen, condition) == (["Bicubic", "OSEDiff PNGs"], "LR 16x16, cpu")
    assert others == ["MoR-SR (tiny) (LR 16x16, cuda)"]
    assert len(comparable(replace(aligned, runs=runs), list(aligned.labels), "macs")[0]) == 3


def test_latencies_of_two_machines_do_not_compare(tmp_path):
    calls = {
        method: [Invocation(argv=[], start="2026-01-01T00:00:00+00:00", platform=platform, cpus=4)]
        for method, platform in (("bicubic", "one"), ("folder", "one"), ("mor", "other"))
    }
    made = with_manifests(frames(tmp_path, count=3), lambda m: m.model_copy(update={"invocations": calls[m.name]}))
    (own,) = align(made)
    chosen, _, others = comparable(own, ["Bicubic", "MoR-SR (tiny)"], "latency_ms")
    assert chosen == ["Bicubic"] and others == ["MoR-SR (tiny) (LR 16x16, cpu, other with 4 CPUs)"]


@pytest.mark.parametrize("span", [(900, 51_000), (1_000, 260_000), (3, 12_345), (0.002, 900), (40, 48_300), (5, 9)])
def test_labels_of_a_cost_axis_are_plain_numbers_that_stand_apart(span):
    with figure(height=2.5) as (drawn, axes):
        axes.plot(span, (20, 30))
        axes.margins(0.16, 0.16)
        plain_log_axis(drawn, axes)
        drawn.draw_without_rendering()
        labels = [text.get_text() for text in axes.get_xticklabels()]
        assert not labels_collide(axes) and not any("e" in text for text in labels)


def test_no_name_is_written_across_the_front():
    points = {"Bicubic": (0.001, 29.3), "Lanczos": (0.0015, 29.1), "MoR-SR (tiny)": (14.0, 30.0)}
    with figure(height=2.5) as (drawn, axes):
        line = front_line(axes, [points["Bicubic"], points["MoR-SR (tiny)"]])
        axes.margins(0.16, 0.16)
        plain_log_axis(drawn, axes)
        label_points(drawn, axes, points, dict.fromkeys(points, "black"), line)
        steps = line.get_path().transformed(axes.transData)
        across = [t.get_text() for t in axes.texts if steps.intersects_bbox(t.get_window_extent(), filled=False)]
        assert len(axes.texts) == 3 and across == []


def test_labels_that_touch_are_found():
    with figure(height=2.5) as (drawn, axes):
        axes.plot((1, 2), (1, 2))
        axes.set_xticks([1.5, 1.51, 1.9], ["10,000", "20,000", "50,000"])
        drawn.draw_without_rendering()
        assert labels_collide(axes)


def test_a_latency_is_never_a_power_of_ten():
    values = [48_321.7, 1_234_567, 3.14159, 0.05, 99.96, float("nan"), None]
    assert [milliseconds(value) for value in values] == [
        "48,300 ms", "1,230,000 ms", "3.14 ms", "0.05 ms", "100 ms", "–", "–",
    ]  # fmt: skip
