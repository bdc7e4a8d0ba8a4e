"""The stages that made the tiny base, run for a few steps on photos of noise: they chain, resume, and load."""

import csv
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from PIL import Image
from torch._dynamo.utils import counters

from isrbench.methods.onestep.base.load import load_base
from isrbench.methods.onestep.base.tiny import new_unet, new_vae, tiny_base
from isrbench.methods.onestep.pretrain import data, loop
from isrbench.methods.onestep.pretrain.__main__ import main
from isrbench.methods.onestep.pretrain.data import SIDE, Pairs, cut_windows, middle
from isrbench.methods.onestep.pretrain.decoder import Critic
from isrbench.methods.onestep.pretrain.unet import decode_window, mean_psnr
from tests.support.onestep_base import one_thread  # noqa: F401

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(autouse=True, scope="module")
def few_crops():
    """Three crops of a photo in place of thirty; encoding is most of what a short stage does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "DRAWS", 3)
        yield


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for n in range(2):
        Image.fromarray(rng.integers(0, 256, (170, 180, 3), dtype=np.uint8)).save(folder / f"{n}.png")
    return folder


@pytest.fixture(scope="module")
def run(photos):
    """Runs one stage in a folder."""

    def run(out, stage, *options, steps=1):
        common = ["--data", str(photos), "--out", str(out), "--steps", str(steps), "--threads", "1", "--batch", "4"]
        window = [] if stage == "vae" else ["--window", "16"]
        assert main([stage, *common, *window, *options]) == 0

    return run


@pytest.fixture(scope="module")
def encoded(run, tmp_path_factory):
    """A folder after both autoencoder stages and one step of the UNet, pairs included; copy it, change nothing."""
    out = tmp_path_factory.mktemp("encoded") / "out"
    run(out, "vae", "--channels", "8")
    run(out, "vae")
    run(out, "unet")
    return out


def copy_of(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def weights(out, model):
    return getattr(load_base(str(out / "base")), model).state_dict()


def state(out, stage):
    return torch.load(out / f"{stage}.state", weights_only=True)


def alike(a, b):
    """Nested dicts and lists of tensors and numbers, to the last bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(alike(a[key], b[key]) for key in a)
    return len(a) == len(b) and all(map(alike, a, b)) if isinstance(a, (list, tuple)) else a == b


def test_the_decoder_stage_trains_the_decoder_alone_and_the_base_loads(encoded, run, tmp_path):
    out = copy_of(encoded, tmp_path)
    before, unet = weights(out, "vae"), weights(out, "unet")
    run(out, "decoder")
    after = weights(out, "vae")
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"decoder", "post_quant_conv"}
    assert alike(dict(unet), dict(weights(out, "unet")))


def test_what_is_saved_lies_between_the_decoder_before_and_the_trained_one(encoded, run, tmp_path):
    found = []
    for texture in ("0", "0.25", "1"):
        out = copy_of(encoded, tmp_path / texture)
        run(out, "decoder", "--texture", texture)
        found.append(AutoencoderKL.from_pretrained(out / "vae-textured").state_dict())
    plain, mixed, trained = found
    before = AutoencoderKL.from_pretrained(encoded / "vae").state_dict()
    assert alike(before, plain) and not alike(plain, trained)
    for name, value in mixed.items():
        assert torch.allclose(value, plain[name].lerp(trained[name], 0.25), atol=1e-6)


def test_windows_may_be_whole_crops(encoded, run, tmp_path):
    out = copy_of(encoded, tmp_path)
    before = state(out, "unet")["model"]
    run(out, "unet", "--window", "40", steps=2)
    assert not alike(before, state(out, "unet")["model"])


@pytest.mark.parametrize("stage", ["unet", "decoder"])
def test_an_interrupted_stage_ends_where_an_uninterrupted_one_does(stage, encoded, run, tmp_path):
    one, two = copy_of(encoded, tmp_path), shutil.copytree(encoded, tmp_path / "two")
    for out in (one, two):
        if stage == "unet":
            (out / "unet.state").unlink()
    run(one, stage, steps=2)
    run(two, stage, steps=1)
    assert state(two, stage)["step"] == 1
    run(two, stage, steps=2)
    assert state(two, stage)["step"] == 2 and alike(state(one, stage), state(two, stage))


