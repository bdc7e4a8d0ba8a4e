"""Frames for the tests of reports: made from seeded numbers and small images, without a run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from isrbench.harness.api.records import DatasetRecord, EstimatorRecord, Invocation, Manifest
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.harness.store.frames import COST_COLUMNS, Frames

METHODS = (("bicubic", "Bicubic", False), ("folder", "OSEDiff PNGs", False), ("mor", "MoR-SR (tiny)", True))
METRICS = ("psnr", "ssim", "lpips", "musiq")
LAYERS = 24
MESSAGE = "ValueError: boom <b>bold</b>"
TRACEBACK = "Traceback (most recent call last):\n  <b>line</b>\nValueError: boom"
NASTY = '<img src=x onerror="window.hacked=1">'
ESTIMATOR = EstimatorRecord(spec="tiny", version="1a2b3c4d" * 8)


def frames(folder: Path, count: int = 30, failed: bool = True, names: list[str] | None = None) -> Frames:
    """Three methods on ``count`` images, one of which routes and one of which fails on the last image."""
    rng = np.random.default_rng(11)
    ids = (names or []) + [f"scene_{i:03d}" for i in range(count - len(names or []))]
    severity = rng.beta(2, 2, count)
    dims = np.clip(severity[:, None] + rng.normal(0, 0.15, (count, 7)), 0, 1)
    manifests, scores, images, routing = [], [], [], []
    paths = [_images(folder, i, severity[i]) for i in range(count)]
    for place, (method, title, routes) in enumerate(METHODS):
        run = f"{method}-sample-{place:08d}"
        common = {"run": run, "method": method, "dataset": "sample"}
        manifests.append(_manifest(run, method, title, routes, count))
        for i, image in enumerate(ids):
            bad = failed and method == "folder" and i == count - 1
            active = 3 + 5 * severity[i] + rng.normal(0, 0.4) if routes else np.nan
            lr, hr, *outputs = paths[i]
            images.append({**common, "image": image, **_failure("failed" if bad else "ok"), "seconds": 0.1,
                           "severity": severity[i], **dict(zip(DIMENSIONS, dims[i], strict=True)),
                           "level": ("mild", "medium", "severe")[i % 3], "active_experts": active,
                           "adapter_macs": np.nan, "adapter_params": np.nan, "lr_path": lr, "hr_path": hr,
                           "output_path": None if bad else outputs[place],
                           "estimator": ESTIMATOR.version, "hr_severity": np.nan})  # fmt: skip
            for metric in METRICS:
                value = None if bad else _value(metric, place, severity[i], rng)
                scores.append({**common, "image": image, "metric": metric, "value": value,
                               **_failure("failed" if bad else "ok", known=False)})  # fmt: skip
            for layer in range(LAYERS if routes else 0):
                empty = int(rng.integers(0, 2)) + (layer > LAYERS // 2)
                used = max(1, round(active) - empty)
                routing.append({**common, "image": image, "position": layer, "layer": f"layer{layer}", "active": used,
                                "zero": empty})  # fmt: skip
    columns = ["run", "method", "dataset", "image", "position", "layer", "active", "zero"]
    return Frames(
        pd.DataFrame([_run(manifest, place) for place, manifest in enumerate(manifests)]),
        pd.DataFrame(scores).astype({"value": float}),
        pd.DataFrame(images),
        pd.DataFrame(routing, columns=columns),
    )


def with_manifests(made: Frames, change: Callable[[Manifest], Manifest]) -> Frames:
    """The same rows under changed manifests; what other columns say follows."""
    manifests = [change(manifest) for manifest in made.runs["manifest"]]
    runs = made.runs.assign(manifest=manifests, **pd.DataFrame([_facts(m) for m in manifests], made.runs.index))
    names = dict(zip(made.runs["run"], [(m.run, m.name, m.dataset.id) for m in manifests], strict=True))

    def renamed(rows: pd.DataFrame) -> pd.DataFrame:
        new = pd.DataFrame([names[run] for run in rows["run"]], rows.index, ["run", "method", "dataset"])
        return rows.assign(run=new["run"], method=new["method"], dataset=new["dataset"])

    return Frames(runs, renamed(made.scores), renamed(made.images), renamed(made.routing))


def on_dataset(made: Frames, dataset: str, **facts: object) -> Frames:
    """The same runs on another set; ``facts`` are fields of DatasetRecord."""

    def change(manifest: Manifest) -> Manifest:
        record = manifest.dataset.model_copy(update={"id": dataset, "title": dataset, **facts})
        return manifest.model_copy(update={"dataset": record})

    return with_manifests(made, change)


def of_methods(made: Frames, *methods: str) -> Frames:
    """The rows of these methods alone."""
    return Frames(*(part[part["method"].isin(methods)].reset_index(drop=True) for part in vars(made).values()))


def of_metrics(made: Frames, *metrics: str) -> Frames:
    """The scores of these metrics alone: fewer plots to draw."""
    return replace(made, scores=made.scores[made.scores["metric"].isin(metrics)].reset_index(drop=True))


def without_routing(made: Frames) -> Frames:
    """The same runs, as if no method routed: five plots fewer to draw."""
    return replace(made, images=made.images.assign(active_experts=np.nan), routing=made.routing.head(0))


def of_images(made: Frames, method: str, keep: Sequence[str]) -> Frames:
    """One method's rows on these images alone, beside all rows of the others."""

    def cut(rows: pd.DataFrame) -> pd.DataFrame:
        return rows[(rows["method"] != method) | rows["image"].isin([*keep, ""])]  # "": values of the whole set

    return replace(made, images=cut(made.images), scores=cut(made.scores), routing=cut(made.routing))


