"""Looking around: ``--help``, ``list``, ``describe``, ``train --help``, ``tools``."""

from __future__ import annotations

import json
import logging
import os
import re

import pytest
from rich.console import Console

from isrbench.harness.cli import terminal
from isrbench.harness.cli.terminal import amount, show_logs
from tests.support.cards import write_card
from tests.support.cli import finished, finished_in_turn, isrbench
from tests.support.images import write_pairs


@pytest.mark.process
@pytest.mark.parametrize(
    "args",
    [
        ["--help"], ["list", "methods"], ["list", "datasets"], ["list", "metrics"],
        ["describe", "method", "mor"], ["describe", "metric", "lpips"],
    ],
)  # fmt: skip
def test_looking_around_imports_no_heavy_library(args: list[str]) -> None:
    script = (
        "import sys\nfrom isrbench.harness.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "heavy = {'torch', 'numpy', 'pandas', 'PIL', 'pydantic', 'pyiqa', 'diffusers', 'scipy', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    code, _, err = finished(*args, script=script)
    assert code == 0, err


@pytest.mark.process
@pytest.mark.parametrize("method", ["mor", "osediff", "lora_moe"])
def test_training_answers_before_it_imports_torch(method: str) -> None:
    script = (
        "import sys\nfrom isrbench.harness.cli.main import main\n"
        "try:\n    main()\nexcept SystemExit as stop:\n    assert not stop.code, stop.code\n"
        "heavy = {'torch', 'diffusers', 'peft', 'accelerate'} & set(sys.modules)\nassert not heavy, heavy\n"
    )
    code, out, err = finished("train", "--method", method, "--help", script=script)
    assert code == 0 and "--preset" in out, err


@pytest.mark.process
def test_examples_in_help_are_whole_lines() -> None:
    verbs = [[], ["eval"], ["export"], ["report"], ["restore"], ["train"], ["list"], ["tools"], ["study", "routing"]]
    for verb, (_, out) in zip(verbs, finished_in_turn([[*verb, "--help"] for verb in verbs]), strict=True):
        examples = re.findall(r"`(isrbench [^`]*)`", out)
        assert examples and all("\n" not in example for example in examples), (verb, examples)


@pytest.mark.parametrize("width", [80, 120])
def test_help_fills_the_terminal_in_groups_and_cuts_nothing(width: int, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    for verb in ([], ["eval"], ["restore"], ["report"], ["train"], ["runs"], ["list"]):
        code, out, _ = isrbench(capsys, *verb, "-h")
        assert code == 0 and all(len(line) <= width for line in out.splitlines()), verb
    _, out, _ = isrbench(capsys, "-h")
    assert "..." not in out.partition("Commands:")[2]
    _, out, _ = isrbench(capsys, "eval", "--help")
    headings = [line for line in out.splitlines() if line.endswith(":") and not line.startswith(" ")]
    assert headings == ["Method:", "Images:", "Scores:", "Results:", "Work:", "Other:"]
    assert max(map(len, out.splitlines())) > 0.85 * width
    _, out, _ = isrbench(capsys, "restore", "-h")
    assert "INPUT   An image, or a folder of images.  [required]" in out


def test_ids_are_found_whatever_their_capitals_and_numbers(capsys) -> None:
    for words in (("list", "Metric"), ("list", "metrics")):
        code, out, _ = isrbench(capsys, *words)
        assert code == 0 and out.startswith("metrics\n") and "psnr" in out
    for kind, id, said in (
        ("methods", "MOR", "method mor"),
        ("dataset", "realsr", "dataset RealSR"),
        ("METRIC", "Psnr", "metric psnr"),
    ):
        code, out, _ = isrbench(capsys, "describe", kind, id)
        assert code == 0 and out.startswith(f"{said}\n")
    code, _, err = isrbench(capsys, "list", "methodz")
    assert code == 2 and "none of methods, datasets, metrics, runs" in err


def test_lists_fit_80_columns(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # no weights: every row says so
    for kind in ("methods", "datasets", "metrics"):
        monkeypatch.setattr(terminal, "_out", Console(highlight=False, emoji=False))
        _, out, _ = isrbench(capsys, "list", kind)
        long = [line for line in out.splitlines() if len(line) > 80]
        assert len(out.splitlines()) > 10 and all(line.startswith("missing weights: isrbench fetch") for line in long)
    assert [line.split()[-1] for line in out.splitlines() if line.startswith("maniqa-pipal ")] == ["missing"]
    assert ",maniqa-pipal," in out.splitlines()[-1]


def test_a_shell_completes_ids(capsys, monkeypatch) -> None:
    from isrbench.harness.cli.ids import complete_dataset, complete_method, complete_metrics

    assert complete_method("REALESRGAN-X") == ["realesrgan-x2plus", "realesrgan-x4plus", "realesrgan-x4plus-anime"]
    assert "sample" in complete_dataset("sa") and complete_metrics("psnr,@os") == ["psnr,@osediff"]
    monkeypatch.setenv("_ISRBENCH_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", "isrbench eval --method bic")
    monkeypatch.setenv("COMP_CWORD", "3")
    assert isrbench(capsys)[1].split() == ["bicubic"]


def test_verbs_of_other_names_are_not_listed_and_a_typo_is_told_once(capsys) -> None:
    out = isrbench(capsys, "--help")[1]
    verbs = {line.split()[0] for line in out.partition("Commands:")[2].splitlines() if line[2:3].strip()}
    assert {"eval", "runs", "report"} <= verbs and not {"eval-matrix", "merge"} & verbs
    assert isrbench(capsys, "evl")[2].count("Did you mean") == 1


def test_torchs_threads_wait_without_spinning_unless_told_otherwise(capsys, monkeypatch) -> None:
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    isrbench(capsys, "--version")
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"
    monkeypatch.delenv("OMP_WAIT_POLICY")
    isrbench(capsys, "--version")
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"


def test_version(capsys) -> None:
    code, out, _ = isrbench(capsys, "--version")
    assert code == 0 and re.fullmatch(r"\d+\.\d+\.\d+\S*\n", out)


def test_help_of_eval_holds_every_option(capsys) -> None:
    _, out, _ = isrbench(capsys, "eval", "--help")
    shown = set(re.findall(r"(?<![\w-])--[a-z-]+", out))
    assert shown >= {
        "--method", "--dataset", "--option", "--name", "--metrics", "--require-metrics", "--data-root",
        "--accept-license", "--accept-licence", "--limit", "--sample", "--runs-dir", "--resume", "--device", "--seed",
        "--workers", "--estimator", "--no-complexity", "--no-report", "--json",
    }  # fmt: skip


def test_describe(capsys) -> None:
    code, out, _ = isrbench(capsys, "describe", "dataset", "RealSR", "--json")
    assert code == 0 and json.loads(out)["count"] == 100
    code, out, _ = isrbench(capsys, "describe", "method", "folder", "--json")
    assert code == 0 and {option["name"] for option in json.loads(out)["options"]} >= {"images"}
    for kind in ("method", "dataset", "metric"):
        code, _, err = isrbench(capsys, "describe", kind, "nothing-of-this-name")
        assert code == 2 and err.splitlines()[1].startswith("fix ")


def test_a_hash_stands_on_one_line(tmp_path, capsys) -> None:
    """So that it can be copied into a card."""
    write_pairs(tmp_path / "mine", ["a"])
    card = write_card(tmp_path / "mine.toml", 'root = "mine"', 'citation = "@misc{a,\\n year = 2026}"')
    code, out, _ = isrbench(capsys, "describe", "dataset", card)
    assert code == 0 and re.search(r"^content_hash_here  [0-9a-f]{64}$", out, re.MULTILINE)
    assert re.search(r"^citation +@misc\{a,\n {20}year = 2026\}$", out, re.MULTILINE)


def test_training_a_method_that_cannot_be_trained(capsys) -> None:
    code, _, err = isrbench(capsys, "train", "--method", "bicubic")
    assert code == 2 and "cannot be trained" in err


def test_help_of_training(capsys) -> None:
    code, out, _ = isrbench(capsys, "train", "--help")
    assert code == 0 and "--method" in out
    code, out, _ = isrbench(capsys, "train", "--method", "mor", "--help")
    assert code == 0 and "--preset" in out
    code, _, err = isrbench(capsys, "train")
    assert code == 2 and "needs a method" in err


def test_tools(capsys) -> None:
    code, out, _ = isrbench(capsys, "tools")
    assert code == 0 and "convert" in out and "make-set" in out
    code, _, err = isrbench(capsys, "tools", "convrt")
    assert code == 2 and "did you mean 'convert'" in err and "isrbench tools --help" in err
    code, out, _ = isrbench(capsys, "tools", "convert", "--help")
    assert code == 0 and "usage: isrbench tools convert" in out


def test_training_shows_its_progress_and_noisy_libraries_stay_silent(logs_kept) -> None:
    show_logs(True)
    assert logging.getLogger("isrbench.methods.onestep.train.run").isEnabledFor(logging.INFO)
    assert not logging.getLogger("bitsandbytes.backends.cpu.ops").isEnabledFor(logging.WARNING)
    show_logs(False)
    assert not logging.getLogger("isrbench.methods.onestep.train.run").isEnabledFor(logging.INFO)


def test_amounts() -> None:
    assert [amount(n, "MACs") for n in (983_040, 4_200_000_000, 999)] == ["0.98 MMACs", "4.20 GMACs", "999 MACs"]
