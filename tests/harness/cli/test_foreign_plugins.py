"""Other packages' plugins that are broken or take a name harm nobody but themselves.

That every verb works beside them is tested by ``tests/isrbench/test_packaging.py``.
"""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from isrbench.harness.engine import doctor
from tests.support.cli import MAIN, finished, finished_in_turn, isrbench
from tests.support.packages import install
from tests.support.paths import ROOT
from tests.support.plugins import MISBEHAVING, MISBEHAVING_POINTS

PLAIN = ("--estimator", "none", "--device", "cpu", "--no-report", "--metrics", "psnr", "--no-complexity")


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


@pytest.fixture
def misbehaving(site: Path, tmp_path: Path, pairs_folder: Path, capsys):
    """Run a method or a metric that misbehaves, on images a to d; (exit code, standard output, standard error)."""
    install(site, "misbehaving", MISBEHAVING_POINTS, misbehaving=MISBEHAVING)

    def eval_(*args: object) -> tuple[int, str, str]:
        places = ("--dataset", pairs_folder, "--runs-dir", tmp_path / "runs")
        return isrbench(capsys, "eval", *places, *PLAIN, *args)

    return eval_


@pytest.mark.parametrize("way", ["exit", "interrupt", "stop", "raise"])
def test_wherever_a_method_fails_it_fails_a_row_or_says_one_line(way: str, misbehaving) -> None:
    """`SystemExit(0)` once ended a run with nothing said and exit code 0."""
    said = {
        "exit": "PluginExit: its code tried to end the process, by SystemExit: 0",
        "interrupt": "PluginExit: its code tried to end the process, by KeyboardInterrupt",
        "stop": "PluginExit: its code tried to end the process, by Stop: enough",
        "raise": "ZeroDivisionError: division",
    }[way]  # fmt: skip
    lines = {
        "options": "does not take these options",
        "build": "cannot be built",
        "weights_hash": "has no weights_hash",
        "variant": "has no variant",
        "prepare": "cannot prepare its images",
    }
    for where, line in lines.items():
        code, _, err = misbehaving("--method", "misbehaving", "-o", f"where={where}", "-o", f"way={way}")
        assert code == 2 and f"error the method misbehaving {line}: {said}" in err and "Traceback" not in err, where
    ways = ("--method", "misbehaving", "-o", f"way={way}", "-o")
    code, out, _ = misbehaving(*ways, "where=input_hash")
    assert code == 1 and "0 of 4 images restored" in out and f"failed a: {said}" in out
    code, out, _ = misbehaving(*ways, "where=restore")
    assert code == 1 and "3 of 4 images restored" in out and f"failed b: {said}" in out
    code, out, _ = misbehaving(*ways, "where=cost", "--complexity")
    assert (
        code == 1 and "4 of 4 images restored" in out and "note complexity unknown, tried again by the next run" in out
    )
    assert said in out


@pytest.mark.filterwarnings("ignore:The given NumPy array is not writable")
def test_a_metric_that_leaves_or_writes_to_its_images_harms_itself_alone(misbehaving) -> None:
    alone = json.loads(misbehaving("--method", "bicubic", "--json", "--name", "alone")[1])
    code, out, _ = misbehaving("--method", "bicubic", "--metrics", "below,writes,leaves,unbuilt,unfound,psnr", "--json")
    rows = {row["metric"]: row for row in json.loads(out)["metrics"]}
    assert code == 1 and [(id, row["n"], row["failed"]) for id, row in rows.items()] == [
        ("below", 4, 0), ("writes", 0, 4), ("leaves", 0, 4), ("unbuilt", 0, 4), ("unfound", 0, 4), ("psnr", 4, 0),
    ]  # fmt: skip
    assert rows["psnr"]["mean"] == alone["metrics"][0]["mean"]
    assert rows["writes"]["message"] == "ValueError: assignment destination is read-only"
    assert "by SystemExit: 0" in rows["leaves"]["message"]
    assert rows["unbuilt"]["message"].startswith("unbuilt cannot be built: PluginExit")
    assert "the source of module no_such_module is not there" in rows["unfound"]["message"]


ENDING_SOON = "from isrbench.harness.cli import threads; threads.PATIENCE = 0.2; "


@pytest.mark.process
@pytest.mark.parametrize("way", ["say", "threads"])
def test_json_stands_alone_and_the_process_ends(way: str, tmp_path: Path, pairs_folder: Path) -> None:
    install(tmp_path / "site", "misbehaving", MISBEHAVING_POINTS, misbehaving=MISBEHAVING)
    args = ("--method", "misbehaving", "-o", "where=restore", "-o", f"way={way}", "--dataset", pairs_folder, "--json")
    code, out, err = finished(
        "eval",
        *args,
        *PLAIN,
        "--runs-dir",
        tmp_path / "runs",
        script=ENDING_SOON + MAIN,
        path=(tmp_path / "site", ROOT),
    )
    assert code == 0 and json.loads(out)["restored"] == 4, err
    if way == "say":
        for words in ("by import", "by print", "by descriptor", "by libc", "by child", "by exit handler"):
            assert words in err
    else:
        assert "2 thread(s) of a plugin still ran" in err.splitlines()[-1] and "left, left_0" in err
