"""Rows of version 3 of the store as today's."""

from __future__ import annotations

import json
from typing import Any

from isrbench.harness.api.records import Failure, Manifest


def run_of_3(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of ``runs`` with today's manifest."""
    old = json.loads(row["manifest"])
    set_ = old["dataset"]
    limited = set_.get("limit") is not None
    estimator, _, head = (old.get("estimator") or "").partition(" (")
    manifest = Manifest.model_validate(
        {
            **{key: old[key] for key in ("run", "created", "identity", "name", "method", "title", "routes", "options",
                                         "seed", "device", "invocations")},
            "license": old.get("licence", ""),
            "citation": old.get("citation", ""),
            "weights_hash": old.get("weights", ""),
            "inputs_hash": old.get("fingerprints", ""),
            "dataset": {
                **{key: set_[key] for key in ("id", "title", "images", "scale", "limit", "content_hash", "verified")},
                "whole": None if limited else set_["images"],
                "license": set_.get("licence", ""),
                "notes": set_.get("protocol", ""),
                "citation": set_.get("citation", ""),
            },
            "metrics": {id: _metric_of_3(metric) for id, metric in old["metrics"].items()},
            "estimator": {"spec": estimator, "version": head.rstrip(")")} if estimator else None,
        }
    )  # fmt: skip
    kept = {key: row[key] for key in ("run", "method", "dataset", "created", "invoked", "computed")}
    return {**kept, "identity": manifest.identity, "manifest": manifest.model_dump_json(), "cost": row["complexity"]}


def _metric_of_3(old: dict[str, Any]) -> dict[str, Any]:
    code, _, weights = old["key"].partition("-")
    same = {key: old[key] for key in ("direction", "reference", "colour", "weights")}
    return {**same, "definition": old["protocol"], "code": code, "weights_version": weights}


def image_of_3(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of ``images``, with its Failure or None in ``failure``."""
    return {key: value for key, value in row.items() if key != "error"} | {"failure": _failure_of_3(row["error"])}


def score_of_3(row: dict[str, Any]) -> dict[str, Any]:
    """Return a row of ``scores``, with its Failure or None in ``failure``."""
    code, _, weights = (row["protocol"] or "").partition("-")
    same = {key: row[key] for key in ("run", "image", "metric", "value", "status")}
    return {**same, "code": code, "weights": weights, "failure": _failure_of_3(row["error"])}


def _failure_of_3(error: str | None) -> Failure | None:
    """Version 3 kept a message with its fix, or a traceback, as one text."""
    if error is None:
        return None
    body, _, fix = error.partition("\n  mend: ")
    if not body.startswith("Traceback"):
        return Failure(message=body, fix=fix)
    lines = body.strip().splitlines()
    last = max((n for n, line in enumerate(lines) if line.startswith("  File ")), default=0)
    # Behind the last frame come its source line and marks, indented, and then the exception.
    said = next((n for n in range(last + 1, len(lines)) if not lines[n].startswith("    ")), len(lines) - 1)
    message = "\n".join(lines[said:])
    kind, colon, rest = message.partition(": ")
    users = colon and kind.rpartition(".")[2] in {"UserError", "WeightsUnavailable"}
    return Failure(message=rest if users else message, fix=fix.strip(), traceback="" if users else body)
