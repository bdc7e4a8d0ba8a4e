"""pyiqa's metrics: ours is the value of pyiqa's own call, on the same (random) weight files where it needs some."""

import os
from types import SimpleNamespace

import numpy as np
import pyiqa
import pytest
import torch
import torchvision
from PIL import Image

from isrbench.harness.api.metric import Reference
from isrbench.harness.api.records import ScoreStatus
from isrbench.harness.api.registry import metrics
from isrbench.harness.imaging.images import to_tensor
from isrbench.harness.metrics import pyiqa_bridge, weights
from isrbench.harness.metrics.pyiqa_bridge import fid, frechet_distance
from isrbench.harness.metrics.scorer import Scorer
from tests.support.images import make_scene
from tests.support.pyiqa_files import agree, put, random_state


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
    shipped = pyiqa_bridge.NIQE_PARAMETERS
    target = torch_home / "hub" / "pyiqa" / "niqe_modelparameters.mat"
    target.parent.mkdir(parents=True)
    target.write_bytes(shipped.read_bytes())
    agree("niqe", files)
    monkeypatch.setattr(pyiqa_bridge, "NIQE_PARAMETERS", torch_home / "niqe_parameters.mat")
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
    assert "alexnet-owt-7be5be79.pth is not the published file: it is a text, not" in score.failure.message
    assert score.failure.fix == "isrbench fetch weights --metric lpips"


def test_weights_that_load_but_are_not_the_published_ones_give_no_value(torch_home, files):
    put_lpips()
    assert Scorer(["lpips"]).score(files[1], files[0])[0].status is ScoreStatus.OK
    version = Scorer(["lpips"]).version("lpips")
    torch.save({f"lin{i}.model.1.weight": torch.ones(1, c, 1, 1) for i, c in enumerate((64, 192, 384, 256, 256))},
               weights.location(metrics().get("lpips").weights[0]))  # fmt: skip
    scorer = Scorer(["lpips"])
    (score,) = scorer.score(files[1], files[0])
    assert (score.status, score.value) == (ScoreStatus.UNAVAILABLE, None)
    assert "LPIPS_v0.1_alex-df73285e.pth is not the published file: its sha256 is" in score.failure.message
    assert scorer.remarks() == [f"{score.failure.message}; isrbench fetch weights --metric lpips"]
    assert version.still_holds(scorer.version("lpips")), "what the published file gave stays"


def test_pyiqa_gets_tensors_alone_where_no_whole_hash_is_known(torch_home, files):
    """It asks for more (``weights_only=False``). The head of a hash is soon forged."""

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(torch_home / "exploded"),)

    put("musiq", {"a": Bomb()})
    (file,) = metrics().get("musiq").weights
    object.__setattr__(file, "sha256", file.sha256[:8])  # until the fixture puts the real one back
    (score,) = Scorer(["musiq"]).score(files[1], None)
    assert score.status is ScoreStatus.FAILED and not (torch_home / "exploded").exists()
    assert "holds more than weights (posix.mkdir), and no hash of it is published" in score.failure.message


def test_a_damaged_file_fails_what_requires_it(torch_home, files):
    put_lpips()
    weights.location(metrics().get("lpips").weights[1]).write_bytes(b"half a file")
    assert "is not the published file" in Scorer(["lpips"]).unavailable()["lpips"].message
    assert Scorer(["lpips", "psnr"]).lacking()["lpips"].fix == "isrbench fetch weights --metric lpips"
    assert Scorer(["psnr"]).lacking() == {}


def test_the_version_follows_the_weight_files(torch_home):
    absent = Scorer(["lpips"]).version("lpips")
    put_lpips()
    first = Scorer(["lpips"]).version("lpips")
    put("lpips", {"other": torch.zeros(1)}, {"other": torch.zeros(1)})
    assert len({absent, first, Scorer(["lpips"]).version("lpips")}) == 3


def test_a_metric_that_the_installed_pyiqa_lacks_says_so(files, monkeypatch):
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    monkeypatch.delitem(DEFAULT_CONFIGS, "piqe")
    (score,) = Scorer(["piqe"]).score(files[1], files[0])
    assert score.status is ScoreStatus.FAILED
    assert score.failure.message == f"pyiqa {pyiqa.__version__} has no metric 'piqe'"
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
