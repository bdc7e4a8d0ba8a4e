"""Files in the layouts that the authors of one-step methods publish, with random values, for any base."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from isrbench.methods.onestep.base.targets import named_modules, unet_targets, vae_targets
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


_ATTENTION = ("to_k", "to_q", "to_v", "to_out.0")
_CONVOLUTIONS = ("conv", "conv1", "conv2", "conv_shortcut", "conv_out")
_PROJECTIONS = ("proj_in", "proj_out", "ff.net.2", "ff.net.0.proj")
S3DIFF_TARGETS = {
    "unet": [*_ATTENTION, *_CONVOLUTIONS, *_PROJECTIONS],
    "vae": r"^encoder\..*(conv1|conv2|conv_in|conv_shortcut|conv|conv_out|to_k|to_q|to_v|to_out\.0)$",
}


def s3diff_content(vae, unet, ranks=(3, 2)):
    """What `s3diff.pkl` holds: tensors, a Parameter, and state dicts as torch makes them."""
    generator = torch.Generator().manual_seed(7)

    def random(module, scale=0.3):
        for parameter in module.parameters():
            parameter.data = torch.randn(parameter.shape, generator=generator) * scale
        return module

    modules = {
        "unet": [name for name in unet_targets(unet) if name != "conv_in"],
        "vae": [name for name in vae_targets(vae) if name != "quant_conv"],
    }
    content = {"w": torch.nn.Parameter(torch.randn(64, generator=generator), requires_grad=False)}
    content["state_embeddings"] = {}
    for (part, model), adapter, rank, blocks in zip(
        {"unet": unet, "vae": vae}.items(), ("default", "vae_skip"), ranks, (10, 6), strict=True
    ):
        content[f"{part}_lora_target_modules"] = S3DIFF_TARGETS[part]
        content[f"rank_{part}"] = rank
        content[f"state_dict_{part}"] = peft_lora(model, modules[part], rank, adapter, seed=rank)
        content[f"state_dict_{part}_de_mlp"] = random(
            torch.nn.Sequential(torch.nn.Linear(256, 256), torch.nn.ReLU())
        ).state_dict()
        content[f"state_dict_{part}_block_mlp"] = random(
            torch.nn.Sequential(torch.nn.Linear(64, 64), torch.nn.ReLU())
        ).state_dict()
        content[f"state_dict_{part}_fuse_mlp"] = random(torch.nn.Linear(320, rank**2), 0.02).state_dict()
        block = random(torch.nn.Embedding(blocks, 64))
        content["state_embeddings"][f"state_dict_{part}_block"] = block.state_dict()
    first = unet.conv_in
    for name, tensor in (("weight", first.weight), ("bias", first.bias)):
        changed = tensor.detach() + 0.1 * torch.randn(tensor.shape, generator=generator)
        content["state_dict_unet"][f"conv_in.{name}"] = changed
    return content


def write_s3diff(folder: Path, vae, unet) -> Path:
    torch.save(s3diff_content(vae, unet), folder / "s3diff.pkl")
    return folder / "s3diff.pkl"


def de_net_state():
    """What `de_net.pth` holds: for blur and noise a first convolution, eight residual blocks and a stride, a head."""
    shapes = {}

    def conv(name, width, of):
        shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (width, of, 3, 3), (width,)

    for score in (0, 1):
        conv(f"conv_first.{score}", 64, 3)
        for place in range(9):
            width = 64 if place < 6 else 128
            if place == 6:
                conv(f"body.{score}.6", 128, 64)
                continue
            for which in ("conv1", "conv2"):
                conv(f"body.{score}.{place}.{which}", width, width)
        for place, (width, of) in {0: (512, 128), 2: (1, 512)}.items():
            name = f"fc_degree.{score}.{place}"
            shapes[f"{name}.weight"], shapes[f"{name}.bias"] = (width, of), (width,)
    generator = torch.Generator().manual_seed(3)
    return {
        name: torch.randn(shape, generator=generator) * (0.5 / max(1, torch.Size(shape[1:]).numel()) ** 0.5)
        for name, shape in shapes.items()
    }


def write_de_net(folder: Path) -> Path:
    torch.save(de_net_state(), folder / "de_net.pth")
    return folder / "de_net.pth"


def adcsr_contents(sizes):
    """What `net_params_200.pkl` and `halfDecoder.ckpt` hold: tensors under the authors' names, some of them twice."""
    from isrbench.methods.adcsr.network import build_network

    with torch.random.fork_rng():
        torch.manual_seed(11)
        state = build_network(sizes, "cpu").state_dict()
    order = [f"down_blocks.{n}" for n in range(4)] + ["mid_block"] + [f"up_blocks.{n}" for n in range(4)]
    order += ["conv_norm_out", "conv_act", "conv_out"]
    network, decoder = {}, {"encoder.conv_in.weight": torch.zeros(1), "loss.logvar": torch.zeros(())}
    for name, tensor in state.items():
        part, _, inner = name.partition(".")
        if part == "unet":
            network[f"module.body.1.{inner}"] = tensor
            for place, block in enumerate(order):
                if inner.startswith(f"{block}."):
                    network[f"module.body.1.body.{place}.{inner.removeprefix(f'{block}.')}"] = tensor
        elif inner.startswith("mid_block."):
            network[f"module.body.2.{inner.removeprefix('mid_block.')}"] = tensor
            decoder[name] = torch.zeros_like(tensor)
        else:
            decoder[name] = tensor
    decoder["decoder.conv_in.weight"] = torch.zeros(3)
    return network, {"epoch": 3, "global_step": 9, "state_dict": decoder}


def write_adcsr(folder: Path, sizes) -> dict[str, str]:
    """Write both files; return the options that name them."""
    paths = {"weights": folder / "net_params_200.pkl", "decoder": folder / "halfDecoder.ckpt"}
    for path, content in zip(paths.values(), adcsr_contents(sizes), strict=True):
        torch.save(content, path)
    return {name: str(path) for name, path in paths.items()}
