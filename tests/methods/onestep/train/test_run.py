"""Whole training runs in a micro world: resume, equal splits, one frozen UNet, skipped steps, divergence."""

# ruff: noqa: F401, F811  (fixtures)
import errno
import importlib.util
import io
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import to_tensor
from isrbench.methods.onestep.base.load import load_base
from isrbench.methods.onestep.checkpoint import load_adapter
from isrbench.methods.onestep.infer.colour import wavelet
from isrbench.methods.onestep.train.config import validated
from isrbench.methods.onestep.train.curves import write_curve
from isrbench.methods.onestep.train.data import Batch
from isrbench.methods.onestep.train.draws import draw
from isrbench.methods.onestep.train.run import Run, train
from isrbench.methods.onestep.train.state import disk_errors_are_clear
from isrbench.methods.onestep.train.validate import Validator
from tests.support.training_world import (
    BALANCED,
    CPU,
    DENSE,
    MOR,
    a_batch,
    begin,
    curve_rows,
    gradients,
    light,
    poison,
    run,
    same,
    same_state,
    state,
    statistics,
    trained,
    values,
    world,
)


def test_resume_is_bit_exact(world, tmp_path):
    whole = run(world, tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "cut")
    (tmp_path / "cut/states/state-4.pt").unlink()
    (tmp_path / "cut/adapter.safetensors").unlink()
    resumed = run(world, tmp_path / "cut", resume=True)
    for part in ("adapter", "regulariser", "discriminator", "mean"):
        a, b = (getattr(x, part, None) or getattr(x.nets, part) for x in (whole, resumed))
        assert same(a.state_dict(), b.state_dict()), part
    assert curve_rows(tmp_path / "whole") == curve_rows(tmp_path / "cut")
    saved = [load_adapter(tmp_path / name / "adapter.safetensors", method="mor") for name in ("whole", "cut")]
    assert same(saved[0].state, saved[1].state)
    (tmp_path / "cut/states/state-4.pt").unlink()
    otherwise = {"save_every": 3, "keep": 1, "severity_note": 2, "data": {"workers": 1}, "optim": {"max_skipped": 1}}
    run(world, tmp_path / "cut", resume=True, **otherwise)
    whole, cut = (tmp_path / name / "adapter.safetensors" for name in ("whole", "cut"))
    assert whole.read_bytes() == cut.read_bytes(), "whatever may be otherwise in a resumed run stays out of the file"
    assert saved[0].base == load_base(str(world / "base")).base_hash
    assert saved[0].config["routed"] == 3 and saved[0].training["step"] == 4
    assert saved[0].training["colour_fix"] == "wavelet"


class Full(io.FileIO):
    """A file on a full disk."""

    def write(self, data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("where", [".state-4.pt", ".adapter.safe", "curves.csv"])
def test_a_full_disk_leaves_the_last_good_state_to_resume_from(where, world, tmp_path, monkeypatch):
    opened = Path.open

    def open_(self, mode="r", *args, **options):
        full = self.name.startswith(where) and mode in ("wb", "a") and (tmp_path / "run/states/state-2.pt").exists()
        return (
            Full(self, "w") if full and mode == "wb" else opened(Path("/dev/full") if full else self, mode, **options)
        )

    with monkeypatch.context() as patched, pytest.raises(UserError) as caught:
        patched.setattr(Path, "open", open_)
        with disk_errors_are_clear(tmp_path / "run"):
            run(world, tmp_path / "run")
    message = caught.value.message
    assert "cannot be written: No space left on device. The last good state of the training is" in message
    assert message.endswith("state-2.pt") and caught.value.fix == "make room, then the same command again with --resume"
    assert not list(tmp_path.rglob("*.part"))
    assert begin(world, tmp_path / "run", resume=True).step == 2


def test_a_disk_that_is_full_before_the_first_state_is_told_too(world, tmp_path, monkeypatch):
    def full(self):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Run, "__init__", lambda self, *args: None)
    monkeypatch.setattr(Run, "loop", full)
    argv = ["--data", str(world / "photos"), "--out", str(tmp_path)]
    for adapter, fix in ((False, "make room, then the same command again"), (True, "make room, then remove ")):
        if adapter:  # it is written before its state
            (tmp_path / "adapter.safetensors").touch()
        with pytest.raises(UserError, match="last good state of the training is none") as caught:
            train(argv, MOR)
        assert (caught.value.fix or "").startswith(fix)
    with pytest.raises(FileNotFoundError), disk_errors_are_clear(tmp_path):
        (tmp_path / "nothing").read_bytes()


