"""`channels_last` and `compile`: the same images up to rounding, the same routing and cost, compiled once a size."""

import shutil
from itertools import pairwise

import pytest
import torch
from torch._dynamo.utils import counters

from isrbench.harness.api import speed
from isrbench.harness.api.method import Runtime
from isrbench.harness.api.options import options_key, parse_options
from isrbench.harness.api.registry import methods
from isrbench.harness.errors import UserError
from isrbench.methods.onestep.infer import building
from isrbench.methods.onestep.options import MixtureOptions, OneStepOptions
from tests.support.authors_files import write_de_net
from tests.support.one_step import one_step, published
from tests.support.onestep_base import one_thread  # noqa: F401

LEVELS = 0.02 / 255
"""What another order of sums may change, of 1 = white."""


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """Builds a method of the family by the plugin, from random weights, with options as texts."""
    made = {}

    def build(name, **options):
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            made[name] = (one_step if name in ("mor", "osediff") else published)(name)(folder)
            if name == "s3diff":
                made[name]["de_net"] = str(write_de_net(folder))
        plugin = methods().get(name)
        fixed = {"latent": "mode", "truncate": "false", "process_size": "0"}
        return plugin.make(parse_options(plugin.options, {**made[name], **fixed, **options}), Runtime(4))

    return build


def lrs(count, height=8, width=8):
    """Images from dark to bright."""
    noise = torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))
    return noise * torch.linspace(0.2, 1, count).view(-1, 1, 1, 1)


def restored(method, images):
    return [method.restore(lr, image=str(n), seed=n) for n, lr in enumerate(images)]


def test_both_are_off_and_part_of_the_identity():
    default = options_key(OneStepOptions())
    assert default["channels_last"] is default["compile"] is False
    for name in ("channels_last", "compile"):
        assert options_key(parse_options(OneStepOptions, {name: "true"})) != default


def test_ranks_apart_are_not_compiled():
    with pytest.raises(UserError, match="merge=false"):
        MixtureOptions(compile=True, merge=False)
    assert MixtureOptions(compile=True, merge=False, adapter_off=True).compile


@pytest.mark.parametrize("name", ["osediff", "mor", "pisa"])
def test_channels_last_changes_rounding_alone(build, name):
    options = {"lambda_pix": "0.5"} if name == "pisa" else {}
    plain, other = build(name, **options), build(name, channels_last="true", **options)
    for one, two in zip(restored(plain, lrs(2)), restored(other, lrs(2)), strict=True):
        assert (one.image - two.image).abs().max() < LEVELS and one.trace == two.trace
    weights = [m.weight for m in other.base.unet.modules() if isinstance(m, torch.nn.Conv2d)]
    wide = [w for w in weights if w.shape[1] > 1 and w.shape[2] > 1 and len(w) > 4]
    assert wide and any(w.is_contiguous(memory_format=torch.channels_last) for w in wide)
    assert plain.weights_hash == other.weights_hash and plain.options != other.options


@pytest.fixture
def traced(monkeypatch):
    """Networks as dynamo traces them, run by torch itself: all but the code that a C++ compiler makes."""
    compile = torch.nn.Module.compile

    def trace(self, *, dynamic, options):
        assert "deterministic" in options
        compile(self, dynamic=dynamic, backend="eager")

    monkeypatch.setattr(torch.nn.Module, "compile", trace)
    monkeypatch.setattr(building, "check_compiler", lambda device: None)
    monkeypatch.setattr(speed, "check_compiler", lambda device: None)


METHODS = {"osediff": {}, "mor": {}, "pisa": {"lambda_pix": "0.5"}, "s3diff": {}}


def check_compiled(plain, fast, bound):
    """Compiled at the first image of a size and never again; images, routing and cost are the plain method's."""
    torch._dynamo.reset()  # another method's decoder would do
    images, graphs, found = lrs(3), [counters["stats"]["unique_graphs"]], []
    expected = restored(plain, images)
    for n, lr in enumerate(images):
        found.append(fast.restore(lr, image=str(n), seed=n))
        graphs.append(counters["stats"]["unique_graphs"])
    new = [after - before for before, after in pairwise(graphs)]
    assert new[0] >= 3 and new[1:] == [0, 0], "encoder, UNet and decoder at the first image, nothing at the others"
    for one, two in zip(expected, found, strict=True):
        assert (one.image - two.image).abs().max() <= bound and one.trace == two.trace
    if plain.active_counts():
        assert len({one.trace.active for one in found}) > 1, "routed alike, they would prove little"
    assert fast.cost(8, 8) == plain.cost(8, 8)
    again = restored(fast, images)
    assert all(torch.equal(one.image, two.image) for one, two in zip(found, again, strict=True))
    assert counters["stats"]["unique_graphs"] == graphs[-1]


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_a_size_is_traced_once_with_the_same_routing_and_cost(build, traced, name):
    plain, fast = build(name, **METHODS[name]), build(name, compile="true", **METHODS[name])
    check_compiled(plain, fast, LEVELS)
    images = lrs(3)
    together = fast.restore_batch(images, images=["0", "1", "2"], seeds=[0, 1, 2])
    for one, two in zip(restored(plain, images), together, strict=True):
        assert (one.image - two.image).abs().max() < LEVELS and one.trace == two.trace


@pytest.mark.slow
def test_tiles_and_chunks_count_as_they_do_uncompiled(build, traced):
    """Chunks of the VAE are never compiled; tiles of one size are compiled once."""
    options = {"tile": "4", "overlap": "2", "vae_pixels": "500"}
    plain, fast = build("mor", **options), build("mor", compile="true", **options)
    for one, two in zip(restored(plain, lrs(2)), restored(fast, lrs(2)), strict=True):
        assert (one.image - two.image).abs().max() < LEVELS and one.trace == two.trace


@pytest.mark.slow
def test_too_many_sizes_are_refused(build, traced, monkeypatch):
    torch._dynamo.reset()
    monkeypatch.setattr(speed, "SIZES", 1)
    fast = build("osediff", compile="true")
    fast.restore(lrs(1)[0], image="x", seed=0)
    with pytest.raises(UserError, match="compiled for 1 sizes"):
        fast.restore(lrs(1, 16, 8)[0], image="x", seed=0)


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch compiles with g++")
def test_compiled_code_restores_the_same_up_to_rounding(build):
    check_compiled(build("mor"), build("mor", compile="true"), LEVELS)
