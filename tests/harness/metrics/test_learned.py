"""Networks with weights of their own: ours is the value of pyiqa's own call on the same (random) weight files."""

import hashlib

import pytest
import torch
import torchvision

from isrbench.harness.api.records import ScoreStatus
from isrbench.harness.api.registry import metrics
from isrbench.harness.metrics import pyiqa_bridge
from isrbench.harness.metrics.scorer import Scorer
from tests.support.pyiqa_files import agree, as_archive, crop, put, random_state, state_of


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


@pytest.mark.slow
def test_clipiqa_and_clipiqa_plus(torch_home, files, monkeypatch):
    """pyiqa refuses any RN50.pt but OpenAI's by its sha256, so the test puts its own file's in that place."""
    from pyiqa.archs import clip_model

    image_side, text_side = (1024, 224, (3, 4, 6, 3), 64, None), (77, 49408, 512, 8, 12)
    clip = random_state(lambda: clip_model.CLIP(*image_side, *text_side))
    put("clipiqa", clip)
    (file,) = metrics().get("clipiqa").weights
    monkeypatch.setitem(clip_model._MODELS, "RN50", f"https://unused.invalid/{file.sha256}/RN50.pt")
    agree("clipiqa", files)
    torch.manual_seed(0)
    put("clipiqa+", torch.randn(2, 16, 512) * 0.1, clip)
    monkeypatch.setitem(clip_model._MODELS, "RN50", f"https://unused.invalid/{file.sha256}/RN50.pt")
    agree("clipiqa+", files)


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
    assert odd.status is ScoreStatus.FAILED and not odd.failure.traceback
    assert odd.failure.message.startswith("afine_all cannot be computed of an image of 240x256: ")
    assert "divisible by 32" in odd.failure.message
