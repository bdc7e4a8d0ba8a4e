"""command: what the shared contract test cannot know."""

from __future__ import annotations

import errno
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from isrbench.harness.api.method import PreparedInPart, Runtime
from isrbench.harness.api.options import options_key
from isrbench.harness.engine.costing import run_cost
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import to_pixels, to_tensor, write_png
from isrbench.methods.command.options import CommandOptions
from isrbench.methods.command.plugin import PLUGIN
from tests.support.images import noise_image

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
    return PLUGIN.make(CommandOptions(template, **options), Runtime(scale=4))


def _nearest(pixels: np.ndarray) -> np.ndarray:
    return pixels.repeat(4, axis=0).repeat(4, axis=1)


@pytest.mark.parametrize("shell", [False, True])
def test_command_one_image_a_call(tmp_path, shell):
    method = _build_command(_script(tmp_path, SINGLE) + " {input} {output} {scale}", shell=shell)
    restored = method.restore(to_tensor(noise_image(5, 7)), image="an image; touch x", seed=0)
    assert np.array_equal(to_pixels(restored.image), _nearest(noise_image(5, 7)))


def test_command_sees_environment_and_seed(tmp_path, monkeypatch):
    monkeypatch.setenv("ISRBENCH_TEST_WORD", "heard")
    text = "import os, sys\nsys.exit(os.environ['ISRBENCH_TEST_WORD'] + ' ' + sys.argv[1])\n"
    method = _build_command(_script(tmp_path, text) + " {seed} {input} {output}")
    with pytest.raises(UserError, match="heard 987654321"):
        method.restore(to_tensor(noise_image(5, 7)), image="a", seed=987654321)


def test_command_a_folder_a_call(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    calls = tmp_path / "calls"
    method = _build_command(_script(tmp_path, BATCH) + f" {{input_dir}} {{output_dir}} {{scale}} '{calls}'")
    images = {"a": noise_image(5, 7), "b": noise_image(6, 4, seed=1)}
    for image, pixels in images.items():
        write_png(tmp_path / f"{image}.png", pixels)
    method.prepare([(image, tmp_path / f"{image}.png") for image in images])
    for image, pixels in images.items():
        restored = method.restore(to_tensor(pixels), image=image, seed=0)
        assert np.array_equal(to_pixels(restored.image), _nearest(pixels))
    assert calls.read_text() == "called "
    other = noise_image(5, 7, seed=2)  # the same name with other pixels must not get what was prepared
    assert np.array_equal(to_pixels(method.restore(to_tensor(other), image="a", seed=0).image), _nearest(other))
    del method
    assert not list((tmp_path / "temporary").iterdir()), "temporary folders stay behind"


def test_command_failing_on_a_folder_fails_each_image(tmp_path):
    write_png(tmp_path / "a.png", noise_image(5, 7))
    method = _build_command(_script(tmp_path, "import sys; sys.exit('no memory')") + " {input_dir} {output_dir}")
    method.prepare([("a", tmp_path / "a.png")])
    with pytest.raises(UserError, match=r"exited with code 1: .*\n  \| no memory"):
        method.restore(to_tensor(noise_image(5, 7)), image="a", seed=0)


@pytest.mark.parametrize("places", ["{input} {output}", "{input_dir} {output_dir}"])
def test_a_full_temporary_folder_is_named(tmp_path, monkeypatch, places):
    def full(path, pixels):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    method, images = _prepared(tmp_path, "", "a", places=places)
    monkeypatch.setattr("isrbench.methods.command.program.write_png", full)
    method.prepare(images)
    with pytest.raises(UserError, match=r"temporary folder .* cannot be written: No space left on device") as caught:
        method.restore(to_tensor(noise_image(5, 7)), image="a", seed=0)
    assert "TMPDIR" in (caught.value.fix or "")


DYING = """\
import sys, time
from pathlib import Path
from PIL import Image
for path in sorted(Path(sys.argv[1]).iterdir(), reverse=True):
    if path.stem == "a":
        (Path(sys.argv[2]) / "a.png").write_bytes(path.read_bytes()[:40])  # half a file
        {end}
    image = Image.open(path)
    image.resize((image.width * 4, image.height * 4), Image.NEAREST).save(Path(sys.argv[2]) / path.name)
"""


def _prepared(tmp_path, text: str, images: str = "abc", places: str = "{input_dir} {output_dir}", **options):
    for image in images:
        write_png(tmp_path / f"{image}.png", noise_image(5, 7))
    method = _build_command(_script(tmp_path, text) + f" {places}", **options)
    return method, [(image, tmp_path / f"{image}.png") for image in images]


@pytest.mark.parametrize(
    ("end", "message"),
    [
        ("raise RuntimeError('CUDA out of memory')", r"exited with code 1(.|\n)*CUDA out of memory"),
        ("print('stuck', file=sys.stderr, flush=True); time.sleep(60)", r"did not end within 6 s(.|\n)*stuck"),
        ("import os; os.kill(os.getpid(), 9)", "was killed by signal 9"),
    ],
)
def test_what_a_program_finished_is_kept(tmp_path, caplog, end, message):
    method, images = _prepared(tmp_path, DYING.format(end=end), timeout=2.0)
    method.prepare(images)
    assert "2 of 3 images are finished" in caplog.text
    for image in "bc":
        restored = method.restore(to_tensor(noise_image(5, 7)), image=image, seed=0)
        assert np.array_equal(to_pixels(restored.image), _nearest(noise_image(5, 7)))
    with pytest.raises(UserError, match=message):
        method.restore(to_tensor(noise_image(5, 7)), image="a", seed=0)


def test_what_a_program_finished_before_an_interruption_is_kept(tmp_path):
    text = DYING.format(end="import os, signal; os.kill(os.getppid(), signal.SIGINT); time.sleep(60)")
    method, images = _prepared(tmp_path, text)
    with pytest.raises(PreparedInPart) as stopped:
        method.prepare(images)
    assert stopped.value.images == ("b", "c")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import sys; print('to stdout'); sys.exit(3)", r"exited with code 3: .*\n  \| to stdout"),
        ("raise RuntimeError('boom')", r"exited with code 1: (.|\n)*  \| RuntimeError: boom"),
        ("pass", "succeeded, but a.png is not in its output folder; it wrote nothing there"),
        ("import os; os.kill(os.getpid(), 9)", "was killed by signal 9"),
        (
            "import sys\nfrom PIL import Image\nImage.new('RGB', (8, 8)).save(sys.argv[2])",
            "a.png with 8x8 pixels, but x4 is 28x20",
        ),
        ("import sys\nopen(sys.argv[2], 'w').write('no image')", "is not an image"),
    ],
)
def test_command_failures_are_clear(tmp_path, text, message):
    method = _build_command(_script(tmp_path, text) + " {input} {output}")
    with pytest.raises(UserError, match=message):
        method.restore(to_tensor(noise_image(5, 7)), image="a", seed=0)


