"""``isrbench push`` against a stand-in for the hub's HTTP API, and back by the hub's own client."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import save_file

import isrbench as api
from tests.support.cli import isrbench
from tests.support.hub_writes import Received, taking
from tests.support.images import write_pairs

TOKEN = "hf_test"
HEADER = {"format": "isrbench.onestep-adapter/2", "method": "mor", "base": "abc", "config": '{"rank": 4}'}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import huggingface_hub.constants as constants

    with taking(tmp_path / "hub", TOKEN) as received:
        for switch in ("HF_HUB_OFFLINE", "ISRBENCH_OFFLINE"):
            monkeypatch.delenv(switch)
        monkeypatch.setenv("HF_ENDPOINT", received.address)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        yield received


def adapter(folder: Path, header: dict[str, str] = HEADER) -> Path:
    save_file({"a": np.ones(3, np.float32)}, folder / "adapter.safetensors", metadata=header)
    return folder / "adapter.safetensors"


def kept(tmp_path: Path, *names: str) -> Path:
    return tmp_path.joinpath("hub", *names)


def test_an_adapter_goes_and_comes_back_byte_for_byte(hub: Received, tmp_path, capsys):
    from huggingface_hub import hf_hub_download

    file = adapter(tmp_path)
    code, out, err = isrbench(capsys, "push", "adapter", "me/mor-x4", file, "--yes")
    assert code == 0 and f"pushed    {hub.address}/me/mor-x4" in out, err
    assert hub.created["models/me/mor-x4"]["private"] is True, "unless --public is said"
    assert hub.commits == [("models/me/mor-x4", ["README.md", "adapter.safetensors"])]
    back = hf_hub_download("me/mor-x4", "adapter.safetensors", endpoint=hub.address, cache_dir=tmp_path / "cache")
    assert Path(back).read_bytes() == file.read_bytes()
    card = kept(tmp_path, "models/me/mor-x4/README.md").read_text()
    assert (
        "isrbench eval --method mor -o adapter=me/mor-x4 --dataset sample" in card
        and '| config | `{"rank": 4}` |' in card
    )
    kept(tmp_path, "models/me/mor-x4/README.md").write_text("mine")
    code, out, _ = isrbench(capsys, "push", "adapter", "me/mor-x4", file, "--yes")
    assert code == 0 and "its card stays as it is there" in out
    assert kept(tmp_path, "models/me/mor-x4/README.md").read_text() == "mine"


def test_results_and_report_of_real_runs(hub: Received, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pairs = write_pairs(tmp_path / "set", ["a", "b"])
    for method in ("bicubic", "lanczos"):
        api.evaluate(method, pairs, metrics=["psnr"], estimator="none", complexity=False, runs_dir="runs")
    code, out, err = isrbench(capsys, "push", "results", "me/results", "--yes", "--public")
    assert code == 0 and "everybody can see it" in out, err
    folder = kept(tmp_path, "datasets/me/results")
    assert hub.created["datasets/me/results"]["private"] is False
    scores = pd.read_parquet(io.BytesIO((folder / "scores.parquet").read_bytes()))
    assert len(scores) == 4 and set(scores["metric"]) == {"psnr"}
    images = (folder / "images.parquet").read_bytes()
    assert str(tmp_path).encode() not in images and not {"lr_path", "output_path"} & set(
        pd.read_parquet(io.BytesIO(images))
    )
    manifests = sorted(path.stem for path in (folder / "manifests").iterdir())
    assert manifests == sorted(run.run for run in api.load_runs("runs"))
    card = (folder / "README.md").read_text()
    assert json.loads(card.split("configs: ")[1].splitlines()[0])[0]["config_name"] == "scores" and "| Bicubic" in card

    page = api.compare(api.load_runs("runs")).to_html("runs/report")
    (page.parent / "private.txt").write_text("mine")
    (page.parent / "tables" / "set.txt").write_text("changed since")
    code, out, err = isrbench(capsys, "push", "report", "me/page", "--yes")
    assert code == 2 and "holds no whole report" in err
    api.compare(api.load_runs("runs")).to_html("runs/report", overwrite=True)
    code, out, err = isrbench(capsys, "push", "report", "me/page", "--yes")
    assert code == 0 and f"{hub.address}/spaces/me/page" in out, err
    space = kept(tmp_path, "spaces/me/page")
    assert hub.created["spaces/me/page"]["sdk"] == "static"
    assert (space / "index.html").read_bytes() == page.read_bytes() and not (space / "private.txt").exists()
    assert "app_file: index.html" in (space / "README.md").read_text()


def test_what_is_wrong_is_one_line_and_nothing_goes(hub: Received, tmp_path, capsys, monkeypatch):
    file = adapter(tmp_path)

    def said(*args: object) -> str:
        code, _, err = isrbench(capsys, "push", *args)
        assert code == 2 and len(err.splitlines()) == 2, err
        return err

    assert "no terminal to ask at" in said("adapter", "me/x", file)
    assert "me/x/y was not pushed" in said("adapter", "me/x/y", file, "--yes")
    assert "no adapter of isrbench" in said("adapter", "me/x", adapter(tmp_path, {"format": "pt"}), "--yes")
    assert "does not exist" in said("adapter", "me/x", tmp_path / "none.safetensors", "--yes")
    assert "there are no runs in" in said("results", "me/x", "--runs-dir", tmp_path / "none", "--yes")
    assert "holds no whole report" in said("report", "me/x", tmp_path, "--yes")
    file = adapter(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    assert "me/x was not pushed" in said("adapter", "me/x", file, "--yes")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "nothing was pushed: HF_HUB_OFFLINE is set" in said("adapter", "me/x", file, "--yes")
    assert hub.commits == [] and hub.created == {}
