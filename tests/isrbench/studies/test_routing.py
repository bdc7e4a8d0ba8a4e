"""`study_routing` on a method of another package, whose routing is known to help."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

import isrbench
from tests.support.images import write_pairs
from tests.support.packages import install, site  # noqa: F401

METHOD = """
import csv
from dataclasses import dataclass, field
from pathlib import Path
import torch
from isrbench.harness.api.method import Cost, MethodInfo, MethodPlugin, Restored, RoutingTrace

def _help(text):
    return {"help": text}

@dataclass(frozen=True)
class Options:
    severities: Path | None = field(default=None, metadata=_help("given"))
    adapter_off: bool = field(default=False, metadata=_help("off"))
    shade: float = field(default=0.0, metadata=_help("added to every pixel"))
    fails: str = field(default="", metadata=_help("an image to fail on"))

@dataclass(frozen=True)
class Bare:
    shade: float = field(default=0.0, metadata=_help("added to every pixel"))

class Routed:
    weights_hash = ""
    def __init__(self, options, runtime):
        self.options, self.scale = options, runtime.scale
        path = getattr(options, "severities", None)
        self.given = {r["image"]: float(r["blur"]) for r in csv.DictReader(path.open())} if path else None
    def own(self, lr):
        return float(lr.mean())
    def restore(self, lr, *, image, seed):
        if image == getattr(self.options, "fails", ""):
            raise RuntimeError("it broke")
        wrong = abs(self.given[image] - self.own(lr)) if self.given else 0.0
        large = lr.repeat_interleave(self.scale, 1).repeat_interleave(self.scale, 2)
        active = 0 if getattr(self.options, "adapter_off", False) else 3
        shift = wrong + self.options.shade
        return Restored((large + shift).clamp(0, 1), RoutingTrace(("l0",), (active,), (0,)))
    def cost(self, height, width):
        return Cost(macs=0, params_total=0)
    def input_hash(self, image):
        return str(self.given[image]) if self.given else ""

class Answering(Routed):
    def severity(self, lr, *, image):
        return torch.full((7,), self.own(lr))
    def active_counts(self):
        return ()

def plugin(id, options, build):
    return MethodPlugin(
        MethodInfo(id=id, title=id.title(), summary="For tests.", license="Apache-2.0", routes=True), options, build
    )

class Wrong(Answering):
    def severity(self, lr, *, image):
        return torch.full((3,), 0.5)

class Leaving(Answering):
    def active_counts(self):
        raise SystemExit(0)

