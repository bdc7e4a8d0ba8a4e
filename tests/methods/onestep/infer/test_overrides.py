"""Routing overruled by options: severities from a file, a fixed number of experts, the adapter off."""

from itertools import pairwise

import pytest
import torch

from isrbench.harness.api.method import Runtime
from isrbench.harness.api.options import options_key
from isrbench.harness.errors import UserError
from isrbench.harness.severity.dimensions import DIMENSIONS
from isrbench.harness.severity.estimator import Estimator
from isrbench.methods.mor.adapter import attach
from isrbench.methods.mor.config import MoRConfig
from isrbench.methods.onestep.adapter import AdapterSpec
from isrbench.methods.onestep.base.load import load_base
from isrbench.methods.onestep.checkpoint import AdapterCheckpoint, save_adapter
from isrbench.methods.onestep.infer.building import build_method
from isrbench.methods.onestep.infer.severities import FileSeverities
from isrbench.methods.onestep.options import MixtureOptions
from tests.support.onestep_base import one_thread, write_base  # noqa: F401

SIZES = {"shared": 1, "routed": 6, "zero_slots": 2, "top_k": 3}
SPEC = AdapterSpec("mor", MoRConfig(), attach)
IMAGES = {"dark": 0.1, "grey": 0.5, "light": 0.9}


class Brightness(Estimator):
    """Stands in for CLIP: every dimension is the image's mean."""

    def __init__(self):
        super().__init__("brightness")

    id = "brightness"

    def load(self):
        pass

    def estimate(self, lr):
        return lr.mean((1, 2, 3))[:, None].expand(-1, 7)


def lr(image):
    noise = torch.rand(3, 10, 12, generator=torch.Generator().manual_seed(0))
    return IMAGES[image] + 0.1 * (noise - 0.5)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("overrides")
    loaded = load_base(str(write_base(folder / "base")))
    adapter = attach(loaded.unet, loaded.vae, MoRConfig(**SIZES), 0)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, parameter in adapter.parameters().items():
            spread = 5.0 if name.startswith("router") else 0.1
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
    save_adapter(
        folder / "a.safetensors",
        AdapterCheckpoint("mor", SIZES, loaded.base_hash, adapter.state_dict(), timestep=249, training={}),
    )
    return folder


@pytest.fixture
def build(folder):
    def build(**options):
        options = {"base": str(folder / "base"), "adapter": folder / "a.safetensors", "estimator": "tiny", **options}
        return build_method(MixtureOptions(**options), Runtime(4), SPEC, estimators=lambda *spec: Brightness())

    return build


def restored(method, image="grey"):
    return method.restore(lr(image), image=image, seed=0)


def write(path, rows):
    lines = [",".join(["more", "image", *DIMENSIONS])]
    lines += [",".join(["x", image, *(repr(float(value)) for value in vector)]) for image, vector in rows.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_an_image_s_own_severity_from_a_file_gives_the_very_same_pixels(build, tmp_path):
    plain = build()
    own = {image: plain.severity(lr(image), image=image).tolist() for image in IMAGES}
    given = build(severities=write(tmp_path / "own.csv", own))
    swapped = {"dark": own["light"], "grey": own["dark"], "light": own["grey"]}
    other = build(severities=write(tmp_path / "other.csv", swapped))
    for image in IMAGES:
        expected = restored(plain, image)
        assert torch.equal(restored(given, image).image, expected.image)
        assert restored(given, image).trace == expected.trace
        assert not torch.equal(restored(other, image).image, expected.image)
        assert other.severity(lr(image), image=image).tolist() == swapped[image]
    assert given.estimator is None, "what is not used is not loaded"


def test_severities_are_part_of_the_identity(build, tmp_path):
    one = write(tmp_path / "one.csv", {"dark": [0.25] * 7, "grey": [0.5] * 7})
    first = build(severities=one)
    hashes = {image: first.input_hash(image) for image in ("dark", "grey")}
    assert build().input_hash("dark") == "" != hashes["dark"] != hashes["grey"]
    again = build(severities=write(tmp_path / "one.csv", {"dark": [0.25] * 7, "grey": [0.75] * 7}))
    assert again.input_hash("dark") == hashes["dark"] and again.input_hash("grey") != hashes["grey"]
    keys = [options_key(build(**options).options) for options in ({"severities": one}, {"active": 2}, {})]
    assert [(key["severities"], key["active"], key["adapter_off"]) for key in keys] == [
        (str(one), None, False), (None, 2, False), (None, None, False)
    ]  # fmt: skip


def test_an_image_that_is_not_in_the_file_fails_with_one_message(build, tmp_path):
    method = build(severities=write(tmp_path / "s.csv", {"dark": [0.5] * 7}))
    for ask in (restored, lambda method: method.input_hash("grey")):
        with pytest.raises(UserError, match=r"s\.csv has no line for image 'grey'") as caught:
            ask(method)
        assert caught.value.fix


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "does not exist"),
        (b"\xff\xfe\x00", "cannot be read"),
        ("", "no column image, quality"),
        ("image,quality\na,0.5\n", "no column blur"),
        (",".join(["image", *DIMENSIONS]) + "\na" + ",0.5" * 6 + ",worst\n", "s.csv:2: compression is 'worst'"),
        (",".join(["image", *DIMENSIONS]) + "\na" + ",0.5" * 6 + ",1.5\n", "compression is '1.5'"),
        (",".join(["image", *DIMENSIONS]) + "\na" + ",0.5" * 6 + "\n", "compression is ''"),
        (",".join(["image", *DIMENSIONS]) + ("\na" + ",0.5" * 7) * 2 + "\n", "s.csv:3 names 'a' a second time"),
    ],
)  # fmt: skip
def test_files_that_hold_no_severities(text, words, tmp_path):
    path = tmp_path / "s.csv"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError) as caught:
        FileSeverities(path)
    assert words in caught.value.message and caught.value.fix


