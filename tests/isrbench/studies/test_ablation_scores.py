"""The ablation's scores on a test set: the tool run for real in a micro world, and its table."""

# ruff: noqa: F401, F811  (fixtures)
import numpy as np
import pandas as pd
import pytest

from isrbench.harness.api.registry import metrics
from isrbench.methods.mor.config import MoRConfig
from isrbench.methods.studies.variants import choose, paper_variants
from isrbench.reports.reported import reported_ablation
from isrbench.studies.ablation_scores import main, page
from isrbench.studies.paired import uncertainty
from tests.support.images import write_pairs
from tests.support.training_world import light, world

VARIANTS = paper_variants(MoRConfig())
TWO = choose(VARIANTS, ["lora", "mor"])
PUBLISHED = reported_ablation()


def cells(text):
    """The cells of a Markdown table, row by row, without its rule."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [table[0], *table[2:]]


def scores(metric="clipiqa", seeds=(0, 1)):
    """Three images of two variants; MoR is better by 0.1, 0.2 and 0.3."""
    rows = [
        (variant, seed, image, metric, 0.5 + seed / 10 + (gain if variant == "mor" else 0))
        for variant in ("lora", "mor") for seed in seeds for image, gain in (("a", 0.1), ("b", 0.2), ("c", 0.3))
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["variant", "seed", "image", "metric", "value"])


def test_the_paper_s_rows_stand_beside_ours_on_its_own_set():
    text = page(scores(), VARIANTS, [metrics().get("clipiqa")], "DRealSR", PUBLISHED)
    head, lora, mor = cells(text)
    assert head == ["variant", "seeds", "CLIPIQA ↑", "paper's", "paper's MANIQA (KonIQ)", "paper's TReS"]
    assert lora == ["LoRA r16", "2", "0.5500", "0.67", "0.481", "78.81"]
    low, high = uncertainty(np.array([[0.1, 0.2, 0.3]] * 2)).interval(0.95)
    assert mor == ["MoR-full", "2", f"0.7500 (+0.20000 [{low:+.5f}, {high:+.5f}])", "0.717", "0.509", "81.78"]
    assert "no such metric" not in text and "arXiv 2511.16024" in text
    assert "3 images of DRealSR, seeds 0, 1" in text and "With one seed" not in text


def test_a_metric_that_isrbench_lacks_is_named():
    rows = PUBLISHED.replace({"metric": {"tres": "gone"}})
    assert "no such metric: TReS" in page(scores(), VARIANTS, [metrics().get("clipiqa")], "DRealSR", rows)


def test_on_another_set_no_paper_s_row_is_shown():
    text = page(scores("psnr", seeds=(0,)), VARIANTS, [metrics().get("psnr")], "mine", PUBLISHED)
    assert cells(text)[0] == ["variant", "seeds", "PSNR ↑"] and "0.717" not in text
    assert "is on DRealSR, so its rows are not shown beside mine" in text and "With one seed" in text


def test_a_missing_value_blanks_its_mean_and_unequal_seeds_are_paired_where_both_are():
    rows = scores("psnr")
    lacking = rows.assign(value=rows["value"].where((rows["variant"] != "mor") | (rows["image"] != "b")))
    assert cells(page(lacking, TWO, [metrics().get("psnr")], "mine", PUBLISHED))[2] == ["MoR-full", "2", "-"]
    fewer = rows[(rows["variant"] != "mor") | (rows["seed"] == 0)]
    low, high = uncertainty(np.array([[0.1, 0.2, 0.3]])).interval(0.95)
    assert cells(page(fewer, TWO, [metrics().get("psnr")], "mine", PUBLISHED))[2] == [
        "MoR-full", "1", f"0.70 (+0.200 [{low:+.3f}, {high:+.3f}])",
    ]  # fmt: skip


def test_the_paper_s_ablation_is_whole():
    table = PUBLISHED.pivot(index="variant", columns="metric", values="value")
    assert set(table.index) == {variant.id for variant in VARIANTS} - {"lora-wide"} and table.notna().all(axis=None)
    assert table.loc["mor"].to_dict() == {"clipiqa": 0.717, "maniqa": 0.509, "tres": 81.78}


def command(world, out, *more):
    sizes = {"data.crop": 32, "data.severity_window": 0, "data.workers": 0, "global_batch": 1, "threads": 1}
    values = {"base": world / "base", "device": "cpu", "optim.ema": 0.0, "optim.warmup": 0, **sizes}
    trainer = ["--steps", "1", *(f"{k}={v}" for k, v in values.items())]
    return ["--out", str(out), "--data", str(world / "photos"), "--seeds", "0", *more, *trainer]


def test_two_variants_are_trained_and_score_a_folder_of_pairs_once(world, tmp_path):
    pairs = write_pairs(tmp_path / "small", ["a", "b", "c"])
    args = command(world, tmp_path / "out", "--variants", "lora", "mor", "--dataset", str(pairs), "--metrics", "psnr")
    assert main(args) == 0
    rows = pd.read_csv(tmp_path / "out/scores.csv")
    assert list(rows.columns) == ["variant", "seed", "image", "metric", "value"]
    assert rows.groupby("variant")["image"].agg(list).to_dict() == {"lora": ["a", "b", "c"], "mor": ["a", "b", "c"]}
    head, lora, mor = cells((tmp_path / "out/scores.md").read_text())
    means = rows.groupby("variant")["value"].mean()
    assert head == ["variant", "seeds", "PSNR ↑"] and lora[2] == f"{means['lora']:.2f}"
    assert mor[2].startswith(f"{means['mor']:.2f} ({means['mor'] - means['lora']:+.3f} [")
    assert not (tmp_path / "out/ablation.md").exists(), "no photos for validation"

    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    assert main(args) == 0
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")} == before
    assert pd.read_csv(tmp_path / "out/scores.csv").equals(rows)


@pytest.mark.parametrize("option", ["adapter.top_k=4", "adapter={top_k=4}", "seed=5", "out=x", "routed_by=next"])
def test_the_ablation_sets_adapter_seed_and_out_itself(option, tmp_path, caplog):
    assert main(["--out", str(tmp_path), "--data", "d", option]) == 2
    assert f"'{option}' is set by the ablation itself" in caplog.text


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ([], "pass --validation FOLDER or --dataset ID"),
        (["--validation", "/nowhere/at/all"], "no images below"),
        (["--dataset", "/nowhere/at/all"], "this card or folder does not exist"),
        (["--dataset", "DRealSR", "--data-root", "/nowhere/at/all", "--metrics", "psnr"], "DRealSR was not found"),
        (["--dataset", "sample", "--metrics", "psnr,fid"], "fid has one value a set"),
        (["--dataset", "sample"], "clipiqa needs "),
        (["--dataset", "sample", "--metrics", "tress"], "unknown metric 'tress'"),
        (["--dataset", "sample", "--metrics", "psnr", "--variants", "lorra"], "unknown variant 'lorra'"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_trained(more, message, world, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    assert main(command(world, tmp_path / "out", *more)) == 2
    assert message in caplog.text
    assert not list(tmp_path.rglob("adapter.safetensors"))
