"""bicubic, lanczos, folder, command, spandrel: what the shared contract test cannot know."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from harness.errors import UserError
from harness.images import file_hash, read_rgb, to_pixels, to_tensor, write_png
from harness.method import Runtime
from methods.classical import plugin as classical
from methods.command import plugin as command
from methods.folder import plugin as folder
from methods.spandrel import plugin as spandrel

REALSR = Path(__file__).parents[1] / "../shared/data/RealSR"


def _pixels(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


# ---------------------------------------------------------------- bicubic, lanczos


@pytest.mark.parametrize(
    ("plugin", "kernel"),
    [(classical.BICUBIC, Image.Resampling.BICUBIC), (classical.LANCZOS, Image.Resampling.LANCZOS)],
)
def test_interpolation_is_pils_on_8_bits(plugin, kernel):
    pixels = _pixels(17, 23)
    method = plugin.build(plugin.options(), Runtime(scale=3))
    restored = to_pixels(method.restore(to_tensor(pixels), image="a", seed=0).image)
    assert np.array_equal(restored, np.asarray(Image.fromarray(pixels).resize((69, 51), kernel)))


def test_interpolation_counts_its_taps():
    complexity = classical.BICUBIC.build(classical.NoOptions(), Runtime(scale=4)).complexity(10, 20)
    assert complexity.macs == 3 * 4 * (10 * 80 + 40 * 80) and complexity.params_total == 0


@pytest.mark.skipif(not REALSR.is_dir(), reason="needs the RealSR test set beside the repository")
@pytest.mark.parametrize(("plugin", "published"), [(classical.BICUBIC, 27.1128), (classical.LANCZOS, 27.2415)])
def test_interpolation_gives_the_published_psnr_on_realsr(plugin, published):
    method = plugin.build(plugin.options(), Runtime(scale=4))
    weights = np.array([65.481, 128.553, 24.966]) / 255  # Y of BT.601 in units of grey levels, without its offset
    values = []
    for lr in sorted((REALSR / "test_LR").glob("*.png")):
        restored = to_pixels(method.restore(to_tensor(read_rgb(lr)), image=lr.stem, seed=0).image)
        difference = (restored.astype(float) - read_rgb(REALSR / "test_HR" / lr.name)) @ weights / 255
        values.append(-10 * np.log10(np.mean(difference**2) + 1e-8))
    assert len(values) == 100
    assert np.mean(values) == pytest.approx(published, abs=5e-5)


# ---------------------------------------------------------------- folder


@pytest.fixture
def restored_folder(tmp_path) -> Path:
    made = tmp_path / "made"
    made.mkdir()
    write_png(made / "a.png", _pixels(16, 24))
    return made


def _build_folder(images: Path, suffix: str = ""):
    return folder.PLUGIN.build(folder.FolderOptions(images, suffix), Runtime(scale=4))


def test_folder_passes_pixels_through(restored_folder):
    method = _build_folder(restored_folder)
    restored = method.restore(torch.zeros(3, 4, 6), image="a", seed=0)
    assert np.array_equal(to_pixels(restored.image), _pixels(16, 24))
    assert method.fingerprint("a") == file_hash(restored_folder / "a.png")


def test_every_grey_level_survives_the_way_through_float():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    assert np.array_equal(to_pixels(to_tensor(levels)), levels)


def test_folder_fingerprint_follows_the_image(restored_folder):
    method = _build_folder(restored_folder)
    before = method.fingerprint("a")
    write_png(restored_folder / "a.png", _pixels(16, 24, seed=1))
    assert method.fingerprint("a") != before


def test_folder_suffixes(restored_folder):
    write_png(restored_folder / "b_swin.png", _pixels(16, 24))
    write_png(restored_folder / "c_1.png", _pixels(16, 24))
    write_png(restored_folder / "c_2.png", _pixels(16, 24))
    lr = torch.zeros(3, 4, 6)
    assert _build_folder(restored_folder, "_swin").restore(lr, image="b", seed=0)
    assert _build_folder(restored_folder, "_*").restore(lr, image="b", seed=0)
    with pytest.raises(UserError, match="fits 2 files"):
        _build_folder(restored_folder, "_*").restore(lr, image="c", seed=0)
    with pytest.raises(UserError, match=r"holds no b\.png") as caught:
        _build_folder(restored_folder).restore(lr, image="b", seed=0)
    assert caught.value.mend == "-o 'suffix=_swin' would take b_swin.png"
    with pytest.raises(UserError, match="goes between"):
        folder.FolderOptions(restored_folder, "_x.png")


def test_folder_refuses_a_wrong_size_and_a_missing_image(restored_folder):
    method = _build_folder(restored_folder)
    with pytest.raises(UserError, match="is 24x16, but a x4 is 20x20"):
        method.restore(torch.zeros(3, 5, 5), image="a", seed=0)
    with pytest.raises(UserError, match=r"holds no z\.png"):
        method.fingerprint("z")


def test_folder_without_images_is_refused(tmp_path):
    with pytest.raises(UserError, match="is not a folder"):
        _build_folder(tmp_path / "absent")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.jpg")
    with pytest.raises(UserError, match=r"holds no PNG \(but images ending in \.jpg\)"):
        _build_folder(tmp_path)


def test_folder_reports_files_that_belong_to_no_image(restored_folder, tmp_path, caplog):
    lr = tmp_path / "lr"
    lr.mkdir()
    for name in ("a", "b"):
        write_png(lr / f"{name}.png", _pixels(4, 6))
    write_png(restored_folder / "b.png", _pixels(16, 24))
    method = _build_folder(restored_folder)
    method.prepare([("a", lr / "a.png")])  # b was left out on purpose, it is no stranger
    assert not caplog.records
    write_png(restored_folder / "stranger.png", _pixels(16, 24))
    _build_folder(restored_folder).prepare([("a", lr / "a.png")])
    assert "1 PNGs" in caplog.text and "stranger.png" in caplog.text


# ---------------------------------------------------------------- command


SINGLE = """\
import sys
from PIL import Image
image = Image.open(sys.argv[1])
scale = int(sys.argv[3])
image.resize((image.width * scale, image.height * scale), Image.NEAREST).save(sys.argv[2])
"""
BATCH = """\
import sys
from pathlib import Path
from PIL import Image
Path(sys.argv[4]).open("a").write("called ")
for path in Path(sys.argv[1]).iterdir():
    image = Image.open(path)
    scale = int(sys.argv[3])
    image.resize((image.width * scale, image.height * scale), Image.NEAREST).save(Path(sys.argv[2]) / path.name)
