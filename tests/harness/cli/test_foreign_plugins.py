"""Other packages' plugins that are broken or take a name harm nobody but themselves, whatever the verb."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.cli import finished, isrbench
from tests.support.packages import install

RIVAL = """
from isrbench.harness.api.metric import Direction, Metric, Reference
METRIC = Metric("psnr", "Rival", Direction.HIGHER, Reference.NONE, "RGB", "always 1", lambda device: lambda *a: 1.0)
"""
"""A metric that wants the name of isrbench's own."""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Path:
    """Packages with plugins of every bad kind."""
    site = tmp_path_factory.mktemp("hostile") / "site"
    install(site, "rival", {"isrbench.metrics": {"psnr": "rival:METRIC"}}, rival=RIVAL)
    install(
        site, "broken",
        {"isrbench.methods": {"crash": "crash:PLUGIN", "leave": "leave:PLUGIN", "absent": "not_there:PLUGIN"},
         "isrbench.metrics": {"crashing": "crash:METRIC", "odd": "json:dumps"},
         "isrbench.tools": {"crash": "crash:main", "convert": "crash:main"},
         "isrbench.reports": {"default": "crash:write", "aaa": "crash:write"},
         "isrbench.hub_cards": {"default": "crash:write"}},
        crash="1 / 0\n", leave="raise SystemExit('goodbye')\n",
    )  # fmt: skip
    install(site, "twin-a", {"isrbench.methods": {"twin": "crash:A"}})
    install(site, "twin-b", {"isrbench.methods": {"twin": "crash:B"}})
    return site


@pytest.mark.process
def test_every_verb_works_beside_them(hostile: Path, pairs_folder: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    args = ("--dataset", pairs_folder, "--metrics", "psnr", "--runs-dir", runs)
    code, out, err = finished("eval", "--method", "bicubic", *args, path=(hostile,))
    assert code == 0, err
    assert "PSNR" in out and "Rival" not in out
    for command in (
        ["report", "--runs-dir", runs, "--out", tmp_path / "report"],
        ["export", "latest", "--runs-dir", runs, "--to", tmp_path / "x.csv"],
        ["export", "latest", "--hub-card", "--runs-dir", runs, "--to", tmp_path / "card"],
        ["restore", pairs_folder / "LR" / "a.png", tmp_path / "a.png", "--method", "bicubic"],
        ["train", "--help"],
        ["train", "--method", "mor", "--help"],
        ["list", "runs", "--runs-dir", runs],
        ["describe", "metric", "psnr"],
        ["tools", "--help"],
        ["tools", "convert", "--help"],
    ):
        code, out, err = finished(*command, path=(hostile,))
        assert code == 0 and "Traceback" not in err, (command, err)


@pytest.mark.process
def test_list_and_doctor_say_what_is_wrong(hostile: Path, tmp_path: Path) -> None:
    code, out, err = finished("list", "methods", "--json", path=(hostile,))
    assert code == 0, err
    methods = {row["id"]: row for row in json.loads(out)}
    assert methods["bicubic"]["title"] == "Bicubic"
    assert {id for id, row in methods.items() if row["title"] == "(broken)"} == {"crash", "leave", "absent"}
    assert "ZeroDivisionError" in methods["crash"]["what it is"] and "goodbye" in methods["leave"]["what it is"]
    assert methods["twin"]["title"] == "(refused)"
    assert all(target in methods["twin"]["what it is"] for target in ("crash:A", "crash:B"))
    code, out, err = finished("list", "metrics", "--json", path=(hostile,))
    assert code == 0, err
    named = [(row["id"], row["title"]) for row in json.loads(out)]
    assert {("psnr", "PSNR"), ("psnr", "(refused)"), ("crashing", "(broken)"), ("odd", "(broken)")} <= set(named)
    code, out, err = finished("doctor", "--json", "--runs-dir", tmp_path / "runs", path=(hostile,))
    assert code == 0, "a stranger's plugin does not break isrbench: " + err
    findings = {f["what"]: f for f in json.loads(out)}
    assert findings["metric psnr"]["ok"]
    refused = findings["metric psnr of another package"]
    assert not refused["ok"] and "rival:METRIC" in refused["found"] and "uninstall" in refused["fix"]
    for what in ("method crash", "method leave", "method absent", "metric crashing", "metric odd"):
        assert not findings[what]["ok"] and findings[what]["fix"]


@pytest.mark.process
def test_asking_for_one_of_them_is_the_users_mistake(hostile: Path, pairs_folder: Path) -> None:
    for method, words in (("crash", "ZeroDivisionError"), ("leave", "goodbye"), ("twin", "crash:B")):
        code, _, err = finished("eval", "--method", method, "--dataset", pairs_folder, path=(hostile,))
        assert code == 2 and words in err and "Traceback" not in err, err
        code, _, err = finished("train", "--method", method, path=(hostile,))
        assert code == 2 and words in err and "Traceback" not in err, err
    code, _, err = finished("tools", "crash", path=(hostile,))
    assert code == 2 and "ZeroDivisionError" in err and "Traceback" not in err


def test_fetching_all_weights_warns_of_them(site: Path, capsys) -> None:
    install(site, "broken", {"isrbench.metrics": {"crashing": "crash:METRIC"}}, crash="1 / 0\n")
    code, _, err = isrbench(capsys, "fetch", "weights", "--metric", "crashing")
    assert code == 2 and "ZeroDivisionError" in err
