"""Prompt embeddings of a base: from its own text encoder, or fixed ones that it brings."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from isrbench.harness.errors import UserError
from isrbench.harness.identity import tensors_hash
from isrbench.methods.onestep.base.hub import AS_DATA, FIXED_PROMPTS

_PROBE = "A photo of an unbelievably sharp, well-lit façade; 8K."
"""Shows how a tokenizer cuts words up, which its vocabulary does not tell."""
_KEPT = 64
"""Embeddings that are kept for prompts that come again: 20 MB with Stable Diffusion 2.1."""


class TextEncoder:
    """Prompt embeddings of one base: from its text encoder, or one fixed embedding that it brings.

    Args:
        fixed: The fixed embeddings (1, tokens, width) of good images (``positive``) and, for training, of degraded ones
            (``negative``); None for a base that takes text.
        tokenizer: A transformers tokenizer, or None.
        model: A transformers text model, or None.
    """

    def __init__(self, fixed: dict[str, Tensor] | None = None, tokenizer: Any = None, model: Any = None) -> None:
        self._fixed = fixed
        self._tokenizer = tokenizer
        self._model: Any = model
        self._known: dict[str, Tensor] = {}

    @property
    def takes_text(self) -> bool:
        """Return whether prompts make a difference."""
        return self._fixed is None

    @property
    def tokens(self) -> int:
        """Return the length of every embedding."""
        return self._tokenizer.model_max_length if self._fixed is None else self._fixed["positive"].shape[1]

    def weights_hash(self, *, half: bool = False) -> str:
        """Return the sha256 of what decides the embeddings: the fixed ones, or tokenizer and text encoder.

        Args:
            half: Take the text encoder's values in float16; see
                :func:`isrbench.methods.onestep.checkpoint.base_hash`.
        """
        if self._fixed is not None:
            return tensors_hash(self._fixed)
        vocabulary = sorted(self._tokenizer.get_vocab().items())
        parts = [vocabulary, self._tokenizer.model_max_length, self._tokenizer(_PROBE).input_ids]
        weights = tensors_hash(self._model.state_dict(), half=half)
        return hashlib.sha256(f"{json.dumps(parts)} {weights}".encode()).hexdigest()

    def to(self, device: torch.device) -> None:
        """Move the text encoder, if there is one, to ``device``; embeddings stay on the CPU."""
        if self._model is not None:
            self._model.to(device)

    def pair(self, prompt: str, negative: str) -> tuple[Tensor, Tensor]:
        """Return the embeddings that training needs, of ``prompt`` and of what guidance leads away from.

        Raises:
            UserError: If the base brings fixed embeddings, but no negative one.
        """
        if self._fixed is None:
            return self.embed(prompt), self.embed(negative)
        if "negative" not in self._fixed:
            raise UserError(f"{FIXED_PROMPTS} holds no 'negative' embedding, which training needs", "add it")
        return self._fixed["positive"], self._fixed["negative"]

    def free(self, *prompts: str) -> None:
        """Embed these prompts and let go of the text encoder, 1.3 GiB of Stable Diffusion 2.1 in float32.

        From then on no other prompt can be embedded, and ``weights_hash`` is not known. A base with fixed embeddings
        has nothing to let go of.
        """
        if self._fixed is None:
            for prompt in prompts:
                self.embed(prompt)
            self._model = None

    @torch.no_grad()
    def embed(self, prompt: str) -> Tensor:
        """Embed ``prompt`` as float32 (1, tokens, width); a fixed embedding stands for the empty prompt.

        Raises:
            UserError: If the base has a fixed embedding and ``prompt`` is not empty.
        """
        if self._fixed is not None:
            if prompt:
                raise UserError("this base has one fixed prompt embedding and takes no text", "use -o prompts=none")
            return self._fixed["positive"]
        if prompt not in self._known:
            length = self._tokenizer.model_max_length
            tokens = self._tokenizer(
                prompt, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
            )
            if len(self._known) == _KEPT:
                self._known.pop(next(iter(self._known)))
            self._known[prompt] = self._model(tokens.input_ids.to(self._model.device))[0].float().cpu()
        return self._known[prompt]


def load_text(folder: Path, base: str, device: str) -> TextEncoder:
    """Load what turns prompts into embeddings from the base in ``folder``, called ``base`` in messages.

    Raises:
        UserError: If there is neither a tokenizer with a text encoder nor a file of fixed embeddings.
    """
    if (folder / FIXED_PROMPTS).is_file():
        fixed = {name: tensor.float() for name, tensor in load_file(folder / FIXED_PROMPTS).items()}
        if "positive" not in fixed:
            raise UserError(f"base '{base}': {FIXED_PROMPTS} holds no 'positive' embedding", "add it")
        return TextEncoder(fixed)
    if not ((folder / "tokenizer").is_dir() and (folder / "text_encoder").is_dir()):
        raise UserError(
            f"base '{base}' has neither a text encoder nor {FIXED_PROMPTS}", "add tokenizer/ and text_encoder/ to it"
        )
    from transformers import AutoTokenizer, CLIPTextModel

    model = CLIPTextModel.from_pretrained(folder / "text_encoder", torch_dtype=torch.float32, **AS_DATA)
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer", **AS_DATA)
    return TextEncoder(None, tokenizer, model.eval().requires_grad_(False).to(device))  # pyright: ignore
