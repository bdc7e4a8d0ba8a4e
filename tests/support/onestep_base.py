"""A random diffusers base of a few thousand parameters, for tests of the one-step family."""

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from safetensors.torch import save_file


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """Networks this small are slowed down by threads; import it to have it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


VAE = {
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "block_out_channels": (8, 8, 16),
    "layers_per_block": 1,
    "latent_channels": 4,
    "norm_num_groups": 4,
    "sample_size": 32,
}
UNET = {
    "sample_size": 8,
    "in_channels": 4,
    "out_channels": 4,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "UpBlock2D"),
    "block_out_channels": (8, 16),
    "layers_per_block": 1,
    "cross_attention_dim": 8,
    "attention_head_dim": 4,
    "norm_num_groups": 4,
    "use_linear_projection": True,
}


def models(seed: int = 0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vae, unet = AutoencoderKL(**VAE), UNet2DConditionModel(**UNET)
    # Frozen, as a base always is: torch picks other kernels for weights that want gradients, a rounding apart.
    return vae.eval().requires_grad_(False), unet.eval().requires_grad_(False)


def write_base(folder: Path, seed: int = 0, prediction: str = "epsilon") -> Path:
    vae, unet = models(seed)
    vae.save_pretrained(folder / "vae")
    unet.save_pretrained(folder / "unet")
    DDPMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, prediction_type=prediction
    ).save_pretrained(folder / "scheduler")
    embedding = torch.randn(1, 3, 8, generator=torch.Generator().manual_seed(1))
    save_file({"positive": embedding, "negative": -embedding}, folder / "prompts.safetensors")
    return folder