WRONG = plugin("wrong", Options, Wrong)
LEAVING = plugin("leaving", Options, Leaving)
HELPED = plugin("helped", Options, Answering)
MUTE = plugin("mute", Options, Routed)
RIGID = plugin("rigid", Bare, Answering)
"""

QUICK = {"metrics": ["psnr", "gmsd"], "workers": 1}


@pytest.fixture
def helped(site: Path) -> Path:  # noqa: F811
    points = {name: f"routed_methods:{name.upper()}" for name in ("helped", "mute", "rigid", "wrong", "leaving")}
    install(site, "routed_methods", {"isrbench.methods": points}, routed_methods=METHOD)
    return site


def test_a_method_that_needs_its_own_severity_is_seen_to(helped: Path, tmp_path: Path, capfd) -> None:
    folder = write_pairs(tmp_path / "set", [f"i{n}" for n in range(8)])
    told = []
    study = isrbench.study_routing(
        "helped", folder, runs_dir=tmp_path / "runs", progress=lambda *step: told.append(step), **QUICK
    )
    assert capfd.readouterr() == ("", "")
    assert [arm.id for arm in study.arms] == ["own", "other", "constant", "opposite", "off"] == list(study.runs)
    assert study.verdict.startswith("Routing by the image's own severity helps in PSNR") and study.failed == 0
    table = study.table.set_index(["metric", "stratum", "arm"])
    assert list(study.table) == ["arm", "stratum", "metric", "mean", "difference", "low", "high", "n"]
    assert set(study.table["stratum"]) == {"all", "severity low", "severity medium", "severity high"}
    for arm in ("other", "constant", "opposite"):
        row, own = table.loc[("psnr", "all", arm)], study.runs["own"].scores().set_index(["metric", "image"])["value"]
        by_hand = study.runs[arm].scores().set_index(["metric", "image"])["value"].loc["psnr"] - own.loc["psnr"]
        assert row["difference"] == pytest.approx(by_hand.mean(), rel=1e-9) and row["low"] < row["high"] < 0
        assert row["n"] == 8 and table.loc[("psnr", "all", "own"), "mean"] > row["mean"]
    assert table.loc[("psnr", "all", "off"), "difference"] == 0 and pd.isna(table.loc[("psnr", "all", "own"), "low"])
    assert ("restore", 40, 40) in told and all(done <= total for _, done, total in told)


def test_every_arm_is_a_run_of_its_own_name_and_is_resumed(helped: Path, tmp_path: Path) -> None:
    folder, runs = write_pairs(tmp_path / "set", ["a", "b", "c", "d"]), tmp_path / "runs"
    usual = isrbench.evaluate("helped", folder, runs_dir=runs, metrics=["psnr"], complexity=False)
    study = isrbench.study_routing("helped", folder, runs_dir=runs, **QUICK)
    assert study.runs["own"].run == usual.run, "the run as usual is not computed twice"
    titles = {arm: run.manifest.title for arm, run in study.runs.items()}
    assert titles == {
        "own": "Helped", "other": "helped-other-severity", "constant": "helped-constant-severity",
        "opposite": "helped-opposite-severity", "off": "helped-adapter-off",
    }  # fmt: skip
    assert study.runs["off"].manifest.options["adapter_off"] is True
    assert str(study.runs["other"].manifest.options["severities"]).endswith("severities-other.csv")
    assert len({run.manifest.identity for run in study.runs.values()}) == 5
    again = isrbench.study_routing("helped", folder, runs_dir=runs, **QUICK)
    assert not any(run.computed for run in again.runs.values())
    pd.testing.assert_frame_equal(again.table, study.table)
    other = isrbench.study_routing("helped", folder, runs_dir=runs, seed=3, name="mine", **QUICK)
    assert other.runs["own"].manifest.title == "mine" and other.runs["off"].manifest.title == "mine-adapter-off"
    assert other.folder.name.startswith("study-routing-mine-") and study.folder.is_dir()


def test_the_files_hold_what_the_value_holds(helped: Path, tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "set", ["a", "b", "c", "d", "e", "f"])
    more = {"limit": 4, "runs_dir": tmp_path / "runs", "options": {"shade": 0.1}}
    study = isrbench.study_routing("helped", folder, **more, **QUICK)
    assert study.folder == (tmp_path / "runs").resolve() / "study-routing-helped-set-4-of-6"
    kept = json.loads((study.folder / "study.json").read_text())
    assert kept["rows"] == study.rows() and kept["verdict"] == study.verdict
    assert [arm["arm"] for arm in kept["arms"]] == list(study.runs) and kept["arms"][4]["active_experts"] == 0
    own = kept["rows"][0]
    assert (own["arm"], own["stratum"], own["metric"], own["difference"], own["n"]) == ("own", "all", "psnr", None, 4)
    text = (study.folder / "study.md").read_text()
    assert study.verdict in text and "## PSNR ↑" in text and "| other " in text and "study.svg" in text
    assert all((study.folder / f"study{ending}").is_file() for ending in (".png", ".svg", ".dark.svg"))
    assert all(run.manifest.options["shade"] == 0.1 for run in study.runs.values())


def test_an_image_that_fails_leaves_blanks_and_is_counted(helped: Path, tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "set", ["a", "b", "c", "d"])
    study = isrbench.study_routing("helped", folder, runs_dir=tmp_path / "runs", options={"fails": "b"}, **QUICK)
    assert study.failed == 5 and study.table.set_index(["metric", "stratum"]).loc[("psnr", "all"), "mean"].isna().all()
    assert "cannot be said" in study.verdict and "no psnr: 1 of 4: failed" in study.notes
    assert study.rows()[0]["mean"] is None


def test_a_folder_that_cannot_be_made_is_one_message(helped: Path, tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "set", ["a", "b", "c"])
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(isrbench.UserError, match="cannot be used") as caught:
        isrbench.study_routing("helped", folder, runs_dir=tmp_path / "runs", **QUICK)
    assert "--runs-dir" in caught.value.fix


@pytest.mark.parametrize(
    ("method", "more", "words"),
    [
        ("bicubic", {}, "method bicubic does not route"),
        ("mute", {}, "method mute does not say what routes an image"),
        ("wrong", {}, "the method wrong does not say what routes an image: ValueError: severity of a is"),
        ("leaving", {}, "the method leaving does not say what routes an image: PluginExit"),
        ("rigid", {}, "none of the options severities, adapter_off, active"),
        ("helped", {"options": {"adapter_off": True}}, "option adapter_off is given, but the study sets it itself"),
        ("helped", {"limit": 1}, "no other to take a severity from"),
        ("helped", {"strata": "thirds"}, "strata 'thirds'"),
        ("helped", {"metrics": ["psnrr"]}, "did you mean 'psnr'"),
        ("helpd", {}, "did you mean 'helped'"),
    ],
)
def test_mistakes_are_found_before_anything_is_computed(helped, method, more, words, tmp_path: Path) -> None:
    folder = write_pairs(tmp_path / "set", ["a", "b", "c"])
    with pytest.raises(isrbench.UserError) as caught:
        isrbench.study_routing(method, folder, runs_dir=tmp_path / "runs", **{**QUICK, **more})
    assert words in caught.value.message and caught.value.fix
    assert not (tmp_path / "runs").exists()
