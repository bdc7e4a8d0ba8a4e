"""Where weight files lie, that a missing one never hangs a run, and that a fetched one is whole."""

import hashlib
import http.server
import os
import pickle
import re
import threading
import time
from dataclasses import replace
from functools import partial

import pytest

from isrbench.harness import network
from isrbench.harness.api.metric import Metric, WeightFile
from isrbench.harness.api.records import ScoreStatus
from isrbench.harness.api.registry import Registry, metrics
from isrbench.harness.metrics import weights
from isrbench.harness.metrics.builtin import CLIPIQA, LPIPS, MUSIQ, PSNR
from isrbench.harness.metrics.scorer import Scorer
from isrbench.harness.metrics.weights import WeightsUnavailable

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4" * 64 + b"\nsize 66956000\n"


@pytest.fixture(autouse=True)
def own_home(tmp_path, monkeypatch):
    """Weights below tmp_path, the network neither forbidden nor known."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for switch in (*network.OFFLINE_SWITCHES, "HF_ENDPOINT"):
        monkeypatch.delenv(switch, raising=False)
    network.network.cache_clear()
    yield
    network.network.cache_clear()


@pytest.fixture
def server(tmp_path):
    """A web server over ``tmp_path/www`` that notes what was asked of it; yields (folder, address, requests)."""
    folder = tmp_path / "www"
    folder.mkdir()
    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *args):
            requests.append(f"{self.command} {self.path}")

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield folder, f"http://127.0.0.1:{running.server_port}", requests
    running.shutdown()
    running.server_close()


@pytest.fixture
def silent_server():
    """An address that accepts connections and never answers."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def metric_at(address, content=b"weights" * 1000, sha256=None):
    file = WeightFile("pyiqa/net.pth", f"{address}/net.pth", sha256 or hashlib.sha256(content).hexdigest())
    return replace(PSNR, id="net", weights=(file,))


@pytest.mark.parametrize("variables", [{}, {"TORCH_HOME": "/somewhere/torch"}, {"XDG_CACHE_HOME": "/else"}])
def test_the_hub_folder_is_torchs(variables, monkeypatch):
    import torch

    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert str(weights.hub_dir()) == torch.hub.get_dir()


def test_our_names_and_addresses_are_those_that_pyiqa_reads():
    from pyiqa.archs import (
        afine_arch,
        clip_model,
        clipiqa_arch,
        dists_arch,
        inception,
        liqe_arch,
        lpips_arch,
        maniqa_arch,
        musiq_arch,
        topiq_arch,
        tres_arch,
    )  # fmt: skip
    from torchvision.models import AlexNet_Weights, VGG16_Weights

    topiq = topiq_arch.default_model_urls

    expected = {
        "lpips": [lpips_arch.default_model_urls["0.1_alex"], AlexNet_Weights.IMAGENET1K_V1.url],
        "dists": [dists_arch.default_model_urls["url"], VGG16_Weights.IMAGENET1K_V1.url],
        "musiq": [musiq_arch.default_model_urls["koniq10k"]],
        "maniqa-pipal": [maniqa_arch.default_model_urls["pipal"]],
        "clipiqa": [clip_model._MODELS["RN50"]],
        "fid": [inception.FID_WEIGHTS_URL],
        "maniqa": ["https://github.com/IIGROUP/MANIQA/releases/download/Koniq10k/ckpt_koniq10k.pt"],
        "topiq_nr": [topiq["cfanet_nr_koniq_res50"]],
        "topiq_fr": [topiq["cfanet_fr_kadid_res50"]],
        "tres": [tres_arch.default_model_urls["koniq"]],
        "clipiqa+": [clipiqa_arch.default_model_urls["clipiqa+"], clip_model._MODELS["RN50"]],
        "liqe": [liqe_arch.default_model_urls["koniq"]],
        "lpips-vgg": [lpips_arch.default_model_urls["0.1_vgg"], VGG16_Weights.IMAGENET1K_V1.url],
        "afine_all": [afine_arch.default_model_urls["afine"]],
    }
    assert maniqa_arch.default_model_urls["koniq"].endswith("/ckpt_koniq10k.pt"), "the name that pyiqa reads"
    for id in metrics():
        metric = metrics().get(id)
        assert [f.url for f in metric.weights] == expected.get(id, []), id
        assert all(f.path.rpartition("/")[2] == f.url.rpartition("/")[2] for f in metric.weights)


