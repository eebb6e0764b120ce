import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from evalkit.models.loading import locate_models
from evalkit.models.protocol import LoadOptions
from evalkit.models.weight_headers import WeightSummary, is_quantised, summarise_weights
from tests.support.rwkv7_files import TINY
from tests.support.tiny_models import as_fast, byte_level_tokenizer, random_model, save_checkpoint


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_sizes_come_from_the_headers_of_a_checkpoint(tmp_path: Path, dtype: torch.dtype) -> None:
    tokenizer = byte_level_tokenizer()
    for architecture in ("llama", "qwen2"):  # the second's head is its embedding
        model = random_model(architecture, tokenizer.get_vocab_size()).to(dtype)
        folder = save_checkpoint(tmp_path / architecture, model, as_fast(tokenizer))
        [located] = locate_models([f"hf:{folder}"], LoadOptions(device="cpu"))
        assert located.identity.details["num_parameters"] == model.num_parameters()
        assert located.identity.details["stored_dtype"] == str(dtype).removeprefix("torch.")
        assert located.identity.dtype == "float32"


def test_sizes_of_a_pth_file() -> None:
    [located] = locate_models([f"rwkv7:{TINY}"], LoadOptions(device="cpu"))
    tensors = torch.load(TINY, weights_only=True)
    assert located.identity.details["num_parameters"] == sum(tensor.numel() for tensor in tensors.values())


def test_shared_weights_are_counted_once(tmp_path: Path) -> None:
    embedding = torch.zeros(10, 4)
    torch.save({"emb": embedding, "head": embedding, "ids": torch.arange(9)}, tmp_path / "a.pth")
    assert summarise_weights([tmp_path / "a.pth"]) == WeightSummary(40, "float32")


def test_shards_add_up_and_buffers_do_not_count(tmp_path: Path) -> None:
    save_file({"a": torch.zeros(3, 5, dtype=torch.bfloat16)}, tmp_path / "1.safetensors")
    buffers = {
        "embeddings.position_ids": torch.arange(4),
        "h.0.attn.bias": torch.ones(1, 1, 9, 9),
        "h.0.attn.masked_bias": torch.tensor(-1e4),
        "layers.0.rotary_emb.inv_freq": torch.ones(8),
    }
    save_file({"b": torch.zeros(7), **buffers}, tmp_path / "2.safetensors")
    paths = [tmp_path / "1.safetensors", tmp_path / "2.safetensors"]
    assert summarise_weights(paths) == WeightSummary(22, "bfloat16")


QUANTISED = {
    "gptq": ({"quant_method": "gptq", "bits": 4}, torch.int32, "gptq 4-bit, int32"),
    "bitsandbytes": (
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False},
        torch.uint8,
        "bitsandbytes 4-bit, uint8",
    ),
    "fp8": ({"quant_method": "fp8"}, torch.float8_e4m3fn, "fp8, float8_e4m3fn"),
    "mostly whole": ({"quant_method": "awq", "bits": 4}, torch.float16, "awq 4-bit, float16"),
    "unstated": (None, torch.int8, "int8"),
}


@pytest.mark.parametrize("name", QUANTISED)
def test_quantised_weights_are_told_and_packed_elements_not_counted(tmp_path: Path, name: str) -> None:
    settings, dtype, stored = QUANTISED[name]
    (tmp_path / "config.json").write_text(json.dumps({"quantization_config": settings} if settings else {}))
    save_file({"w": torch.zeros(64, 64).to(dtype), "scale": torch.zeros(64)}, tmp_path / "model.safetensors")
    summary = summarise_weights([tmp_path / "model.safetensors"])
    assert summary == WeightSummary(None, stored)
    assert is_quantised(stored)


def test_what_has_no_readable_header_has_no_size(tmp_path: Path) -> None:
    length_two = b"\x02" + bytes(7)
    for number, data in enumerate((b"", b"\xff" * 8, length_two + b"{", length_two + b"[]", b"x" * 99)):
        path = tmp_path / f"{number}.safetensors"
        path.write_bytes(data)
        assert summarise_weights([path]) is None
    (tmp_path / "a.pth").write_bytes(b"PK\x03\x04")
    assert summarise_weights([tmp_path / "a.pth"]) is None
    assert not is_quantised(None)
    assert not is_quantised("bfloat16")
