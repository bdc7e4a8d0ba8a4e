"""Loading bases: what a base's hash sees, and which do not load."""

import json
import os
import subprocess
import sys

import pytest
from safetensors.torch import load_file, save_file

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.base.load import TINY, build_models, load_base, random_sd21, sd21_configs, shipped
from isrbench.methods.onestep.base.targets import unet_targets, vae_targets
from isrbench.methods.onestep.checkpoint import load_adapter
from isrbench.methods.osediff.adapter import unet_group
from tests.support.onestep_base import one_thread, write_base  # noqa: F401
from tests.support.text import write_text


def test_sd21_has_the_published_sizes_and_targets():
    vae, unet = build_models(*sd21_configs())
    assert sum(p.numel() for p in unet.parameters()) == 865_910_724
    assert sum(p.numel() for p in vae.parameters()) == 83_653_863
    names = unet_targets(unet)
    groups = [unet_group(name) for name in names]
    assert (len(names), len(vae_targets(vae))) == (258, 32)
    assert [groups.count(g) for g in ("encoder", "decoder", "others")] == [94, 148, 16]
    assert not any("time_emb" in name or "norm" in name for name in names)


def test_random_sd21_is_not_built_by_accident_on_meta():
    base = random_sd21("meta")
    assert (base.factor, base.multiple, base.native_size) == (8, 64, 512)


@pytest.mark.parametrize(
    ("part", "field", "value"),
    [("vae", "scaling_factor", 0.5), ("unet", "norm_eps", 0.1), ("unet", "sample_size", 16),
     ("scheduler", "beta_end", 0.02), ("scheduler", "prediction_type", "v_prediction")],
)  # fmt: skip
def test_a_base_s_hash_sees_its_configs(tmp_path, part, field, value):
    whole = load_base(str(write_base(tmp_path))).base_hash
    file = tmp_path / part / ("scheduler_config.json" if part == "scheduler" else "config.json")
    config = json.loads(file.read_text())
    for name, default in (("_diffusers_version", "0.1"), ("resnet_time_scale_shift", "default")):
        file.write_text(json.dumps(config | {name: default}))
        assert load_base(str(tmp_path)).base_hash == whole
    file.write_text(json.dumps(config | {field: value}))
    assert load_base(str(tmp_path)).base_hash != whole


def test_what_half_precision_hides_is_the_same_base_with_other_weights(tmp_path):
    """An adapter fits a base's float32 and float16 files; the images of the two differ."""
    file = write_base(tmp_path) / "unet/diffusion_pytorch_model.safetensors"
    half = {name: tensor.half() for name, tensor in load_file(file).items()}
    save_file(half, file, {"format": "pt"})
    release = load_base(str(tmp_path))
    save_file({name: tensor.float() * (1 + 1e-4) for name, tensor in half.items()}, file, {"format": "pt"})
    whole, cast = load_base(str(tmp_path)), load_base(str(tmp_path), dtype="bf16")
    assert whole.base_hash == cast.base_hash == release.base_hash
    assert whole.weights_hash == cast.weights_hash != release.weights_hash
    save_file({name: tensor.float() for name, tensor in half.items()}, file, {"format": "pt"})
    assert load_base(str(tmp_path)).weights_hash == release.weights_hash, "equal values, whatever the file's dtype"


@pytest.mark.slow
@pytest.mark.parametrize("vector_unit", ["default", "avx2"])
def test_the_shipped_adapters_fit_on_any_processor(vector_unit):
    """An older vector unit rounds the noise schedule differently; adapters know their base by its hash.

    tests/harness/test_identity.py restores with one on the furthest, "default", in the fast run.
    """
    script = "from isrbench.methods.onestep.base.load import load_base\nprint(load_base('tiny').base_hash)"
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": vector_unit}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == load_adapter(TINY / "mor.safetensors", method="mor").base


def test_bases_that_do_not_load(tmp_path, monkeypatch):
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with pytest.raises(UserError, match="ISRBENCH_OFFLINE is set"):
        load_base("nobody/nothing")
    with pytest.raises(UserError, match="neither a folder nor a hub id"):
        load_base("nothing")
    with pytest.raises(UserError, match="is not a hub id"):
        load_base("no body/nothing")
    with pytest.raises(UserError, match="has no vae/config"):
        load_base(str(tmp_path))
    base = write_base(tmp_path / "base")
    weights, prompts = base / "unet" / "diffusion_pytorch_model.safetensors", base / "prompts.safetensors"
    for file in (prompts, weights):
        whole = file.read_bytes()
        file.write_bytes(whole[: len(whole) // 2])
        with pytest.raises(UserError, match="does not load"):
            load_base(str(base))
        file.write_bytes(whole)
    prompts.unlink()
    (base / "tokenizer").mkdir()
    (base / "text_encoder").mkdir()
    with pytest.raises(UserError, match="does not load"):
        load_base(str(base))


def test_a_file_of_a_base_that_is_none_is_called_what_it_is(tmp_path):
    """A clone without Git LFS, and pages that were saved in a file's place."""
    base = write_base(tmp_path)
    weights = base / "vae" / "diffusion_pytorch_model.safetensors"
    whole = weights.read_bytes()
    weights.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{'4' * 64}\nsize 334643276\n")
    with pytest.raises(UserError, match=r"safetensors is a Git LFS pointer, not the file of 335 MB") as caught:
        load_base(str(base))
    assert "git lfs pull" in (caught.value.fix or "")
    weights.write_bytes(whole)
    (base / "unet" / "config.json").write_text("<!doctype html><title>404</title>")
    with pytest.raises(UserError, match=r'config.json is a web page \(HTML\) titled "404", not the JSON'):
        load_base(str(base))


def test_code_beside_a_base_is_never_run_whoever_says_yes(tmp_path, monkeypatch):
    """transformers would ask at the terminal; a pipe that says y would run it."""
    base = write_text(write_base(tmp_path))
    config = json.loads((base / "tokenizer" / "tokenizer_config.json").read_text())
    config |= {"tokenizer_class": "Odd", "auto_map": {"AutoTokenizer": ["odd.Odd", None]}}
    (base / "tokenizer" / "tokenizer_config.json").write_text(json.dumps(config))
    code = "from pathlib import Path\nPath(__file__, '../../ran').resolve().touch()\nclass Odd: pass\n"
    (base / "tokenizer" / "odd.py").write_text(f"{code}Path({str(tmp_path / 'ran')!r}).touch()\n")
    monkeypatch.setattr("builtins.input", lambda *asked: "y")
    with pytest.raises(UserError, match=r"brings code of its own, which is never run"):
        load_base(str(base))
    assert not (tmp_path / "ran").exists()


def test_the_bases_that_ship_are_known_by_name_and_by_folder(tmp_path):
    (tmp_path / "link").symlink_to(TINY)
    assert shipped("tiny") == shipped(str(TINY)) == shipped(str(tmp_path / "link")) == "tiny"
    assert shipped("tiny-gen") == "tiny-gen"
    assert not shipped("sd21") and not shipped(str(tmp_path))


def test_tiny_gen_is_tiny_with_another_unet():
    tiny, gen = load_base("tiny"), load_base("tiny-gen")
    assert gen.base_hash != tiny.base_hash and gen.text.pair("", "")[0].equal(tiny.text.pair("", "")[0])
    assert all(a.equal(b) for a, b in zip(tiny.vae.parameters(), gen.vae.parameters(), strict=True))
    assert {n: p.shape for n, p in tiny.unet.named_parameters()} == {n: p.shape for n, p in gen.unet.named_parameters()}