def part_of(made: Frames, method: str, keep: Sequence[str], whole: int, content_hash: str = "b" * 64) -> Frames:
    """One method run under ``--limit`` on these images of a set of ``whole``, beside the others on the whole set."""

    def change(manifest: Manifest) -> Manifest:
        if manifest.name != method:
            return manifest
        facts = {"images": len(keep), "whole": whole, "limit": len(keep), "content_hash": content_hash}
        return manifest.model_copy(update={"dataset": manifest.dataset.model_copy(update=facts)})

    return with_manifests(of_images(made, method, keep), change)


def begun(made: Frames, created: str) -> Frames:
    """The same runs, begun at another time."""
    return with_manifests(made, lambda manifest: manifest.model_copy(update={"created": created}))


def together(*parts: Frames) -> Frames:
    """All rows of several."""
    names = vars(parts[0])
    return Frames(*(pd.concat([getattr(part, name) for part in parts], ignore_index=True) for name in names))


def _failure(status: str, known: bool = True) -> dict[str, str | None]:
    bad = status != "ok" and known
    return {"status": status, "message": MESSAGE if bad else None, "fix": None, "traceback": TRACEBACK if bad else None}


def _manifest(run: str, method: str, title: str, routes: bool, count: int) -> Manifest:
    return Manifest(
        run=run,
        created="2026-01-01T00:00:00+00:00",
        identity=run,
        name=method,
        method=method,
        title=title,
        variant="tiny" if "(tiny)" in title else "",
        routes=routes,
        options={},
        dataset=DatasetRecord(id="sample", title="Sample", images=count, whole=count, scale=4, content_hash="a" * 64),
        seed=0,
        device="cpu",
        estimator=ESTIMATOR,
        invocations=[Invocation(argv=["isrbench", "</script><b>"], start="2026-01-01T00:00:00+00:00")],
    )


def _facts(manifest: Manifest) -> dict[str, object]:
    """What the store's frames repeat of a manifest."""
    return {
        "run": manifest.run, "method": manifest.name, "title": manifest.title, "variant": manifest.variant,
        "dataset": manifest.dataset.id, "label": manifest.dataset.label, "whole": manifest.dataset.whole,
        "n": manifest.dataset.images, "created": manifest.created, "seed": manifest.seed, "device": manifest.device,
        "estimator": manifest.estimator.label if manifest.estimator else None, "routes": manifest.routes,
        "scale": manifest.dataset.scale,
    }  # fmt: skip


def _run(manifest: Manifest, place: int) -> dict[str, object]:
    cost = dict.fromkeys(COST_COLUMNS)
    if place != 1:
        macs = 10.0 ** (6 + 4 * place)
        cost.update(macs=macs, flops=2 * macs, params_total=1e6 * place, latency_ms=1.0 + 20 * place)
        cost["complexity_size"] = "16x16"
    return {**_facts(manifest), **cost, "manifest": manifest}


def _value(metric: str, place: int, severity: float, rng: np.random.Generator) -> float:
    start, slope = {"psnr": (28, -6), "ssim": (0.85, -0.3), "lpips": (0.2, 0.3), "musiq": (70, -25)}[metric]
    gain = {"psnr": (0, -1.5, 0.6), "ssim": (0, -0.02, 0.01), "lpips": (0, -0.08, -0.1), "musiq": (0, 20, 22)}
    spread = {"psnr": 0.5, "ssim": 0.02, "lpips": 0.02, "musiq": 2}
    return float(start + slope * severity + gain[metric][place] + rng.normal(0, spread[metric]))


def _images(folder: Path, place: int, severity: float) -> list[str]:
    """Paths of LR, HR and each method's output of one image: smooth colours, so that a page of them looks like one."""
    y, x = np.mgrid[0:64, 0:64] / 64
    hr = np.stack([np.sin(6 * x + place), np.cos(5 * y + place / 3), np.sin(4 * (x + y) + place / 7)], axis=2)
    hr = (127 + 110 * hr).astype(np.uint8)
    hr[::8] //= 2
    full = Image.fromarray(hr)
    small = full.resize((16, 16), Image.Resampling.BOX)
    sharper = Image.blend(small.resize((64, 64), Image.Resampling.BICUBIC), full, 1 - 0.6 * severity)
    images = [small, full, small.resize((64, 64), Image.Resampling.BICUBIC), sharper, sharper]
    paths = [folder / f"{kind}-{place}.png" for kind in ("lr", "hr", "m0", "m1", "m2")]
    folder.mkdir(parents=True, exist_ok=True)
    for image, path in zip(images, paths, strict=True):
        image.save(path, compress_level=1)
    return [str(path) for path in paths]
