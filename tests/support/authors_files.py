"""Files in the layouts that the authors of one-step methods publish, with random values, for any base."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from isrbench.methods.onestep.base.targets import named_modules, unet_targets
from isrbench.methods.osediff.adapter import unet_group


def peft_lora(model, modules, rank, adapter="", prefix="", seed=0):
    """Tensors as peft names and shapes them: A as the layer with `rank` outputs, B with a kernel of one."""
    generator = torch.Generator().manual_seed(seed)
    named = f".{adapter}" if adapter else ""
    state = {}
    for name in modules:
        weight = model.get_submodule(name).weight
        ones = (1,) * (weight.ndim - 2)
        a = torch.randn(rank, *weight.shape[1:], generator=generator)
        b = torch.randn(len(weight), rank, *ones, generator=generator)
        state[f"{prefix}{name}.lora_A{named}.weight"] = a * 0.1
        state[f"{prefix}{name}.lora_B{named}.weight"] = b * 0.1
    return state


def add_lora(model, state, scale, prefix=""):
    """Add scale * B A to the plain weights by hand, for the tensors of one LoRA."""
    for name, a in state.items():
        if ".lora_A" not in name:
            continue
        b = state[name.replace(".lora_A", ".lora_B")]
        weight = model.get_submodule(name.removeprefix(prefix).partition(".lora_A")[0]).weight
        delta = torch.einsum("or,r...->o...", b.flatten(1), a)
        weight.data = weight.data + scale * delta


def pisa_content(unet, rank=3):
    """What `pisa_sr.pkl` holds."""
    content = {"lora_rank_unet_pix": rank, "lora_rank_unet_sem": rank, "state_dict_unet": {}}
    for seed, name in enumerate(("pix", "sem")):
        for group in ("encoder", "decoder", "others"):
            modules = [module for module in unet_targets(unet) if unet_group(module) == group]
            content[f"unet_lora_{group}_modules_{name}"] = modules
            content["state_dict_unet"] |= peft_lora(unet, modules, rank, f"default_{group}_{name}", seed=seed)
    return content


def write_pisa(folder: Path, vae, unet) -> Path:
    torch.save(pisa_content(unet), folder / "pisa_sr.pkl")
    return folder / "pisa_sr.pkl"


OMGSR_NAMES = ["conv1", "conv2", "conv_in", "conv_shortcut", "conv", "conv_out", "to_k", "to_q", "to_v", "to_out.0"]
"""Ends of names that the authors adapt in the UNet and in the VAE's encoder."""


def omgsr_content(vae, unet, ranks=(3, 2)):
    """The tensors of both adapters, and the rank of each, by folder."""
    models = {"unet_lora_adapter": unet, "vae_encoder_lora_adapter": vae.encoder}
    return {
        folder: (rank, peft_lora(model, named_modules(model, OMGSR_NAMES), rank, prefix="base_model.model.", seed=rank))
        for (folder, model), rank in zip(models.items(), ranks, strict=True)
    }


def write_omgsr(folder: Path, vae, unet) -> Path:
    for name, (rank, state) in omgsr_content(vae, unet).items():
        place = folder / "omgsr-s-512" / name
        place.mkdir(parents=True)
        save_file(state, place / "adapter_model.safetensors")
        config = {
            "peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": OMGSR_NAMES, "bias": "none",
            "use_dora": False, "rank_pattern": {}, "base_model_name_or_path": None, "inference_mode": True,
        }  # fmt: skip
        (place / "adapter_config.json").write_text(json.dumps(config))
    return folder / "omgsr-s-512"


def hypir_content(unet, rank=3):
    """What `HYPIR_sd2.pth` holds: every module that OSEDiff adapts but the first convolution."""
    modules = [name for name in unet_targets(unet) if name != "conv_in"]
    return peft_lora(unet, modules, rank, "default")


def write_hypir(folder: Path, vae, unet) -> Path:
    torch.save(hypir_content(unet), folder / "HYPIR_sd2.pth")
    return folder / "HYPIR_sd2.pth"
