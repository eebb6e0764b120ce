"""Tensors that the files have and the model has not, and checkpoints that hold more than a language model."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import evalkit
from evalkit.errors import ModelError
from evalkit.models.hf import model as hf
from evalkit.models.hf.extra_tensors import summary
from evalkit.models.protocol import LoadOptions
from tests.support.tiny_models import (
    TEXTS,
    as_fast,
    byte_level_tokenizer,
    entry,
    random_model,
    save_checkpoint,
)

IDS = [5, 6, 7, 8]
HARMLESS = {
    "model.layers.0.self_attn.rotary_emb.cos_cached": "model.layers.*.self_attn.rotary_emb.cos_cached",
    "transformer.rotary_pos_emb.inv_freq": "transformer.rotary_pos_emb.inv_freq",
    "transformer.h.0.attn.masked_bias": "transformer.h.*.attn.masked_bias",
    "transformer.h.1.attn.attention.bias": "transformer.h.*.attn.attention.bias",
    "v_head.summary.weight": "v_head.summary.weight",
    "model.mtp.0.proj.weight": "model.mtp.*.proj.weight",
    "mtp.layers.0.mlp.up_proj.weight": "mtp.layers.*.mlp.up_proj.weight",
}
HARMFUL = [
    "model.extra.weight",
    "model.layers.0.self_attn.q_proj.bias",
    "model.layers.2.mlp.up_proj.weight",
    "model.layers.0.mlp.up_proj.weight_scale_inv",
    "score.weight",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint of one's own, to be changed."""
    tokenizer = as_fast(byte_level_tokenizer())
    return save_checkpoint(tmp_path / "llama", random_model("llama", len(tokenizer)), tokenizer)


def add_tensors(folder: Path, *names: str) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors |= {name: torch.ones(2) for name in names}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def load(folder: Path, *patterns: str, **fields: Any) -> hf.HfModel:
    return hf.load(entry(folder, **fields), LoadOptions(ignore_tensors=patterns))


@pytest.mark.parametrize("name", HARMLESS)
def test_harmless_tensors_are_left_out_and_listed(name: str, folder: Path) -> None:
    before = load(folder)
    add_tensors(folder, name)
    after = load(folder)
    assert "ignored_tensors" not in before.identity.details
    assert after.identity.details["ignored_tensors"] == HARMLESS[name]
    np.testing.assert_array_equal(after.nats([IDS])[0], before.nats([IDS])[0])


@pytest.mark.parametrize("name", HARMFUL)
def test_others_are_refused_unless_they_are_named(name: str, folder: Path) -> None:
    before = load(folder).nats([IDS])[0]
    add_tensors(folder, name)
    with pytest.raises(ModelError, match=r"unexpected \S+; pass --ignore-tensors") as caught:
        load(folder)
    assert name in str(caught.value)
    with pytest.raises(ModelError, match="unexpected"):
        load(folder, "another.*")
    np.testing.assert_array_equal(load(folder, "another.*", name).nats([IDS])[0], before)
    np.testing.assert_array_equal(load(folder, ignore_tensors=f"another.* {name}").nats([IDS])[0], before)


def test_layers_behind_the_last_are_harmless_where_the_config_says_what_they_are(tmp_path: Path) -> None:
    tokenizer = as_fast(byte_level_tokenizer())
    for num_layers in (0, 1):
        model = random_model("glm4_moe", len(tokenizer))
        model.config.num_nextn_predict_layers = num_layers
        folder = save_checkpoint(tmp_path / str(num_layers), model, tokenizer)
        add_tensors(folder, "model.layers.2.eh_proj.weight")
        if num_layers:
            assert load(folder).identity.details["ignored_tensors"] == "model.layers.*.eh_proj.weight"
        else:
            with pytest.raises(ModelError, match=r"unexpected model\.layers\.2\.eh_proj\.weight"):
                load(folder)


def test_a_cell_lists_what_was_ignored(folder: Path, tmp_path: Path) -> None:
    add_tensors(folder, "v_head.summary.weight", "v_head.summary.bias", "extra.0", "extra.1")
    corpus = tmp_path / "corpus.jsonl"
    corpus.write_text('{"text": "' + TEXTS[0].strip() + '"}\n')
    options = evalkit.RunOptions(output=tmp_path / "runs", ignore_tensors=("extra.*",))
    result = evalkit.run([f"hf:{folder}"], [str(corpus)], options=options)
    [cell] = result.cells
    assert cell.model.details["ignored_tensors"] == "extra.* (2), v_head.summary.bias, v_head.summary.weight"


def test_names_that_differ_in_a_number_are_one() -> None:
    names = [f"h.{layer}.attn.bias" for layer in range(12)] + ["h2.weight", "v1.2"]
    assert summary(names) == "h.*.attn.bias (12), h2.weight, v1.*"


@pytest.mark.parametrize(
    ("architecture", "class_name"),
    [
        ("mistral3", "Mistral3ForConditionalGeneration"),
        ("mllama", "MllamaForConditionalGeneration"),
        ("emu3", "Emu3ForConditionalGeneration"),
        ("qwen3_5", "Qwen3_5ForCausalLM"),
    ],
)
def test_a_composite_checkpoint_is_a_language_model(
    architecture: str, class_name: str, tmp_path: Path
) -> None:
    tokenizer = as_fast(byte_level_tokenizer())
    folder = save_checkpoint(tmp_path / architecture, random_model(architecture, len(tokenizer)), tokenizer)
    assert type(load(folder)._model).__name__ == class_name
    tensors = load_file(folder / "model.safetensors")
    [name] = [
        name
        for name in tensors
        if re.fullmatch(r"(model\.)?(language_model|text_model)\.(model\.)?norm\.weight", name)
    ]
    del tensors[name]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelError, match=r"do not fit \w+: missing"):
        load(folder)