def test_a_run_is_not_overwritten_or_resumed_as_another(world, tmp_path):
    run(world, tmp_path, steps=2)
    with pytest.raises(UserError, match="holds a run already"):
        begin(world, tmp_path, steps=2)
    with pytest.raises(UserError, match=r"optim\.lr was 0\.001"):
        begin(world, tmp_path, resume=True, steps=2, optim={"lr": 0.1})


def test_a_result_without_states_is_not_overwritten_and_nothing_is_loaded_first(world, tmp_path):
    (tmp_path / "adapter.safetensors").write_text("mine")
    for out, said in ((tmp_path, "holds a run already"), (tmp_path / "adapter.safetensors", "is a file")):
        with pytest.raises(UserError, match=said):
            begin(world, out, base="/no/base")
    assert [path.name for path in tmp_path.iterdir()] == ["adapter.safetensors"]


def test_a_tracker_that_is_not_installed_is_refused(world, tmp_path):
    if importlib.util.find_spec("wandb"):
        pytest.skip("wandb is installed")
    with pytest.raises(UserError, match="trackers wandb are installed"):
        run(world, tmp_path, trackers=("wandb",))


def test_what_cannot_be_resumed(world, tmp_path):
    with pytest.raises(UserError, match="no state to resume from"):
        run(world, tmp_path / "new", resume=True)
    photos = shutil.copytree(world / "photos", tmp_path / "photos")
    data = {"folders": (str(photos),)}
    run(world, tmp_path / "run", steps=2, data=data)
    moved = photos.rename(tmp_path / "moved")
    with Image.open(moved / "0.png") as image:  # converted on the way, it is the same photo
        image.save(moved / "0.bmp")
    (moved / "0.png").unlink()
    run(world, tmp_path / "run", resume=True, steps=2, data={"folders": (str(moved),)})
    (moved / "another.png").write_bytes(next(moved.glob("*.png")).read_bytes())
    with pytest.raises(UserError, match="added, removed or renamed"):
        run(world, tmp_path / "run", resume=True, steps=2, data={"folders": (str(moved),)})


def test_a_state_or_curves_that_were_damaged_are_named(world, tmp_path):
    run(world, tmp_path, steps=2)
    last, curves = tmp_path / "states/state-2.pt", tmp_path / "curves.csv"
    whole, rows = torch.load(last, weights_only=True), curves.read_bytes()
    for change in ({"step": "two"}, {"optimizers": {}}, {"tally": {"a": 1}}):
        torch.save(whole | change, last)
        with pytest.raises(UserError, match=r"state-2\.pt is damaged: ") as caught:
            run(world, tmp_path, resume=True, steps=2)
        assert caught.value.fix == "remove it; --resume then takes the one before"
    torch.save(whole, last)
    curves.write_bytes(rows + b"\xff\0")
    with pytest.raises(UserError, match=r"curves\.csv cannot be read: it is not UTF-8 text") as caught:
        run(world, tmp_path, resume=True, steps=2)
    assert "move it away" in caught.value.fix
    curves.write_bytes(rows + b'2,l2\n\n,,\n2,"l2')
    run(world, tmp_path, resume=True, steps=2)
    assert curves.read_bytes() == rows


def test_a_run_that_stopped_before_its_first_state_begins_again(world, tmp_path):
    write_curve(tmp_path / "curves.csv", 0, {"bicubic/psnr@0.5": 20.0})
    write_curve(tmp_path / "curves.csv", 1, {"l2": 1.0})
    run(world, tmp_path, steps=2)
    names = [(step, name) for step, name, _ in curve_rows(tmp_path)]
    assert len(set(names)) == len(names) and ("0", "bicubic/psnr@0.5") not in names


