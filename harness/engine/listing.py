"""Lists and descriptions of what is installed and stored, as rows or data frames. Imports no torch, no numpy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isrbench.harness.api.containment import contained, first_line
from isrbench.harness.api.metric import Metric, Reference, WeightFile
from isrbench.harness.api.options import describe_options
from isrbench.harness.api.registry import Registry, methods, metrics
from isrbench.harness.data.catalogue import carried, catalogue
from isrbench.harness.documents import read_toml
from isrbench.harness.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from isrbench.harness.api.dataset import Card

Rows = tuple[tuple[str, ...], list[tuple[Any, ...]]]
_SUMMARY = "what it is"


def list_methods() -> pd.DataFrame:
    """Return one row a method: id, title, license, summary. A plugin that does not load is listed with the reason."""
    return _frame(_methods())


def list_datasets() -> pd.DataFrame:
    """Return one row a dataset that ships a card: id, images, scale, license, summary."""
    return _frame(_datasets())


def list_metrics() -> pd.DataFrame:
    """Return one row a metric: id, title, better, reference, default, weights ("ready", or what fetches them)."""
    return _frame(_metrics())


def _frame(listed: Rows) -> pd.DataFrame:
    import pandas as pd

    columns, rows = listed
    return pd.DataFrame(rows, columns=list(columns)).rename(columns={_SUMMARY: "summary"})


def listing(kind: str, runs_dir: Path) -> Rows:
    """Return (columns, rows) of all methods, datasets, metrics or runs."""
    if kind == "methods":
        return _methods()
    if kind == "datasets":
        return _datasets()
    if kind == "metrics":
        return _metrics()
    return list_stored([runs_dir])


def list_stored(folders: Sequence[Path]) -> Rows:
    """Return (columns, rows) of all runs in these runs folders; of each folder the run asked for last comes last.

    Raises:
        UserError: If one of them is not a runs folder.
    """
    from isrbench.harness.files import size_below, size_text
    from isrbench.harness.store.state import differing_options
    from isrbench.harness.store.store import Store

    rows: list[tuple[Any, ...]] = []
    for folder in folders:
        with Store(folder, create=False) as store:
            states = store.states()
            differ = differing_options(states)
            for s in states:
                size = size_text(size_below(store.folder / s.run))
                rows.append((str(folder), s.run, s.method, s.dataset, s.state, s.invoked[:19], size, differ[s.run]))
    return ("runs folder", "run", "method", "dataset", "state", "last used", "size", "options that differ"), rows


def description(kind: str, id: str) -> tuple[dict[str, Any], list[dict[str, str | None]]]:
    """Return (facts, options) of one method, dataset or metric; only methods have options.

    Raises:
        UserError: If there is none of that id, or it cannot be loaded.
    """
    if kind == "dataset":
        from isrbench.harness.data.catalogue import find_card

        return _dataset(find_card(id)), []
    if kind == "metric":
        return _metric(id), []
    plugin = methods().get(id)
    try:
        with contained():
            options = [vars(row) for row in describe_options(plugin.options)]
    except Exception as error:  # a default that is made by a plugin's function, say
        raise UserError(
            f"the options of the method {id} cannot be described: {type(error).__name__}: {first_line(error)}",
            "report it to whoever provides the method",
        ) from error
    info = {key: ", ".join(value) if isinstance(value, tuple) else value for key, value in vars(plugin.info).items()}
    info["trainable"] = plugin.train is not None
    return {key: value for key, value in info.items() if value != ""}, options


def _methods() -> Rows:
    working = methods().load_all()[0]
    rows: list[tuple[Any, ...]] = [(id, p.info.title, p.info.license, p.info.summary) for id, p in working.items()]
    rows += [(id, f"({word})", "", error.message) for id, word, error in faults(methods())]
    return ("id", "title", "license", _SUMMARY), sorted(rows)


def _metrics() -> Rows:
    from isrbench.harness.metrics.sets import DEFAULT_METRICS
    from isrbench.harness.metrics.weights import fetch_command, missing, not_published, unproven

    rows: list[tuple[Any, ...]] = []
    for id, m in metrics().load_all()[0].items():
        state = "ready" if not unproven(m.weights) else "ready (no published hash)"
        if not_published(m.weights):
            state = f"not the published file: {fetch_command([id])}"
        elif missing(m):
            state = fetch_command([id])
        default = "yes" if id in DEFAULT_METRICS else "no"
        rows.append((id, m.title, m.direction.value, _compared_with(m), default, state))
    rows += [(id, f"({word})", "", "", "no", error.message) for id, word, error in faults(metrics())]
    return ("id", "title", "better", "reference", "default", "weights"), sorted(rows)


def _standing(file: WeightFile) -> str:
    """In a few words what lies in a weight file's place."""
    from isrbench.harness.metrics.weights import is_intact, location

    if not location(file).is_file():
        return "missing"
    if not is_intact(file):
        return "not the published file"
    return "there, as published" if file.proof else "there; no whole sha256 of it is published"


