"""Metrics with weights: on the same (random) weight files our value is the value of pyiqa's own call.

Random files stand in for the published ones under pyiqa's cache names, in a TORCH_HOME of the test's own.
"""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import scipy.io
import torch
import torchvision
from PIL import Image

from harness import weights
from harness.images import read_rgb, to_tensor
from harness.metric import Metric, Reference
from harness.metrics import METRICS
from harness.registry import Registry
from harness.scoring import Scorer

pyiqa = pytest.importorskip("pyiqa")


@pytest.fixture
def torch_home(tmp_path, monkeypatch):
    """A TORCH_HOME that lasts for one test; pyiqa froze the old one when it was imported."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("ISRBENCH_OFFLINE", "1")
    monkeypatch.setattr("pyiqa.utils.download_util.DEFAULT_CACHE_DIR", str(tmp_path / "hub" / "pyiqa"))
    return tmp_path


@pytest.fixture
def files(tmp_path):
    """An HR scene and two restored ones, 256x240, as PNGs."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (8, 10, 3), dtype=np.uint8))
    scene = np.asarray(coarse.resize((240, 256), Image.Resampling.BICUBIC))
    paths = []
    for name, sigma in (("hr", 0), ("sr1", 10), ("sr2", 30)):
        noisy = np.clip(scene + rng.normal(0, sigma, scene.shape), 0, 255).astype(np.uint8)
        Image.fromarray(noisy).save(tmp_path / f"{name}.png")
        paths.append(tmp_path / f"{name}.png")
    return paths


def random_state(build, scale=0.02, device="meta"):
    """A state dict of the network's names and shapes: small weights, norms near one, positive variances."""
    with torch.device(device):
        shapes = build().state_dict()
    generator = torch.Generator().manual_seed(0)

    def draw(name, tensor):
        if not tensor.is_floating_point():
            return torch.zeros(tensor.shape, dtype=tensor.dtype)
        noise = torch.empty(tensor.shape).normal_(0, scale, generator=generator)
        return 1 + noise.abs() if "running_var" in name or (tensor.ndim == 1 and name.endswith("weight")) else noise

    return {name: draw(name, tensor) for name, tensor in shapes.items()}


