"""pyiqa's metrics: ours is the value of pyiqa's own call, on the same (random) weight files where it needs some.

Random files stand in for the published ones under pyiqa's cache names, in a TORCH_HOME of the test's own.
"""

import hashlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyiqa
import pytest
import torch
import torchvision
from PIL import Image
from pyiqa.utils import download_util

from isrbench.harness.api.metric import Metric, Reference
from isrbench.harness.api.records import ScoreStatus
from isrbench.harness.api.registry import Registry, metrics
from isrbench.harness.determinism import one_thread
from isrbench.harness.imaging.images import read_rgb, to_tensor
from isrbench.harness.metrics import pyiqa_bridge, weights
from isrbench.harness.metrics.pyiqa_bridge import fid, frechet_distance
from isrbench.harness.metrics.scorer import Scorer
from tests.support.images import make_scene


@pytest.fixture
def torch_home(tmp_path, monkeypatch):
    """A TORCH_HOME that lasts for one test; pyiqa froze the old one when it was imported."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("ISRBENCH_OFFLINE", "1")
    monkeypatch.setattr(download_util, "DEFAULT_CACHE_DIR", str(tmp_path / "hub" / "pyiqa"))
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


def random_state(build, device="meta", seed=0):
    """A state dict of the network's names and shapes whose layers keep the size of what passes through them."""
    with torch.device(device):
        shapes = build().state_dict()
    generator = torch.Generator().manual_seed(seed)

    def draw(name, tensor):
        if not tensor.is_floating_point():
            return torch.zeros(tensor.shape, dtype=tensor.dtype)
        if tensor.ndim < 2:
            near_one = name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight"))
            return torch.empty(tensor.shape).normal_(0, 0.02, generator=generator).abs() + near_one
        spread = (1.4 / tensor[0].numel()) ** 0.5
        return torch.empty(tensor.shape).normal_(0, spread, generator=generator)

    return {name: draw(name, tensor) for name, tensor in shapes.items()}


def put(metric, *contents):
    """Write ``contents``, in the order of the metric's weight files, where the metric looks for them."""
    for file, content in zip(metrics().get(metric).weights, contents, strict=True):
        path = weights.location(file)
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.name == "RN50.pt":
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


def crop(path, side):
    """Write the top left of an image beside it."""
    cut = path.with_name(f"{path.stem}-{side}.png")
    Image.open(path).crop((0, 0, side, side)).save(cut)
    return cut


def agree(metric, files, registry=None):
    """Check both restored images against pyiqa's own call, and that the metric tells the two apart."""
    full = metrics().get(metric).reference is Reference.FULL
    hr, *restored = files
    reference = pyiqa.create_metric(metric, device="cpu")
    expected = []
    for path in restored:
        tensors = [to_tensor(read_rgb(p))[None] for p in ((path, hr) if full else (path,))]
        # One thread, as ours: a deep random network blows the order of summation up to 1e-4.
        with one_thread():
            expected.append(float(reference(*tensors)))
    rows = Scorer([metric], registry=registry).score_pairs([(path, hr) for path in restored], workers=2)
    assert [row[0].status for row in rows] == [ScoreStatus.OK, ScoreStatus.OK], rows
    assert [row[0].value for row in rows] == pytest.approx(expected, rel=1e-6)
    assert expected[0] != expected[1]


def state_of(network, **options):
    """A random state dict of one of pyiqa's networks, built as pyiqa builds it but without any weights."""
    return random_state(lambda: network(pretrained=False, **options), device="cpu")


@pytest.mark.slow
def test_topiq(torch_home, files, monkeypatch):
    """The reference starts from another ResNet, in place of timm's download: TOPIQ's checkpoint replaces all of it."""
    import timm
    from pyiqa.archs.topiq_arch import CFANet

    create_model = timm.create_model
    asked = []

    def downloaded(name, pretrained, **options):
        asked.append(pretrained)
        return create_model(name, pretrained=False, **options)

    monkeypatch.setattr(timm, "create_model", downloaded)
    for id, full in (("topiq_nr", False), ("topiq_fr", True)):
        net = state_of(CFANet, backbone_pretrain=False, use_ref=full)
        put(id, {"params": net})
        agree(id, files)
    assert asked == [False, True, False] * 2