def _compared_with(metric: Metric) -> str:
    """What else a metric looks at: ``none``, ``full`` (the HR image), ``lr``, ``full+lr`` or ``set``."""
    if not metric.uses_lr:
        return metric.reference.value
    return "lr" if metric.reference is Reference.NONE else f"{metric.reference.value}+lr"


def faults(registry: Registry[Any]) -> list[tuple[str, str, UserError]]:
    """Return (name, "broken" or "refused", why) of every plugin that does not work.

    A refused one wanted a name that was taken; the plugin that keeps the name works.
    """
    working, broken = registry.load_all()
    return [(name, "refused" if name in {*working, *registry.refused} else "broken", e) for name, e in broken.items()]


def _dataset(card: Card) -> dict[str, Any]:
    """What the card says, and what lies on this machine: where, how many images, and their content hash."""
    facts = card.model_dump(mode="json", exclude_none=True)
    return {key: value for key, value in facts.items() if value not in ("", [], {})} | _on_this_machine(card)


def _on_this_machine(card: Card) -> dict[str, Any]:
    from isrbench.harness.data.find import find_root
    from isrbench.harness.data.pairs import content_hash, load_pairs

    try:
        here: dict[str, Any] = {"here": str(find_root(card))}
    except UserError:
        return {"here": "not found"}
    try:
        # Without the card's own hash, so that a variant is shown with its hash and not refused.
        pairs = load_pairs(card.model_copy(update={"content_hash": None}))
    except UserError as error:
        return {**here, "fault": error.message}
    return {**here, "images_here": len(pairs), "content_hash_here": content_hash(pairs)}


def _metric(id: str) -> dict[str, Any]:
    from isrbench.harness.metrics.weights import location

    m = metrics().get(id)
    facts = {
        "title": m.title, "better": m.direction.value, "reference": _compared_with(m), "colour": m.colour,
        "definition": m.definition, "unit": m.unit, "smallest side": f"{m.min_side} pixels", "citation": m.citation,
    }  # fmt: skip
    for file in m.weights:
        facts[f"weights {file.path}"] = f"{location(file)} ({_standing(file)}); {file.url}"
    return {key: value for key, value in facts.items() if value != ""}


def _datasets() -> Rows:
    """The cards read as they are: they have been checked, and pydantic takes a tenth of a second."""
    cards = [read_toml(path, "reinstall isrbench") for path in catalogue().values()]
    rows = [
        (c["id"], c.get("count"), f"x{c['scale']}", c.get("license", c.get("licence")), c.get("summary", c["title"]))
        for c in cards
    ]
    rows += [(id, "(broken)", "", "", error.message) for id, error in carried()[1].items()]
    return ("id", "images", "scale", "license", _SUMMARY), rows