def put(metric, *contents):
    """Write ``contents``, in the order of the metric's weight files, where the metric looks for them."""
    for file, content in zip(METRICS.get(metric).weights, contents, strict=True):
        path = weights.location(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".mat":
            scipy.io.savemat(path, content)
        elif path.suffix == ".pt":
            as_archive(content).save(path)
        else:
            torch.save(content, path)


def as_archive(state):
    """A TorchScript module with these parameters, the form that OpenAI's files have."""

    class Holder(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x

    root = Holder()
    for name, tensor in state.items():
        module = root
        *parents, leaf = name.split(".")
        for parent in parents:
            if parent not in module._modules:
                module.add_module(parent, Holder())
            module = module._modules[parent]
        module.register_buffer(leaf, tensor)
    return torch.jit.script(root)


def agree(metric, files, registry=METRICS, rel=1e-5):
    """Check both restored images against pyiqa's own call, and that the metric tells the two apart."""
    full = METRICS.get(metric).reference is Reference.FULL
    hr, *restored = files
    reference = pyiqa.create_metric(metric, device="cpu")
    expected = []
    for path in restored:
        tensors = [to_tensor(read_rgb(p))[None] for p in ((path, hr) if full else (path,))]
        expected.append(float(reference(*tensors)))
    rows = Scorer([metric], registry=registry).score_pairs([(path, hr) for path in restored], workers=2)
    assert [row[0].status for row in rows] == ["ok", "ok"], rows
    assert [row[0].value for row in rows] == pytest.approx(expected, rel=rel)
    assert expected[0] != expected[1]


def put_lpips():
    alexnet = random_state(lambda: torchvision.models.alexnet(weights=None), scale=0.05)
    lins = {f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1) for i, c in enumerate((64, 192, 384, 256, 256))}
    put("lpips", lins, alexnet)


def test_lpips(torch_home, files):
    torch.manual_seed(0)
    put_lpips()
    agree("lpips", files)


def test_niqe(torch_home, files):
    factor = np.random.default_rng(0).normal(0, 0.1, (36, 36))
    put("niqe", {"mu_prisparam": np.full((1, 36), 0.5), "cov_prisparam": factor @ factor.T + np.eye(36)})
    agree("niqe", files)


def test_musiq(torch_home, files):
    from pyiqa.archs.musiq_arch import MUSIQ

    put("musiq", random_state(lambda: MUSIQ(pretrained=False), scale=0.1))
    agree("musiq", files)


@pytest.mark.slow
def test_dists(torch_home, files):
    channels = 3 + 64 + 128 + 256 + 512 + 512
    torch.manual_seed(0)
    mixing = {name: torch.rand(1, channels, 1, 1) for name in ("alpha", "beta")}
    put("dists", mixing, random_state(lambda: torchvision.models.vgg16(weights=None), scale=0.05))
    agree("dists", files)


@pytest.mark.slow
def test_maniqa_needs_no_weights_but_its_own(torch_home, files, monkeypatch):
    """The reference starts from another ViT, in place of timm's download: MANIQA's checkpoint replaces all of it."""
    import timm
    from pyiqa.archs import maniqa_arch

    asked = []

    def downloaded(name, pretrained=False):
        asked.append(pretrained)
        vit = create_model(name, pretrained=False)
        with torch.no_grad():
            for parameter in vit.parameters():
                parameter.normal_(0, 1)
        return vit

    create_model = timm.create_model
    monkeypatch.setattr(timm, "create_model", downloaded)
    with monkeypatch.context() as quiet:
        quiet.setattr(timm, "create_model", lambda name, pretrained: create_model(name, pretrained=False))
        put("maniqa-pipal", random_state(lambda: maniqa_arch.MANIQA(pretrained=False), device="cpu"))
    agree("maniqa-pipal", files)
    assert asked == [True, False]
    assert maniqa_arch.timm is timm


@pytest.mark.slow
def test_clipiqa(torch_home, files, monkeypatch):
    """pyiqa refuses any RN50.pt but OpenAI's by its sha256, so the test puts its own file's in that place."""
    from pyiqa.archs import clip_model

    image_side, text_side = (1024, 224, (3, 4, 6, 3), 64, None), (77, 49408, 512, 8, 12)
    put("clipiqa", random_state(lambda: clip_model.CLIP(*image_side, *text_side)))
    (file,) = METRICS.get("clipiqa").weights
    refused = Scorer(["clipiqa"]).score(files[1], None)[0]
    assert refused.status == "unavailable" and "RN50.pt" in refused.error
    sha256 = hashlib.sha256(weights.location(file).read_bytes()).hexdigest()
    monkeypatch.setitem(clip_model._MODELS, "RN50", f"https://unused.invalid/{sha256}/RN50.pt")
    registry = Registry("metric", Metric)
    registry.register("clipiqa", "harness.metrics:CLIPIQA")
    registry._loaded["clipiqa"] = replace(METRICS.get("clipiqa"), weights=(replace(file, sha256=sha256),))
    agree("clipiqa", files, registry)


@pytest.mark.slow
def test_fid_over_the_files_given_and_no_others(torch_home, files, tmp_path, monkeypatch):
    from pyiqa.archs import inception

    with monkeypatch.context() as empty:
        empty.setattr(inception, "load_pretrained_network", lambda net, url: None)
        put("fid", random_state(inception.fid_inception_v3, scale=0.04))
    hr, one, two = files
    folders = {"sr": (one, two), "hr": (hr, one)}
    for name, images in folders.items():
        (tmp_path / name).mkdir()
        for index, image in enumerate(images):
            (tmp_path / name / f"{index}.png").write_bytes(image.read_bytes())
    sides = str(tmp_path / "sr"), str(tmp_path / "hr")
    expected = float(pyiqa.create_metric("fid", device="cpu")(*sides, num_workers=0, verbose=False))
    (tmp_path / "sr" / "stray.png").write_bytes(hr.read_bytes())
    sr = [tmp_path / "sr" / "0.png", tmp_path / "sr" / "1.png"]
    score = Scorer(["fid"]).score_set("fid", sr, [tmp_path / "hr" / "0.png", tmp_path / "hr" / "1.png"])
    assert score.status == "ok", score.error
    assert score.value == pytest.approx(expected, rel=1e-4) and expected > 0
    alone = Scorer(["fid"]).score_set("fid", sr[:1], [hr])
    assert alone.status == "failed" and "at least two" in alone.error


def test_building_prints_nothing(torch_home, files, capfd):
    torch.manual_seed(0)
    put_lpips()
    assert Scorer(["lpips"]).score(files[1], files[0])[0].status == "ok"
    assert capfd.readouterr().out == ""


def test_a_damaged_file_is_named_with_the_line_that_mends_it(torch_home, files):
    put_lpips()
    weights.location(METRICS.get("lpips").weights[1]).write_bytes(b"half a file")
    (score,) = Scorer(["lpips"]).score(files[1], files[0])
    assert score.status == "unavailable"
    assert "alexnet-owt-7be5be79.pth" in score.error and "isrbench fetch weights --metric lpips" in score.error
