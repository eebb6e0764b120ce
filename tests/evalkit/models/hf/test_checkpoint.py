"""Folders that are not whole checkpoints, and what is said of them."""

import importlib.util
import json
from pathlib import Path

import pytest

from evalkit.errors import ModelError
from evalkit.models.hf.checkpoint import open_checkpoint
from evalkit.models.hf.tokenizer_files import read_tokenizer
from evalkit.models.protocol import LoadOptions
from tests.support.tiny_models import entry


@pytest.mark.parametrize("base", ["owner/base-1b", None])
def test_an_adapter_without_its_model_is_told_from_a_folder_without_config(
    tmp_path: Path, base: str | None
) -> None:
    config = {"peft_type": "LORA"} | ({"base_model_name_or_path": base} if base else {})
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    (tmp_path / "adapter_model.safetensors").write_bytes(b"weights")
    named = base or "which its config does not name"
    both = f"hf:{base or 'MODEL'}\\+{tmp_path.name}"
    with pytest.raises(ModelError, match=f"a PEFT adapter without its model, {named}; name both: {both}$"):
        open_checkpoint(entry(tmp_path), LoadOptions("cpu", "float32"))
    (tmp_path / "adapter_config.json").unlink()
    with pytest.raises(ModelError, match=r"has no config\.json"):
        open_checkpoint(entry(tmp_path), LoadOptions("cpu", "float32"))


@pytest.mark.skipif(importlib.util.find_spec("sentencepiece") is not None, reason="sentencepiece is here")
@pytest.mark.parametrize("class_name", ["LlamaTokenizer", "GemmaTokenizer", "T5Tokenizer"])
def test_pieces_without_sentencepiece_are_told_what_is_missing(tmp_path: Path, class_name: str) -> None:
    (tmp_path / "tokenizer.model").write_bytes(b"\x0a\x0e\x0a\x05<unk>\x15\x00\x00\x00\x00\x18\x02")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": class_name}))
    with pytest.raises(ModelError, match=r"tokenizer\.model.*pip install sentencepiece") as caught:
        read_tokenizer(tmp_path, "model", trust_remote_code=False)
    assert "tiktoken" not in str(caught.value)
