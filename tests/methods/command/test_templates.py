"""A file name is never code, whatever shell or interpreter a template names."""

from __future__ import annotations

import re
import sys

import numpy as np
import pytest

from isrbench.harness.api.method import Runtime
from isrbench.harness.errors import UserError
from isrbench.harness.imaging.images import to_pixels, to_tensor
from isrbench.methods.command.options import CommandOptions
from isrbench.methods.command.plugin import PLUGIN
from tests.support.images import noise_image

ENLARGE = """\
import sys
from PIL import Image
image = Image.open(sys.argv[1])
scale = int(sys.argv[3])
image.resize((image.width * scale, image.height * scale), Image.NEAREST).save(sys.argv[2])
"""


@pytest.mark.parametrize("name", ["$(touch hacked)", "`touch hacked`", "a'; touch hacked; '", 'a"; touch hacked; "'])
def test_no_file_name_runs_as_code_in_a_shell(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "enlarge.py").write_text(ENLARGE)
    program = f"'{sys.executable}' '{tmp_path / 'enlarge.py'}'"
    template = f"twice() {{ {program} {{input}} {{output}} {{scale}}; }}; twice x && echo '{{scale}}'"
    method = PLUGIN.make(CommandOptions(template, shell=True), Runtime(scale=4))
    restored = method.restore(to_tensor(noise_image(5, 7)), image=name, seed=0)
    assert np.array_equal(to_pixels(restored.image), noise_image(5, 7).repeat(4, axis=0).repeat(4, axis=1))
    assert not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(
    ("template", "shell", "message"),
    [
        ("cp '{input}' {output}", True, "{input} stands inside quotes"),
        ('cp {input} "$(basename {output})"', True, "{output} stands inside quotes"),
        (r"cp \{input} {output}", True, "{input} stands behind a backslash"),
        ("eval cp {input} {output}", True, "{input} stands behind eval"),
        ("sh <<X\ncp {input} {output}\nX", True, "{input} stands in a here-document"),
        ("nice bash -o pipefail -ec 'cat {input} > {output}'", False, "bash -ec would read the file name"),
        ("python3 -W ignore -c 'open(\"{output_dir}\")' {input_dir}", False, "python3 -c would read the file name"),
        ("perl -ne 's/{input}/{output}/'", False, "perl -ne would read the file name"),
    ],
)
def test_a_template_that_would_read_a_file_name_as_code_is_refused(template, shell, message):
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        CommandOptions(template, shell=shell)
    assert caught.value.fix


@pytest.mark.parametrize(
    "template",
    [
        "python test.py -c {input} {output}",
        "bash -e run.sh {input} {output}",
        'sh -c \'cp "$1" "$2"\' sh {input} {output}',
        "program -c in={input} out={output} 's/eval/x/'",
    ],
)
def test_options_that_only_look_like_code_pass(template):
    for shell in (False, True):
        CommandOptions(template, shell=shell)
