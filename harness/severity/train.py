"""Train the tiny severity estimator that ships: a small CLIP on degraded crops with the seven prompt pairs as captions.

    isrbench tools train-severity --data BSDS500/train BSDS500/val --validate BSDS500/test --seed 0 --out severity/

Contrastive in the sense that the estimator is used: every crop is compared with both captions of each dimension, and
the softmax over the two is trained (cross entropy) towards the severities of
:mod:`isrbench.harness.severity.training_data`.
"""

from __future__ import annotations

import argparse
import json
import logging
import math
import platform
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from safetensors.torch import save as serialize
from torch import Tensor

from isrbench.harness.errors import UserError
from isrbench.harness.severity.clip import pair_probability
from isrbench.harness.severity.estimator import get_estimator
from isrbench.harness.severity.known import level_correlation
from isrbench.harness.severity.spec import read_prompts
from isrbench.harness.severity.training_data import SIZE, draw_sample, read_images

log = logging.getLogger(__name__)

PATCH = 6
MODEL_CONFIG = {
    "embed_dim": 64,
    "vision_cfg": {
        "image_size": SIZE, "patch_size": PATCH, "width": 3 * PATCH**2, "layers": 3, "head_width": PATCH**2,
        "pool_type": "avg", "no_ln_pre": True,
    },
    "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 32, "heads": 4, "layers": 2},
}  # fmt: skip
PREPROCESS = {"mean": [0.45, 0.45, 0.45], "std": [0.25, 0.25, 0.25]}


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the weights, beside the images."""

    steps: int = 3000
    seed: int = 0
    windows: int = 6000
    """Degraded windows, drawn once; each gives GRID x GRID crops."""
    batch: int = 96
    """Crops a step."""
    lr: float = 2e-3
    weight_decay: float = 0.05
    warmup: int = 50


def draw_crops(images: list[Tensor], recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Draw the training set: crops (N, 3, SIZE, SIZE) and targets (N, 7), N = windows x GRID^2."""
    rngs = (np.random.default_rng([recipe.seed, i]) for i in range(recipe.windows))
    drawn = [draw_sample(images[i % len(images)], rng) for i, rng in enumerate(rngs)]
    crops, targets = zip(*drawn, strict=True)
    return torch.cat(crops), torch.cat(targets)


def patch_spectrum() -> Tensor:
    """Start of the patch embedding: a cosine transform of each patch in opponent colours, high frequencies amplified.

    Degradation shows in the fine scales, whose share in a photo's energy is small; starting from random filters
    the same model needs several times the steps to find them.

    Returns:
        float32 (3 PATCH^2, 3, PATCH, PATCH).
    """
    k = torch.arange(PATCH)
    cosines = torch.cos(math.pi * (k[None] + 0.5) * k[:, None] / PATCH) * math.sqrt(2 / PATCH)
    cosines[0] /= math.sqrt(2)
    colours = torch.tensor([[1.0, 1.0, 1.0], [1.0, -1.0, 0.0], [1.0, 1.0, -2.0]])
    colours /= colours.norm(dim=1, keepdim=True)
    gain = 0.25 * (1 + 2 * (k[:, None] + k[None]))
    filters = torch.einsum("uy,vx,cr,uv->cuvryx", cosines, cosines, colours, gain)
    return filters.reshape(-1, 3, PATCH, PATCH)


