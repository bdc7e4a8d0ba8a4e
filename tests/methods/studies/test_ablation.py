"""The ablation, run for real in a micro world, and its table."""

# ruff: noqa: F401, F811  (fixtures)
import pandas as pd
import pytest

from isrbench.methods.mor.config import MoRConfig
from isrbench.methods.onestep.checkpoint import load_adapter
from isrbench.methods.onestep.train.curves import read_curves, write_curve
from isrbench.methods.studies.ablation import ablate, last_validation, to_table
from isrbench.methods.studies.variants import controls, paper_variants
from tests.support.training_world import light, statistics, world

VARIANTS = paper_variants(MoRConfig())


def test_the_table_has_means_and_differences_paired_by_seed():
    rows = [("LoRA r16", seed, "validation/psnr", value) for seed, value in enumerate((20.0, 21.0, 22.0))]
    rows += [("MoR-full", seed, "validation/psnr", value) for seed, value in enumerate((20.5, 21.5, 22.5))]
    rows += [("LoRA r16", 0, "bicubic/psnr", 1.0), ("MoR-v1", 0, "validation/psnr", 23.0)]
    rows += [("MoR-v1", 0, "validation/active_experts", 12.5)]
    table = to_table(pd.DataFrame(rows, columns=["variant", "seed", "metric", "value"])).splitlines()
    assert table[0] == "| variant | seeds | psnr | active_experts |"
    assert table[2] == "| LoRA r16 | 3 | 21.000 | - |"
    assert table[3] == "| MoR-full | 3 | 21.500 (+0.500 ± 0.000) | - |", "the seeds' own spread is no part of it"
    assert table[4] == "| MoR-v1 | 1 | 23.000 (+3.000) | 12.500 |"


@pytest.mark.parametrize("mor", [MoRConfig(), MoRConfig(shared=2, routed=8, top_k=2, zero_slots=1, scale=2.0)])
def test_all_branches_have_mors_scale_and_ranks(mor):
    lora, wide = (v for v in paper_variants(mor) if v.spec.id == "osediff")
    assert lora.fields["rank"] == mor.budget and wide.fields["rank"] == mor.ranks
    parts = [v for v in controls(mor) if v.id.startswith("oracle")]
    assert all(v.fields["alpha"] / v.fields["rank"] == mor.scale for v in (lora, wide, *parts))
    assert all(v.fields == lora.fields for v in parts) and len(parts) == 3
    assert [v.training["data"]["levels"] for v in parts] == [(0, 1 / 3), (1 / 3, 2 / 3), (2 / 3, 1)]


def test_the_last_validation_counts(tmp_path):
    path = tmp_path / "curves.csv"
    write_curve(path, 0, {"bicubic/psnr": 20.0})
    write_curve(path, 5, {"validation/psnr": 21.0, "l2": 1.0})
    write_curve(path, 9, {"validation/psnr": 22.0})
    assert last_validation(path) == {"bicubic/psnr": 20.0, "validation/psnr": 22.0}
    assert read_curves(path)["validation/psnr"] == [(5, 21.0), (9, 22.0)]


def micro(world):
    """What makes the tiny preset one step of a micro run."""
    sizes = {"data.crop": 32, "data.severity_window": 0, "data.workers": 0, "global_batch": 1, "threads": 1}
    sizes["optim.warmup"] = 0
    look = {"images": 1, "crop": 32, "levels": [0.8], "metrics": '["psnr"]', "every": 1}
    values = {"base": world / "base", "device": "cpu", "dtype": "fp32", "optim.ema": 0.0, "half": "false"}
    values |= sizes | {f"validation.{key}": value for key, value in look.items()}
    folder = str(world / "photos")
    return ["--data", folder, "--validation", folder, "--steps", "1", *(f"{k}={v}" for k, v in values.items())]


def active_rank(title, checkpoint):
    """The most ranks that an image has active in a layer, by the config; checked against the tensors."""
    config, rows = checkpoint.config, {t.shape[0] for name, t in checkpoint.state.items() if name.endswith(".A")}
    if title.startswith("LoRA r"):
        assert rows == {config["rank"]}
        return config["rank"]
    assert rows == {40}
    return MoRConfig.from_json(config).budget


def test_all_variants_train_at_the_paper_s_active_budget(world, tmp_path):
    rows = ablate(tmp_path, micro(world), [0], estimators=statistics)
    found = {v.title: load_adapter(tmp_path / f"{v.title.replace(' ', '-')}-0/adapter.safetensors") for v in VARIANTS}
    budgets = {title: active_rank(title, checkpoint) for title, checkpoint in found.items()}
    assert budgets == {"LoRA r16": 16, "LoRA r40": 40} | dict.fromkeys(("LoRA+MoE", "MoR-v1", "MoR-v2", "MoR-full"), 16)
    assert {title: c.method for title, c in found.items()} == {
        "LoRA r16": "osediff", "LoRA r40": "osediff", "LoRA+MoE": "lora_moe",
        "MoR-v1": "mor", "MoR-v2": "mor", "MoR-full": "mor",
    }  # fmt: skip
    preset = {title: c.config["router_std"] for title, c in found.items() if title.startswith("MoR")}
    assert preset == dict.fromkeys(("MoR-v1", "MoR-v2", "MoR-full"), 1.0), "fields go over the preset's, not instead"
    choices = {title: (c.config.get("zero_slots"), c.config.get("balance")) for title, c in found.items()}
    assert choices["LoRA+MoE"] == (0, "uniform") and choices["MoR-v1"] == (0, "degradation")
    assert choices["MoR-v2"] == (4, "uniform") and choices["MoR-full"] == (4, "degradation")
    measured = rows.loc[rows["metric"] == "validation/active_experts@0.8"].set_index("variant")["value"]
    assert measured["LoRA+MoE"] == 16 and measured["MoR-v1"] == 16
    assert all(8 <= measured[title] <= 16 for title in ("MoR-v2", "MoR-full")) and len(measured) == 4
    lines = (tmp_path / "ablation.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[0][:2] == ["variant", "seeds"] and set(cells[0][2:]) == {"psnr@0.8", "active_experts@0.8"}
    assert [row[0] for row in cells[2:]] == [v.title for v in VARIANTS]
    assert {len(row) for row in cells} == {4} and {row[1] for row in cells[2:]} == {"1"}
    assert [row[cells[0].index("active_experts@0.8")] == "-" for row in cells[2:]] == [True, True] + [False] * 4