@pytest.mark.slow
def test_tres_needs_no_weights_but_its_own(torch_home, files, monkeypatch):
    """One crop of the fifty, for both sides, to end in seconds."""
    from pyiqa.archs import tres_arch
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    monkeypatch.setitem(DEFAULT_CONFIGS["tres"]["metric_opts"], "test_sample", 1)
    resnet = torchvision.models.resnet50
    monkeypatch.setattr(torchvision.models, "resnet50", lambda weights: resnet(weights=None))
    pooling = {f"L2pooling_l{i + 1}.filter": tres_arch.L2pooling(channels=256 << i).filter for i in range(4)}
    put("tres", state_of(tres_arch.TReS) | pooling)
    agree("tres", files)
    assert tres_arch.models is torchvision.models


@pytest.mark.slow
def test_lpips_vgg(torch_home, files):
    torch.manual_seed(0)
    vgg = random_state(lambda: torchvision.models.vgg16(weights=None))
    lins = {f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1) for i, c in enumerate((64, 128, 256, 512, 512))}
    put("lpips-vgg", lins, vgg)
    agree("lpips-vgg", files)


def clip_file(clip_model, monkeypatch, torch_home):
    """Write a random ViT-B/32 where pyiqa looks for OpenAI's, and make its hash the one that pyiqa expects."""
    path = torch_home / "hub" / "clip" / "ViT-B-32.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    state = random_state(lambda: clip_model.CLIP(*pyiqa_bridge.VIT_B_32))
    as_archive(state).save(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(clip_model._MODELS, "ViT-B/32", f"https://unused.invalid/{sha256}/ViT-B-32.pt")


def put_lpips():
    alexnet = random_state(lambda: torchvision.models.alexnet(weights=None))
    lins = {f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1) for i, c in enumerate((64, 192, 384, 256, 256))}
    put("lpips", lins, alexnet)


@pytest.mark.parametrize("id", ["gmsd", "piqe", "ms_ssim", "vsi"])
def test_metrics_without_weights_are_pyiqas(id):
    scene, noisy = make_scene()
    full = metrics().get(id).reference is Reference.FULL
    reference = pyiqa.create_metric(id, device="cpu")
    expected = float(reference(*(to_tensor(image)[None] for image in ((noisy, scene) if full else (noisy,)))))
    assert metrics().get(id).make("cpu")(noisy, scene if full else None, None) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_is_its_definition():
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(0)
    one, two = rng.normal(size=(40, 5)), rng.normal(0.5, 2, size=(30, 5)) @ rng.normal(size=(5, 5))
    cov_one, cov_two = np.cov(one, rowvar=False), np.cov(two, rowvar=False)
    shift = one.mean(axis=0) - two.mean(axis=0)
    expected = shift @ shift + np.trace(cov_one + cov_two - 2 * np.real(sqrtm(cov_one @ cov_two)))
    assert frechet_distance(one, two) == pytest.approx(expected, rel=1e-9)
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-9)
    wide = rng.normal(size=(3, 500))
    assert frechet_distance(wide, wide + 1) == pytest.approx(500, rel=1e-9)


def test_lpips(torch_home, files):
    torch.manual_seed(0)
    put_lpips()
    agree("lpips", files)


def test_niqe_is_pyiqas_with_the_parameters_that_ship(torch_home, files, monkeypatch):
    shipped = Path(pyiqa_bridge.__file__).with_name("niqe_parameters.mat")
    target = torch_home / "hub" / "pyiqa" / "niqe_modelparameters.mat"
    target.parent.mkdir(parents=True)
    target.write_bytes(shipped.read_bytes())
    agree("niqe", files)
    monkeypatch.setattr(pyiqa_bridge, "__file__", str(torch_home / "elsewhere.py"))
    (score,) = Scorer(["niqe"]).score(files[1], None)
    assert score.status is ScoreStatus.FAILED and "niqe_parameters.mat is absent" in score.failure.message


def test_musiq(torch_home, files):
    from pyiqa.archs.musiq_arch import MUSIQ

    put("musiq", random_state(lambda: MUSIQ(pretrained=False)))
    agree("musiq", files)


@pytest.mark.slow
def test_dists(torch_home, files):
    channels = 3 + 64 + 128 + 256 + 512 + 512
    torch.manual_seed(0)
    mixing = {name: torch.rand(1, channels, 1, 1) for name in ("alpha", "beta")}
    put("dists", mixing, random_state(lambda: torchvision.models.vgg16(weights=None)))
    agree("dists", files)


