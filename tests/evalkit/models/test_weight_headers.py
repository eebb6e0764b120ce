import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from evalkit.analysis.results import read_results
from evalkit.models.loading import locate_models
from evalkit.models.protocol import LoadOptions
from evalkit.models.weight_headers import WeightSummary, is_quantised, summarise_weights
from evalkit.report.site import build_site
from evalkit.runner.corpora import run
from evalkit.runner.options import RunOptions
from tests.support.rwkv7_files import TINY
from tests.support.tiny_models import as_fast, byte_level_tokenizer, random_model, save_checkpoint
from tests.support.toys import BigramModel, corpus_of

CORPUS = corpus_of(["a text of a few words", "and another"])


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


def linear(num_rows: int = 64, num_columns: int = 96, bits: int = 4, group: int = 32) -> dict[str, Any]:
    """A matrix of 64 by 96 in the forms in which libraries store it: names, types and shapes are theirs."""
    num_groups = num_rows // group
    words = num_rows * bits // 32
    zeros = {"qzeros": torch.zeros(num_groups, num_columns * bits // 32).int()}
    scales = {"scales": torch.zeros(num_groups, num_columns).half()}
    num_blocks = num_rows * num_columns // 64
    bytes_of_half = torch.zeros(num_rows * num_columns // 2, 1).byte()
    return {
        "gptq": {
            "qweight": torch.zeros(words, num_columns).int(),
            **zeros,
            **scales,
            "g_idx": torch.zeros(num_rows).int(),
            "bias": torch.zeros(num_columns).half(),
        },
        "awq": {"qweight": torch.zeros(num_rows, num_columns * bits // 32).int(), **zeros, **scales},
        "bitsandbytes": {
            "weight": bytes_of_half,
            "weight.absmax": torch.zeros(num_blocks).byte(),
            "weight.quant_map": torch.zeros(16),
            "weight.nested_absmax": torch.zeros(num_blocks // 16),
            "weight.nested_quant_map": torch.zeros(256),
            "weight.quant_state.bitsandbytes__nf4": torch.zeros(119).byte(),
        },
        "bitsandbytes 8": {
            "weight": torch.zeros(num_columns, num_rows, dtype=torch.int8),
            "SCB": torch.zeros(num_columns),
            "weight_format": torch.zeros(()).byte(),
        },
        "compressed-tensors": {
            "weight_packed": torch.zeros(num_columns, words).int(),
            "weight_scale": torch.zeros(num_columns, num_groups).bfloat16(),
            "weight_shape": torch.zeros(2).long(),
        },
        "mxfp4": {
            "proj_blocks": torch.zeros(num_columns, num_rows // 32, 16).byte(),
            "proj_scales": torch.zeros(num_columns, num_rows // 32).byte(),
        },
        "nvfp4": {
            "weight": torch.zeros(num_columns, num_rows // 2).byte(),
            "weight_scale": torch.zeros(num_columns, num_rows // 16).to(torch.float8_e4m3fn),
            "weight_scale_2": torch.zeros(()),
            "input_scale": torch.zeros(()),
        },
        "fp8": {
            "weight": torch.zeros(num_columns, num_rows).to(torch.float8_e4m3fn),
            "weight_scale_inv": torch.zeros(1, 1),
        },
    }


GROUPS = {"group_0": {"weights": {"num_bits": 4, "type": "int"}}}
QUANTISED: dict[str, tuple[dict[str, Any], str]] = {
    "gptq": ({"quant_method": "gptq", "bits": 4}, "gptq 4-bit, int32"),
    "awq": ({"quant_method": "awq", "bits": 4}, "awq 4-bit, int32"),
    "bitsandbytes": (
        {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False},
        "bitsandbytes 4-bit, uint8",
    ),
    "bitsandbytes 8": (
        {"quant_method": "bitsandbytes", "load_in_4bit": False, "load_in_8bit": True},
        "bitsandbytes 8-bit, int8",
    ),
    "compressed-tensors": (
        {"quant_method": "compressed-tensors", "config_groups": GROUPS},
        "compressed-tensors 4-bit, int32",
    ),
    "mxfp4": ({"quant_method": "mxfp4"}, "mxfp4, uint8"),
    "nvfp4": ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "modelopt, uint8"),
    "fp8": ({"quant_method": "fp8"}, "fp8, float8_e4m3fn"),
}


def save_quantised(folder: Path, name: str, bits: int = 4) -> Path:
    """A linear layer in a form, and a norm of 96 beside it."""
    settings, _ = QUANTISED[name]
    settings = settings | ({"bits": bits} if "bits" in settings else {})
    (folder / "config.json").write_text(json.dumps({"quantization_config": settings}))
    tensors = {f"layers.0.proj.{key}": value for key, value in linear(bits=bits)[name].items()}
    path = folder / "model.safetensors"
    save_file(tensors | {"norm.weight": torch.zeros(96).half()}, path)
    return path


@pytest.mark.parametrize("name", QUANTISED)
def test_quantised_weights_are_told_and_their_parameters_counted(tmp_path: Path, name: str) -> None:
    num_bias = 96 if name == "gptq" else 0
    summary = summarise_weights([save_quantised(tmp_path, name)])
    assert summary == WeightSummary(64 * 96 + num_bias + 96, QUANTISED[name][1])
    assert is_quantised(summary.stored_dtype)


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_bits_of_a_parameter_are_those_of_the_config(tmp_path: Path, bits: int) -> None:
    summary = summarise_weights([save_quantised(tmp_path, "gptq", bits)])
    assert summary == WeightSummary(64 * 96 + 96 + 96, f"gptq {bits}-bit, int32")


def test_a_form_that_is_not_known_has_no_count(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    for tensors, config, stored in (
        ({"w": torch.zeros(64, 64).byte()}, {"quant_method": "hqq"}, "hqq, uint8"),
        ({"w": torch.zeros(64, 64).int()}, None, "int32"),
        (linear()["gptq"], {"quant_method": "gptq"}, "gptq, int32"),  # of how many bits?
    ):
        (tmp_path / "config.json").write_text(json.dumps({"quantization_config": config} if config else {}))
        save_file(tensors, path)
        assert summarise_weights([path]) == WeightSummary(None, stored)


def test_the_site_does_not_call_quantised_weights_float32(tmp_path: Path) -> None:
    """From the file to the page: the row of a model whose weights are packed."""
    (tmp_path / "model").mkdir()
    summary = summarise_weights([save_quantised(tmp_path / "model", "gptq")])
    assert summary is not None
    facts = {"num_parameters": summary.num_parameters, "stored_dtype": summary.stored_dtype}
    models = [
        BigramModel("packed", details=facts),
        BigramModel("plain", details={"stored_dtype": "float32"}),
    ]
    run(models, [CORPUS], options=RunOptions(output=tmp_path / "runs"))
    build_site(read_results(tmp_path / "runs", warn=pytest.fail), tmp_path / "site")
    page = (tmp_path / "site" / "index.html").read_text(encoding="utf-8")
    assert (
        page.count("gptq 4-bit, int32 weights, computed in float32") == page.count("computed in float32") > 0
    )
    assert page.count("float32 ·") > page.count("computed in float32 ·")


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
