"""Parts of the trainer: config, data, draws, regulariser, discriminator, states, curves, running mean."""

import shutil
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from PIL import Image

from isrbench.harness.degradation.presets import at_level
from isrbench.harness.errors import UserError
from isrbench.methods.onestep.base.tiny import (
    UNET_CONFIG,
    deepen_unet,
    load_unet,
    new_prompts,
    new_unet,
    new_vae,
    widen_vae,
)
from isrbench.methods.onestep.train import data as reading
from isrbench.methods.onestep.train.config import Data, Losses, Optim, parse_config, validated
from isrbench.methods.onestep.train.curves import Tally, cut_curves, read_curves, write_curve
from isrbench.methods.onestep.train.data import check_photos, open_loader
from isrbench.methods.onestep.train.degrade import draw_degradation
from isrbench.methods.onestep.train.discriminator import Discriminator, FeatureTaps, tap_channels
from isrbench.methods.onestep.train.draws import draw
from isrbench.methods.onestep.train.ema import RunningMean
from isrbench.methods.onestep.train.regulariser import Regulariser
from isrbench.methods.onestep.train.run import learning_rate_factor
from isrbench.methods.onestep.train.state import PARTS, last_state, load_state, save_state, state_to_resume
from isrbench.methods.onestep.train.values import PRESETS
from tests.support.images import write_png16
from tests.support.odd_images import wide_profile


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for n in range(3):
        Image.fromarray(rng.integers(0, 256, (40 + 9 * n, 50, 3), dtype=np.uint8)).save(folder / f"{n}.png")
    return folder


def test_names_of_earlier_releases_are_understood(tmp_path):
    old = ["--data", "d", "precision=bf16", "checkpointing=true", "data.context=64"]
    new = ["--data", "d", "dtype=bf16", "gradient_checkpointing=true", "data.severity_window=64"]
    assert parse_config("mor", old) == parse_config("mor", new)
    assert parse_config("mor", ["--data", "d", "precision=no"])[0].dtype == "fp32"
    preset = tmp_path / "mine.toml"
    preset.write_text((PRESETS / "tiny.toml").read_text().replace('dtype = "fp32"', 'precision = "no"'))
    assert parse_config("mor", ["--preset", str(preset), "--data", "d"])[0].dtype == "fp32"


def test_presets_and_overrides(tmp_path):
    config, resume = parse_config(
        "mor", ["--data", "d", "--out", str(tmp_path), "--steps", "7", "--resume", "optim.lr=1e-3", "adapter.top_k=4"]
    )
    assert (config.steps, config.optim.lr, config.adapter, resume) == (7, 1e-3, {"router_std": 1.0, "top_k": 4}, True)
    assert config.losses.perceptual_kind == "features"
    paper, _ = parse_config("osediff", ["--preset", "sd21", "--data", "d"])
    assert (paper.steps, paper.optim.lr, paper.timestep, paper.data.crop) == (25000, 5e-5, 999, 512)
    assert (paper.losses.l2, paper.losses.perceptual, paper.losses.cfg) == (1.0, 2.0, 7.5)
    assert paper.global_batch == 16

    own, _ = parse_config("osediff", ["--preset", "sd21-osediff", "--data", "LSDIR", "FFHQ:10000"])
    assert own.adapter == {"rank": 4, "alpha": 8.0, "train_conv_in": True} and own.regulariser_rank == 4
    assert (own.losses.l2, own.losses.perceptual, own.losses.vsd, own.losses.gan) == (1.0, 2.0, 1.0, 0.0)
    assert own.negative_prompt.startswith("painting") and own.negative_prompt.endswith("over-smooth")
    assert len(own.negative_prompt.split(", ")) == 22 and own.global_batch == 16