@pytest.mark.slow
def test_maniqa_needs_no_weights_but_its_own(torch_home, files, monkeypatch):
    """The reference starts from another ViT, in place of timm's download: MANIQA's checkpoint replaces all of it.

    One crop of the twenty, for both sides, to end in seconds.
    """
    import timm
    from pyiqa.archs import maniqa_arch
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    monkeypatch.setitem(DEFAULT_CONFIGS["maniqa-pipal"]["metric_opts"], "test_sample", 1)

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
def test_clipiqa_and_clipiqa_plus(torch_home, files, monkeypatch):
    """pyiqa refuses any RN50.pt but OpenAI's by its sha256, so the test puts its own file's in that place."""
    from pyiqa.archs import clip_model

    image_side, text_side = (1024, 224, (3, 4, 6, 3), 64, None), (77, 49408, 512, 8, 12)
    put("clipiqa", random_state(lambda: clip_model.CLIP(*image_side, *text_side)))
    (file,) = metrics().get("clipiqa").weights
    refused = Scorer(["clipiqa"]).score(files[1], None)[0]
    assert refused.status is ScoreStatus.UNAVAILABLE and "RN50.pt" in refused.failure.message
    sha256 = hashlib.sha256(weights.location(file).read_bytes()).hexdigest()
    monkeypatch.setitem(clip_model._MODELS, "RN50", f"https://unused.invalid/{sha256}/RN50.pt")
    registry = Registry("metric", Metric)
    backbone = replace(file, sha256=sha256)
    prompts, _ = metrics().get("clipiqa+").weights
    torch.manual_seed(0)
    weights.location(prompts).parent.mkdir()
    torch.save(torch.randn(2, 16, 512) * 0.1, weights.location(prompts))
    for id, name, needed in (("clipiqa", "OWN", (backbone,)), ("clipiqa+", "OWN_PLUS", (prompts, backbone))):
        registry.register(id, f"{__name__}:{name}")
        monkeypatch.setitem(globals(), name, replace(metrics().get(id), weights=needed))
        agree(id, files, registry)


def textbook_frechet(mean_one, cov_one, mean_two, cov_two):
    """Heusel et al. 2017, equation 6, with the root of a symmetric matrix, which singular ones have too."""
    values, vectors = np.linalg.eigh(cov_one)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ cov_two @ root)
    shift = mean_one - mean_two
    return shift @ shift + np.trace(cov_one) + np.trace(cov_two) - 2 * np.sqrt(np.maximum(inner, 0)).sum()


@pytest.mark.slow
def test_fid_over_the_files_given_and_no_others(torch_home, tmp_path, monkeypatch):
    """pyiqa's call, but for its matrix root: that takes a minute, and on so few images its result is noise."""
    from pyiqa.archs import fid_arch, inception

    with monkeypatch.context() as empty:
        empty.setattr(inception, "load_pretrained_network", lambda net, url: None)
        put("fid", random_state(inception.fid_inception_v3))
    rng = np.random.default_rng(0)
    sides = []
    for side, top in (("sr", 256), ("hr", 128)):
        (tmp_path / side).mkdir()
        sides.append([tmp_path / side / f"{index}.png" for index in range(4)])
        for path in sides[-1]:
            Image.fromarray(rng.integers(0, top, (16, 16, 3), dtype=np.uint8)).save(path)
    monkeypatch.setattr(fid_arch, "frechet_distance", textbook_frechet)
    folders = [str(tmp_path / side) for side in ("sr", "hr")]
    expected = float(pyiqa.create_metric("fid", device="cpu")(*folders, num_workers=0, verbose=False))
    (tmp_path / "sr" / "stray.png").write_bytes(sides[1][0].read_bytes())
    score = Scorer(["fid"]).score_set("fid", *sides)
    assert score.status is ScoreStatus.OK, score.failure
    assert score.value == pytest.approx(expected, rel=1e-4) and expected > 0
    alone = Scorer(["fid"]).score_set("fid", sides[0][:1], sides[1][:1])
    assert alone.status is ScoreStatus.FAILED and "at least two" in alone.failure.message


@pytest.mark.slow
def test_liqe_needs_no_weights_but_its_own_and_no_features_of_others(torch_home, files, monkeypatch):
    """The reference starts from another CLIP. Text features that lie in pyiqa's folder are not taken."""
    from pyiqa.archs import clip_model, liqe_arch

    clip_file(clip_model, monkeypatch, torch_home)
    monkeypatch.setattr(liqe_arch, "DEFAULT_CACHE_DIR", str(torch_home / "hub" / "pyiqa"))
    (torch_home / "hub" / "pyiqa").mkdir(parents=True, exist_ok=True)
    own = random_state(lambda: clip_model.CLIP(*pyiqa_bridge.VIT_B_32), seed=1)
    put("liqe", {"params": {f"clip_model.{name}": tensor for name, tensor in own.items()}})
    agree("liqe", files)
    features = torch_home / "hub" / "pyiqa" / "liqe_text_feat.pt"
    before = Scorer(["liqe"]).score(files[1], None)[0].value
    torch.save(torch.zeros_like(torch.load(features, weights_only=False)), features)
    assert Scorer(["liqe"]).score(files[1], None)[0].value == before


