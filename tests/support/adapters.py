"""Tiny random models with an adapter of PEFT."""

import json
import warnings
from pathlib import Path
from typing import Any

import peft
import torch

from tests.support.tiny_models import as_fast, byte_level_tokenizer, random_model, save_checkpoint

LORA = {"r": 4, "lora_alpha": 8}
KINDS: dict[str, tuple[str, Any]] = {
    "lora": ("llama", peft.LoraConfig(**LORA, target_modules=["q_proj", "v_proj"])),
    "dora": ("llama", peft.LoraConfig(**LORA, use_dora=True, target_modules=["q_proj", "down_proj"])),
    "rank-stabilised": ("llama", peft.LoraConfig(**LORA, use_rslora=True, target_modules=["up_proj"])),
    "ia3": (
        "llama",
        peft.IA3Config(target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"]),
    ),
    "head": ("llama", peft.LoraConfig(**LORA, target_modules=["q_proj", "lm_head"])),
    "head of the embedding": ("qwen2", peft.LoraConfig(**LORA, target_modules=["q_proj", "lm_head"])),
    "whole modules": (
        "llama",
        peft.LoraConfig(**LORA, target_modules=["q_proj"], modules_to_save=["lm_head", "embed_tokens"]),
    ),
    "recurrent": ("mamba2", peft.LoraConfig(**LORA, target_modules=["in_proj"])),
    "prompt": ("llama", peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=4)),
}


def save_pair(folder: Path, kind: str, *, seed: int = 1) -> Any:
    """``base`` and ``adapter`` in a folder; PEFT's own model, in float64."""
    architecture, config = KINDS[kind]
    tokenizer = as_fast(byte_level_tokenizer())
    model = random_model(architecture, len(tokenizer))
    save_checkpoint(folder / "base", model, tokenizer)
    with warnings.catch_warnings():  # of tied heads; and it asks transformers for what that has renamed
        warnings.simplefilter("ignore")
        adapted = peft.get_peft_model(model, config)
    torch.manual_seed(seed)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn_like(parameter))
    with warnings.catch_warnings():  # of embeddings that are saved, too
        warnings.simplefilter("ignore", UserWarning)
        adapted.save_pretrained(folder / "adapter")
    edit_json(folder / "adapter" / "adapter_config.json", base_model_name_or_path="owner/base")
    return adapted.double().eval()


def edit_json(path: Path, **settings: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
