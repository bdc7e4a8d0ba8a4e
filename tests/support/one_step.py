"""Every method of the one-step family, small and random: options that build it in a test."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from pathlib import Path


def one_step(method: str) -> Callable[[Path], dict[str, str]]:
    """A random base and a random adapter, so that checks hold for the code and not for one set of weights.

    Returns:
        A function that writes them into a folder and returns the method's options.
    """

    def make(folder: Path) -> dict[str, str]:
        import torch

        from isrbench.methods.onestep.base.load import load_base
        from isrbench.methods.onestep.checkpoint import AdapterCheckpoint, save_adapter
        from tests.support.onestep_base import write_base

        spec = import_module(f"isrbench.methods.{method}.adapter").SPEC
        base = load_base(str(write_base(folder / "base")))
        adapter = spec.attach(base.unet, base.vae, spec.default, 0)
        generator = torch.Generator().manual_seed(1)
        for parameter in adapter.parameters().values():
            parameter.data.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
        config = asdict(spec.default)
        checkpoint = AdapterCheckpoint(method, config, base.base_hash, adapter.state_dict(), timestep=249)
        save_adapter(folder / "adapter.safetensors", checkpoint)
        options = {"base": str(folder / "base"), "adapter": str(folder / "adapter.safetensors")}
        return {**options, "estimator": str(_estimator(folder / "clip"))} if spec.routes else options

    return make


def published(method: str) -> Callable[[Path], dict[str, str]]:
    """A random base, and random weights in the layout of the method's authors; see :func:`one_step`."""

    def make(folder: Path) -> dict[str, str]:
        from isrbench.methods.onestep.base.load import load_base
        from tests.support import authors_files
        from tests.support.onestep_base import write_base

        base = load_base(str(write_base(folder / "base")))
        adapter = getattr(authors_files, f"write_{method}")(folder, base.vae, base.unet)
        return {"base": str(folder / "base"), "adapter": str(adapter)}

    return make


def _estimator(folder: Path) -> Path:
    """A random open_clip model in its local-dir layout."""
    import open_clip
    import torch
    from safetensors.torch import save_file

    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 32, "layers": 1, "head_width": 16},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 1},
    }
    folder.mkdir()
    torch.manual_seed(0)
    save_file(open_clip.CLIP(**config).state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    return folder
