"""HYPIR-SD2: a large LoRA on a diffusion UNet that was tuned as a restoration GAN."""