"""


def _script(folder_: Path, text: str, name: str = "a script.py") -> str:
    """A script in a path with blanks, as one quoted word after the interpreter."""
    (folder_ / name).write_text(text)
    return f"'{sys.executable}' '{folder_ / name}'"


def _build_command(template: str, **options):
    return command.PLUGIN.build(command.CommandOptions(template, **options), Runtime(scale=4))


def _nearest(pixels: np.ndarray) -> np.ndarray:
    return pixels.repeat(4, axis=0).repeat(4, axis=1)


@pytest.mark.parametrize("shell", [False, True])
def test_command_one_image_a_call(tmp_path, shell):
    method = _build_command(_script(tmp_path, SINGLE) + " {input} {output} {scale}", shell=shell)
    restored = method.restore(to_tensor(_pixels(5, 7)), image="an image; touch x", seed=0)
    assert np.array_equal(to_pixels(restored.image), _nearest(_pixels(5, 7)))


def test_command_sees_environment_and_seed(tmp_path, monkeypatch):
    monkeypatch.setenv("ISRBENCH_TEST_WORD", "heard")
    text = "import os, sys\nsys.exit(os.environ['ISRBENCH_TEST_WORD'] + ' ' + sys.argv[1])\n"
    method = _build_command(_script(tmp_path, text) + " {seed} {input} {output}")
    with pytest.raises(UserError, match="heard 987654321"):
        method.restore(to_tensor(_pixels(5, 7)), image="a", seed=987654321)


def test_command_a_folder_a_call(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    calls = tmp_path / "calls"
    method = _build_command(_script(tmp_path, BATCH) + f" {{input_dir}} {{output_dir}} {{scale}} '{calls}'")
    images = {"a": _pixels(5, 7), "b": _pixels(6, 4, seed=1)}
    for image, pixels in images.items():
        write_png(tmp_path / f"{image}.png", pixels)
    method.prepare([(image, tmp_path / f"{image}.png") for image in images])
    for image, pixels in images.items():
        restored = method.restore(to_tensor(pixels), image=image, seed=0)
        assert np.array_equal(to_pixels(restored.image), _nearest(pixels))
    assert calls.read_text() == "called "
    other = _pixels(5, 7, seed=2)  # the same name with other pixels must not get what was prepared
    assert np.array_equal(to_pixels(method.restore(to_tensor(other), image="a", seed=0).image), _nearest(other))
    del method
    assert not list((tmp_path / "temporary").iterdir()), "temporary folders stay behind"


def test_command_failing_on_a_folder_fails_each_image(tmp_path):
    write_png(tmp_path / "a.png", _pixels(5, 7))
    method = _build_command(_script(tmp_path, "import sys; sys.exit('no memory')") + " {input_dir} {output_dir}")
    method.prepare([("a", tmp_path / "a.png")])
    with pytest.raises(UserError, match=r"exited with code 1: .*\n  \| no memory"):
        method.restore(to_tensor(_pixels(5, 7)), image="a", seed=0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import sys; print('to stdout'); sys.exit(3)", r"exited with code 3: .*\n  \| to stdout"),
        ("raise RuntimeError('boom')", r"exited with code 1: (.|\n)*  \| RuntimeError: boom"),
        ("pass", "ended well but a.png is not in its output folder; it wrote nothing there"),
        ("import os; os.kill(os.getpid(), 9)", "was killed by signal 9"),
        (
            "import sys\nfrom PIL import Image\nImage.new('RGB', (8, 8)).save(sys.argv[2])",
            "a.png 8x8 pixels large, but x4 is 28x20",
        ),
        ("import sys\nopen(sys.argv[2], 'w').write('no image')", "is not an image"),
    ],
)
def test_command_failures_are_clear(tmp_path, text, message):
    method = _build_command(_script(tmp_path, text) + " {input} {output}")
    with pytest.raises(UserError, match=message):
        method.restore(to_tensor(_pixels(5, 7)), image="a", seed=0)


def _is_running(pid: int) -> bool:
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
def test_command_timeout_kills_the_whole_group(tmp_path):
    pids = tmp_path / "pids"
    text = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(pids)!r}, 'w').write(str(child.pid))\n"
        "print('half way', file=sys.stderr, flush=True)\ntime.sleep(60)\n"
    )
    method = _build_command(_script(tmp_path, text) + " {input} {output}", timeout=3.0)
    with pytest.raises(UserError, match=r"no end after 3 s: (.|\n)*half way"):
        method.restore(to_tensor(_pixels(5, 7)), image="a", seed=0)
    child = int(pids.read_text())
    deadline = time.monotonic() + 10
    while _is_running(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _is_running(child), "the program's child lives on"


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("program in out", "names no input and output"),
        ("program {input} {output} {input_dir} {output_dir}", "mixes files and folders"),
        ("program {input_dir} {output_dir} {seed}", "in a folder each image has its own"),
        ("no-such-program-anywhere {input} {output}", "there is no program 'no-such-program-anywhere'"),
        ("python 'open {input} {output}", "cannot be read"),
    ],
)
def test_command_templates_that_cannot_work(template, message):
    with pytest.raises(UserError, match=message):
        _build_command(template)
    with pytest.raises(UserError, match="above 0"):
        command.CommandOptions("p {input} {output}", timeout=0)


def test_command_fingerprint_follows_the_files_it_names(tmp_path):
    template = _script(tmp_path, SINGLE) + f" {{input}} {{output}} --weights={tmp_path / 'w.bin'}"
    (tmp_path / "w.bin").write_bytes(b"1")
    first = _build_command(template).fingerprint("a")
    (tmp_path / "w.bin").write_bytes(b"2")
    second = _build_command(template).fingerprint("a")
    _script(tmp_path, SINGLE + "# other\n")
    assert len({first, second, _build_command(template).fingerprint("a")}) == 3


# ---------------------------------------------------------------- spandrel


@pytest.fixture(scope="module")
def span(tmp_path_factory) -> Path:
    from spandrel.architectures.SPAN import SPAN

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "span.pth"
    torch.save({"params": SPAN(num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=4).state_dict()}, path)
    return path


def _build_spandrel(path: Path, scale: int = 4, **options):
    return spandrel.PLUGIN.build(spandrel.SpandrelOptions(path, **options), Runtime(scale=scale))


def test_spandrel_equals_a_direct_call(span, tmp_path):
    from safetensors.torch import save_file
    from spandrel import ModelLoader

    lr = to_tensor(_pixels(17, 23))
    model = ModelLoader().load_from_file(span).eval()
    with torch.inference_mode():
        expected = model(lr[None])[0]
    method = _build_spandrel(span)
    assert torch.equal(method.restore(lr, image="a", seed=0).image, expected)
    assert expected.std() > 0.01, "a flat image would prove nothing"
    assert method.fingerprint("a") == file_hash(span)
    save_file(torch.load(span)["params"], tmp_path / "span.safetensors")
    assert torch.equal(_build_spandrel(tmp_path / "span.safetensors").restore(lr, image="a", seed=0).image, expected)


def test_spandrel_half_precision_stays_close(span):
    lr = to_tensor(_pixels(12, 12))
    full = _build_spandrel(span).restore(lr, image="a", seed=0).image
    half = _build_spandrel(span, precision="bf16").restore(lr, image="a", seed=0).image
    assert half.dtype == torch.float32 and not torch.equal(full, half)
    assert (full - half).abs().mean() < 0.05


def test_spandrel_pads_and_counts(tmp_path):
    """SwinIR asks for multiples of its window: odd sizes must come back exact."""
    from spandrel.architectures.SwinIR import SwinIR

    torch.manual_seed(0)
    net = SwinIR(
        img_size=16, window_size=8, depths=[1], num_heads=[2], embed_dim=8, mlp_ratio=2, upscale=4,
        upsampler="pixelshuffledirect", resi_connection="1conv",
    )  # fmt: skip
    torch.save(net.state_dict(), tmp_path / "swin.pth")
    method = _build_spandrel(tmp_path / "swin.pth")
    assert method.restore(to_tensor(_pixels(17, 23)), image="a", seed=0).image.shape == (3, 68, 92)
    complexity = method.complexity(16, 16)
    assert complexity.params_total == sum(p.numel() for p in net.parameters())
    assert complexity.macs is not None and complexity.macs > 0
    assert method.complexity(9, 9).macs == complexity.macs, "9x9 is padded to 16x16, and that is what it costs"


def test_spandrel_macs_of_convolutions_are_the_textbook_ones(tmp_path):
    from spandrel.architectures.Compact import Compact

    net = Compact(num_in_ch=3, num_out_ch=3, num_feat=8, num_conv=2, upscale=4)
    torch.save(net.state_dict(), tmp_path / "compact.pth")
    complexity = _build_spandrel(tmp_path / "compact.pth").complexity(10, 14)
    assert complexity.macs == 10 * 14 * 9 * (3 * 8 + 2 * 8 * 8 + 8 * 48)
    assert complexity.params_total == sum(p.numel() for p in net.parameters())


def test_tiles_blend_without_a_seam_and_do_not_depend_on_their_size():
    from methods.spandrel.tiling import restore_tiled, tile_starts

    lr = to_tensor(_pixels(37, 53))[None]
    enlarge = torch.nn.Upsample(scale_factor=4, mode="nearest")
    for tile, overlap in ((16, 4), (16, 8), (10, 0), (100, 16)):
        tiled = restore_tiled(enlarge, lr, 4, tile, overlap)
        assert torch.allclose(tiled, enlarge(lr), atol=1e-6), (tile, overlap)
    assert tile_starts(37, 16, 4) == [0, 12, 21] and tile_starts(16, 16, 4) == [0]


def test_tiles_ramp_from_one_to_the_next():
    """Tiles that disagree by a constant must meet in a slope, not in a step."""
    from methods.spandrel.tiling import restore_tiled

    level = iter(torch.linspace(0, 1, 2))
    tiled = restore_tiled(lambda x: torch.full((1, 3, 16, 16), float(next(level))), torch.zeros(1, 3, 16, 24), 1, 16, 8)
    row = tiled[0, 0, 3]
    assert row[:8].eq(0).all() and row[16:].eq(1).all()
    assert (row.diff() >= 0).all() and row.diff().max() < 0.2


def test_spandrel_tiles_agree_inside_and_cost_more(span):
    lr = to_tensor(_pixels(40, 40))
    whole, tiled = _build_spandrel(span), _build_spandrel(span, tile=32, overlap=16)
    assert tiled.restore(lr, image="a", seed=0).image.shape == (3, 160, 160)
    macs = tiled.complexity(40, 40).macs
    assert macs == 4 * (whole.complexity(32, 32).macs or 0)


class _Bomb:
    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self):
        return os.mkdir, (self.target,)


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt"])
def test_spandrel_runs_no_code_from_a_pickle(tmp_path, suffix):
    path = tmp_path / f"evil{suffix}"
    torch.save({"params": _Bomb(str(tmp_path / "exploded"))}, path)
    with pytest.raises(UserError, match="holds more than weights"):
        _build_spandrel(path)
    assert not (tmp_path / "exploded").exists()


def test_spandrel_refusals(span, tmp_path):
    with pytest.raises(UserError, match=r"enlarges x4, but the dataset asks for x2"):
        _build_spandrel(span, scale=2)
    with pytest.raises(UserError, match="there is no file"):
        _build_spandrel(tmp_path / "absent.pth")
    torch.save({"weight": torch.zeros(2)}, tmp_path / "unknown.pth")
    with pytest.raises(UserError, match="holds no network that spandrel knows"):
        _build_spandrel(tmp_path / "unknown.pth")
    (tmp_path / "cut.pth").write_bytes(span.read_bytes()[:1000])
    with pytest.raises(UserError, match="damaged"):
        _build_spandrel(tmp_path / "cut.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"\x08\x00")
    with pytest.raises(UserError, match="damaged"):
        _build_spandrel(tmp_path / "cut.safetensors")
    (tmp_path / "model.onnx").write_bytes(b"x")
    with pytest.raises(UserError, match=r"is no \.pth"):
        _build_spandrel(tmp_path / "model.onnx")
    with pytest.raises(UserError, match="more than half"):
        spandrel.SpandrelOptions(span, tile=16, overlap=9)


def test_spandrel_refuses_precisions_that_the_architecture_lacks(tmp_path):
    from spandrel.architectures.SwinIR import SwinIR

    net = SwinIR(
        img_size=16, window_size=8, depths=[1], num_heads=[2], embed_dim=8, mlp_ratio=2, upscale=4,
        upsampler="pixelshuffledirect", resi_connection="1conv",
    )  # fmt: skip
    torch.save(net.state_dict(), tmp_path / "swin.pth")
    with pytest.raises(UserError, match="cannot run in fp16"):
        _build_spandrel(tmp_path / "swin.pth", precision="fp16")
