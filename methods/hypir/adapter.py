"""What the one-step family knows of HYPIR-SD2: a LoRA on the UNet, a frozen VAE, and OSEDiff's step at t = 200.

Source: Lin et al., "Harnessing Diffusion-Yielded Score Priors for Image Restoration" (2025), and its published
inference code.
"""

from __future__ import annotations

from isrbench.methods.onestep.adapter import AdapterSpec
from isrbench.methods.onestep.lora import LoraConfig, attach

TIMESTEP = 200
TARGETS = (
    "to_k", "to_q", "to_v", "to_out.0", "conv", "conv1", "conv2", "conv_shortcut", "conv_out", "proj_in", "proj_out",
    "ff.net.2", "ff.net.0.proj",
)  # fmt: skip
"""Ends of the adapted modules' names; ``conv_in`` is none of them."""

SPEC = AdapterSpec("hypir", LoraConfig(), attach, routes=False)
