"""The VAE in chunks of rows: the same numbers, and how much memory they take."""

import pytest
import torch

from isrbench.harness.errors import UserError
from isrbench.methods.onestep.base import chunked_vae
from isrbench.methods.onestep.base.chunked_vae import check_memory, decode_in_chunks, encode_in_chunks, peak_bytes
from isrbench.methods.onestep.base.load import sd21_configs
from isrbench.methods.studies.tensor_peak import TensorPeak
from tests.support.onestep_base import models, one_thread  # noqa: F401


@torch.no_grad()
@pytest.mark.parametrize("pixels", [64, 300, 10**6])
def test_vae_in_chunks_is_the_vae(monkeypatch, pixels):
    monkeypatch.setattr(chunked_vae, "CHUNK_PIXELS", pixels)
    vae, _ = models()
    x = torch.rand(2, 3, 44, 28) * 2 - 1
    assert torch.allclose(chunked_vae.encode_in_chunks(vae, x), vae.encode(x).latent_dist.parameters, atol=2e-5)
    z = torch.randn(2, 4, 11, 7)
    assert torch.allclose(chunked_vae.decode_in_chunks(vae, z), vae.decode(z).sample, atol=2e-5)


@torch.no_grad()
def test_chunks_leave_no_seam_in_constant_and_gradient(monkeypatch):
    monkeypatch.setattr(chunked_vae, "CHUNK_PIXELS", 128)
    vae, _ = models()
    ramp = torch.linspace(-1, 1, 64).expand(1, 3, 64, 64)
    for x in (torch.full((1, 3, 64, 64), 0.3), ramp, ramp.transpose(2, 3)):
        whole = vae.decode(vae.encode(x).latent_dist.mean).sample
        mean = chunked_vae.encode_in_chunks(vae, x).chunk(2, dim=1)[0]
        assert (chunked_vae.decode_in_chunks(vae, mean) - whole).abs().max() < 2e-5


def test_what_torch_keeps_on_a_card_counts_as_available(monkeypatch):
    """Or a second large image would be refused where the first one was restored."""
    for name, value in (("mem_get_info", (2, 24)), ("memory_reserved", 20), ("memory_allocated", 5)):
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: value)
    assert chunked_vae.available_bytes("cuda:0") == 2 + 20 - 5


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_estimated_memory_is_near_what_chunks_take(monkeypatch, dtype):
    monkeypatch.setattr(chunked_vae, "CHUNK_PIXELS", 2048)
    vae = models()[0].to(dtype)
    pixels, latents = torch.zeros(1, 3, 256, 192, dtype=dtype), torch.zeros(1, 4, 64, 48, dtype=dtype)
    size = torch.finfo(dtype).bits // 8
    known = [*vae.parameters(), pixels, latents]
    peaks = []
    for run in (lambda: encode_in_chunks(vae, pixels), lambda: decode_in_chunks(vae, latents)):
        with TensorPeak(known) as watch:
            run()
        peaks.append(watch.peak)
    estimate = peak_bytes(vae.config, 256, 192, size) - 256 * 192 * chunked_vae._IMAGES
    assert max(peaks) <= estimate <= 1.5 * max(peaks)


def test_an_image_that_cannot_fit_is_refused_with_a_way_out():
    vae = sd21_configs()[0]
    # The decoder's last level holds 256 + 2 x 128 channels at full size.
    at_least = 4096 * 4096 * 512 * 2
    assert at_least < peak_bytes(vae, 4096, 4096, 2) < 1.2 * at_least
    check_memory(vae, 512, 512, 4, 2 * 2**30)
    with pytest.raises(UserError, match=r"4096 x 2048 pixels takes about .* but only 4\.0 GiB") as caught:
        check_memory(vae, 2048, 4096, 4, 4 * 2**30)
    assert "dtype=fp16" in str(caught.value) and "smaller image" in str(caught.value)
    with pytest.raises(UserError) as caught:
        check_memory(vae, 4096, 4096, 2, 4 * 2**30)
    assert "dtype=fp16" not in str(caught.value) and "smaller image" in str(caught.value)
