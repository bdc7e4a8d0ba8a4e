"""What understands text, tiny and random: a base's text encoder, and an open_clip model."""

import json
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel

LETTERS = "abcdefghijklmnopqrstuvwxyz,"
LENGTH = 12


def write_text(base: Path) -> Path:
    """Add a tokenizer of single letters and a text encoder of one layer to a base of fixed embeddings, 8 wide."""
    (base / "prompts.safetensors").unlink()
    vocabulary = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    (base / "tokenizer").mkdir()
    (base / "tokenizer/vocab.json").write_text(json.dumps({token: n for n, token in enumerate(vocabulary)}))
    (base / "tokenizer/merges.txt").write_text("#version: 0.2\n")
    special = {"bos_token": vocabulary[-2], **dict.fromkeys(("eos_token", "pad_token", "unk_token"), vocabulary[-1])}
    config = {"tokenizer_class": "CLIPTokenizer", "model_max_length": LENGTH, **special}
    (base / "tokenizer/tokenizer_config.json").write_text(json.dumps(config))
    with torch.random.fork_rng():
        torch.manual_seed(2)
        text = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(vocabulary), hidden_size=8, intermediate_size=16, num_hidden_layers=1,
                num_attention_heads=2, max_position_embeddings=LENGTH, bos_token_id=len(vocabulary) - 2,
                eos_token_id=len(vocabulary) - 1, initializer_factor=5.0,
            )
        )  # fmt: skip
    text.save_pretrained(base / "text_encoder")
    return base


def write_clip(folder: Path) -> Path:
    """Write a random open_clip model in its local-dir layout."""
    config = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 16, "patch_size": 8, "width": 16, "layers": 1, "head_width": 8},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 8, "heads": 2, "layers": 1},
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file(open_clip.CLIP(**config).state_dict(), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    return folder