def test_a_step_has_as_many_images_as_global_batch_says_or_batch():
    def read(*overrides):
        return parse_config("mor", ["--data", "d", *overrides])[0]

    assert read("batch=1").global_batch == 4  # the preset's; a smaller batch saves memory
    assert read("global_batch=6").global_batch == 6
    plain = read().model_dump(exclude={"global_batch"})
    assert validated(plain | {"batch": 3}).global_batch == 3


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--data", "d", "accumulate=4"], "accumulate is no field any more"),
        (["--preset", "tinny", "--data", "d"], "did you mean 'tiny'"),
        ([], "no training data"),
        (["--data", "d", "losses.l3=1"], "losses.l3"),
        (["--data", "d", "steps=-1"], "steps"),
        (["--data", "d", "--stepz"], "neither an option"),
        (["--data", "d", "steps.x=1"], "has no fields"),
        (["--data", "d", "losses.vsd_t=[980, 20]"], r"losses.vsd_t: .*low < high"),
        (["--data", "d", "losses.gan_t=[-5, 20]"], "losses.gan_t"),
        (["--data", "d", "losses.gan_t=[0, 1001]"], "losses.gan_t"),
        (["--data", "d", "timestep=1000"], "timestep"),
        (["--data", "d", "optim.betas=[1.5, 0.9]"], "optim.betas"),
        (["--data", "d", "optim.weight_decay=-1"], "optim.weight_decay"),
        (["--data", "d", "validation.levels=[1.5]"], "validation.levels"),
    ],
)
def test_bad_options(argv, message):
    with pytest.raises(UserError, match=message):
        parse_config("mor", argv)


def test_items_depend_on_seed_and_number_only(photos):
    data = Data(folders=(str(photos),), crop=48, degradations=("realesrgan", "levels"), workers=0)
    whole = list(open_loader(data, 5, 2, [0, 1, 2, 3]))
    late = next(iter(open_loader(data, 5, 1, [3])))
    assert whole[0].hr.shape == (2, 3, 48, 48) and whole[0].lr.shape == (2, 3, 12, 12)
    assert torch.equal(whole[1].hr[1], late.hr[0]) and torch.equal(whole[1].lr[1], late.lr[0])
    workers = open_loader(data.model_copy(update={"workers": 1}), 5, 2, [2, 3])
    assert torch.equal(next(iter(workers)).lr, whole[1].lr)
    other = next(iter(open_loader(data, 6, 1, [3])))
    assert not torch.equal(other.lr, late.lr)


def test_the_crop_lies_in_its_severity_window(photos):
    data = Data(folders=(str(photos),), crop=16, severity_window=32, workers=0)
    batch = next(iter(open_loader(data, 5, 4, [0, 1, 2, 3])))
    assert batch.hr.shape == (4, 3, 16, 16) and batch.severity_window.shape == (4, 3, 8, 8)
    places = [
        [(y, x) for y in range(5) for x in range(5) if torch.equal(c[:, y : y + 4, x : x + 4], lr)]
        for c, lr in zip(batch.severity_window, batch.lr, strict=True)
    ]
    assert all(len(found) == 1 for found in places)
    plain = next(iter(open_loader(data.model_copy(update={"severity_window": 0}), 5, 1, [0])))
    assert torch.equal(plain.severity_window, plain.lr)


def test_hub_data_and_streams(photos):
    folder = Data(folders=(str(photos),), crop=16, workers=0)
    hub = Data(hub=str(photos), crop=16, workers=0)
    a, b = next(iter(open_loader(folder, 1, 4, [0, 1, 2, 3]))), next(iter(open_loader(hub, 1, 4, [0, 1, 2, 3])))
    assert torch.equal(a.hr, b.hr) and torch.equal(a.lr, b.lr)
    streamed = Data(hub=str(photos), crop=16, workers=0, streaming=True)
    whole = list(open_loader(streamed, 1, 2, list(range(8))))  # more than two epochs
    assert [batch.items.tolist() for batch in whole] == [[0, 1], [2, 3], [4, 5], [6, 7]]
    resumed = next(iter(open_loader(streamed, 1, 2, [4, 5])))
    assert torch.equal(resumed.hr, whole[2].hr)
    with pytest.raises(UserError, match="no column 'photo'"):
        next(iter(open_loader(hub.model_copy(update={"column": "photo"}), 1, 1, [0])))


def test_of_a_stream_only_own_items_are_decoded(photos, monkeypatch):
    decoded, opened = [], reading.opened

    def counting(source, *args, **kwargs):
        decoded.append(source)
        return opened(source, *args, **kwargs)

    data = Data(hub=str(photos), crop=16, workers=0, streaming=True)
    every = [batch.hr for batch in open_loader(data, 1, 1, list(range(6)))]
    monkeypatch.setattr(reading, "opened", counting)
    second = [batch.hr for batch in open_loader(data, 1, 1, [1, 3, 5])]  # of two processes
    assert len(decoded) == 3
    assert all(torch.equal(a, b) for a, b in zip(second, every[1::2], strict=True))


