"""What is left to do: every case of the one function that decides it, as a table."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from isrbench.harness.api.records import Failure, ImageRow, ScoreRow
from isrbench.harness.engine.resume import Stored, Todo, Wanted, to_do
from isrbench.harness.metrics.version import ABSENT, MetricVersion

NOW = MetricVersion("code", "weights")
WANTED = Wanted(images=("a", "b"), image_metrics={"m": NOW}, set_metrics={"s": NOW}, estimator="e", cost=True)
BROKE = Failure(message="it broke")


def image(id: str, status: str = "ok", estimator: str | None = "e") -> ImageRow:
    return ImageRow(
        run="r", image=id, status=status, lr="/lr", estimator=estimator, failure=BROKE if status == "failed" else None
    )


def score(id: str, metric: str, status: str = "ok", version: MetricVersion = NOW) -> ScoreRow:
    value = 1.0 if status == "ok" else None
    return ScoreRow(
        run="r", image=id, metric=metric, status=status, value=value, code=version.code, weights=version.weights
    )


def stored(images: list[ImageRow], scores: list[ScoreRow], **facts: object) -> Stored:
    by_key = {(row.image, row.metric): row for row in scores}
    return Stored({row.image: row for row in images}, by_key, **{"counted": True, **facts})


WHOLE = ([image("a"), image("b")], [score("a", "m"), score("b", "m"), score("", "s")])


def but(*rows: ImageRow | ScoreRow, **facts: object) -> Stored:
    """A finished run, with these rows in place of its own."""
    images = {row.image: row for row in WHOLE[0]} | {r.image: r for r in rows if isinstance(r, ImageRow)}
    scores = {(r.image, r.metric): r for r in WHOLE[1]} | {
        (r.image, r.metric): r for r in rows if isinstance(r, ScoreRow)
    }
    return stored(list(images.values()), list(scores.values()), **facts)


@dataclass(frozen=True)
class Case:
    name: str
    stored: Stored
    todo: Todo
    wanted: Wanted = field(default=WANTED)


ALL = Todo(("a", "b"), {"a": ("m",), "b": ("m",)}, ("a", "b"), ("s",), True)
AGAIN_B = Todo(restore=("b",), score={"b": ("m",)}, estimate=("b",), set_metrics=("s",))
OLD, LATER = MetricVersion("old", "weights"), MetricVersion("code", "other weights")
GONE = MetricVersion("code", ABSENT)
CASES = [
    Case("nothing is stored", Stored(), ALL),
    Case("everything is stored", stored(*WHOLE), Todo()),
    Case("an image is missing", stored([WHOLE[0][0]], [WHOLE[1][0], WHOLE[1][2]]), AGAIN_B),
    Case("an image failed", but(image("b", "failed", None)), AGAIN_B),
    Case("a PNG is gone or altered", but(altered={"b"}), AGAIN_B),
    Case("a score is missing", stored(WHOLE[0], [WHOLE[1][0], WHOLE[1][2]]), Todo(score={"b": ("m",)})),
    Case("a score failed", but(score("a", "m", "failed")), Todo(score={"a": ("m",)})),
    Case("there is no HR", but(score("a", "m", "no-reference")), Todo()),
    Case(
        "a score is of other code",
        but(score("a", "m", version=OLD)),
        Todo(score={"a": ("m",)}, outdated=(("a", "m"),)),
    ),
    Case(
        "a score is of other weights",
        but(score("a", "m", version=LATER)),
        Todo(score={"a": ("m",)}, outdated=(("a", "m"),)),
    ),
    Case(
        "the weights have been removed since: the value stands",
        but(),
        Todo(),
        replace(WANTED, image_metrics={"m": GONE}, unavailable={"m"}),
    ),
    Case(
        "weights were absent and are out of reach still",
        but(score("a", "m", "unavailable", GONE), score("b", "m", "unavailable", GONE)),
        Todo(),
        replace(WANTED, image_metrics={"m": GONE}, unavailable={"m"}),
    ),
    Case(
        "weights were absent and can be had now",
        but(score("a", "m", "unavailable", GONE)),
        Todo(score={"a": ("m",)}),
        replace(WANTED, image_metrics={"m": GONE}),
    ),
    Case(
        "weights were absent and are there now",
        but(score("a", "m", "unavailable", GONE)),
        Todo(score={"a": ("m",)}, outdated=(("a", "m"),)),
    ),
    Case("a severity is missing", but(image("a", estimator=None)), Todo(estimate=("a",))),
    Case("a severity is by another estimator", but(image("a", estimator="old")), Todo(estimate=("a",))),
    Case("no severity is wanted", but(image("a", estimator=None)), Todo(), replace(WANTED, estimator=None)),
    Case("a value of the set is missing", stored(WHOLE[0], WHOLE[1][:2]), Todo(set_metrics=("s",))),
    Case(
        "a value of the set is of other code",
        but(score("", "s", version=OLD)),
        Todo(set_metrics=("s",), outdated=(("", "s"),)),
    ),
    Case("the cost is not known", but(counted=False), Todo(cost=True)),
    Case("the cost is not wanted", but(counted=False), Todo(), replace(WANTED, cost=False)),
    Case("another metric's old values are left alone", but(score("a", "x", version=OLD)), Todo()),
    Case("an image of a larger run is not asked for", but(image("z", "failed")), Todo()),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_is_left_to_do(case: Case) -> None:
    todo = to_do(case.stored, case.wanted)
    assert todo == case.todo
    assert bool(todo) == bool(case.todo.restore or case.todo.measure or case.todo.set_metrics or case.todo.cost)


statuses = st.sampled_from(["ok", "failed", "unavailable", "no-reference"])
versions = st.builds(MetricVersion, st.sampled_from(["code", "old"]), st.sampled_from(["weights", "other", ABSENT]))


@given(
    image_statuses=st.dictionaries(st.sampled_from("ab"), st.sampled_from(["ok", "failed"])),
    scored=st.dictionaries(st.tuples(st.sampled_from(["a", "b", ""]), st.sampled_from("ms")),
                           st.tuples(statuses, versions)),
    altered=st.sets(st.sampled_from("ab")),
    now=versions,
)  # fmt: skip
def test_doing_it_leaves_nothing_to_do(image_statuses, scored, altered, now) -> None:
    """Whatever is stored: once what is asked for has been computed well, nothing is left."""
    wanted = replace(WANTED, image_metrics={"m": now}, set_metrics={"s": now}, cost=False)
    before = stored(
        [image(id, status, None) for id, status in image_statuses.items()],
        [score(id, metric, status, version) for (id, metric), (status, version) in scored.items()],
        altered=altered,
    )
    todo = to_do(before, wanted)
    images = dict(before.images) | {id: image(id) for id in (*todo.restore, *todo.estimate)}
    scores = {key: row for key, row in before.scores.items() if key not in todo.outdated}
    scores |= {(id, m): score(id, m, version=now) for id, metrics in todo.score.items() for m in metrics}
    scores |= {("", m): score("", m, version=now) for m in todo.set_metrics}
    assert not to_do(Stored(images, scores), wanted)
    assert set(todo.restore) <= set(todo.score) and set(todo.restore) <= set(todo.estimate)
