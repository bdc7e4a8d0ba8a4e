"""A store with all kinds of rows, large enough to have pages of every kind."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from types import MappingProxyType
from typing import Any

from isrbench.harness.api.method import RoutingTrace
from isrbench.harness.api.records import DatasetRecord, Failure, ImageRow, Manifest, MetricRecord, RunCost, ScoreRow
from isrbench.harness.files import file_hash
from isrbench.harness.store.store import Store

TABLES = {"runs": "run", "images": "run, image", "scores": "run, image, metric", "routing": "run, image, position",
          "hr_severities": "hr_hash, estimator"}  # fmt: skip
"""With the columns that rows are sorted by."""
_METRIC = MetricRecord(
    direction="higher", reference="full", colour="Y", definition="border 0", code="c", weights_version="none"
)


def manifest_of(run: str, images: int) -> Manifest:
    """A manifest of two metrics."""
    dataset = DatasetRecord(id="set", title="Set", images=images, whole=images, scale=4, content_hash="0")
    return Manifest(
        run=run, created="2026-01-01T00:00:00", identity=run * 8, name="m", method="m", title="M", routes=True,
        options={}, dataset=dataset, seed=0, device="cpu", metrics={"psnr": _METRIC, "ssim": _METRIC},
    )  # fmt: skip


def write_store(folder: Path, images: int = 60) -> Path:
    """Write two runs with failures whose text does not fit one page, scores and routing; return the folder."""
    store = Store(folder)
    failure = Failure(message="no memory", fix="buy some", traceback="line\n" * 1000)
    for run in ("one", "two"):
        manifest = manifest_of(run, images)
        store.add_run(manifest)
        store.set_cost(run, RunCost(macs=1, latency_ms=2.5))
        (folder / run).mkdir(exist_ok=True)
        (folder / run / "manifest.json").write_text(manifest.model_dump_json())
        for n in range(images):
            row = ImageRow(
                run=run, image=f"i{n:03d}", status="ok", lr="/lr", hr="/hr", hr_hash="a" * 64, estimator="e",
                severity=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 1.0), seconds=n / 7, active_experts=float(n),
            )  # fmt: skip
            store.add_image(row, RoutingTrace(tuple("xyz"), (9, 10, n), (1, 0, 0)))
            good = ScoreRow(run=run, image=row.image, metric="psnr", status="ok", value=float(n), code="c", weights="w")
            bad = ScoreRow(run=run, image=row.image, metric="ssim", status="failed", failure=failure)
            store.add_scores([good, bad] if n % 10 == 0 else [good])
    store.add_hr_severity("a" * 64, "e", 0.5)
    store.close()
    return folder


def stored_runs(
    folder: Path, *runs: str, repeats: Mapping[str, str] = MappingProxyType({}), named: bool = False
) -> Path:
    """Write runs of two images each with their PNGs and manifests; return the folder.

    ``repeats`` says which repeat which; with ``named`` each has a method of its own, ``m-RUN``, but for the repeats.
    """
    with Store(folder) as store:
        for run in runs:
            base = repeats.get(run, "")
            name = f"m-{base or run}" if named else base or run
            facts = {"name": name, "variant": "tiny", "repeat_of": base}
            manifest = manifest_of(run, 2).model_copy(update=facts)
            store.add_run(manifest)
            (folder / run / "images").mkdir(parents=True)
            (folder / run / "manifest.json").write_text(manifest.model_dump_json(), encoding="utf-8")
            for image in ("a", "b"):
                png = folder / run / "images" / f"{image}.png"
                png.write_bytes(f"{run} {image}".encode())
                row = ImageRow(
                    run=run, image=image, status="ok", lr="/lr", output=f"{run}/images/{image}.png",
                    output_hash=file_hash(png),
                )  # fmt: skip
                store.add_image(row, RoutingTrace(("x",), (3,), (0,)))
                score = ScoreRow(run=run, image=image, metric="psnr", status="ok", value=float(len(run)), code="c")
                store.add_scores([score])
    return folder


def rows_of(file: Path) -> dict[str, list[dict[str, Any]]]:
    """All rows of a store, as SQLite itself reads them."""
    with closing(sqlite3.connect(file)) as db:
        db.row_factory = sqlite3.Row
        return {
            table: [dict(row) for row in db.execute(f"SELECT * FROM {table} ORDER BY {key}")]
            for table, key in TABLES.items()
        }