@pytest.mark.parametrize("streaming", [False, True])
def test_a_hub_image_of_16_bits_is_refused(tmp_path, streaming):
    Image.fromarray(np.full((40, 40), 40_000, dtype=np.uint16)).save(tmp_path / "deep.png")
    data = Data(hub=str(tmp_path), crop=32, workers=0, streaming=streaming)
    with pytest.raises(UserError, match=r"image 0 of the .* has pixel mode I;16"):
        next(open_loader(data, 0, 1, [0]))


@pytest.mark.parametrize("streaming", [False, True])
def test_hub_images_whose_pixels_would_change_are_refused(tmp_path, streaming):
    write_png16(tmp_path / "deep.png", side=40)
    data = Data(hub=str(tmp_path), crop=32, workers=0, streaming=streaming)
    with pytest.raises(UserError, match=r"image 0 of the .* has 16 bits a channel"):
        next(open_loader(data, 0, 1, [0]))


def test_what_training_leaves_out_of_photos_is_said_in_one_line(photos, tmp_path, caplog):
    folder = shutil.copytree(photos, tmp_path / "copy")
    before = next(open_loader(Data(folders=(str(folder),), crop=16, workers=0), 0, 1, [0]))
    for path in sorted(folder.iterdir()):
        Image.open(path).save(path, icc_profile=wide_profile())
    check_photos(Data(folders=(str(folder),)))
    (record,) = caplog.records
    assert "its colour profile (Wide RGB) is left out" in record.message
    after = next(open_loader(Data(folders=(str(folder),), crop=16, workers=0), 0, 1, [0]))
    assert torch.equal(before.hr, after.hr)
    write_png16(folder / "deep.png")
    with pytest.raises(UserError, match=r"deep.png has 16 bits a channel"):
        check_photos(Data(folders=(str(folder),)))


def test_unsuitable_photos_are_all_named_before_the_first_step(photos, tmp_path):
    whole = check_photos(Data(folders=(str(photos),)))
    folder = shutil.copytree(photos, tmp_path / "copy")
    data = Data(folders=(str(folder),))
    assert check_photos(data) == whole
    photo = Image.open(folder / "0.png")
    photo.convert("CMYK").save(folder / "print.jpg")
    with pytest.raises(UserError, match=r"print.jpg has pixel mode CMYK"):
        check_photos(data)
    clear = photo.convert("RGBA")
    clear.putalpha(7)
    clear.save(folder / "clear.png")
    with pytest.raises(UserError, match=r"2 photos do not fit: \S*clear.png has trans.*; \S*print.jpg has pixel"):
        check_photos(data)


def test_the_help_tells_of_fields(capsys):
    with pytest.raises(SystemExit, match="0"):
        parse_config("mor", ["--help"])
    assert "optim.lr=1e-4" in capsys.readouterr().out


