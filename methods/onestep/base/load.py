"""The frozen base of the family: encode, one UNet step with x0 computed directly, decode. Knows no adapter."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from safetensors import SafetensorError
from torch import Tensor, nn

from isrbench.harness.errors import UserError
from isrbench.harness.network import offline
from isrbench.methods.onestep.base.chunked_vae import decode_in_strips, encode_in_strips
from isrbench.methods.onestep.base.text import FIXED_PROMPTS, TextEncoder, load_text
from isrbench.methods.onestep.checkpoint import base_fingerprint
from isrbench.methods.onestep.options import SD21, SD21_MIRRORS

CONFIGS = Path(__file__).parent / "configs"
TINY = Path(__file__).parent.parent / "weights" / "tiny"
PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
_FETCHED = ("vae/*", "unet/*", "scheduler/*", "tokenizer/*", "text_encoder/*", FIXED_PROMPTS)
_NOT_FETCHED = ("*.bin", "*.msgpack", "*.fp16.*", "*.non_ema.*")
"""The same weights in other formats, which would double the download."""
_NEEDED = ("vae/config.json", "unet/config.json", "scheduler/scheduler_config.json")
_SCHEDULE = (
    "beta_schedule", "beta_start", "beta_end", "num_train_timesteps", "trained_betas", "rescale_betas_zero_snr",
    "prediction_type",
)  # fmt: skip
_HUB_SECONDS = 5.0


@dataclass
class Backbone:
    """A diffusers-format Stable-Diffusion-like model, frozen, and its one step."""

    vae: Any
    """A diffusers ``AutoencoderKL``."""
    unet: Any
    """A diffusers ``UNet2DConditionModel``."""
    abar: Tensor
    """float32 (T,), on the CPU: the scheduler's cumulative alphas."""
    prediction: Literal["epsilon", "v_prediction"]
    """What the UNet predicts."""
    text: TextEncoder
    """Turns a prompt into the UNet's context."""
    fingerprint: str
    """See :func:`isrbench.methods.onestep.checkpoint.base_fingerprint`."""

    @property
    def factor(self) -> int:
        """Pixels per latent along one side."""
        return 2 ** (len(self.vae.config.block_out_channels) - 1)

    @property
    def multiple(self) -> int:
        """What both sides of an image have to be divisible by, in pixels, for VAE and UNet to halve evenly."""
        return self.factor * 2 ** (len(self.unet.config.block_out_channels) - 1)

    @property
    def native_size(self) -> int:
        """Side in pixels of the images that the UNet was made for."""
        return self.unet.config.sample_size * self.factor

    @property
    def dtype(self) -> torch.dtype:
        """Number format of the networks."""
        return self.vae.dtype

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.vae.device

    def encode(self, pixels: Tensor, noise: Tensor | None = None, *, strips: bool = False) -> Tensor:
        """Encode images.

        Args:
            pixels: (B, 3, H, W) in [-1, 1], sides divisible by ``multiple``.
            noise: Standard normal (B, C, H / f, W / f) to draw the latent with; None takes the posterior's mean.
            strips: Save memory on large images; inference only.

        Returns:
            float32 latents (B, C, H / f, W / f), scaled as the UNet expects.
        """
        pixels = pixels.to(self.device, self.dtype)
        vae = self.vae
        moments = encode_in_strips(vae, pixels) if strips else vae.encode(pixels).latent_dist.parameters
        mean, log_variance = moments.float().chunk(2, dim=1)
        if noise is not None:
            mean = mean + torch.exp(0.5 * log_variance.clamp(-30, 20)) * noise.to(mean)
        return (mean - self._shift) * self.vae.config.scaling_factor

    def predict(self, latents: Tensor, timestep: int, context: Tensor) -> Tensor:
        """Run the UNet once.

        Args:
            latents: (B, C, h, w).
            timestep: In [0, T).
            context: (1 or B, tokens, width) prompt embedding.

        Returns:
            float32 (B, C, h, w): noise or v, as ``prediction`` says.
        """
        context = context.to(self.device, self.dtype).expand(latents.shape[0], -1, -1)
        t = torch.full((latents.shape[0],), timestep, device=self.device)
        return self.unet(latents.to(self.dtype), t, encoder_hidden_states=context).sample.float()

    def clean(self, latents: Tensor, predicted: Tensor, timestep: int) -> Tensor:
        """Compute x0 in float32: the error of the prediction is multiplied by 14.6 at SD 2.1's t = 999.

        z_H = (z_L - sqrt(1 - abar) eps) / sqrt(abar), or sqrt(abar) z_L - sqrt(1 - abar) v.
        """
        abar = float(self.abar[timestep])
        signal, noise = abar**0.5, (1 - abar) ** 0.5
        if self.prediction == "epsilon":
            return (latents.float() - noise * predicted.float()) / signal
        return signal * latents.float() - noise * predicted.float()

    def decode(self, latents: Tensor, *, strips: bool = False) -> Tensor:
        """Decode scaled latents to float32 images (B, 3, h f, w f), about [-1, 1]."""
        latents = (latents / self.vae.config.scaling_factor + self._shift).to(self.dtype)
        decoded = decode_in_strips(self.vae, latents) if strips else self.vae.decode(latents).sample
        return decoded.float()

    @property
    def _shift(self) -> float:
        return self.vae.config.shift_factor or 0.0