def test_missing_says_which_files_are_absent():
    first, second = LPIPS.weights
    assert weights.missing(LPIPS) == [first, second]
    weights.location(first).parent.mkdir(parents=True)
    weights.location(first).write_bytes(b"anything")
    assert weights.missing(LPIPS) == [second]
    assert weights.other_content(LPIPS.weights) == [first]
    assert weights.missing(PSNR) == []


@pytest.mark.parametrize("id", [id for id in metrics() if any(f.sha256 for f in metrics().get(id).weights)])
def test_a_file_of_another_hash_is_never_read(id):
    """For every metric of ours: an empty file, a Git LFS pointer, a page, a pickle; each is named as what it is."""
    metric = metrics().get(id)
    file = next(f for f in metric.weights if f.sha256)
    path = weights.location(file)
    path.parent.mkdir(parents=True)
    contents = {b"": "it is empty: 0 bytes", LFS: "it is a Git LFS pointer", b"<html>": "it is a web page"}
    for content, said in {**contents, pickle.dumps({"a": 1}): "its sha256 is "}.items():
        path.write_bytes(content)
        with pytest.raises(WeightsUnavailable) as caught:
            weights.ensure(metric)
        assert f"{path} is not the published file: {said}" in caught.value.message
        assert caught.value.fix == f"isrbench fetch weights --metric {id}" and path.read_bytes() == content


def test_the_whole_hash_counts_and_not_its_head():
    whole = hashlib.sha256(b"weights").hexdigest()
    file = WeightFile("pyiqa/net.pth", "https://unused.invalid/net.pth", whole[:8] + "0" * 56)
    weights.location(file).parent.mkdir(parents=True)
    weights.location(file).write_bytes(b"weights")
    assert weights.other_content([file]) == [file] and not weights.unproven([file])
    head = replace(file, sha256=whole[:8])
    assert 'it is a text, not weights: "weights"' in (weights.not_published([head]) or ""), "whatever its hash"
    weights.location(file).write_bytes(b"\x80\x02}.")
    head = replace(file, sha256=hashlib.sha256(b"\x80\x02}.").hexdigest()[:8])
    assert not weights.other_content([head]) and weights.unproven([head]) == [head]
    assert weights.unproven([replace(file, sha256=None)])


def test_a_file_that_cannot_be_read_is_one_message(monkeypatch):
    def refused(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(weights, "file_hash", refused)
    path = weights.location(MUSIQ.weights[0])
    path.parent.mkdir(parents=True)
    path.write_bytes(b"x")
    with pytest.raises(WeightsUnavailable, match=r"musiq: \S+ cannot be read"):
        weights.ensure(MUSIQ)
    assert Scorer(["musiq"]).version("musiq").weights == "absent"


def test_every_hash_that_was_found_is_whole_and_fits_the_files_name():
    files = {file.path: file for id in metrics() for file in metrics().get(id).weights}
    without = {"MANIQA_PIPAL-ae6d356b.pth", "cfanet_fr_kadid_res50-2c4cc61d.pth", "tres_koniq-f0502926.pth",
               "CLIP-IQA%2B_learned_prompts-603f3273.pth", "liqe_koniq.pt", "afine.pth"}  # fmt: skip
    assert {path.rpartition("/")[2] for path, file in files.items() if not file.proof} == without
    for path, file in files.items():
        head = re.search(r"-([0-9a-f]{8})\.", path)
        assert head is None or file.sha256.startswith(head[1]), path


def test_a_pickle_whose_hash_proves_nothing_is_read_as_data(tmp_path, monkeypatch):
    """A metric whose library asks for more (``weights_only=False``), and one whose file has a whole hash."""
    import torch

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    file = WeightFile("pyiqa/net.pt", "https://unused.invalid/net.pt")
    path = weights.location(file)
    path.parent.mkdir(parents=True)
    torch.save({"a": Bomb()}, path)

    def build(device):
        torch.load(path, weights_only=False)
        return lambda restored, hr, lr: 0.0

    monkeypatch.setitem(globals(), "OWN", replace(PSNR, id="own", build=build, weights=(file,)))
    registry = Registry("metric", Metric)
    registry.register("own", f"{__name__}:OWN")
    failure = Scorer(["own"], registry=registry).lacking()["own"]
    assert not (tmp_path / "exploded").exists()
    assert failure.message.startswith(f"own cannot be built: {path} holds more than weights (posix.mkdir), and no hash")
    assert failure.fix == "isrbench fetch weights --metric own"
    assert os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] == "1" and "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ
    with weights.read_as_data([replace(file, sha256="0" * 64)]):
        assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ


@pytest.mark.parametrize("switch", network.OFFLINE_SWITCHES)
def test_offline_tries_nothing(switch, monkeypatch, server):
    _, address, requests = server
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setenv(switch, "1")
    with pytest.raises(WeightsUnavailable, match=f"{switch} is set") as caught:
        weights.ensure(MUSIQ)
    assert "isrbench fetch weights --metric musiq" in str(caught.value)
    with pytest.raises(WeightsUnavailable, match=switch):
        weights.fetch(MUSIQ)
    assert requests == []


def test_a_dead_network_is_tried_once_and_quickly(monkeypatch, silent_server):
    monkeypatch.setenv("HF_ENDPOINT", silent_server)
    monkeypatch.setattr(network, "PROBE_SECONDS", 0.3)
    asked = []
    monkeypatch.setattr("urllib.request.urlopen", lambda *a, **k: asked.append(a) or time.sleep(60))
    start = time.monotonic()
    for metric in (MUSIQ, LPIPS, CLIPIQA, MUSIQ):
        with pytest.raises(WeightsUnavailable, match=f"isrbench fetch weights --metric {metric.id}"):
            weights.ensure(metric)
    assert time.monotonic() - start < 5
    assert len(asked) == 1


def test_an_unavailable_metric_is_a_row_and_the_others_go_on(tmp_path, monkeypatch):
    import numpy as np
    from PIL import Image

    monkeypatch.setenv("ISRBENCH_OFFLINE", "1")
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(tmp_path / "x.png")
    scorer = Scorer(["musiq", "psnr"])
    musiq, psnr = scorer.score(tmp_path / "x.png", tmp_path / "x.png")
    assert (musiq.status, musiq.value) == (ScoreStatus.UNAVAILABLE, None)
    assert musiq.failure is not None and "musiq_koniq_ckpt-e95806b9.pth" in musiq.failure.message
    assert "isrbench fetch weights --metric musiq" in musiq.failure.fix
    assert psnr.status is ScoreStatus.OK
    assert list(scorer.unavailable()) == ["musiq"]


def test_ensure_fetches_what_is_absent(server, monkeypatch):
    folder, address, requests = server
    monkeypatch.setenv("HF_ENDPOINT", address)
    (folder / "net.pth").write_bytes(b"weights" * 1000)
    metric = metric_at(address)
    weights.ensure(metric)
    weights.ensure(metric)
    assert weights.location(metric.weights[0]).read_bytes() == b"weights" * 1000
    assert [r for r in requests if r.startswith("GET")] == ["GET /net.pth"]


def test_fetch_replaces_a_damaged_file_and_leaves_a_whole_one(server):
    folder, address, requests = server
    (folder / "net.pth").write_bytes(b"weights" * 1000)
    metric = metric_at(address)
    path = weights.location(metric.weights[0])
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")
    assert weights.fetch(metric) == [path]
    assert path.read_bytes() == b"weights" * 1000
    assert weights.fetch(metric) == []
    assert len(requests) == 1


