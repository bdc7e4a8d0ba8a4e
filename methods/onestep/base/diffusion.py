"""The frozen base of the family and its one step: encode, predict, x0, decode. Knows no adapter.

Restoring, training, pretraining and the benches all compute through :class:`DiffusionBase`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor

from isrbench.harness.imaging.tiling import Size, blend_tiles, gaussian_weights
from isrbench.methods.onestep.base.chunked_vae import decode_in_chunks, encode_in_chunks
from isrbench.methods.onestep.base.text import TextEncoder

Prediction = Literal["epsilon", "v_prediction", "residual"]
"""``residual``: what has to be taken off the latents, whatever the timestep; adapters may teach it to any base."""


@dataclass(frozen=True)
class Pass:
    """One run of the UNet over an image; what a step predicts is the weighted sum of its passes."""

    prompt_embedding: Tensor
    """(1 or B, tokens, width)."""
    weight: float = 1.0
    enter: Callable[[], None] | None = None
    """Called before the pass, to switch an adapter."""


@dataclass(frozen=True)
class DiffusionBase:
    """A diffusers-format Stable-Diffusion-like model. Gradients flow through every method."""

    vae: Any
    """A diffusers ``AutoencoderKL``."""
    unet: Any
    """A diffusers ``UNet2DConditionModel``."""
    abar: Tensor
    """float32 (T,), where the networks are: the scheduler's cumulative alphas by timestep."""
    prediction: Prediction
    """What the UNet predicts."""
    text: TextEncoder
    """Turns a prompt into the UNet's prompt embedding."""
    base_hash: str = ""
    """Which base this is, in float16: what an adapter file refers to; "" for a base that none refers to. See
    :func:`isrbench.methods.onestep.checkpoint.base_hash`."""
    weights_hash: str = ""
    """The same over every value as it was loaded, whatever the dtype asked for: part of what decides an image."""
    autocast: torch.dtype | None = None
    """Lower dtype that the networks compute in under autocast, their weights staying as they are; None = none."""

    @property
    def factor(self) -> int:
        """Return the pixels per latent along one side."""
        return 2 ** (len(self.vae.config["block_out_channels"]) - 1)

    @property
    def multiple(self) -> int:
        """Return what both sides of an image have to be divisible by, in pixels, for VAE and UNet to halve evenly."""
        return self.factor * 2 ** (len(self.unet.config["block_out_channels"]) - 1)

    @property
    def native_size(self) -> int:
        """Return the side in pixels of the images that the UNet was made for; 0 where its config does not say."""
        return (self.unet.config["sample_size"] or 0) * self.factor

    @property
    def dtype(self) -> torch.dtype:
        """Return the networks' dtype."""
        return self.vae.dtype

    @property
    def device(self) -> torch.device:
        """Return the device that the networks are on."""
        return self.abar.device

    def latent_shape(self, height: int, width: int) -> tuple[int, int, int]:
        """Return the shape (C, h, w) of the latents of an image of ``height`` x ``width`` pixels."""
        return int(self.vae.config["latent_channels"]), height // self.factor, width // self.factor

    def to(self, device: torch.device) -> DiffusionBase:
        """Return the same base on ``device``, channels last: a third faster to train on CPUs and on tensor cores."""
        vae, unet = (model.to(device, memory_format=torch.channels_last) for model in (self.vae, self.unet))
        return replace(self, vae=vae, unet=unet, abar=self.abar.to(device))

    def one_step(
        self, pixels: Tensor, timestep: int, passes: Tensor | Sequence[Pass], noise: Tensor | None = None, *,
        tile: int | None = None, overlap: int = 0, chunked: bool = False,
    ) -> Tensor:  # fmt: skip
        """Restore images to clean latents: encode, predict, x0.

        Args:
            pixels: (B, 3, H, W) in [-1, 1], LRs enlarged to the result's size; sides divisible by ``multiple``.
            timestep: Where the step starts, in [0, T).
            passes: One or more runs of the UNet, or the prompt embedding (1 or B, tokens, width) of a single one.
            noise: As :meth:`encode` takes it.
            tile: Side in latents of the tiles that the UNet sees of images of a larger area, blended with Gaussian
                weights; None = always the whole image.
            overlap: Latents that neighbouring tiles share.
            chunked: As :meth:`encode` takes it.

        Returns:
            float32 (B, C, h, w), scaled.
        """
        z = self.encode(pixels, noise, chunked=chunked)
        size = (z.shape[-2], z.shape[-1])
        part = size if tile is None else tile_size(size, tile)

        def predict(one: Pass) -> Tensor:
            def window(latents: Tensor) -> Tensor:
                return self.predict(latents, timestep, one.prompt_embedding)

            if one.enter is not None:
                one.enter()
            if part == size:
                return window(z)
            return blend_tiles(window, z, part, overlap, gaussian_weights(part, z.device))

        if isinstance(passes, Tensor):
            return self.x0(z, predict(Pass(passes)), timestep)
        return self.x0(z, torch.stack([one.weight * predict(one) for one in passes]).sum(0), timestep)

    def encode(self, pixels: Tensor, noise: Tensor | None = None, *, chunked: bool = False) -> Tensor:
        """Encode images.

        Args:
            pixels: (B, 3, H, W) in [-1, 1], sides divisible by ``multiple``.
            noise: Standard normal (B, C, H / f, W / f) to draw the latents with; None takes the posterior's mean.
            chunked: Save memory on large images; for inference only.

        Returns:
            float32 latents (B, C, H / f, W / f), scaled as the UNet expects.
        """
        pixels = pixels.to(self.device, self.dtype)
        with self._computing():
            moments = encode_in_chunks(self.vae, pixels) if chunked else self.vae.encode(pixels).latent_dist.parameters
        mean, log_variance = moments.float().chunk(2, dim=1)
        if noise is not None:
            mean = mean + torch.exp(0.5 * log_variance.clamp(-30, 20)) * noise.to(mean)
        return (mean - self._shift) * self.vae.config["scaling_factor"]

    def predict(self, latents: Tensor, timestep: int | Tensor, prompt_embedding: Tensor) -> Tensor:
        """Run the UNet once.

        Args:
            latents: (B, C, h, w).
            timestep: In [0, T), or int64 (B,) of them.
            prompt_embedding: (1 or B, tokens, width).

        Returns:
            float32 (B, C, h, w): noise, v or residual, as ``prediction`` says.
        """
        embedding = prompt_embedding.to(self.device, self.dtype).expand(latents.shape[0], -1, -1)
        t = self._timesteps(timestep, latents.shape[0])
        with self._computing():
            return self.unet(latents.to(self.dtype), t, encoder_hidden_states=embedding).sample.float()

    def x0(self, latents: Tensor, predicted: Tensor, timestep: int | Tensor) -> Tensor:
        """Return the clean latents that noised ones and a prediction stand for, in float32.

        (z_t - sqrt(1 - abar) eps) / sqrt(abar), or sqrt(abar) z_t - sqrt(1 - abar) v, or z_t - residual. In float32
        whatever the networks compute in, because at SD 2.1's t = 999 an error of eps is multiplied by 14.6.

        Args:
            latents: (B, C, h, w), z_t.
            predicted: What :meth:`predict` made of them.
            timestep: As :meth:`predict` takes it.
        """
        if self.prediction == "residual":
            return latents.float() - predicted.float()
        signal, noise = self._shares(timestep, latents.shape[0])
        if self.prediction == "epsilon":
            return (latents.float() - noise * predicted.float()) / signal
        return signal * latents.float() - noise * predicted.float()

    def decode(self, latents: Tensor, *, chunked: bool = False) -> Tensor:
        """Decode scaled latents to float32 images (B, 3, h f, w f), about [-1, 1]."""
        latents = (latents / self.vae.config["scaling_factor"] + self._shift).to(self.dtype)
        with self._computing():
            decoded = decode_in_chunks(self.vae, latents) if chunked else self.vae.decode(latents).sample
        return decoded.float()

    def add_noise(self, latents: Tensor, noise: Tensor, timestep: int | Tensor) -> Tensor:
        """Diffuse latents: sqrt(abar) z + sqrt(1 - abar) noise.

        Args:
            latents: (B, C, h, w), clean.
            noise: Standard normal; the same shape.
            timestep: As :meth:`predict` takes it.
        """
        signal, share = self._shares(timestep, latents.shape[0])
        return signal * latents + share * noise

    def diffusion_target(self, latents: Tensor, noise: Tensor, timestep: int | Tensor) -> Tensor:
        """Return what a perfect UNet predicts of ``add_noise(latents, noise, timestep)``: the noise, or v."""
        if self.prediction == "epsilon":
            return noise
        signal, share = self._shares(timestep, latents.shape[0])
        return signal * noise - share * latents

    def _timesteps(self, timestep: int | Tensor, count: int) -> Tensor:
        if isinstance(timestep, Tensor):
            return timestep
        return torch.full((count,), timestep, device=self.device)

    def _shares(self, timestep: int | Tensor, count: int) -> tuple[Tensor, Tensor]:
        """(sqrt(abar), sqrt(1 - abar)) of each image, (B, 1, 1, 1)."""
        abar = self.abar[self._timesteps(timestep, count)].view(-1, 1, 1, 1)
        return abar.sqrt(), (1 - abar).sqrt()

    def _computing(self) -> AbstractContextManager[object]:
        return nullcontext() if self.autocast is None else torch.autocast(self.device.type, self.autocast)

    @property
    def _shift(self) -> float:
        return self.vae.config.get("shift_factor") or 0.0


def tile_size(size: Size, tile: int) -> Size:
    """Return the size of a tile in latents: the whole image where its area is no larger than a tile's.

    Args:
        size: (height, width) of the image in latents.
        tile: Side of a tile in latents.
    """
    height, width = size
    return size if height * width <= tile * tile else (min(tile, height), min(tile, width))