_IMAGE = "import os, sys, pathlib; from PIL import Image; o = pathlib.Path(sys.argv[2]); "


@pytest.mark.parametrize(
    ("text", "message", "fix"),
    [
        (
            "Image.new('RGBA', (28, 20)).save(o)",
            "^the program's a.png is RGBA",
            "have it write whole PNGs of 8-bit RGB",
        ),
        ("o.write_text('%!PS')", "^the program's a.png is PostScript", "have it write whole PNGs of 8-bit RGB"),
        ("o.symlink_to('/dev/zero')", "as a.png is not a plain file", "have it write a PNG"),
        ("o.parent.rmdir()", "output folder is gone", "leave the folder in place"),
        ("Image.new('RGB', (28, 20)).save(o.with_stem('a_out'))", "it wrote a_out.png", "-o images=DIR -o suffix=_out"),
    ],
)
def test_what_a_program_did_instead_of_writing_an_image_is_said(tmp_path, text, message, fix) -> None:
    """No fix is a command for a file in a temporary folder that is gone when it is read."""
    method = _build_command(_script(tmp_path, _IMAGE + text) + " {input} {output}", timeout=1e300)
    with pytest.raises(UserError, match=message) as caught:
        method.restore(to_tensor(noise_image(5, 7)), image="a", seed=0)
    assert caught.value.fix is not None and fix in caught.value.fix and "isrbench-command" not in caught.value.fix


def test_a_programs_last_words_are_plain_text(tmp_path) -> None:
    words = r"\x1b[31mred\x1b[0m\x1b]0;title\x07 10%\r20%   \r\x07bell é"
    text = f"import sys; sys.stderr.buffer.write('{words}'.encode()); sys.exit(2)"
    method = _build_command(_script(tmp_path, text) + " {input} {output}")
    with pytest.raises(UserError) as caught:
        method.restore(to_tensor(noise_image(5, 7)), image="a", seed=0)
    assert caught.value.message.splitlines()[1:] == ["  | red 10%", "  | 20%", "  | bell é"]


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
    with pytest.raises(UserError, match=r"did not end within 3 s: (.|\n)*half way"):
        method.restore(to_tensor(noise_image(5, 7)), image="a", seed=0)
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
        ("program {input_dir} {output_dir} {seed}", "a folder of images with a seed each"),
        ("no-such-program-anywhere {input} {output}", "the program 'no-such-program-anywhere' was not found"),
        ("python 'open {input} {output}", "cannot be read"),
    ],
)
def test_command_templates_that_cannot_work(template, message):
    with pytest.raises(UserError, match=message):
        _build_command(template)
    with pytest.raises(UserError, match="above 0"):
        CommandOptions("p {input} {output}", timeout=0)


