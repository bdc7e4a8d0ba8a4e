"""command: what the shared contract test cannot know."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np
import pytest

from isrbench.harness.api.method import Runtime
from isrbench.harness.api.options import options_key
from isrbench.harness.complexity import describe
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import to_pixels, to_tensor, write_png
from isrbench.methods.command import plugin as command


def _pixels(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


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


@pytest.mark.parametrize("places", ["{input} {output}", "{input_dir} {output_dir}"])
def test_command_is_not_run_again_for_the_clock(tmp_path, places):
    calls = tmp_path / "calls"
    method = _build_command(_script(tmp_path, f"open({str(calls)!r}, 'a').write('called')") + " " + places)
    row = describe(method, 16, 16, "cpu")
    assert not calls.exists()
    assert row["latency_ms"] is None and row["peak_mib"] is None and row["macs"] is None


def test_command_with_another_time_limit_is_the_same_run():
    def key(**options):
        return options_key(command.CommandOptions("p {input} {output}", **options))

    assert key(timeout=5.0) == key(timeout=900.0)
    assert key(shell=True) != key() and "p {input} {output}" in key().values()
