"""Severity by CLIP: the formula, the prompts, how images are shown to the model, loading, and what tiny can do."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from isrbench.harness import network
from isrbench.harness.errors import UserError
from isrbench.harness.identity import import_closure
from isrbench.harness.severity import spec as severity
from isrbench.harness.severity import train as train_severity
from isrbench.harness.severity import training_data as severity_data
from isrbench.harness.severity.clip import ClipSeverity, crops_of, pair_probability
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.harness.severity.estimator import Estimator, get_estimator
from isrbench.harness.severity.known import level_correlation
from isrbench.harness.severity.spec import read_prompts
from tests.support.paths import ROOT, SHARED

CONFIG = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 1},
}


@pytest.fixture(scope="module")
def tiny() -> Estimator:
    return get_estimator("tiny")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A randomly initialised open_clip model as a folder."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("clip")
    save_file(open_clip.CLIP(**CONFIG).state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG, "preprocess_cfg": {}}))
    return folder


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def clip_of(estimator: Estimator) -> ClipSeverity:
    network = estimator.load()
    assert isinstance(network, ClipSeverity)
    return network


def test_formula_by_hand():
    good, bad = 0.2, 0.3
    for t in (1.0, 10.0, 100.0):
        expected = math.exp(t * bad) / (math.exp(t * good) + math.exp(t * bad))
        assert float(pair_probability(torch.tensor(good), torch.tensor(bad), t)) == pytest.approx(expected, rel=1e-5)
    assert float(pair_probability(torch.tensor(1.0), torch.tensor(-1.0), 1000.0)) == 0.0


def test_estimate_is_the_formula_on_the_models_own_embeddings(local: Path):
    """By hand, through open_clip's calls alone, for an image of exactly the model's size."""
    estimator = get_estimator(str(local))
    model = open_clip.create_model(f"local-dir:{local}").eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{local}")
    image = noise(1, 3, 32, 32)
    normal = (image - torch.tensor(open_clip.OPENAI_DATASET_MEAN)[:, None, None]) / torch.tensor(
        open_clip.OPENAI_DATASET_STD
    )[:, None, None]
    with torch.no_grad():
        seen = model.encode_image(normal, normalize=True)
        scale = model.logit_scale.exp()
        expected = []
        for dimension in DIMENSIONS:
            good, bad = (seen @ model.encode_text(tokenizer([t]), normalize=True).T for t in read_prompts()[dimension])
            expected.append(float(torch.stack([good, bad]).mul(scale).softmax(0)[1]))
    s = estimator.estimate(image)
    assert s.shape == (1, 7)
    assert s[0].tolist() == pytest.approx(expected, abs=1e-5)
    literal = get_estimator(str(local), logit_scale=1.0)
    assert clip_of(literal).logit_scale == 1.0
    assert (literal.estimate(image) - 0.5).abs().max() < (s - 0.5).abs().max()


def test_text_is_embedded_once(local: Path, monkeypatch: pytest.MonkeyPatch):
    estimator = get_estimator(str(local))
    model = clip_of(estimator).model
    monkeypatch.setattr(model, "encode_text", lambda *_: pytest.fail("the texts are embedded again"))
    estimator.estimate(noise(2, 3, 40, 40))


def test_prompts_come_in_the_contracts_order(local: Path):
    prompts = read_prompts()
    assert tuple(prompts) == DIMENSIONS
    assert len({text for pair in prompts.values() for text in pair}) == 14
    swapped = {name: (bad, good) for name, (good, bad) in prompts.items()}
    model = clip_of(get_estimator(str(local))).model
    tokenizer = open_clip.SimpleTokenizer(context_length=16)
    image = noise(3, 50, 40)
    s = ClipSeverity(model, tokenizer, prompts, None).estimate(image)
    flipped = ClipSeverity(model, tokenizer, swapped, None).estimate(image)
    assert torch.allclose(flipped, 1 - s, atol=1e-5)
    with pytest.raises(ValueError, match="order"):
        ClipSeverity(model, tokenizer, dict(reversed(prompts.items())), None)


def test_wrong_prompt_files(tmp_path: Path):
    path = tmp_path / "prompts.toml"
    with pytest.raises(UserError, match=r"prompts\.toml does not exist"):
        read_prompts(path)
    good = severity.PROMPTS.read_text()
    path.write_text(good.replace("[noise]", "[haze]"))
    with pytest.raises(UserError, match="noise"):
        read_prompts(path)
    path.write_text(good + '\n[haze]\ngood = "a"\nbad = "b"\n')
    with pytest.raises(UserError, match="unknown dimensions: haze"):
        read_prompts(path)


def test_crops_show_native_pixels_and_cover():
    image = noise(3, 50, 41)
    crops = crops_of(image, 24)
    assert crops.shape == (6, 3, 24, 24)
    assert torch.equal(crops[0], image[:, :24, :24])
    assert torch.equal(crops[-1], image[:, -24:, -24:])
    assert torch.equal(crops[2], image[:, 13:37, :24])
    assert crops_of(noise(3, 24, 24), 24).shape[0] == 1
    assert crops_of(noise(3, 5000, 24), 24).shape[0] == severity.MAX_CROPS
    for height, width in ((1, 1), (1, 100), (7, 24)):
        assert crops_of(noise(3, height, width), 24).shape[1:] == (3, 24, 24)


def test_images_do_not_depend_on_their_batch(tiny: Estimator):
    images = noise(5, 3, 37, 61)
    together = tiny.estimate(images)
    assert together.dtype == torch.float32 and together.min() >= 0 and together.max() <= 1
    assert torch.equal(torch.cat([tiny.estimate(image[None]) for image in images]), together)
    assert torch.equal(tiny.estimate(images.flip(0)), together.flip(0))
    with pytest.raises(ValueError, match="B, 3, H, W"):
        tiny.estimate(images[0])


def test_the_id_needs_no_network_and_follows_files_prompts_and_temperature(
    local: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(open_clip, "create_model", lambda *a, **k: pytest.fail("the model was loaded"))
    first = Estimator(str(local)).id
    assert first == Estimator(str(local)).id != Estimator("tiny").id
    assert first != Estimator(str(local), logit_scale=1.0).id
    for name in ("open_clip_config.json", "open_clip_model.safetensors"):
        (tmp_path / name).write_bytes((local / name).read_bytes())
    assert Estimator(str(tmp_path)).id == first, "the place does not matter"
    (tmp_path / "training.json").write_text("{}")
    assert Estimator(str(tmp_path)).id == first, "nor does the record of the training"
    state = load_file(local / "open_clip_model.safetensors")
    state["visual.proj"][0, 0] += 1e-3
    save_file(state, tmp_path / "open_clip_model.safetensors")
    assert Estimator(str(tmp_path)).id != first
    tags = {Estimator(f"ViT-B-32/{tag}").id for tag in ("openai", "laion2b_e16")}
    assert len(tags) == 2


def test_a_version_covers_the_code_and_an_id_does_not():
    tiny = Estimator("tiny")
    assert tiny.version != tiny.id and len(tiny.version) == 64
    assert "isrbench.harness.severity.clip" in import_closure("isrbench.harness.severity.clip")


def test_a_process_has_one_estimator_and_computes_each_image_once(local: Path, tmp_path, monkeypatch):
    monkeypatch.chdir(local.parent)
    one = get_estimator(str(local))
    assert one is get_estimator(local.name) is not get_estimator(str(local), logit_scale=1.0)
    images = noise(3, 3, 40, 40, seed=5)
    first = one.estimate(images)
    monkeypatch.setattr(one.load(), "estimate", lambda image: pytest.fail("computed again"))
    assert torch.equal(one.estimate(images[1:]), first[1:])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nonsense", "neither 'tiny', nor a folder"),
        ("/no/such/folder", "neither 'tiny', nor a folder"),
        ("ViT-B-32", "is neither a file nor weights of ViT-B-32"),
        ("ViT-B-32/nope", "is neither a file nor weights of ViT-B-32"),
    ],
)
def test_unknown_specs(spec: str, message: str):
    with pytest.raises(UserError, match=message):
        Estimator(spec).load()


def test_weights_that_cannot_be_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(open_clip, "create_model", lambda *a, **k: pytest.fail("tried to load"))
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *a, **k: None)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(network, "network", lambda: False)
    for variable in network.OFFLINE_SWITCHES:
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(UserError, match="the network cannot be reached"):
        Estimator("ViT-L-14/openai").load()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(network, "network", lambda: pytest.fail("asked the network although offline is set"))
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set"):
        Estimator("ViT-L-14/openai").load()


def write_odd_clip(local: Path, folder: Path, **text: object) -> Path:
    """The model in ``local`` with a text part of transformers whose code lies beside it."""
    config = json.loads((local / "open_clip_config.json").read_text())
    config["model_cfg"]["text_cfg"] |= text
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    (folder / "open_clip_model.safetensors").write_bytes((local / "open_clip_model.safetensors").read_bytes())
    odd = {"model_type": "odd", "tokenizer_class": "Odd"}
    maps = {"AutoConfig": "odd.Odd", "AutoModel": "odd.Odd", "AutoTokenizer": ["odd.Odd", None]}
    for name in ("config.json", "tokenizer_config.json"):
        (folder / name).write_text(json.dumps({**odd, "auto_map": maps}))
    (folder / "odd.py").write_text(f"open({str(folder / 'ran')!r}, 'w').close()\nclass Odd: pass\n")
    return folder


@pytest.mark.parametrize("asks", [{}, {"tokenizer_kwargs": {"trust_remote_code": True}}])
@pytest.mark.parametrize("part", ["hf_tokenizer_name", "hf_model_name"])
def test_code_beside_a_model_is_never_run_whoever_says_yes(part, asks, local: Path, tmp_path: Path, monkeypatch):
    """transformers would ask at the terminal, or not at all where the model's own config says yes."""
    monkeypatch.setattr("builtins.input", lambda *asked: "y")
    folder = write_odd_clip(local, tmp_path, **{part: str(tmp_path)}, **asks)
    with pytest.raises(UserError, match=r"brings code of its own, which is never run"):
        Estimator(str(folder)).load()
    assert not (tmp_path / "ran").exists()