@pytest.mark.parametrize("workers", [0, 1])
def test_a_photo_that_cannot_be_read_is_named(photos, tmp_path, workers):
    whole = (photos / "0.png").read_bytes()
    folder = tmp_path / "damaged"
    folder.mkdir()
    (folder / "half.png").write_bytes(whole[: len(whole) // 2])
    data = Data(folders=(str(folder),), crop=32, workers=workers)
    with pytest.raises(UserError, match=r"^\S*half.png is damaged") as raised:
        next(open_loader(data, 0, 1, [0]))
    assert "Traceback" not in str(raised.value)


def test_a_photo_of_16_bits_is_refused(tmp_path):
    Image.fromarray(np.full((40, 40), 40_000, dtype=np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(UserError, match=r"deep\.png has pixel mode I;16"):
        next(open_loader(Data(folders=(str(tmp_path),), crop=32, workers=0), 0, 1, [0]))


def test_a_preset_that_is_not_toml(tmp_path):
    (tmp_path / "my.toml").write_text("steps = = 3")
    with pytest.raises(UserError, match=r"my\.toml is not valid TOML: "):
        parse_config("mor", ["--preset", str(tmp_path / "my.toml"), "--data", "d"])


def test_no_photos(tmp_path):
    with pytest.raises(UserError, match="no images below"):
        open_loader(Data(folders=(str(tmp_path),)), 0, 1, [0])
    with pytest.raises(UserError, match="did you mean 'realesrgan'"):
        open_loader(Data(folders=(str(tmp_path),), degradations=("realesrgen",)), 0, 1, [0])


def test_draws_belong_to_items():
    losses = Losses(vsd_t=(20, 980), gan_t=(5, 7))
    both = draw(3, torch.tensor([8, 9]), (4, 6, 6), losses, torch.device("cpu"))
    one = draw(3, torch.tensor([9]), (4, 6, 6), losses, torch.device("cpu"))
    assert torch.equal(both.encode[1], one.encode[0]) and torch.equal(both.vsd.noise[1], one.vsd.noise[0])
    assert both.vsd.t[1] == one.vsd.t[0] and set(both.features.t.tolist()) <= {5, 6}
    many = draw(3, torch.arange(400), (1, 1, 1), losses, torch.device("cpu"))
    assert many.vsd.t.min() >= 20 and many.vsd.t.max() < 980 and many.regulariser.t.max() > 980


def test_regulariser_is_off_unless_enabled():
    torch.manual_seed(0)
    unet = new_unet().requires_grad_(False)
    z, t, prompt = torch.randn(1, 16, 8, 8), torch.tensor([100]), torch.randn(1, 4, 64)
    plain = unet(z, t, prompt).sample
    regulariser = Regulariser(unet, 2, seed=0)
    with torch.no_grad():
        for name, parameter in regulariser.parameters().items():
            if name.endswith("lora_B"):
                parameter.normal_(std=0.1)
    assert torch.equal(unet(z, t, prompt).sample, plain)
    with regulariser.enabled():
        own = unet(z, t, prompt).sample
        own.square().mean().backward()
    assert not torch.allclose(own, plain)
    assert torch.equal(unet(z, t, prompt).sample, plain)
    assert all(p.grad is not None for p in regulariser.parameters().values())
    names = {id(p) for p in regulariser.parameters().values()}
    assert all(p.grad is None for p in unet.parameters() if id(p) not in names)


def test_taps_and_heads_fit():
    unet = new_unet().requires_grad_(False)
    taps = FeatureTaps(unet)
    z = torch.randn(2, 16, 16, 16, requires_grad=True)
    unet(z, torch.tensor([5]), torch.randn(2, 4, 64))
    with taps as features:
        unet(z, torch.tensor([5]), torch.randn(2, 4, 64))
    assert [f.shape[1] for f in features] == tap_channels(unet)
    head = Discriminator(tap_channels(unet), 8, seed=0)
    logits = head(features)
    assert [x.shape[:2] for x in logits] == [(2, 1)] * 4
    sum(x.sum() for x in logits).backward()
    assert z.grad.abs().sum() > 0
    again = Discriminator(tap_channels(unet), 8, seed=0)
    assert all(torch.equal(a, b) for a, b in zip(head.parameters(), again.parameters(), strict=True))


def test_states(tmp_path):
    for step in (5, 10, 15):
        config = {"seed": 1, "out": "a", "batch": 4, "global_batch": 4, "data": {"crop": 8}}
        save_state(tmp_path, step, dict.fromkeys(PARTS) | {"config": config, "step": step}, keep=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["state-10.pt", "state-15.pt"]
    last = last_state(tmp_path)
    again = {"seed": 1, "out": "b", "batch": 1, "global_batch": 4, "data": {"crop": 8}}
    assert load_state(last, again)["step"] == 15
    with pytest.raises(UserError, match="global_batch was 4, now 8"):
        load_state(last, again | {"global_batch": 8})
    with pytest.raises(UserError, match=r"data\.crop was 8, now 9"):
        load_state(last, again | {"data": {"crop": 9}})
    last.write_bytes(last.read_bytes()[:100])
    with pytest.raises(UserError, match="cannot be read"):
        load_state(last, {})


def test_a_state_without_a_part_is_named(tmp_path):
    config = {"seed": 1, "global_batch": 4}
    for part in PARTS[1:]:
        state = {name: 3 for name in PARTS if name != part} | {"config": config}
        with pytest.raises(UserError) as caught:
            load_state(save_state(tmp_path, 3, state, keep=1), config)
        assert caught.value.message == f"{tmp_path / 'state-3.pt'} is damaged: it has no {part}"
        assert caught.value.fix == "remove it; --resume then takes the one before"


@pytest.mark.parametrize("content", [[1, 2], {}, {"config": 3}, torch.zeros(3)])
def test_a_file_that_holds_no_state_is_named(content, tmp_path):
    torch.save(content, tmp_path / "state-3.pt")
    with pytest.raises(UserError, match=r"state-3\.pt cannot be read: it holds no state of a training"):
        load_state(tmp_path / "state-3.pt", {})


def test_a_state_of_an_earlier_release_is_refused(tmp_path):
    old = {"seed": 1, "batch": 4, "accumulate": 1, "processes": 1}
    path = save_state(tmp_path, 3, {"config": old, "step": 3}, keep=1)
    with pytest.raises(UserError, match=r"state-3\.pt was written by an earlier release"):
        load_state(path, {"seed": 1, "batch": 4, "global_batch": 4})


def test_which_folders_a_run_may_begin_or_go_on_in(tmp_path):
    def look(out, resume=False):
        return state_to_resume(out / "states", out / "adapter.safetensors", resume)

    assert look(tmp_path / "new/er") is None and not (tmp_path / "new").exists()
    with pytest.raises(UserError, match="no state to resume from"):
        look(tmp_path / "new", resume=True)
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(UserError, match="file is a file, but has to be a folder"):
            look(out)
    (tmp_path / "adapter.safetensors").write_text("")
    with pytest.raises(UserError, match=r"holds a run already \(adapter\.safetensors, no states\)") as caught:
        look(tmp_path)
    assert "--resume" not in caught.value.fix, "there is nothing to go on from"
    with pytest.raises(UserError, match="no state to resume from") as caught:
        look(tmp_path, resume=True)
    assert "leave out" not in caught.value.fix, "the run would be refused all the same"
    state = save_state(tmp_path / "states", 3, {}, keep=1)
    assert look(tmp_path, resume=True) == state
    with pytest.raises(UserError, match=r"holds a run already \(state-3\.pt\)"):
        look(tmp_path)


def test_a_row_holds_means_of_the_steps_that_were_made():
    tally = Tally()
    tally.add({"l2": 1.0})
    tally.skip()
    tally.add({"l2": 2.0, "gan": 5.0})  # a loss that starts late is not averaged with nothing
    assert tally.row() == {"l2": 1.5, "gan": 5.0, "skipped": 1.0} and tally.in_a_row == 0
    tally.skip()
    tally.skip()
    assert tally.row() == {"skipped": 3.0} and tally.in_a_row == 2
    healthy = Tally()
    healthy.add({"l2": 1.0})
    assert healthy.row() == {"l2": 1.0}


def test_curves_are_cut(tmp_path):
    path = tmp_path / "curves.csv"
    for step in (1, 2, 3):
        write_curve(path, step, {"a": step / 3})
    cut_curves(path, 2)
    assert path.read_text().splitlines() == ["step,name,value", "1,a,0.333333", "2,a,0.666667"]
    assert read_curves(path) == {"a": [(1, 0.333333), (2, 0.666667)]}


def test_curves_of_a_process_that_was_stopped(tmp_path):
    path = tmp_path / "curves.csv"
    for left in ("", "\n", "step,na", "step,name,value\n"):
        path.write_text(left)
        assert read_curves(path) == {}
        cut_curves(path, 2)
        write_curve(path, 1, {"a": 0.5})
        assert path.read_text().splitlines() == ["step,name,value", "1,a,0.5"]
    path.write_text("step,name,value\n1,a,0.5\n\n2,a,0.25\n3,a,1\n2,b")
    assert read_curves(path) == {"a": [(1, 0.5), (2, 0.25), (3, 1.0)]}
    cut_curves(path, 2)
    assert path.read_text().splitlines() == ["step,name,value", "1,a,0.5", "2,a,0.25"]
    path.write_text("")
    write_curve(path, 1, {"a": 0.5})
    assert read_curves(path) == {"a": [(1, 0.5)]}
    assert [file.name for file in tmp_path.iterdir()] == ["curves.csv"]


def test_learning_rate():
    optim = Optim(schedule="cosine", warmup=10)
    factors = [learning_rate_factor(optim, step, 110) for step in range(110)]
    assert factors[0] == 0.1 and factors[9] == 1.0 and factors[10] == 1.0
    assert factors[60] == pytest.approx(0.5) and factors[-1] < 1e-3
    assert learning_rate_factor(Optim(), 99, 100) == 1.0


class _Numbers:
    def __init__(self):
        self.state = {"a": torch.zeros(2)}

    def parameters(self):
        return self.state

    def state_dict(self):
        return {name: value.clone() for name, value in self.state.items()}

    def load_state_dict(self, state):
        self.state = {name: value.clone() for name, value in state.items()}


def test_running_mean():
    adapter = _Numbers()
    mean = RunningMean(adapter, 0.5)
    adapter.state["a"] += 8
    mean.update(100)
    assert mean.state_dict()["a"].tolist() == [4.0, 4.0]
    with mean.applied():
        assert adapter.state["a"].tolist() == [4.0, 4.0]
    assert adapter.state["a"].tolist() == [8.0, 8.0]
    off = RunningMean(adapter, 0.0)
    off.update(100)
    assert off.state_dict()["a"].tolist() == [8.0, 8.0]


def test_deepened_unet_predicts_as_before_and_its_new_layers_can_learn():
    torch.manual_seed(0)
    shallow: Any = UNet2DConditionModel(**(UNET_CONFIG | {"layers_per_block": 1})).eval()
    deep: Any = deepen_unet(shallow.state_dict()).eval()
    z, t, prompt = torch.randn(1, 16, 16, 16), torch.tensor(99), new_prompts()["positive"]
    with torch.no_grad():
        assert torch.equal(shallow(z, t, prompt).sample, deep(z, t, prompt).sample)
    deep(z, t, prompt).sample.square().sum().backward()
    added = [*deep.down_blocks[0].resnets[1:], *deep.up_blocks[-1].resnets[1:-1]]
    assert len(added) == 4 and all(layer.conv2.weight.grad.abs().sum() > 0 for layer in added)


@torch.no_grad()
def test_unets_load_from_states_and_folders_deep_or_not_and_nothing_else_does(tmp_path):
    torch.manual_seed(0)
    shallow: Any = UNet2DConditionModel(**(UNET_CONFIG | {"layers_per_block": 1})).eval()
    seen = torch.randn(1, 16, 16, 16), torch.tensor(99), new_prompts()["positive"]
    for name, unet in (("shallow", shallow), ("deep", deepen_unet(shallow.state_dict()))):
        torch.save({"model": unet.state_dict()}, tmp_path / f"{name}.state")
        unet.save_pretrained(tmp_path / name)
        for path in (tmp_path / name, tmp_path / f"{name}.state"):
            found: Any = load_unet(path).eval()
            assert torch.equal(found(*seen).sample, shallow(*seen).sample)
    less = {name: value for name, value in shallow.state_dict().items() if not name.startswith("conv_out")}
    torch.save({"model": less}, tmp_path / "less.state")
    torch.save({"other": 1}, tmp_path / "other.state")
    (tmp_path / "text.state").write_text("no weights")
    new_vae(4).save_pretrained(tmp_path / "vae")
    for name in ("less.state", "other.state", "text.state", "vae", "."):
        with pytest.raises(UserError, match=r"does not hold a UNet of the tiny base|is a text, not weights"):
            load_unet(tmp_path / name)


def test_widened_autoencoder_decodes_as_before():
    torch.manual_seed(0)
    narrow = new_vae(4).eval()
    wide = widen_vae(narrow).eval()
    x = torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        before, after = narrow.encode(x).latent_dist, wide.encode(x).latent_dist
        assert torch.allclose(before.mean, after.mean[:, :4], atol=1e-6)
        assert torch.allclose(before.logvar, after.logvar[:, :4], atol=1e-6)
        assert torch.allclose(narrow(x).sample, wide(x).sample, atol=1e-6)


def test_levels_are_drawn_from_their_part_of_the_scale():
    rng = np.random.default_rng(0)
    assert draw_degradation(["levels"], rng, (0.4, 0.4)) == at_level(0.4)
    drawn, whole = (np.random.default_rng(7) for _ in range(2))
    whole.integers(1)
    assert draw_degradation(["levels"], drawn, (0.5, 1.0)) == at_level(0.5 + 0.5 * float(whole.random()))


@pytest.mark.parametrize("levels", [(0.5, 0.2), (-0.1, 1.0), (0.0, 1.5)])
def test_levels_outside_the_scale_are_refused(levels):
    with pytest.raises(ValueError, match="0 <= low <= high <= 1"):
        Data(levels=levels)


def test_a_part_of_the_scale_that_is_not_drawn_from_is_refused():
    argv = ["--preset", "sd21", "--data", "d", "data.levels=[0.0, 0.3]"]
    with pytest.raises(UserError, match="the severity scale is not drawn from"):
        parse_config("mor", argv)