@pytest.mark.slow
def test_afine_needs_no_weights_but_its_own(torch_home, files, monkeypatch):
    """The reference starts from another CLIP, which pyiqa looks for in the home folder."""
    from pyiqa.archs import afine_arch, afineclip_model

    monkeypatch.setenv("HOME", str(torch_home))
    path = torch_home / ".cache" / "clip" / "ViT-B-32.pt"
    path.parent.mkdir(parents=True)
    shape = pyiqa_bridge.VIT_B_32
    as_archive(random_state(lambda: afineclip_model.AFINECLIP(*shape))).save(path)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(afineclip_model._MODELS, "ViT-B/32", f"https://unused.invalid/{sha256}/ViT-B-32.pt")
    heads = {
        "natural": afine_arch.AFINEQhead(), "fidelity": afine_arch.AFINEDhead(),
        "fidelity_scale": afine_arch.AFINENLM_FR_Fit_with_limit(2, -2, 0.5, 0.15, 0.95, 0.05, 0.7, 0.01),
        "natural_scale": afine_arch.AFINENLM_NR_Fit(2, -2, 4.9592, 21.5968), "adapter": afine_arch.AFINELearnLambda(5),
    }  # fmt: skip
    states = {name: head.state_dict() for name, head in heads.items()}
    other = random_state(lambda: afineclip_model.AFINECLIP(*shape), seed=1)
    put("afine_all", {"finetuned_clip": other, **states})
    cut = [crop(path, 224) for path in files]
    agree("afine_all", cut)
    odd = Scorer(["afine_all"]).score(files[1], files[0])[0]
    assert odd.status is ScoreStatus.FAILED and "divisible by 32" in odd.failure.message


def test_building_prints_nothing(torch_home, files, capfd):
    torch.manual_seed(0)
    put_lpips()
    assert Scorer(["lpips"]).score(files[1], files[0])[0].status is ScoreStatus.OK
    assert capfd.readouterr().out == ""


def test_a_damaged_file_is_named_with_the_command_that_fixes_it(torch_home, files):
    put_lpips()
    weights.location(metrics().get("lpips").weights[1]).write_bytes(b"half a file")
    (score,) = Scorer(["lpips"]).score(files[1], files[0])
    assert score.status is ScoreStatus.UNAVAILABLE
    assert "alexnet-owt-7be5be79.pth" in score.failure.message
    assert score.failure.fix == "isrbench fetch weights --metric lpips"


def test_a_damaged_file_fails_what_requires_it(torch_home, files):
    put_lpips()
    weights.location(metrics().get("lpips").weights[1]).write_bytes(b"half a file")
    assert Scorer(["lpips"]).unavailable() == {}, "the file is there"
    assert Scorer(["lpips", "psnr"]).lacking()["lpips"].fix == "isrbench fetch weights --metric lpips"
    assert Scorer(["psnr"]).lacking() == {}


def test_the_version_follows_the_weight_files(torch_home):
    absent = Scorer(["lpips"]).version("lpips")
    put_lpips()
    first = Scorer(["lpips"]).version("lpips")
    weights.location(metrics().get("lpips").weights[1]).write_bytes(b"another file")
    assert len({absent, first, Scorer(["lpips"]).version("lpips")}) == 3


def test_a_metric_that_the_installed_pyiqa_lacks_says_so(files, monkeypatch):
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    monkeypatch.delitem(DEFAULT_CONFIGS, "gmsd")
    (score,) = Scorer(["gmsd"]).score(files[1], files[0])
    assert score.status is ScoreStatus.FAILED
    assert score.failure.message == f"pyiqa {pyiqa.__version__} has no metric 'gmsd'"
    assert "pip install --upgrade pyiqa" in score.failure.fix


def test_fid_computes_on_one_thread(torch_home, files, monkeypatch):
    from pyiqa.archs import fid_arch

    threads = []

    def features(folder, *args, **options):
        threads.append(torch.get_num_threads())
        return np.random.default_rng(0).normal(size=(4, 8))

    net = SimpleNamespace(test_img_size=(299, 299), model=None)
    monkeypatch.setattr(pyiqa, "create_metric", lambda *args, **options: SimpleNamespace(net=net))
    monkeypatch.setattr(fid_arch, "get_folder_features", features)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert fid("cpu")(files[1:], files[1:]) == pytest.approx(0, abs=1e-9)
        assert threads == [1, 1] and torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