def test_weights_that_are_none_are_called_what_they_are(local: Path, tmp_path: Path):
    lfs = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4' * 64}\nsize 605157884\n"
    (tmp_path / "open_clip_config.json").write_text((local / "open_clip_config.json").read_text())
    (tmp_path / "open_clip_model.safetensors").write_text(lfs)
    (tmp_path / "file").mkdir()
    (tmp_path / "file" / "net.pt").write_text("<html>")
    with pytest.raises(UserError, match="is a Git LFS pointer, not the file of 605 MB"):
        Estimator(str(tmp_path)).load()
    with pytest.raises(UserError, match=r"net.pt is a web page \(HTML\), not weights"):
        Estimator(f"ViT-B-32/{tmp_path / 'file' / 'net.pt'}").load()


def test_a_cached_file_of_another_hash_is_never_read(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    cached = tmp_path / ".cache" / "clip" / "ViT-B-32.pt"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"\x80\x02}.")
    config = {"url": f"https://openaipublic.azureedge.net/clip/models/{'4' * 64}/ViT-B-32.pt"}
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda name, tag: config)
    with pytest.raises(UserError, match=r"ViT-B-32.pt is not the published file: its sha256 is another one"):
        Estimator("ViT-B-32/openai").load()


def test_broken_folders(local: Path, tmp_path: Path):
    with pytest.raises(UserError, match="does not load"):
        Estimator(str(tmp_path)).load()
    (tmp_path / "open_clip_config.json").write_text((local / "open_clip_config.json").read_text())
    with pytest.raises(UserError, match="does not load"):
        Estimator(str(tmp_path)).load()
    whole = (local / "open_clip_model.safetensors").read_bytes()
    (tmp_path / "open_clip_model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="does not load"):
        Estimator(str(tmp_path)).load()


def test_a_weight_file_of_a_known_model(tmp_path: Path):
    small = "RN50"
    path = tmp_path / "wrong.safetensors"
    save_file({"nothing": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="does not load"):
        Estimator(f"{small}/{path}").load()


def test_tiny_is_small(tiny: Estimator):
    assert sum(p.numel() for p in clip_of(tiny).model.parameters()) <= 3_000_000
    assert sum(p.stat().st_size for p in severity.TINY.iterdir()) < 6e6
    assert not any(p.requires_grad for p in clip_of(tiny).model.parameters())
    assert not clip_of(tiny).model.training


def test_training_is_seeded_and_learns():
    rng = np.random.default_rng(0)
    images = [torch.from_numpy(rng.random((3, 300, 320), dtype=np.float32)) for _ in range(2)]
    recipe = train_severity.Recipe(steps=2, windows=2, batch=4)
    crops, targets = train_severity.draw_crops(images, recipe)
    assert crops.shape == (8, 3, 24, 24) and targets.shape == (8, 7)
    known = targets[~targets.isnan()]
    assert known.min() >= 0 and known.max() <= 1
    first, second = (train_severity.train(images, recipe)[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["visual.conv1.weight"], train_severity.patch_spectrum())


def test_training_on_nothing_is_one_message_and_exit_code_2(tmp_path, caplog):
    assert train_severity.main(["--data", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    assert "no images in" in caplog.text and not (tmp_path / "out").exists()


def test_patch_embedding_starts_complete():
    filters = train_severity.patch_spectrum().reshape(108, 108)
    gram = filters @ filters.T
    assert torch.allclose(gram, torch.diag(gram.diagonal()), atol=1e-4)
    assert gram.diagonal().min() > 0.05


def test_measured_losses_are_zero_for_the_clean_crop_and_grow():
    clean = noise(3, 24, 24)
    blurred = torch.nn.functional.avg_pool2d(clean[None], 3, 1, 1)[0]
    for measure in (severity_data.edge_loss, severity_data.detail_loss):
        assert measure(clean, clean) == pytest.approx(0, abs=1e-5)
        assert 0.1 < measure(blurred, clean) <= 1
    assert math.isnan(severity_data.detail_loss(clean, torch.full((3, 24, 24), 0.5)))


def test_noise_is_measured_by_a_twin_without_it():
    hr = noise(3, 64, 64) * 0.4 + 0.3
    measured = {0.1: [], 0.9: []}
    for level, values in measured.items():
        for seed in range(12):
            lr, known = severity_data.degrade_twice(hr, level, 4, np.random.default_rng(seed))
            assert lr.shape == (3, 16, 16) and known["quality"] == level
            values += [known["noise"]] if "noise" in known else []
    low, high = (sum(values) / len(values) for values in measured.values())
    assert 0 <= low < 0.45 and low + 0.2 < high <= 1


@pytest.mark.skipif(not (SHARED / "data/BSDS500/test").is_dir(), reason="../shared/data/BSDS500 is absent")
@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_severity_follows_the_synthetic_level(every: int, tiny: Estimator, tmp_path: Path):
    """On photos of the test split, which was not trained on: all 200 (slow), and every fourth: 0.78."""
    for path in sorted((SHARED / "data/BSDS500/test").glob("*.jpg"))[::every]:
        (tmp_path / path.name).symlink_to(path)
    images = severity_data.read_images([tmp_path])
    assert len(images) == 200 // every
    assert level_correlation(tiny, images, seed=1) >= (0.8 if every == 1 else 0.75)


@pytest.mark.skipif(not (SHARED / "data/RealSR/test_LR").is_dir(), reason="../shared/data/RealSR is absent")
@pytest.mark.parametrize("every", [4, pytest.param(1, marks=pytest.mark.slow)])
def test_real_lr_is_worse_than_downsampled_hr(every: int, tiny: Estimator):
    """Real photos, no part of any training: all 100 (slow), and every fourth."""

    def severity(image: Image.Image) -> float:
        pixels = torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)[None].float() / 255
        return float(tiny.estimate(pixels).mean())

    wins = []
    for path in sorted((SHARED / "data/RealSR/test_LR").glob("*.png"))[::every]:
        with Image.open(path) as lr, Image.open(SHARED / "data/RealSR/test_HR" / path.name) as hr:
            wins.append(severity(lr) > severity(hr.resize(lr.size, Image.Resampling.BICUBIC)))
    assert len(wins) == 100 // every
    assert sum(wins) >= 0.9 * len(wins)


def test_sample_set_rises_with_its_levels(tiny: Estimator):
    folder = ROOT / "datasets/sample/LR"
    means = []
    for level in ("mild", "medium", "severe"):
        images = [np.array(Image.open(p)) for p in sorted(folder.glob(f"*_{level}.png"))]
        batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
        means.append(float(tiny.estimate(batch).mean()))
    assert means[0] + 0.03 < means[1] and means[1] + 0.03 < means[2], means
