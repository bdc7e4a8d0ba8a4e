"""Frames for the tests of reports: made from seeded numbers and small images, without a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.harness.store.frames import COMPLEXITY_COLUMNS, Frames

METHODS = (("bicubic", "Bicubic", False), ("folder", "OSEDiff PNGs", False), ("mor-tiny", "MoR-SR tiny", True))
METRICS = ("psnr", "ssim", "lpips", "musiq")
LAYERS = 24
ERROR = "Traceback\n  <b>line</b>\nValueError: boom"
NASTY = '<img src=x onerror="window.hacked=1">'


def frames(folder: Path, count: int = 30, failed: bool = True, names: list[str] | None = None) -> Frames:
    """Three methods on ``count`` images, one of which routes and one of which fails on the last image."""
    rng = np.random.default_rng(11)
    ids = (names or []) + [f"scene_{i:03d}" for i in range(count - len(names or []))]
    severity = rng.beta(2, 2, count)
    dims = np.clip(severity[:, None] + rng.normal(0, 0.15, (count, 7)), 0, 1)
    runs, scores, images, routing = [], [], [], []
    paths = [_pictures(folder, i, severity[i]) for i in range(count)]
    for place, (method, title, routes) in enumerate(METHODS):
        run = f"{method}-sample-{place:08d}"
        common = {"run": run, "method": method, "dataset": "sample"}
        runs.append(_run(run, method, title, routes, place))
        for i, image in enumerate(ids):
            bad = failed and method == "folder" and i == count - 1
            active = 3 + 5 * severity[i] + rng.normal(0, 0.4) if routes else np.nan
            row = {**common, "image": image, "status": "failed" if bad else "ok",
                   "error": ERROR if bad else None,
                   "seconds": 0.1, "severity": severity[i], **dict(zip(DIMENSIONS, dims[i], strict=True)),
                   "level": ("mild", "medium", "severe")[i % 3], "active_experts": active}  # fmt: skip
            lr, hr, *outputs = paths[i]
            images.append({**row, "lr_path": lr, "hr_path": hr, "output_path": None if bad else outputs[place]})
            for metric in METRICS:
                value = None if bad else _value(metric, place, severity[i], rng)
                status = "failed" if bad else "ok"
                scores.append({**common, "image": image, "metric": metric, "value": value, "status": status})
            for layer in range(LAYERS if routes else 0):
                empty = int(rng.integers(0, 2)) + (layer > LAYERS // 2)
                used = max(1, round(active) - empty)
                routing.append({**common, "image": image, "position": layer, "layer": f"layer{layer}", "active": used,
                                "zero": empty})  # fmt: skip
    columns = ["run", "method", "dataset", "image", "position", "layer", "active", "zero"]
    return Frames(
        pd.DataFrame(runs),
        pd.DataFrame(scores).astype({"value": float}).assign(error=None),
        pd.DataFrame(images),
        pd.DataFrame(routing, columns=columns),
    )


def _run(run: str, method: str, title: str, routes: bool, place: int) -> dict:
    cost = dict.fromkeys(COMPLEXITY_COLUMNS)
    if place != 1:
        macs = 10.0 ** (6 + 4 * place)
        cost.update(macs=macs, flops=2 * macs, params_total=1e6 * place, latency_ms=1.0 + 20 * place)
        cost["complexity_size"] = "16x16"
    return {"run": run, "method": method, "title": title, "dataset": "sample", "created": "2026-01-01T00:00:00Z",
            "seed": 0, "device": "cpu", "estimator": "tiny", "routes": routes, "scale": 4, **cost,
            "manifest": {"run": run, "argv": ["isrbench", "</script><b>"]}}  # fmt: skip


def _value(metric: str, place: int, severity: float, rng: np.random.Generator) -> float:
    start, slope = {"psnr": (28, -6), "ssim": (0.85, -0.3), "lpips": (0.2, 0.3), "musiq": (70, -25)}[metric]
    gain = {"psnr": (0, -1.5, 0.6), "ssim": (0, -0.02, 0.01), "lpips": (0, -0.08, -0.1), "musiq": (0, 20, 22)}
    spread = {"psnr": 0.5, "ssim": 0.02, "lpips": 0.02, "musiq": 2}
    return float(start + slope * severity + gain[metric][place] + rng.normal(0, spread[metric]))


def _pictures(folder: Path, place: int, severity: float) -> list[str]:
    """Paths of LR, HR and each method's output of one image: smooth colours, so that a page of them looks like one."""
    y, x = np.mgrid[0:64, 0:64] / 64
    hr = np.stack([np.sin(6 * x + place), np.cos(5 * y + place / 3), np.sin(4 * (x + y) + place / 7)], axis=2)
    hr = (127 + 110 * hr).astype(np.uint8)
    hr[::8] //= 2
    full = Image.fromarray(hr)
    small = full.resize((16, 16), Image.Resampling.BOX)
    sharper = Image.blend(small.resize((64, 64), Image.Resampling.BICUBIC), full, 1 - 0.6 * severity)
    pictures = [small, full, small.resize((64, 64), Image.Resampling.BICUBIC), sharper, sharper]
    paths = [folder / f"{kind}-{place}.png" for kind in ("lr", "hr", "m0", "m1", "m2")]
    folder.mkdir(parents=True, exist_ok=True)
    for picture, path in zip(pictures, paths, strict=True):
        picture.save(path)
    return [str(path) for path in paths]