def train(images: list[Tensor], recipe: Recipe) -> tuple[open_clip.CLIP, list[tuple[int, float]]]:
    """Train the tiny model.

    Returns:
        The model, and the loss (mean of the last 50 steps) over the steps.
    """
    start = time.perf_counter()
    all_crops, all_targets = draw_crops(images, recipe)
    log.info("%d crops drawn (%.0f s)", len(all_crops), time.perf_counter() - start)
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    model = open_clip.CLIP(**MODEL_CONFIG)
    model.visual.load_state_dict({**model.visual.state_dict(), "conv1.weight": patch_spectrum()})
    texts = [text for pair in zip(*read_prompts().values(), strict=True) for text in pair]
    tokens = open_clip.SimpleTokenizer(context_length=MODEL_CONFIG["text_cfg"]["context_length"])(texts)
    mean, std = (torch.tensor(PREPROCESS[k])[:, None, None] for k in ("mean", "std"))
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, betas=(0.9, 0.98))
    curve, recent = [], []
    for step in range(recipe.steps):
        progress = step / recipe.steps
        factor = min(1.0, (step + 1) / recipe.warmup) * 0.5 * (1 + math.cos(math.pi * progress))
        optimizer.param_groups[0]["lr"] = recipe.lr * factor
        chosen = torch.from_numpy(rng.integers(len(all_crops), size=recipe.batch))
        crops, targets = all_crops[chosen], all_targets[chosen]
        crops = torch.rot90(crops, int(rng.integers(4)), (2, 3))
        crops = crops.flip(3) if rng.random() < 0.5 else crops
        seen = model.encode_image((crops - mean) / std, normalize=True)
        good, bad = model.encode_text(tokens, normalize=True).chunk(2)
        s = pair_probability(seen @ good.T, seen @ bad.T, model.logit_scale.exp())
        known = ~targets.isnan()
        loss = F.binary_cross_entropy(s[known].clamp(1e-6, 1 - 1e-6), targets[known])
        if not torch.isfinite(loss):
            raise RuntimeError(f"the loss is {loss.item()} at step {step}")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        recent = [*recent[-49:], loss.item()]
        if (step + 1) % 50 == 0:
            curve.append((step + 1, round(sum(recent) / len(recent), 4)))
            log.info("step %d loss %.4f (%.0f s)", step + 1, curve[-1][1], time.perf_counter() - start)
    return model, curve


def save(model: open_clip.CLIP, folder: Path, record: dict[str, object]) -> None:
    """Write fp16 weights, open_clip's config and the training record to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.detach().half().contiguous() for name, tensor in model.state_dict().items()}
    (folder / "open_clip_model.safetensors").write_bytes(serialize(state))  # save_file would make it private
    config = {"model_cfg": MODEL_CONFIG, "preprocess_cfg": PREPROCESS}
    (folder / "open_clip_config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "training.json").write_text(json.dumps(record, indent=2) + "\n")


def main(argv: list[str] | None = None) -> int:
    """Train, save, and validate what was saved."""
    parser = argparse.ArgumentParser(prog="isrbench tools train-severity", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--data", type=Path, nargs="+", required=True, help="folders of photos to train on")
    parser.add_argument("--validate", type=Path, help="folder of photos to validate on")
    parser.add_argument("--out", type=Path, required=True, help="folder to write: the estimator's name then")
    parser.add_argument("--steps", type=int, default=Recipe.steps)
    parser.add_argument("--seed", type=int, default=Recipe.seed)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    torch.set_num_threads(1)  # the tensors are small, and one thread gives the same weights on any number of cores
    recipe = Recipe(steps=args.steps, seed=args.seed)
    start = time.perf_counter()
    try:
        images = read_images(args.data)
        held_out = read_images([args.validate]) if args.validate else []
    except UserError as error:
        log.error("%s", error)
        return 2
    model, curve = train(images, recipe)
    record: dict[str, object] = {
        "recipe": vars(recipe),
        "data": ["/".join(folder.parts[-2:]) for folder in args.data],
        "parameters": sum(p.numel() for p in model.parameters()),
        "seconds": round(time.perf_counter() - start),
        "machine": f"{platform.machine()} CPU, one thread",
        "versions": {name: version(name) for name in ("torch", "open_clip_torch", "pillow", "numpy")},
        "loss": curve,
    }
    save(model, args.out, record)
    if held_out:
        record["spearman"] = level_correlation(get_estimator(str(args.out)), held_out, args.seed)
        log.info("Spearman(severity, level) on %s: %.3f", args.validate.name, record["spearman"])
        save(model, args.out, record)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
