"""The harness from end to end against numbers that others published, and the sample set's own golden numbers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import isrbench
from isrbench.harness.api.method import Runtime
from isrbench.harness.api.registry import methods
from isrbench.harness.data.catalogue import find_card
from isrbench.harness.data.pairs import load_pairs
from isrbench.harness.engine.execution import execute
from isrbench.harness.engine.plan import make_plan
from isrbench.harness.engine.request import Request
from isrbench.harness.engine.restoring import restore_pixels
from isrbench.harness.imaging.images import read_rgb
from isrbench.harness.metrics.fidelity import psnr, ssim
from isrbench.harness.metrics.scorer import Scorer
from isrbench.harness.store.frames import load_frames
from isrbench.harness.store.store import Store


def scores_of(request: Request) -> pd.DataFrame:
    """Evaluate and return images x metrics."""
    plan = make_plan(request)
    store = Store(request.runs_dir)
    outcome = execute(plan, store)
    assert outcome.failed == 0
    scores = load_frames(store, [outcome.run]).scores
    assert set(scores["status"]) == {"ok"}
    return scores.pivot(index="image", columns="metric", values="value")


@pytest.fixture
def request_(tmp_path: Path) -> Request:
    return Request(
        method="bicubic", dataset="sample", metrics=("psnr", "ssim"), runs_dir=tmp_path, estimator="none",
        complexity=False, device="cpu",
    )  # fmt: skip


def test_osediff_images_score_what_their_authors_published(request_: Request, realsr: Path) -> None:
    """All 100 images; the log prints six decimals, and pyiqa's float32 is within 1e-5 of exact arithmetic.

    A report of the run rounds to the published means as well.
    """
    options = {"images": str(realsr / "results_osediff")}
    ours = scores_of(replace(request_, method="folder", dataset="RealSR", data_root=realsr, options=options))
    published = pd.read_csv(realsr / "osediff_published.csv", index_col="image")
    assert len(ours) == 100 and list(ours.index) == sorted(published.index)
    assert (ours["psnr"] - published["psnr"]).abs().max() <= 1e-4
    assert (ours["ssim"] - published["ssim"]).abs().max() <= 1e-5
    assert ours["psnr"].mean() == pytest.approx(25.1511, abs=5e-5)
    assert ours["ssim"].mean() == pytest.approx(0.7341, abs=5e-5)
    reported = isrbench.compare(isrbench.load_runs(request_.runs_dir)).tables["RealSR"].iloc[0]
    assert round(reported["psnr"], 4) == 25.1511 and round(reported["ssim"], 4) == 0.7341


@pytest.mark.slow
def test_niqe_of_osediff_images_is_what_their_authors_published(realsr: Path) -> None:
    """All 100 images: the parameters that ship are the published ones."""
    published = pd.read_csv(realsr / "osediff_published.csv", index_col="image")["niqe"]
    files = {path.stem: path for path in (realsr / "results_osediff").iterdir()}
    rows = Scorer(["niqe"]).score_pairs([(files[str(image)], None) for image in published.index], workers=2)
    ours = pd.Series([row[0].value for row in rows], index=published.index, dtype=float)
    assert len(ours) == 100 and (ours - published).abs().max() <= 0.02
    assert ours.mean() == pytest.approx(published.mean(), abs=5e-4)


@pytest.mark.slow
def test_bicubic_and_lanczos_on_realsr(realsr: Path) -> None:
    """PIL's on the same crops, as in docs/metrics.md's table.

    In memory, each image read once: that a run's files and its table change no digit is tested above, on all images of
    one method, and below.
    """
    known = {id: methods().get(id) for id in ("bicubic", "lanczos")}
    built = {id: plugin.make(plugin.options(), Runtime(scale=4, device="cpu")) for id, plugin in known.items()}
    found = []
    for pair in load_pairs(find_card("RealSR"), realsr):
        assert pair.hr is not None
        lr, hr = read_rgb(pair.lr), read_rgb(pair.hr)
        bicubic, lanczos = (restore_pixels(built[id], lr, pair.id, 0, 4)[0] for id in known)
        found.append((psnr(bicubic, hr), ssim(bicubic, hr), psnr(lanczos, hr)))
    means = np.mean(found, axis=0)
    assert len(found) == 100
    assert means[0] == pytest.approx(27.1128, abs=5e-4)
    assert means[1] == pytest.approx(0.7555, abs=5e-4)
    assert means[2] == pytest.approx(27.2415, abs=5e-5)


def test_bicubic_on_the_sample_set(request_: Request) -> None:
    """Golden numbers of the set that ships; tight, since resampling and these metrics are exact to the last digits."""
    ours = scores_of(replace(request_, metrics=("psnr", "ssim", "gmsd", "piqe"))).mean()
    assert ours["psnr"] == pytest.approx(25.535318, abs=2e-5)
    assert ours["ssim"] == pytest.approx(0.646750, abs=2e-6)
    assert ours["gmsd"] == pytest.approx(0.176138, abs=2e-6)
    # PIQE counts blocks over thresholds: a rounding can tip one block of one image.
    assert ours["piqe"] == pytest.approx(89.98677, abs=0.01)
