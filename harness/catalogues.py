"""Lists and descriptions of what there is, as rows for the terminal or JSON. Torch-free."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.cards import catalogue, find_card, load_card
from harness.method import MethodPlugin
from harness.options import describe_options
from harness.registry import Registry

Rows = tuple[tuple[str, ...], list[tuple[Any, ...]]]


def listing(kind: str, methods: Callable[[], Registry[MethodPlugin]], runs_dir: Path) -> Rows:
    """(columns, rows) of all methods, datasets, metrics or runs."""
    if kind == "methods":
        infos = [methods().get(id).info for id in methods()]
        return ("id", "title", "licence", "what it is"), [(i.id, i.title, i.licence, i.summary) for i in infos]
    if kind == "datasets":
        cards = [load_card(path) for path in catalogue().values()]
        return ("id", "images", "scale", "licence", "what it is"), [
            (c.id, c.count, f"x{c.scale}", c.licence, c.summary) for c in cards
        ]
    if kind == "metrics":
        return _metrics()
    from harness.store import Store

    store = Store(runs_dir, create=False)
    runs = store.rows("runs", store.run_ids())
    return ("run", "method", "dataset", "created"), [
        (r["run"], r["method"], r["dataset"], r["created"][:19]) for r in runs
    ]


def description(
    kind: str, id: str, methods: Callable[[], Registry[MethodPlugin]]
) -> tuple[dict[str, Any], list[dict[str, str | None]]]:
    """(facts, options) of one method, dataset or metric; only methods have options.

    Raises:
        UserError: If there is no such thing.
    """
    if kind == "dataset":
        facts = find_card(id).model_dump(mode="json", exclude_none=True)
        return {key: value for key, value in facts.items() if value not in ("", [], {})}, []
    if kind == "metric":
        return _metric(id), []
    plugin = methods().get(id)
    info = {key: ", ".join(value) if isinstance(value, tuple) else value for key, value in vars(plugin.info).items()}
    info["trainable"] = plugin.train is not None
    return {key: value for key, value in info.items() if value != ""}, [
        vars(row) for row in describe_options(plugin.options)
    ]


def _metrics() -> Rows:
    from harness.metrics import DEFAULT_METRICS, METRICS
    from harness.weights import missing

    rows = []
    for id in METRICS:
        m = METRICS.get(id)
        state = "ready" if not missing(m) else f"isrbench fetch weights --metric {id}"
        rows.append(
            (id, m.title, m.direction.arrow, m.reference.value, "default" if id in DEFAULT_METRICS else "", state)
        )
    return ("id", "title", "better", "reference", "", "weights"), rows


def _metric(id: str) -> dict[str, Any]:
    from harness.metrics import METRICS
    from harness.weights import location

    m = METRICS.get(id)
    facts = {
        "title": m.title, "better": m.direction.value, "reference": m.reference.value, "colour": m.colour,
        "protocol": m.protocol, "unit": m.unit, "citation": m.citation,
    }  # fmt: skip
    for file in m.weights:
        facts[f"weights {file.path}"] = (
            f"{location(file)} ({'there' if location(file).is_file() else 'missing'}); {file.url}"
        )
    return {key: value for key, value in facts.items() if value != ""}
