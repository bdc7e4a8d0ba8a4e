"""The ablation's table and the curves' plot."""

import pandas as pd
from PIL import Image

from methods.onestep.ablate import last_validation, to_table
from methods.onestep.curves import plot_curves, read_curves, write_curve


def test_table_has_mean_spread_and_seeds():
    rows = [("LoRA r16", seed, "validation/psnr", value) for seed, value in enumerate((20.0, 21.0, 22.0))]
    rows += [("LoRA r16", 0, "bicubic/psnr", 1.0), ("MoR-full", 0, "validation/psnr", 23.0)]
    rows += [("MoR-full", 0, "validation/active_experts", 12.5)]
    table = to_table(pd.DataFrame(rows, columns=["variant", "seed", "metric", "value"])).splitlines()
    assert table[0] == "| variant | seeds | psnr | active_experts |"
    assert table[2] == "| LoRA r16 | 3 | 21.000 ± 1.000 | - |"
    assert table[3] == "| MoR-full | 1 | 23.000 | 12.500 |"


def test_the_last_validation_counts(tmp_path):
    path = tmp_path / "curves.csv"
    write_curve(path, 0, {"bicubic/psnr": 20.0})
    write_curve(path, 5, {"validation/psnr": 21.0, "l2": 1.0})
    write_curve(path, 9, {"validation/psnr": 22.0})
    assert last_validation(path) == {"bicubic/psnr": 20.0, "validation/psnr": 22.0}
    assert read_curves(path)["validation/psnr"] == [(5, 21.0), (9, 22.0)]


def test_plot(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for step in range(30):
            write_curve(tmp_path / name / "curves.csv", step, {"l2": 1 / (step + 1), "seconds": step})
    plot_curves([tmp_path / name / "curves.csv" for name in "ab"], tmp_path / "plots/curves.png")
    assert Image.open(tmp_path / "plots/curves.png").width > 500
