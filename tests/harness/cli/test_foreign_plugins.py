"""Other packages' plugins that are broken or take a name harm nobody but themselves.

That every verb works beside them is tested by ``tests/isrbench/test_packaging.py``.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from isrbench.harness.engine import doctor
from tests.support.cli import finished_in_turn, isrbench
from tests.support.packages import install


def test_list_and_doctor_say_what_is_wrong_and_what_fixes_it(
    hostile: Path, site: Path, tmp_path: Path, monkeypatch, capsys
) -> None:
    """Whether the libraries import, which takes long, is tested by a slow test of test_packaging.py."""
    monkeypatch.syspath_prepend(str(hostile))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(doctor, "examine", partial(doctor.examine, packages={"numpy": "numpy"}))
    places = ("--runs-dir", tmp_path, "--data-root", tmp_path)
    looks = (["list", "methods", "--json"], ["list", "metrics", "--json"], ["doctor", "--json", *places])
    answers = [isrbench(capsys, *look)[:2] for look in looks]
    assert [code for code, _ in answers] == [0, 0, 0], "a stranger's plugin does not break isrbench"
    methods = {row["id"]: row for row in json.loads(answers[0][1])}
    assert methods["bicubic"]["title"] == "Bicubic"
    assert {id for id, row in methods.items() if row["title"] == "(broken)"} == {"crash", "leave", "absent"}
    assert "ZeroDivisionError" in methods["crash"]["what it is"] and "goodbye" in methods["leave"]["what it is"]
    assert methods["twin"]["title"] == "(refused)"
    assert all(target in methods["twin"]["what it is"] for target in ("crash:A", "crash:B"))
    named = [(row["id"], row["title"]) for row in json.loads(answers[1][1])]
    assert {("psnr", "PSNR"), ("psnr", "(refused)"), ("crashing", "(broken)"), ("odd", "(broken)")} <= set(named)
    findings = {f["what"]: f for f in json.loads(answers[2][1])}
    assert findings["numpy"]["ok"] and findings["metric psnr"]["ok"]
    assert findings["metric musiq"]["fix"] == "isrbench fetch weights --metric musiq"
    assert "--data-root" in findings["dataset RealSR"]["fix"]
    refused = findings["metric psnr of another package"]
    assert not refused["ok"] and "rival:METRIC" in refused["found"] and "uninstall" in refused["fix"]
    for what in ("method crash", "method leave", "method absent", "metric crashing", "metric odd"):
        assert not findings[what]["ok"] and findings[what]["fix"]
    code, said, _ = isrbench(capsys, "doctor", *places)
    assert code == 0 and "ZeroDivisionError" in said and "numpy" in said


@pytest.mark.process
def test_asking_for_one_of_them_is_the_users_mistake(hostile: Path, pairs_folder: Path) -> None:
    mistakes = {"crash": "ZeroDivisionError", "leave": "goodbye", "twin": "crash:B"}
    commands = [["eval", "--method", method, "--dataset", pairs_folder] for method in mistakes]
    commands += [["train", "--method", method] for method in mistakes]
    answers = finished_in_turn([*commands, ["tools", "crash"]], path=(hostile,))
    for (code, said), words in zip(answers, [*mistakes.values(), *mistakes.values(), "ZeroDivisionError"], strict=True):
        assert code == 2 and words in said and "Traceback" not in said


def test_fetching_all_weights_warns_of_them(site: Path, capsys) -> None:
    install(site, "broken", {"isrbench.metrics": {"crashing": "crash:METRIC"}}, crash="1 / 0\n")
    code, _, err = isrbench(capsys, "fetch", "weights", "--metric", "crashing")
    assert code == 2 and "ZeroDivisionError" in err