def test_start_takes_over_the_weights_of_another_state(encoded, run, tmp_path):
    out = copy_of(encoded, tmp_path)
    start = (out / "unet.state").rename(out / "earlier.state")
    run(out, "unet", "--start", str(start), steps=0)
    earlier, base = torch.load(start, weights_only=True)["model"], weights(out, "unet")
    assert alike({name: value.half() for name, value in earlier.items()}, {n: v.half() for n, v in base.items()})


def test_start_takes_over_the_weights_of_a_diffusers_folder(encoded, run, tmp_path):
    out = copy_of(encoded, tmp_path)
    start, before = out / "start", weights(out, "unet")
    shutil.copytree(out / "base" / "unet", start)
    (out / "unet.state").unlink()
    run(out, "unet", "--start", str(start), steps=0)
    assert alike(dict(before), dict(weights(out, "unet")))


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch compiles with g++")
def test_compiled_steps_are_the_same_up_to_rounding(encoded, run, tmp_path):
    """By the gradients of the first step, which Adam keeps; then the state goes on without the compiler."""
    plain, compiled = copy_of(encoded, tmp_path), shutil.copytree(encoded, tmp_path / "two")
    graphs = counters["stats"]["unique_graphs"]
    for out, option in ((plain, []), (compiled, ["--compile"])):
        (out / "unet.state").unlink()
        run(out, "unet", *option)
    assert counters["stats"]["unique_graphs"] > graphs
    one, two = state(plain, "unet"), state(compiled, "unet")
    assert one["model"].keys() == two["model"].keys()
    first, second = (
        torch.cat([moment["exp_avg"].flatten() for moment in each["optimizer"]["state"].values()])
        for each in (one, two)
    )
    assert (first - second).norm() < 1e-3 * first.norm()
    run(compiled, "unet", steps=2)


def test_compiling_needs_a_compiler(encoded, photos, monkeypatch, caplog):
    monkeypatch.setenv("CXX", "no-such-compiler")
    common = ["--data", str(photos), "--out", str(encoded), "--steps", "1", "--batch", "4", "--window", "16"]
    assert main(["unet", *common, "--compile"]) == 2 and "no-such-compiler" in caplog.text


def test_the_loss_is_the_mean_of_the_crops_psnr():
    x = torch.zeros(2, 3, 4, 4)
    y = torch.stack([x[0] + 2 / 255, x[1] + 20 / 255])
    assert float(mean_psnr(y, x)) == pytest.approx(20 * np.log10(255) - 10, abs=0.01)  # 1e-8 keeps it finite


def test_a_stage_is_not_continued_from_other_weights_or_backwards(encoded, photos, tmp_path, caplog):
    out = copy_of(encoded, tmp_path)
    common = ["unet", "--data", str(photos), "--out", str(out), "--batch", "4", "--window", "16", "--threads", "1"]
    assert main([*common, "--steps", "0"]) == 2 and "is at step 1, beyond --steps 0" in caplog.text
    start = shutil.copy(out / "unet.state", tmp_path / "trained.state")
    assert main([*common, "--steps", "3", "--start", str(start)]) == 2
    assert "began with other weights" in caplog.text


def test_pairs_are_kept_for_the_question_they_answer(encoded, run, tmp_path):
    out = copy_of(encoded, tmp_path)
    kept = set(out.glob("pairs-*"))
    run(out, "decoder")
    assert set(out.glob("pairs-*")) == kept and len(kept) == 1
    run(out, "unet", "--degradations", "camera", steps=2)
    assert len(set(out.glob("pairs-*"))) == 2