def load_backbone(base: str, device: str = "cpu", precision: str = "fp32") -> Backbone:
    """Load and freeze a base.

    Args:
        base: ``tiny`` (shipped), ``sd21``, a hub id, or a folder in diffusers format.
        device: Torch device string.
        precision: ``fp32``, ``bf16`` or ``fp16``.

    Raises:
        UserError: If it cannot be found or fetched, is incomplete, or is no Stable-Diffusion-like model.
    """
    folder = _folder(base)
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        raise UserError(f"base '{base}': {folder} has no {missing[0]}", "pass a folder in diffusers format")
    try:
        # float32 first: the fingerprint must not depend on the precision that is asked for.
        vae = AutoencoderKL.from_pretrained(folder / "vae", torch_dtype=torch.float32, local_files_only=True)
        unet = UNet2DConditionModel.from_pretrained(folder / "unet", torch_dtype=torch.float32, local_files_only=True)
        scheduler: Any = DDPMScheduler.from_pretrained(folder / "scheduler", local_files_only=True)
        text = load_text(folder, base, device)
    except (OSError, ValueError, RuntimeError, TypeError, SafetensorError) as error:
        raise UserError(
            f"base '{base}' does not load: {type(error).__name__}: {error}", "fetch it again, or pass another base"
        ) from error
    prediction, abar = scheduler.config.prediction_type, scheduler.alphas_cumprod.float()
    if prediction not in ("epsilon", "v_prediction"):
        raise UserError(f"base '{base}' predicts '{prediction}'", "pass a base that predicts epsilon or v_prediction")
    fingerprint = base_fingerprint(unet, vae, extra=f"{_schedule(scheduler)} {text.identity}")
    for model in (vae, unet):
        # Past diffusers' own `to`, which warns of modules to keep in float32 even where there are none.
        nn.Module.to(model.requires_grad_(False).eval(), device, PRECISIONS[precision])
    return Backbone(vae, unet, abar, prediction, text, fingerprint)


def build_models(vae_config: dict[str, Any], unet_config: dict[str, Any], device: str = "meta") -> tuple[Any, Any]:
    """Build a (vae, unet) pair without weights (``meta``) or with random ones, in evaluation mode."""
    with torch.device(device):
        vae: Any = AutoencoderKL.from_config(vae_config)
        unet: Any = UNet2DConditionModel.from_config(unet_config)
    return vae.eval().requires_grad_(False), unet.eval().requires_grad_(False)


def random_sd21(device: str = "cpu", precision: str = "fp32", seed: int = 0) -> Backbone:
    """Stable Diffusion 2.1-base with random weights: for timing and memory, where no weights are needed."""
    vae_config, unet_config = sd21_configs()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vae, unet = build_models(vae_config, unet_config, device)
        context = torch.randn(1, 77, unet_config["cross_attention_dim"])
    scheduler: Any = DDPMScheduler.from_config(json.loads((CONFIGS / "scheduler_sd21.json").read_text()))
    for model in (vae, unet):
        model.to(PRECISIONS[precision])
    text, abar = TextEncoder({"positive": context}), scheduler.alphas_cumprod.float()
    return Backbone(vae, unet, abar, "epsilon", text, f"random-{seed}")


def _schedule(scheduler: Any) -> str:
    """What ``abar`` is computed from; its own last bits depend on the processor's vector unit."""
    return json.dumps({name: scheduler.config.get(name) for name in _SCHEDULE})


def sd21_configs() -> tuple[dict[str, Any], dict[str, Any]]:
    """The (vae, unet) configs of Stable Diffusion 2.1-base."""
    vae, unet = (json.loads((CONFIGS / f"{part}_sd21.json").read_text()) for part in ("vae", "unet"))
    return vae, unet


def _folder(base: str) -> Path:
    if base == "tiny":
        return TINY
    path = Path(base).expanduser()
    if path.is_dir():
        return path
    identifier = SD21 if base == "sd21" else base
    if identifier.count("/") != 1 or identifier.startswith((".", "~", "/")):
        raise UserError(f"base '{base}' is neither a folder nor a hub id", "pass tiny, sd21, a folder or owner/name")
    return _fetched(identifier)


def _fetched(identifier: str) -> Path:
    """The folder of a hub snapshot; asks the network once, and briefly."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    patterns: Any = list(_FETCHED)
    try:
        cached = Path(snapshot_download(identifier, allow_patterns=patterns, local_files_only=True))
        if all((cached / name).is_file() for name in _NEEDED):
            return cached
    except HFValidationError as error:
        raise UserError(
            f"base '{identifier}' is no hub id: {error}", "pass tiny, sd21, a folder or owner/name"
        ) from error
    except LocalEntryNotFoundError:
        pass
    fix = (
        f"fetch it where there is a network (hf download {identifier}), or pass a folder; mirrors of SD 2.1-base: "
        f"{', '.join(SD21_MIRRORS)}; base=tiny needs no download"
    )
    if switch := offline():
        raise UserError(f"base '{identifier}' is not in the hub cache, and {switch} is set", fix)
    try:
        HfApi().model_info(identifier, timeout=_HUB_SECONDS)
        return Path(snapshot_download(identifier, allow_patterns=patterns, ignore_patterns=list(_NOT_FETCHED)))
    except Exception as error:  # the hub client raises its own, requests' and httpx's errors alike
        raise UserError(f"base '{identifier}' cannot be fetched: {type(error).__name__}", fix) from error
