"""What the family knows of OMGSR-S: a LoRA on the UNet, another on the VAE encoder, and OSEDiff's step at t = 273.

Source: Wu et al., "OMGSR: You Only Need One Mid-timestep Guidance for Real-World Image Super-Resolution" (2025), and
its published inference code.
"""

from __future__ import annotations

from isrbench.methods.onestep.adapter import AdapterSpec
from isrbench.methods.onestep.lora import LoraConfig, attach

TIMESTEP = 273
UNET, VAE_ENCODER = "unet_lora_adapter", "vae_encoder_lora_adapter"
"""The folder of each adapter."""
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
"""The files of an adapter, as peft calls them."""

SPEC = AdapterSpec(
    "omgsr",
    LoraConfig(),
    attach,
    routes=False,
    source="the folder OMGSR-S-512 by the link in the README of github.com/wuer5/OMGSR (and Stable Diffusion 2.1-base: "
    "isrbench fetch training --preset sd21)",
    files=tuple(f"{folder}/{name}" for folder in (UNET, VAE_ENCODER) for name in (CONFIG, WEIGHTS)),
)
