"""The last stage of the tiny base: its decoder learns texture from a critic, as Stable Diffusion's did.

An autoencoder trained by pixel distances alone paints flat areas perfectly smooth, which no photo is; nothing that
happens in the latents can fix that afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from isrbench.methods.onestep.base.diffusion import DiffusionBase
from isrbench.methods.onestep.base.hub import AS_DATA
from isrbench.methods.onestep.base.tiny import ONE_STEP_TIMESTEP, load_unet, new_prompts, save_base, tiny_base
from isrbench.methods.onestep.pretrain.data import cached_pairs, cut_windows, middle
from isrbench.methods.onestep.pretrain.loop import Losses, Stage, fit
from isrbench.methods.onestep.pretrain.unet import decode_window
from isrbench.methods.onestep.pretrain.vae import differences
from isrbench.methods.onestep.train.draws import stream
from isrbench.methods.onestep.train.losses import discriminator_loss, generator_gan_loss

DETAIL_GAIN = 8.0
"""What fine detail is multiplied by before the critic sees it: grain of a grey level or two, 0.01 in [-1, 1], would
otherwise drown in the image."""


class Critic(nn.Module):
    """A small patch discriminator of images and of their fine detail (image minus its 3 x 3 mean)."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            spectral_norm(nn.Conv2d(6, width, 3, padding=1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(width, width, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(width, width, 3, padding=1)),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 1, 3, padding=1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, 1, H / 2, W / 2) of images (B, 3, H, W) in [-1, 1]; higher means more like a photo."""
        smooth = F.avg_pool2d(F.pad(image, (1, 1, 1, 1), mode="reflect"), 3, stride=1)
        return self.layers(torch.cat([image, DETAIL_GAIN * (image - smooth)], dim=1))


def train_decoder(
    stage: Stage, names: Sequence[str], window: int, edges: float, adversarial: float, texture: float
) -> None:
    """Train the decoder alone, by L1 of pixels and differences and by a critic; encoder and UNet stay as they are.

    Half a batch decodes the latents of photos, half those that the UNet restores in one step. What is saved, as
    ``out/vae-textured`` and in the base ``out/base``, lies between the decoder before and the trained one: their
    weights are interpolated, which trades texture for fidelity without another training (ESRGAN; Wang et al., 2018).

    Args:
        stage: Data, steps, rates and places; ``out`` holds ``vae`` and ``unet.state``.
        names: Degradations to draw from.
        window: Side in latents of what the UNet sees, see :func:`decode_window`.
        edges: Weight of the finite differences.
        adversarial: Weight of the critic's verdict.
        texture: Share of the trained decoder in what is saved, in [0, 1].
    """
    torch.manual_seed(stage.seed)
    vae: Any = AutoencoderKL.from_pretrained(stage.out / "vae", **AS_DATA)
    vae.requires_grad_(False).to(stage.device)
    plain = {name: value.clone() for name, value in vae.state_dict().items()}
    unet: Any = load_unet(stage.out / "unet.state").eval().requires_grad_(False)
    prompts, critic = new_prompts(), Critic().to(stage.device)
    base = tiny_base(vae, unet).to(torch.device(stage.device))
    pairs = cached_pairs(stage, base, names)
    trained = nn.ModuleDict({"post_quant_conv": vae.post_quant_conv, "decoder": vae.decoder, "critic": critic})
    trained.requires_grad_(True)
    restored = stage.batch // 2

    def losses(step: int) -> Losses:
        pixels, target, z = cut_windows(pairs, stage.batch, window, stream(stage.seed, 3, step))
        y = decode_window(base, torch.cat([restore(base, z[:restored]), target[restored:]]))
        x = middle(pixels.float() / 127.5 - 1, y.shape[-1])
        critic.requires_grad_(False)
        verdict = generator_gan_loss([critic(y)], "hinge")
        critic.requires_grad_(True)
        parts = {
            "l1": F.l1_loss(y, x),
            "edges": F.l1_loss(differences(y), differences(x)),
            "verdict": verdict,
            "critic": discriminator_loss([critic(x)], [critic(y.detach())], "hinge"),
        }
        return {"loss": parts["l1"] + edges * parts["edges"] + adversarial * verdict + parts["critic"], **parts}

    fit(stage, "decoder", trained, losses)
    vae.load_state_dict({name: plain[name].lerp(value, texture) for name, value in vae.state_dict().items()})
    vae.save_pretrained(stage.out / "vae-textured")
    save_base(stage.out / "base", vae, unet, prompts)


@torch.no_grad()
def restore(base: DiffusionBase, z: Tensor) -> Tensor:
    """Return x0, (B, 16, h, w), of scaled LR latents in one step under the positive prompt."""
    return base.x0(z, base.predict(z, ONE_STEP_TIMESTEP, base.text.pair("", "")[0]), ONE_STEP_TIMESTEP)
