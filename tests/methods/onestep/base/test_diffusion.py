"""The formula of the one step: each part against the published equations, and the whole in tiles."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler

from isrbench.harness.imaging.tiling import blend_tiles, gaussian_weights
from isrbench.methods.onestep.base.diffusion import DiffusionBase, tile_size
from isrbench.methods.onestep.base.text import TextEncoder
from tests.support.onestep_base import models, one_thread  # noqa: F401

PREDICTIONS = ("epsilon", "v_prediction")


@pytest.fixture
def base():
    scheduler = DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    return DiffusionBase(
        *models(), scheduler.alphas_cumprod, "epsilon", TextEncoder({"positive": torch.zeros(1, 3, 8)})
    )


def test_x0_is_exact_for_both_predictions(base):
    x0, eps = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    a = float(base.abar[999])
    assert 1 / math.sqrt(a) == pytest.approx(14.6488, rel=1e-4)
    z = math.sqrt(a) * x0 + math.sqrt(1 - a) * eps
    assert torch.allclose(base.x0(z, eps, 999), x0, atol=1e-4)
    v = math.sqrt(a) * eps - math.sqrt(1 - a) * x0
    assert torch.allclose(replace(base, prediction="v_prediction").x0(z, v, 999), x0, atol=1e-5)


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_each_image_has_its_own_timestep_and_noising_is_undone(base, prediction):
    base = replace(base, prediction=prediction)
    z, noise = torch.randn(3, 4, 8, 8), torch.randn(3, 4, 8, 8)
    t = torch.tensor([0, 300, 700])
    noised, target = base.add_noise(z, noise, t), base.diffusion_target(z, noise, t)
    assert torch.allclose(base.x0(noised, target, t), z, atol=1e-4)
    for n, timestep in enumerate(t.tolist()):
        a = float(base.abar[timestep])
        assert torch.allclose(noised[n], math.sqrt(a) * z[n] + math.sqrt(1 - a) * noise[n], atol=1e-6)
        assert torch.equal(base.x0(noised, target, t)[n], base.x0(noised[n : n + 1], target[n : n + 1], timestep)[0])


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_target_is_what_diffusers_trains_on(base, prediction):
    scheduler = DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    z, noise, t = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8), torch.tensor([20, 900])
    assert torch.allclose(base.add_noise(z, noise, t), scheduler.add_noise(z, noise, t), atol=1e-6)
    theirs = noise if prediction == "epsilon" else scheduler.get_velocity(z, noise, t)
    assert torch.allclose(replace(base, prediction=prediction).diffusion_target(z, noise, t), theirs, atol=1e-6)


@torch.no_grad()
def test_encoding_samples_the_posterior_or_takes_its_mean(base):
    pixels, noise = torch.rand(2, 3, 32, 24) * 2 - 1, torch.randn(2, *base.latent_shape(32, 24))
    posterior = base.vae.encode(pixels).latent_dist
    scaling = base.vae.config.scaling_factor
    assert torch.equal(base.encode(pixels), posterior.mean * scaling)
    assert torch.equal(base.encode(pixels, noise), (posterior.mean + posterior.std * noise) * scaling)
    z = torch.randn_like(noise)
    assert torch.equal(base.decode(z), base.vae.decode(z / scaling).sample)


@torch.no_grad()
def test_a_base_that_shifts_its_latents(base):
    pixels = torch.rand(1, 3, 32, 32) * 2 - 1
    plain = base.encode(pixels)
    base.vae.register_to_config(shift_factor=0.5)
    assert torch.allclose(base.encode(pixels), plain - 0.5 * base.vae.config.scaling_factor, atol=1e-6)
    assert torch.allclose(base.decode(base.encode(pixels)), replace(base, vae=models()[0]).decode(plain), atol=1e-5)


def test_gradients_flow_through_the_whole_step(base):
    pixels = (torch.rand(1, 3, 32, 32) * 2 - 1).requires_grad_()
    base.decode(base.one_step(pixels, 249, torch.randn(1, 3, 8))).square().mean().backward()
    assert pixels.grad is not None and pixels.grad.abs().sum() > 0


@torch.no_grad()
def test_autocast_computes_the_networks_lower_and_nothing_else(base):
    pixels, embedding = torch.rand(1, 3, 32, 32) * 2 - 1, torch.randn(1, 3, 8)
    full, half = (b.one_step(pixels, 249, embedding) for b in (base, replace(base, autocast=torch.bfloat16)))
    assert half.dtype == torch.float32 and not torch.equal(full, half) and torch.allclose(full, half, atol=0.1)
    assert base.unet.dtype == base.vae.dtype == torch.float32


def in_tiles(predict, latents, tile, overlap):
    """As ``one_step`` lets the UNet see tiles."""
    size = tile_size(latents.shape[-2:], tile)
    return blend_tiles(predict, latents, size, overlap, gaussian_weights(size))


@torch.no_grad()
def test_a_step_in_tiles_blends_the_predictions(base):
    pixels, embedding = torch.rand(1, 3, 96, 64) * 2 - 1, torch.randn(1, 3, 8)
    z = base.encode(pixels)
    predicted = in_tiles(lambda part: base.predict(part, 249, embedding), z, 16, 4)
    assert torch.equal(base.one_step(pixels, 249, embedding, tile=16, overlap=4), base.x0(z, predicted, 249))
    whole = base.x0(z, base.predict(z, 249, embedding), 249)
    for tile in (None, 24):  # 24 x 16 latents are less than 24 x 24
        assert torch.equal(base.one_step(pixels, 249, embedding, tile=tile, overlap=4), whole)


@pytest.mark.parametrize("shape", [(1, 1), (1, 250), (7, 8), (3, 90)])
def test_latents_of_any_shape_go_through_tiles(shape):
    seen = []
    z = torch.randn(1, 2, *shape)
    found = in_tiles(lambda part: seen.append(tuple(part.shape[-2:])) or part, z, 8, 3)
    assert torch.allclose(found, z, atol=1e-5)
    assert set(seen) == {shape if shape[0] * shape[1] <= 64 else (min(8, shape[0]), min(8, shape[1]))}


def test_tiles_leave_no_seam_in_constant_and_gradient():
    ramp = torch.linspace(0, 1, 160).expand(1, 1, 160, 160)
    box = torch.full((1, 1, 5, 5), 1 / 25)

    def blur(z):  # zero padding makes each tile wrong at its border, as in a UNet
        return F.conv2d(z, box, padding=2)

    for z in (torch.full((1, 1, 160, 160), 0.7), ramp, ramp.transpose(2, 3)):
        assert (in_tiles(blur, z, 96, 32) - blur(z)).abs().max() < 1e-4
