"""Images of every size: what geometry plans, what tiles need, and what strips of the VAE take in memory."""

import pytest
import torch

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.base import chunked_vae as strips
from isrbench.methods.onestep.base.chunked_vae import check_memory, decode_in_strips, encode_in_strips, peak_bytes
from isrbench.methods.onestep.base.load import sd21_configs
from isrbench.methods.onestep.infer.geometry import plan
from isrbench.methods.onestep.infer.tiling import check_tile, gaussian_weights, in_tiles
from isrbench.methods.studies.tensor_peak import TensorPeak
from tests.support.onestep_base import models, one_thread  # noqa: F401


def as_osediff(height, width, scale, process_size):
    """Its test script's sizes: int(factor * side), then times the scale."""
    least = process_size // scale
    if width < least or height < least:
        factor = least / min(width, height)
        height, width = int(factor * height), int(factor * width)
    return height * scale, width * scale


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
def test_sizes_are_osediff_s_and_padded_ones_divide(scale):
    sizes = [(h, w) for h in range(20, 160, 7) for w in range(20, 160, 11)]
    for height, width in sizes:
        found = plan(height, width, scale, 512, 64)
        assert found.upscaled == as_osediff(height, width, scale, 512)
        assert found.result == (height * scale, width * scale)
        assert all(p % 64 == 0 and 0 <= p - u < 64 for p, u in zip(found.padded, found.upscaled, strict=True))


@pytest.mark.parametrize("scale", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (1, 1000), (1000, 1), (3, 2), (127, 129)])
def test_extreme_sizes_stay_valid_and_bounded(size, scale):
    found = plan(*size, scale, 512, 64)
    assert min(found.upscaled) >= scale * min(size) and max(found.upscaled) <= max(8 * 512, scale * max(size))
    assert all(u % scale == 0 for u in found.upscaled)


def test_a_tile_has_to_be_halved_evenly():
    for tile, multiple in ((96, 8), (8, 8), (16, 2)):
        check_tile(tile, multiple)
    for tile, multiple in ((4, 8), (20, 8), (15, 2)):
        with pytest.raises(UserError, match=f"multiple of {multiple}"):
            check_tile(tile, multiple)


@pytest.mark.parametrize("shape", [(1, 1), (1, 250), (7, 8), (3, 90)])
def test_latents_of_any_shape_go_through_tiles(shape):
    seen = []
    z = torch.randn(1, 2, *shape)
    found = in_tiles(lambda part: seen.append(tuple(part.shape[-2:])) or part, z, 8, 3)
    assert torch.allclose(found, z, atol=1e-5)
    assert set(seen) == {shape if shape[0] * shape[1] <= 64 else (min(8, shape[0]), min(8, shape[1]))}
    assert (gaussian_weights(*seen[0]) > 0).all()


def test_what_torch_keeps_on_a_card_counts_as_available(monkeypatch):
    """Or a second large image would be refused where the first one was restored."""
    for name, value in (("mem_get_info", (2, 24)), ("memory_reserved", 20), ("memory_allocated", 5)):
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    assert strips.available_bytes("cuda:0") == 2 + 20 - 5


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_estimated_memory_is_near_what_strips_take(monkeypatch, dtype):
    monkeypatch.setattr(strips, "STRIP_PIXELS", 2048)
    vae = models()[0].to(dtype)
    pixels, latents = torch.zeros(1, 3, 256, 192, dtype=dtype), torch.zeros(1, 4, 64, 48, dtype=dtype)
    size = torch.finfo(dtype).bits // 8
    known = [*vae.parameters(), pixels, latents]
    peaks = []
    for run in (lambda: encode_in_strips(vae, pixels), lambda: decode_in_strips(vae, latents)):
        with TensorPeak(known) as watch:
            run()
        peaks.append(watch.peak)
    estimate = peak_bytes(vae.config, 256, 192, size) - 256 * 192 * strips._IMAGES
    assert max(peaks) <= estimate <= 1.5 * max(peaks)


def test_an_image_that_cannot_fit_is_refused_with_a_way_out():
    vae = sd21_configs()[0]
    # The decoder's last level holds 256 + 2 x 128 channels at full size.
    at_least = 4096 * 4096 * 512 * 2
    assert at_least < peak_bytes(vae, 4096, 4096, 2) < 1.2 * at_least
    check_memory(vae, 512, 512, 4, 2 * 2**30)
    with pytest.raises(UserError, match=r"4096 x 2048 pixels takes about .* but only 4\.0 GiB") as caught:
        check_memory(vae, 2048, 4096, 4, 4 * 2**30)
    assert "precision=fp16" in str(caught.value) and "smaller image" in str(caught.value)
    with pytest.raises(UserError) as caught:
        check_memory(vae, 4096, 4096, 2, 4 * 2**30)
    assert "precision=fp16" not in str(caught.value) and "smaller image" in str(caught.value)