def test_a_download_with_another_hash_is_thrown_away(server):
    folder, address, _ = server
    metric = metric_at(address, sha256="0" * 8)
    for content, said in ((b"\x80something else", "has sha256"), (b"<html>Sorry", "gave a web page"), (b"", "0 bytes")):
        (folder / "net.pth").write_bytes(content)
        with pytest.raises(WeightsUnavailable, match=said):
            weights.fetch(metric)
    assert list(weights.location(metric.weights[0]).parent.iterdir()) == []


def test_a_mirror_takes_the_hubs_place(server, monkeypatch):
    _, address, requests = server
    monkeypatch.setenv("HF_ENDPOINT", address + "/")
    with pytest.raises(WeightsUnavailable, match="404"):
        weights.fetch(MUSIQ)
    assert requests[0].startswith("GET /chaofengc/IQA-PyTorch-Weights/resolve/main/musiq_koniq_ckpt-e95806b9.pth")


def test_an_endpoint_that_is_no_address_is_one_message(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "mirror")
    with pytest.raises(WeightsUnavailable, match="could not be fetched: unknown url type"):
        weights.fetch(MUSIQ)


def test_a_download_that_stalls_ends(monkeypatch, silent_server):
    monkeypatch.setattr(network, "STALL_SECONDS", 0.3)
    with pytest.raises(WeightsUnavailable, match=r"could not be fetched: no answer within 0\.3 s"):
        weights.fetch(metric_at(silent_server))


@pytest.fixture
def wheel(tmp_path, monkeypatch):
    """An installed package that holds a weight file, and a metric that needs it and one more; yields (file, metric)."""
    held = tmp_path / "site" / "headed" / "weights" / "head.pth"
    held.parent.mkdir(parents=True)
    (tmp_path / "site" / "headed" / "__init__.py").write_text("raise ImportError('nobody imports it')")
    held.write_bytes(b"a head")
    monkeypatch.syspath_prepend(tmp_path / "site")
    head = WeightFile("pyiqa/head.pth", "https://unused.invalid/head.pth", hashlib.sha256(b"a head").hexdigest(),
                      packaged="headed/weights/head.pth")  # fmt: skip
    monkeypatch.setenv("ISRBENCH_OFFLINE", "1")
    return held, replace(PSNR, id="net", weights=(head,))


def test_what_an_installed_package_holds_is_copied_and_not_fetched(wheel):
    held, metric = wheel
    weights.ensure(metric, download=False)
    assert weights.location(metric.weights[0]).read_bytes() == held.read_bytes()
    weights.location(metric.weights[0]).write_bytes(b"half a")
    assert weights.fetch(metric) == [weights.location(metric.weights[0])]
    assert weights.other_content(metric.weights) == []


def test_another_file_in_the_package_is_not_taken(wheel):
    held, metric = wheel
    held.write_bytes(b"another head")
    with pytest.raises(WeightsUnavailable, match="ISRBENCH_OFFLINE"):
        weights.ensure(metric)
    assert not weights.location(metric.weights[0]).exists()


def test_the_heads_in_wheels_are_those_of_lpips_and_dists():
    held = {file.packaged for id in metrics() for file in metrics().get(id).weights if file.packaged}
    assert held == {"lpips/weights/v0.1/alex.pth", "lpips/weights/v0.1/vgg.pth", "DISTS_pytorch/weights.pt"}


def test_nothing_is_downloaded_for_metrics_that_nobody_named(server, monkeypatch):
    folder, address, requests = server
    monkeypatch.setenv("HF_ENDPOINT", address)
    (folder / "net.pth").write_bytes(b"weights" * 1000)
    with pytest.raises(WeightsUnavailable, match="net needs") as caught:
        weights.ensure(metric_at(address), download=False)
    assert caught.value.fix == "isrbench fetch weights --metric net" and requests == []