def test_the_weights_hash_follows_the_files_that_the_command_names(tmp_path):
    template = _script(tmp_path, SINGLE) + f" {{input}} {{output}} --weights={tmp_path / 'w.bin'}"
    (tmp_path / "w.bin").write_bytes(b"1")
    first = _build_command(template).weights_hash
    (tmp_path / "w.bin").write_bytes(b"2")
    second = _build_command(template).weights_hash
    _script(tmp_path, SINGLE + "# other\n")
    assert len({first, second, _build_command(template).weights_hash}) == 3


def test_the_weights_hash_follows_what_the_command_is_said_to_depend_on(tmp_path):
    template = _script(tmp_path, SINGLE) + " {input} {output}"
    package, file = tmp_path / "package", tmp_path / "w.bin"
    (package / "sub").mkdir(parents=True)
    (package / "sub" / "net.py").write_text("a = 1\n")
    file.write_bytes(b"1")

    def weights_hash(*places: Path) -> str:
        return _build_command(template, depends=", ".join(map(str, places))).weights_hash

    hashes = [_build_command(template).weights_hash, weights_hash(file), weights_hash(package, file)]
    moved = package.rename(tmp_path / "moved")
    assert weights_hash(moved, file) == hashes[-1], "where a folder lies does not matter"
    (moved / "sub" / "__pycache__").mkdir()
    (moved / "sub" / "__pycache__" / "net.pyc").write_bytes(b"compiled")
    assert weights_hash(moved, file) == hashes[-1]
    (moved / "sub" / "net.py").rename(moved / "sub" / "other.py")
    hashes.append(weights_hash(moved, file))
    (moved / "sub" / "other.py").write_text("a = 2\n")
    hashes.append(weights_hash(moved, file))
    assert len(set(hashes)) == 5


def test_what_a_command_depends_on_has_to_exist(tmp_path):
    with pytest.raises(UserError, match=r"option 'depends': .*gone does not exist") as caught:
        CommandOptions("p {input} {output}", depends=f"{tmp_path}, {tmp_path / 'gone'}")
    assert caught.value.fix == "correct -o depends=FILE,DIR"


@pytest.mark.parametrize("places", ["{input} {output}", "{input_dir} {output_dir}"])
def test_command_is_not_run_again_for_the_clock(tmp_path, places):
    calls = tmp_path / "calls"
    method = _build_command(_script(tmp_path, f"open({str(calls)!r}, 'a').write('called')") + " " + places)
    cost = run_cost(method, 16, 16, "cpu")
    assert not calls.exists()
    assert cost.latency_ms is None and cost.peak_mib is None and cost.macs is None


def test_command_with_another_time_limit_is_the_same_run():
    def key(**options):
        return options_key(CommandOptions("p {input} {output}", **options))

    assert key(timeout=5.0) == key(timeout=900.0)
    assert key(depends="/") == key(), "its content counts, in weights_hash, and not its name"
    assert key(shell=True) != key() and "p {input} {output}" in key().values()


def test_what_a_linked_folder_holds_is_part_of_the_identity(tmp_path):
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    project.mkdir()
    elsewhere.mkdir()
    (elsewhere / "net.py").write_text("one")
    (project / "main.py").write_text("main")
    plain = _build_command("cat {input} {output}", depends=str(project)).weights_hash
    (project / "lib").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(project)  # a loop, which ends
    first = _build_command("cat {input} {output}", depends=str(project)).weights_hash
    (elsewhere / "net.py").write_text("two")
    second = _build_command("cat {input} {output}", depends=str(project)).weights_hash
    assert len({plain, first, second}) == 3


def test_a_word_too_long_for_a_path_is_no_file():
    _build_command(f"cat {'x' * 300} {{input}} {{output}}")
    with pytest.raises(UserError, match="does not exist"):
        CommandOptions("cat {input} {output}", depends="x" * 300)


def test_what_is_odd_about_a_programs_files_is_said_once(tmp_path, caplog):
    script = SINGLE.replace(".save(sys.argv[2])", ".save(sys.argv[2], format='JPEG')")
    method = _build_command(_script(tmp_path, script) + " {input} {output} {scale}")
    for image in ("a", "b"):
        method.restore(to_tensor(noise_image(4, 4)), image=image, seed=0)
    (record,) = caplog.records
    assert record.message.startswith("a.png, as the program wrote it: it is a JPEG by its content")
