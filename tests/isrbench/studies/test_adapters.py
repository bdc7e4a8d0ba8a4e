"""The study of adapters, run for real in a micro world."""

# ruff: noqa: F401, F811  (fixtures)
import json
import shutil

import pandas as pd
import pytest

import isrbench
from isrbench.studies.adapters import LEVELS, main
from tests.support.training_world import light, world

ARMS = ["mor", "mor-blind", "oracle"]


def command(world, out, *more, arms=ARMS):
    sizes = {"data.crop": 32, "data.severity_window": 0, "global_batch": 1, "optim.warmup": 0}
    sizes |= {"threads": 1, "device": "cpu"}
    values = {"base": world / "base", "optim.ema": 0.0, **sizes}
    photos = str(world / "photos")
    return [
        "--preset", "tiny-gen", "--data", photos, "--photos", photos, "--crop", "32", "--out", str(out),
        "--seeds", "0", "--arms", *arms, *more, "--steps", "1", *(f"{k}={v}" for k, v in values.items()),
    ]  # fmt: skip


@pytest.fixture(scope="module")
def studied(world, tmp_path_factory):
    """The study's folder, and what was in its two files."""
    out = tmp_path_factory.mktemp("study")
    assert main(command(world, out)) == 0
    return out, pd.read_csv(out / "study.csv"), (out / "study.md").read_text()


def test_every_arm_has_every_photo_at_every_level(studied):
    _, rows, text = studied
    counts = rows.groupby("arm")[["level", "photo", "metric"]].nunique()
    assert set(counts.index) == {"bicubic", "off", "mor", "mor-blind", "oracle"}
    assert (counts == [len(LEVELS), 4, 2]).all(axis=None) and rows["value"].notna().all()
    assert not rows.duplicated(["arm", "seed", "level", "photo", "metric"]).any()
    assert "| mor - mor-blind " in text and "oracle - lora" not in text


def test_the_parts_of_the_oracle_saw_their_own_thirds(studied):
    out = studied[0]
    levels = [json.loads((out / f"LoRA-r4-part-{n}-0/config.json").read_text())["data"]["levels"] for n in (1, 2, 3)]
    assert levels == [[0, 1 / 3], [1 / 3, 2 / 3], [2 / 3, 1]]
    named = [run.manifest.name for run in isrbench.load_runs(out / "runs", every=True)]
    assert sum("part" in name for name in named) == 3, "each is asked at its own level only"


def test_what_cannot_see_severity_is_given_none(studied):
    out = studied[0]
    config = json.loads((out / "MoR-blind-0/config.json").read_text())
    assert config["routed_by"] == "constant"
    blind = [run for run in isrbench.load_runs(out / "runs", every=True) if "blind" in run.manifest.name]
    assert len(blind) == 3
    for run in blind:
        assert run.images()["active_experts"].nunique() == 1, "every image is routed alike"


def test_what_is_done_is_not_computed_again(studied, world):
    out, rows, _ = studied
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.png")}
    adapters = {path: path.read_bytes() for path in out.rglob("adapter.safetensors")}
    assert main(command(world, out, arms=["mor-blind"])) == 0
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.png")} == before
    assert {path: path.read_bytes() for path in out.rglob("adapter.safetensors")} == adapters
    own = pd.read_csv(out / "study.csv")
    assert set(own["arm"]) == {"bicubic", "mor-blind"}
    assert own.merge(rows, how="left", indicator=True)["_merge"].eq("both").all()


def test_an_adapter_that_saw_no_severity_asks_for_one(studied, world):
    adapter = studied[0] / "MoR-blind-0/adapter.safetensors"
    with pytest.raises(isrbench.UserError, match=r"trained with a severity of 0\.5"):
        isrbench.evaluate("mor", "sample", options={"base": world / "base", "adapter": adapter}, limit=1)


def test_sets_of_other_photos_are_not_taken_for_these(studied, world, tmp_path, caplog):
    (tmp_path / "photos").mkdir()
    for n in (1, 2, 3):
        shutil.copy(world / f"photos/{n}.png", tmp_path / "photos")
    assert main([*command(world, studied[0]), "--photos", str(tmp_path / "photos")]) == 2
    assert "was made of other photos" in caplog.text


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--arms", "lorra"], "unknown variant 'lorra'; did you mean 'lora'"),
        (["--photos", "/nowhere/at/all"], "/nowhere/at/all"),
        (["--seeds", "0", "0"], "--seeds names one seed twice"),
        (["seed=7"], "'seed=7' is set by the ablation itself"),
        (["data.degradations=['camera']"], "the oracle's parts are those of the severity scale"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(more, message, world, tmp_path, caplog):
    assert main([*command(world, tmp_path), *more]) == 2
    assert message in caplog.text
