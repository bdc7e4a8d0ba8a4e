"""Ids as people type them: capital letters make no difference, and a shell can complete them. Torch-free."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum

import typer


def method_id(text: str | None) -> str | None:
    """Return a method's id as it is spelled; what is none, such as a card's file, comes back as it is."""
    from isrbench.harness.api.registry import methods

    return text if text is None else spelled(text, methods())


def dataset_id(text: str | None) -> str | None:
    """Return a dataset's id as it is spelled; what is none, such as a folder, comes back as it is."""
    from isrbench.harness.data.catalogue import catalogue

    return text if text is None else spelled(text, catalogue())


def metric_id(text: str) -> str:
    """Return the id of a metric, or the name of a set of them, as it is spelled."""
    from isrbench.harness.api.registry import metrics
    from isrbench.harness.metrics.sets import ALL, METRIC_SETS

    return spelled(text, (*metrics(), *METRIC_SETS, *ALL))


def spelled(text: str, known: Iterable[str]) -> str:
    """Return the one of ``known`` that is ``text`` but for capital letters; ``text`` itself where there is none."""
    names = list(known)
    return text if text in names else next((name for name in names if name.lower() == text.lower()), text)


def reader_of(kinds: type[Enum]) -> Callable[[str], str]:
    """Return what reads the word for a kind, in the singular or the plural; it raises typer.BadParameter for others."""

    def kind(text: str) -> str:
        """Return the kind's value, of which typer makes the kind."""
        found = next((one.value for one in kinds if one.value.rstrip("s") == text.lower().rstrip("s")), None)
        if found is None:
            raise typer.BadParameter(f"'{text}' is none of {', '.join(one.value for one in kinds)}")
        return found

    return kind


def complete_method(incomplete: str) -> list[str]:
    """Return the methods whose ids go on from what is typed."""
    from isrbench.harness.api.registry import methods

    return _going_on(incomplete, methods())


def complete_dataset(incomplete: str) -> list[str]:
    """Return the datasets whose ids go on from what is typed."""
    from isrbench.harness.data.catalogue import catalogue

    return _going_on(incomplete, catalogue())


def complete_metrics(incomplete: str) -> list[str]:
    """Return what a list of metrics may be once the last of them is typed to its end."""
    from isrbench.harness.api.registry import metrics
    from isrbench.harness.metrics.sets import ALL, METRIC_SETS

    before, comma, last = incomplete.rpartition(",")
    return [f"{before}{comma}{name}" for name in _going_on(last, (*metrics(), *METRIC_SETS, *ALL))]


def complete_id(incomplete: str) -> list[str]:
    """Return the methods, datasets and metrics whose ids go on from what is typed."""
    from isrbench.harness.api.registry import metrics

    return [*complete_method(incomplete), *complete_dataset(incomplete), *_going_on(incomplete, metrics())]


def _going_on(incomplete: str, known: Iterable[str]) -> list[str]:
    return [name for name in known if name.lower().startswith(incomplete.lower())]
