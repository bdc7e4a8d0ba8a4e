"""Where an image's prompt comes from: nowhere, one text for all, a file, or zero-shot CLIP tags of the LR."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from isrbench.harness.documents import read_text, read_toml
from isrbench.harness.errors import UserError, foreign
from isrbench.harness.identity import tensors_hash
from isrbench.methods.onestep.checkpoint import AdapterCheckpoint
from isrbench.methods.onestep.options import OneStepOptions

TAGS = Path(__file__).parent / "tags.toml"


class Prompter(Protocol):
    """Finds each image's prompt."""

    def __call__(self, image: str, lr: Tensor) -> str:
        """Return the prompt of the image with this id and this LR, float (3, H, W) in [0, 1].

        Raises:
            UserError: If there is none for this image.
        """
        ...


def make_prompter(options: OneStepOptions, trained: str, device: str) -> Prompter:
    """Build what ``options.prompts`` asks for.

    Args:
        options: How to restore.
        trained: The prompt that the adapter was trained with.
        device: Torch device string.

    Raises:
        UserError: If its file or its model cannot be loaded.
    """
    if options.prompts == "file":
        assert options.prompt_file is not None
        return FilePrompts(options.prompt_file)
    if options.prompts == "tags":
        return load_tagger(options.tag_model, options.tag_list or TAGS, options.tag_count, device)
    return OnePrompt(trained if options.prompts == "adapter" else options.prompt)


def one_prompt(options: OneStepOptions, checkpoint: AdapterCheckpoint, path: Path) -> str:
    """Return the one prompt that the adapter of the file ``path`` was trained with, "" if unknown.

    Raises:
        UserError: If each of its training images had one of its own, and the options give none.
    """
    if options.prompts == "adapter" and checkpoint.training.get("data", {}).get("prompts"):
        raise UserError(
            f"{path} was trained with a prompt for each photo, so that images need theirs",
            "add -o prompts=tags, or -o prompts=file -o prompt_file=PROMPTS.txt, or -o prompts=none",
        )
    return str(checkpoint.training.get("prompt", ""))


@dataclass(frozen=True)
class OnePrompt:
    """One prompt for all images."""

    prompt: str

    def __call__(self, image: str, lr: Tensor) -> str:
        """See :class:`Prompter`."""
        return self.prompt


class FilePrompts:
    """Prompts from a text file with a line ``image-id<TAB>prompt`` for every image."""

    def __init__(self, path: Path) -> None:
        self._path, self._prompts = path, read_prompts(path)

    def __call__(self, image: str, lr: Tensor) -> str:
        """See :class:`Prompter`."""
        return self.of(image)

    def of(self, image: str) -> str:
        """Return the image's prompt.

        Raises:
            UserError: If the file has no line for it.
        """
        if image not in self._prompts:
            raise UserError(f"prompt file {self._path} has no line for image '{image}'", f"add: {image}<TAB>prompt")
        return self._prompts[image]


def read_prompts(path: Path) -> dict[str, str]:
    """Read a text file with a line ``image<TAB>prompt`` for every image.

    Raises:
        UserError: If it cannot be read, or a line has no tab or names an image a second time.
    """
    lines = read_text(path, "pass a UTF-8 text file", "prompt file").splitlines()
    prompts: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        image, tab, prompt = line.partition("\t")
        if not tab:
            raise UserError(f"{path}:{number} has no tab", "write each line as image-id<TAB>prompt")
        if image in prompts:
            raise UserError(f"{path}:{number} names '{image}' a second time", "keep one line for each image")
        prompts[image] = prompt.strip()
    return prompts


class Tagger:
    """Names the likeliest tags of an image by CLIP similarity, likeliest first, joined by commas.

    Args:
        model: An open_clip model.
        tokenizer: Its tokenizer.
        tags: The tags to choose from.
        template: Sentence around a tag, with ``{}`` in its place.
        count: How many tags make a prompt, at most.
        floor: Least probability of a tag in terms of the best one's, in [0, 1]: the softmax over the model's scaled
            similarities, so that of two tags only the ratio counts; 0 = any.
    """

    def __init__(
        self, model: Any, tokenizer: Callable[[list[str]], Tensor], tags: list[str], template: str, count: int,
        floor: float = 0.0,
    ) -> None:  # fmt: skip
        self._model = model.eval().requires_grad_(False)
        self._tags, self._template, self._count = tags, template, min(count, len(tags))
        self._floor = floor
        size = model.visual.image_size
        self._size = max(size) if isinstance(size, (tuple, list)) else size
        self._device = next(model.parameters()).device
        self._mean, self._std = (
            torch.tensor(v, device=self._device)[:, None, None]
            for v in (model.visual.image_mean, model.visual.image_std)
        )
        with torch.no_grad():
            tokens = tokenizer([template.format(tag) for tag in tags]).to(self._device)
            self._texts = F.normalize(model.encode_text(tokens).float(), dim=-1)

    @torch.no_grad()
    def __call__(self, image: str, lr: Tensor) -> str:
        """See :class:`Prompter`; any image is tagged alike, an HR too."""
        square = F.interpolate(
            lr[None].to(self._device), (self._size, self._size), mode="bicubic", antialias=True, align_corners=False
        )
        embedded = F.normalize(self._model.encode_image((square.clamp(0, 1) - self._mean) / self._std).float(), dim=-1)
        similar, order = torch.sort((self._texts @ embedded[0]).cpu(), descending=True, stable=True)
        order = order[: self._count]
        if self._floor:
            ratios = torch.exp(float(self._model.logit_scale.exp()) * (similar - similar[0]))
            order = order[ratios[: self._count] >= self._floor]
        return ", ".join(self._tags[i] for i in order.tolist())

    @cached_property
    def tags_hash(self) -> str:
        """Return the sha256 of what decides an image's tags: weights, tags, sentence, number and floor."""
        weights = tensors_hash({"mean": self._mean, "std": self._std, **self._model.state_dict()})
        parts = [self._tags, self._template, self._count, self._floor, self._size, weights]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def load_tagger(spec: str, tag_list: Path, count: int, device: str, floor: float = 0.0) -> Tagger:
    """Load an open_clip model as a tagger.

    Args:
        spec: As :func:`isrbench.harness.severity.clip.load_clip` takes it.
        tag_list: TOML file with ``tags`` (list of texts) and ``template``.
        count: Tags a prompt, at most.
        device: Torch device string.
        floor: As :class:`Tagger` takes it.

    Raises:
        UserError: If the list or the model cannot be loaded.
    """
    from isrbench.harness.severity.clip import load_clip

    tags, template = read_tags(tag_list)
    model, tokenizer = load_clip(spec, device)
    return Tagger(model, tokenizer, tags, template, count, floor)


def read_tags(path: Path) -> tuple[list[str], str]:
    """Read a tag list.

    Raises:
        UserError: If it cannot be read, or has no tags or no template with ``{}``.
    """
    fix = "see methods/onestep/infer/tags.toml"
    table = read_toml(path, fix, "tag list")
    with foreign(f"tag list {path} does not fit", fix):
        tags, template = table["tags"], table["template"]
        if not (tags and all(isinstance(tag, str) for tag in tags) and "{}" in template):
            raise ValueError("it needs tags = [texts] and a template with {}")
        return tags, template