def test_windows_show_one_place_in_pixels_and_latents():
    """Latents here hold their own coordinates and image, and pixels show the same in blocks of four."""
    n, y, x = torch.meshgrid(torch.arange(3.0), torch.arange(10.0), torch.arange(10.0), indexing="ij")
    latents = torch.stack([y, x, n, n], dim=1).repeat(1, 4, 1, 1)
    pixels = torch.stack([y, x, n], dim=1).repeat_interleave(4, 2).repeat_interleave(4, 3).byte()
    cut, hr, lr = cut_windows(Pairs(pixels, latents, latents + 100), 5, 6, np.random.default_rng(0))
    assert cut.shape == (5, 3, 24, 24) and hr.shape == (5, 16, 6, 6) and torch.equal(lr, hr + 100)
    assert torch.equal(cut[..., ::4, ::4].float(), hr[:, :3]) and len(set(hr[:, 2, 0, 0].tolist())) > 1
    assert torch.equal(middle(hr, 2), hr[..., 2:4, 2:4])


@torch.no_grad()
def test_a_loss_sees_whole_crops_but_not_where_a_window_was_cut():
    torch.manual_seed(0)
    vae: Any = new_vae().eval()
    base = tiny_base(vae, new_unet())
    whole = torch.randn(1, 16, SIDE, SIDE)
    scaled = whole / vae.config["scaling_factor"]
    assert torch.equal(decode_window(base, whole), vae.decode(scaled).sample)
    window = middle(whole, 20)
    seen = decode_window(base, window)
    assert seen.shape == (1, 3, 32, 32)
    assert torch.equal(seen, middle(vae.decode(middle(scaled, 12)).sample, 32))


def test_the_critic_sees_grain_better_than_brightness():
    """Before any training: grain of one grey level moves its verdict by far more than an image one level brighter."""
    torch.manual_seed(0)
    critic, flat = Critic().eval(), torch.zeros(1, 3, 32, 32)
    with torch.no_grad():
        verdict = critic(flat)
        grain = (critic(flat + torch.randn_like(flat) / 127.5) - verdict).abs().mean()
        brighter = (critic(flat + 1 / 127.5) - verdict).abs().mean()
    assert verdict.shape == (1, 1, 16, 16) and grain > 2 * brighter


def test_the_curve_of_a_resumed_stage_has_every_row_once(encoded, run, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CURVE_EVERY", 1)
    out = copy_of(encoded, tmp_path)
    run(out, "decoder", steps=1)
    first = (out / "decoder.state").read_bytes()
    run(out, "decoder", steps=3)
    (out / "decoder.state").write_bytes(first)  # as if it had been stopped before it saved its last two steps
    run(out, "decoder", steps=3)
    with (out / "decoder.csv").open(newline="") as file:
        rows = [(row["step"], row["name"]) for row in csv.DictReader(file)]
    assert len(rows) == len(set(rows)) and {step for step, _ in rows} == {"1", "2", "3"}
    assert {"loss", "l1", "edges", "verdict", "critic", "seconds"} <= {name for _, name in rows}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["unet", "--degradations", "foo"], "foo"),
        (["unet", "--window", "15"], "16 to 40"),
        (["unet", "--window", "41"], "16 to 40"),
        (["unet", "--batch", "2"], "4 or more"),
        (["unet", "--start", "none.state"], "none.state is missing"),
        (["unet"], "vae is missing"),
        (["decoder"], "vae is missing"),
        (["vae"], "--channels"),
        (["decoder", "--texture", "1.5"], "between 0 and 1"),
    ],
)
def test_bad_input_is_one_message_and_exit_code_2(options, said, photos, tmp_path, caplog):
    common = ["--data", str(photos), "--out", str(tmp_path / "out"), "--steps", "1"]
    assert main([*options, *common]) == 2
    assert said in caplog.text


def test_no_photos_and_foreign_options_are_refused(photos, tmp_path, caplog):
    common = ["--out", str(tmp_path / "out"), "--steps", "1"]
    (tmp_path / "empty").mkdir()
    assert main(["vae", "--channels", "8", "--data", str(tmp_path / "empty"), *common]) == 2
    assert "empty" in caplog.text
    with pytest.raises(SystemExit) as refused:
        main(["vae", "--data", str(photos), *common, "--window", "16"])
    assert refused.value.code == 2
    with pytest.raises(SystemExit) as refused:
        main(["vae", "--data", str(photos), *common, "--batch", "0"])
    assert refused.value.code == 2