def test_a_run_is_not_resumed_on_other_weights_of_the_same_name(world, tmp_path):
    base = shutil.copytree(world / "base", tmp_path / "base")
    run(world, tmp_path / "run", base=str(base), steps=2)
    weights = base / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({name: 2 * tensor for name, tensor in load_file(weights).items()}, weights)
    with pytest.raises(UserError, match="base_hash was"):
        begin(world, tmp_path / "run", resume=True, base=str(base), steps=2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"adapter": {"dims": 5}}, "adapter.dims is 5"),
        ({"base": "tiny", "data": {"crop": 36}}, "data.crop is 36"),
        ({"base": "tiny", "validation": {"folders": ("photos",), "crop": 36}}, "validation.crop is 36"),
        ({"validation": {"folders": ("photos",), "crop": 32, "metrics": ("psnrr",)}}, "psnrr"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_first_step(changes, said, world, tmp_path):
    plain = values(world, tmp_path)
    for part, fields in changes.items():
        if isinstance(fields, dict):
            folders = {"folders": (str(world / "photos"),)} if "folders" in fields else {}
            fields = plain.get(part, {}) | fields | folders
        plain[part] = fields
    with pytest.raises(UserError, match=said):
        Run(validated(plain), MOR, False, statistics).loop()
    assert not (tmp_path / "states").exists()


def test_everything_learns_and_the_base_stays(world, tmp_path):
    one = begin(world, tmp_path)
    before = load_base(str(world / "base"))
    start = {part: getattr(one.nets, part).state_dict() for part in ("adapter", "regulariser", "discriminator")}
    start = {part: {k: v.clone() for k, v in of.items()} for part, of in start.items()}
    one.loop()
    for part, of in start.items():
        assert not same(of, getattr(one.nets, part).state_dict()), part
    named = {row[1] for row in curve_rows(tmp_path)[1:]}
    assert named == {"l2", "perceptual", "vsd", "gan", "balance", "generator", "discriminator", "regulariser"}
    learnt = {
        name for name, value in start["adapter"].items() if not torch.equal(value, one.nets.adapter.state_dict()[name])
    }
    assert any(name.startswith("router") for name in learnt) and any(name.startswith("vae.") for name in learnt)
    one.nets.adapter.detach()
    ours = {k.replace(".base_layer", ""): v for k, v in one.nets.base.unet.state_dict().items() if "lora_" not in k}
    assert same(ours, before.unet.state_dict()) and same(one.nets.base.vae.state_dict(), before.vae.state_dict())


def test_gradient_checkpointing_changes_no_gradient(world, tmp_path):
    """Neither of the UNet nor of the VAE, whose encoder is computed again with the adapter's branches in it."""
    kept = gradients(begin(world, tmp_path / "a"), a_batch())
    one, times = begin(world, tmp_path / "b", gradient_checkpointing=True), {}
    for name in ("vae.encoder.conv_in", "vae.encoder.mid_block", "vae.decoder.mid_block"):
        module = getattr(one.nets.base, name.partition(".")[0]).get_submodule(name.partition(".")[2])
        module.register_forward_pre_hook(lambda *_, name=name: times.update({name: times.get(name, 0) + 1}))
    again = gradients(one, a_batch())
    # The encoder sees LRs and HRs, only the LRs with gradient; its first convolution is not in a block.
    assert (times["vae.encoder.conv_in"], times["vae.encoder.mid_block"], times["vae.decoder.mid_block"]) == (2, 3, 2)
    assert kept.keys() == {"generator", "discriminator", "regulariser"}
    for name, gradient in kept.items():
        assert gradient.abs().sum() > 0
        assert torch.allclose(gradient, again[name], atol=1e-6), name


def test_the_cut_at_the_latents_gives_the_whole_gradient(world, tmp_path):
    """L2 alone: the two-stage backward against one backward through decoder, step and encoder."""
    only = {"perceptual": 0.0, "vsd": 0.0, "gan": 0.0, "balance": 0.0}
    one = begin(world, tmp_path, losses=only)
    batch = a_batch()
    cut = gradients(one, batch)["generator"]
    draws = draw(0, batch.items, one.latent, one.config.losses, torch.device("cpu"))
    image = one.nets.base.decode(one.nets.generate(batch.lr, one.nets.severity(batch.severity_window), draws.encode))
    torch.nn.functional.mse_loss(image, batch.hr * 2 - 1).backward()
    whole = torch.cat([p.grad.flatten() for p in trained(one)["generator"] if p.grad is not None])
    assert torch.allclose(cut, whole, atol=1e-6)


def test_micro_batches_add_up_to_one_large_batch(world, tmp_path):
    one = begin(world, tmp_path, **BALANCED)
    whole = a_batch()
    halves = [Batch(*(part[i : i + 1] for part in whole)) for i in range(2)]
    large, small = gradients(one, whole), gradients(one, *halves)
    for name, gradient in large.items():
        assert torch.allclose(gradient, small[name], rtol=1e-3, atol=1e-6), name


def test_divergence_stops_and_keeps_the_last_good_state(world, tmp_path):
    one = begin(world, tmp_path, steps=9, optim={"max_skipped": 2})

    def poison(optimizer, args, kwargs):
        if one.step == 2:  # the third step, after the state of the second was saved
            with torch.no_grad():
                next(iter(one.nets.adapter.parameters().values())).fill_(float("nan"))

    one.optimizers["discriminator"].register_step_post_hook(poison)
    with pytest.raises(UserError, match=r"step 6: not finite: .*; 3 such steps in a row") as caught:
        one.loop()
    assert "state-2.pt" in str(caught.value)
    assert [p.name for p in (tmp_path / "states").iterdir()] == ["state-2.pt"]
    assert all(torch.isfinite(v).all() for v in load_adapter(tmp_path / "adapter.safetensors").state.values())


def test_validation_writes_images_and_metrics(world, tmp_path):
    folder = (str(world / "photos"),)
    look = {"folders": folder, "images": 2, "crop": 32, "every": 2, "levels": (0.2, 0.8), "metrics": ("psnr", "gmsd")}
    run(world, tmp_path, validation=look, steps=2, trackers=("tensorboard",))
    named = {(row[0], row[1]) for row in curve_rows(tmp_path)[1:]}
    for level in ("0.2", "0.8"):
        wanted = {"0": ("bicubic/psnr", "bicubic/gmsd"), "2": ("validation/psnr", "validation/active_experts")}
        assert {(step, f"{name}@{level}") for step, names in wanted.items() for name in names} <= named
        assert Image.open(tmp_path / f"validation/step-000002-level-{level}.png").size == (96, 64)
    assert list(tmp_path.rglob("events.out.tfevents*"))


def test_validation_applies_the_colour_fix(world, tmp_path):
    """Restored by the untrained adapter, so by the same network; wavelet leaves the LR's low frequencies."""
    sheets = {}
    for kind in ("none", "wavelet"):
        look = {"folders": (str(world / "photos"),), "images": 1, "crop": 32, "levels": (0.2,), "metrics": ()}
        one = begin(world, tmp_path / kind, validation=look, colour_fix=kind)
        Validator(one.config, MOR, one.nets, one.checkpoint()).run(one.checkpoint(), 0)
        sheets[kind] = to_tensor(np.array(Image.open(tmp_path / kind / "validation/step-000000-level-0.2.png")))
    enlarged, restored = sheets["none"][:, :, :32], sheets["none"][:, :, 32:64]
    assert torch.equal(enlarged, sheets["wavelet"][:, :, :32])
    assert (wavelet(restored, enlarged).clamp(0, 1) - sheets["wavelet"][:, :, 32:64]).abs().max() < 2 / 255


def test_command_line(world, tmp_path):
    argv = ["--data", str(world / "photos"), "--out", str(tmp_path), "--steps", "1", f"base={world / 'base'}"]
    argv += ["data.crop=32", "global_batch=1", "device=cpu", "dtype=fp32", "optim.warmup=0"]
    assert train(argv, MOR) == 0
    assert json.loads((tmp_path / "config.json").read_text())["steps"] == 1
    with pytest.raises(UserError, match="adapter config of mor"):
        train([*argv[:3], str(tmp_path / "b"), *argv[4:], "adapter.ranks=3"], MOR)


def test_a_dense_adapter_trains_without_an_estimator(world, tmp_path):
    def none(spec, device, logit_scale):
        raise AssertionError("no estimator is needed")

    plain = values(world, tmp_path, steps=1) | {"adapter": {"alpha": 4.0}}
    one = Run(validated(plain), DENSE, False, none)
    start = one.nets.adapter.state_dict()
    one.loop()
    end = one.nets.adapter.state_dict()
    assert all(not torch.equal(start[name], end[name]) for name in start if name.endswith(".B") and "to_" not in name)
    saved = load_adapter(tmp_path / "adapter.safetensors", method="osediff")
    assert saved.config["rank"] == 2 and saved.config["alpha"] == 4.0


def test_a_step_that_is_not_finite_is_skipped(world, tmp_path, monkeypatch):
    poison(monkeypatch, 3)  # of the second step
    run(world, tmp_path / "two", steps=2, save_every=1)
    before, after = (state(tmp_path / "two", step) for step in (1, 2))
    assert same_state(before, after)
    assert (before["step"], after["step"], after["tally"]["skipped"], after["tally"]["in_a_row"]) == (1, 2, 1, 1)
    assert [row[1:] for row in curve_rows(tmp_path / "two") if row[0] == "2"] == [["skipped", "1"]]
    run(world, tmp_path / "three", steps=3, save_every=1)
    assert sorted(path.name for path in (tmp_path / "three/states").iterdir()) == ["state-1.pt", "state-3.pt"]
    third = {name: value for step, name, value in curve_rows(tmp_path / "three") if step == "3"}
    assert third["skipped"] == "1" and np.isfinite(float(third["l2"]))
    assert not same_state(after, state(tmp_path / "three", 3))