@pytest.mark.parametrize("merge", [True, False])
def test_off_gives_the_pixels_of_the_base_alone(build, merge):
    off, on, bare = build(adapter_off=True, merge=merge), build(merge=merge), build(merge=merge)
    bare.adapter = NoAdapter(bare.adapter)
    result = restored(off)
    assert torch.equal(result.image, restored(bare).image)
    assert not torch.equal(result.image, restored(on).image)
    assert result.trace.mean_active == 0 == result.trace.macs == result.trace.params
    assert set(result.trace.zero) == {0} and result.trace.layers == off.adapter.layers


class NoAdapter:
    """Stands in for an adapter that was taken off: the base's own modules are back, and nothing steers them."""

    layers = ()

    def __init__(self, adapter):
        adapter.detach()

    def route(self, severity):
        pass

    def traces(self):
        return None


def test_off_costs_what_the_base_costs(build):
    off, on = build(adapter_off=True).cost(12, 12), build().cost(12, 12)
    own = sum(parameter.numel() for parameter in build().adapter.parameters().values())
    assert off.macs == build().base_cost(12, 12).total < on.macs
    assert off.params_active == off.params_total == on.params_total - own and off.params_trainable == 0


def test_a_fixed_number_of_experts(build):
    free, counts = build(), build().active_counts()
    assert counts == (1, 2, 3, 4)
    images = [restored(build(active=count)) for count in counts]
    assert [result.trace.mean_active for result in images] == [1, 2, 3, 4]
    assert len({result.trace.macs for result in images}) == 4
    for one, two in pairwise(images):
        assert not torch.equal(one.image, two.image) and one.trace.macs < two.trace.macs
    full = build(active=4)
    seen = []
    for image in IMAGES:  # an image that picks no zero slot anywhere is routed as with the full number
        trace, result = restored(free, image).trace, restored(full, image)
        seen.append(sum(trace.zero))
        same = torch.equal(restored(free, image).image, result.image)
        assert same == (sum(trace.zero) == 0)
    assert any(seen)
    apart = restored(build(active=2, merge=False))
    assert torch.allclose(apart.image, images[1].image, atol=1e-2) and apart.trace == images[1].trace


def test_the_full_number_is_the_routed_result_where_no_zero_slot_is_picked(folder, build, tmp_path):
    """With no zero slots at all, top-k picks k real experts everywhere."""
    sizes = {**SIZES, "zero_slots": 0}
    loaded = load_base(str(folder / "base"))
    adapter = attach(loaded.unet, loaded.vae, MoRConfig(**sizes), 0)
    generator = torch.Generator().manual_seed(4)
    for parameter in adapter.parameters().values():
        parameter.data.copy_(torch.randn(parameter.shape, generator=generator))
    path = tmp_path / "b.safetensors"
    save_adapter(path, AdapterCheckpoint("mor", sizes, loaded.base_hash, adapter.state_dict(), timestep=249))
    plain, full = restored(build(adapter=path)), restored(build(adapter=path, active=4))
    assert torch.equal(plain.image, full.image) and plain.trace == full.trace


@pytest.mark.parametrize("count", [0, 5, -1])
def test_a_number_that_the_adapter_cannot_have_is_refused(build, count):
    with pytest.raises(UserError, match=f"{count} active experts are not possible") as caught:
        build(active=count)
    assert "1, 2, 3, 4" in caught.value.fix


def test_options_that_contradict_each_other():
    for more in ({"active": 2}, {"severities": "x.csv"}):
        with pytest.raises(UserError, match="leaves nothing to route"):
            MixtureOptions(adapter_off=True, **more)


def test_the_title_says_what_overrules_the_routing(build, tmp_path):
    path = write(tmp_path / "s.csv", {"grey": [0.5] * 7})
    assert build().variant == "" and build(adapter_off=True).variant == "adapter off"
    assert build(severities=path, active=2).variant == "given severities, 2 active experts"
