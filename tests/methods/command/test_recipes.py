"""docs/recipes.md: every recipe parses, and runs a program that takes the same options and names its files alike."""

from __future__ import annotations

import re
import shlex
import sys
from itertools import pairwise

import pytest

from isrbench.harness.api.method import Runtime
from isrbench.harness.api.options import parse_options
from isrbench.harness.imaging.images import to_pixels, to_tensor, write_png
from isrbench.methods.command.options import CommandOptions
from isrbench.methods.command.plugin import PLUGIN
from tests.support.images import noise_image
from tests.support.paths import ROOT

PLACEHOLDERS = {"input_dir", "output_dir", "scale"}
PROGRAMS = {
    "seesr": ("SeeSR", "test_seesr.py", "--image_path", "--output_dir", "sample00/{}.png"),
    "pasd": ("PASD", "test_pasd.py", "--image_path", "--output_dir", "{}.png"),
    "stablesr": ("StableSR", "scripts/sr_val_ddpm_text_T_vqganfin_old.py", "--init-img", "--outdir", "{}.png"),
    "diffbir": ("DiffBIR", "inference.py", "--input", "--output", "{}.png"),
    "resshift": ("ResShift", "inference_resshift.py", "-i", "-o", "{}.png"),
    "sinsr": ("SinSR", "inference.py", "-i", "-o", "{}.png"),
    "invsr": ("InvSR", "inference_invsr.py", "-i", "-o", "{}.png"),
    "supir": ("SUPIR", "test.py", "--img_dir", "--save_dir", "{}_0.png"),
    "tsd-sr": ("TSD-SR", "test/test_tsdsr.py", "-i", "-o", "{}.png"),
}
"""Of each method: its repository's folder, its script, its options for both folders, and how it names a result."""
PYTHON = """#!{python}
import sys
from itertools import pairwise
from pathlib import Path
from PIL import Image
folder, script, source, target, name = {program!r}
words = [word for word in sys.argv[1:] if word != "-u"]
assert Path.cwd().name == folder and words.pop(0) == script, words
given = dict(zip(words, words[1:]))
for path in sorted(Path(given[source]).iterdir()):
    image = Image.open(path)
    result = Path(given[target], name.format(path.stem))
    result.parent.mkdir(exist_ok=True)
    image.resize((image.width * 4, image.height * 4), Image.NEAREST).save(result)
    Path(given[target], "prompt.csv").write_text("more than images")
"""


def recipes() -> dict[str, dict[str, str]]:
    """The options of each command line of the page, by the name that it gives its run."""
    text = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")
    found = {}
    for line in re.findall(r"^    (isrbench eval .*)$", text, re.MULTILINE):
        words = shlex.split(line)
        given = list(pairwise(words))
        assert ("--method", "command") in given
        options = dict(value.split("=", 1) for flag, value in given if flag == "-o" and "=" in value)
        found[dict(given)["--name"]] = options
    return found


def test_there_is_a_recipe_for_each_program():
    assert recipes().keys() == PROGRAMS.keys()


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_recipe_runs(name, tmp_path, monkeypatch):
    options = parse_options(CommandOptions, recipes()[name])
    assert set(re.findall(r"\{(\w+)\}", options.command)) <= PLACEHOLDERS and options.by_folder and options.shell
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text(PYTHON.format(python=sys.executable, program=PROGRAMS[name]))
    python.chmod(0o755)
    (tmp_path / PROGRAMS[name][0]).mkdir()
    monkeypatch.setenv("PATH", f"{python.parent}:/usr/bin:/bin")
    monkeypatch.chdir(tmp_path)
    images = {image: noise_image(8, 12) for image in ("Canon_001_LR4", "b 2")}
    for image, pixels in images.items():
        write_png(tmp_path / f"{image}.png", pixels)
    method = PLUGIN.make(options, Runtime(4))
    method.prepare([(image, tmp_path / f"{image}.png") for image in images])
    for image, pixels in images.items():
        restored = method.restore(to_tensor(pixels), image=image, seed=0).image
        assert (to_pixels(restored) == pixels.repeat(4, 0).repeat(4, 1)).all()
