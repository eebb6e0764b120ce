"""Small files that ask for much: refused before anything is allocated, with the model's name."""

import json
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, normalizers
from transformers import PreTrainedTokenizerFast

from evalkit.errors import ModelError
from evalkit.models.hf.tokenizer_bounds import check_tokenizer
from evalkit.models.loading import locate_models
from evalkit.models.protocol import LoadOptions
from tests.support import tiny_models

MEGABYTE = 2**20


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    fast = tiny_models.as_fast(tiny_models.byte_level_tokenizer(), eos_token="<|endoftext|>")
    return tiny_models.save_checkpoint(
        tmp_path / "checkpoint", tiny_models.random_model("llama", len(fast)), fast
    )


def edit(path: Path, **fields: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def load(folder: Path) -> None:
    [located] = locate_models([f"hf:{folder}"], LoadOptions(device="cpu"))
    located.load()


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"num_hidden_layers": 10**5}, r"num_hidden_layers 100000, and no model has more than 2048"),
        ({"num_hidden_layers": 10**9}, r"num_hidden_layers 1000000000, and no model"),
        ({"n_layer": 10**9}, r"n_layer 1000000000, and no model"),
        ({"text_config": {"num_local_experts": 10**8}}, r"num_local_experts 100000000, and no model"),
        ({"vocab_size": 10**9}, r"describes [\d,]+ parameters, and the weights beside it have [\d,]+ bytes"),
        ({"intermediate_size": 10**9}, r"describes [\d,]+ parameters, and the weights"),
        ({"head_dim": 10**7}, r"describes [\d,]+ parameters, and the weights"),
    ],
)
def test_a_config_asks_for_no_more_than_the_weights_are(
    checkpoint: Path, fields: dict[str, Any], said: str
) -> None:
    edit(checkpoint / "config.json", **fields)
    before = peak_bytes()
    with pytest.raises(ModelError, match=rf"hf:checkpoint: config\.json .*{said}|hf:checkpoint: .*{said}"):
        load(checkpoint)
    assert peak_bytes() - before < 200 * MEGABYTE


def test_what_models_state_is_not_refused(checkpoint: Path) -> None:
    edit(
        checkpoint / "config.json",
        rope_theta=10**9,
        max_position_embeddings=10**7,
        eos_token_id=10**6,
        layer_norm_eps=1e-5,
        partial_rotary_factor=1.0,
        attn_implementation="somebody/kernel",
    )
    load(checkpoint)


REPLACES: dict[str, Callable[[int], list[Any]]] = {
    "strings": lambda n: [normalizers.Replace("a", "aa")] * n,
    "long": lambda n: [normalizers.Replace("e", "e" * 10 * n)],
    "nested": lambda n: [normalizers.Sequence([normalizers.Replace("a", "aa")] * n)],
    "bytes": lambda n: [normalizers.ByteLevel()] * n,
    "nothing": lambda n: [normalizers.Replace("", "aa")] * n,
}


@pytest.mark.parametrize("kind", REPLACES)
def test_rules_that_multiply_a_text_are_refused(checkpoint: Path, kind: str) -> None:
    path = checkpoint / "tokenizer.json"
    tokenizer = Tokenizer.from_file(str(path))
    tokenizer.normalizer = normalizers.Sequence(REPLACES[kind](40))
    tokenizer.save(str(path))
    before = peak_bytes()
    with pytest.raises(ModelError, match=r"the rules in .*tokenizer\.json can make a text .* times as long"):
        load(checkpoint)
    assert peak_bytes() - before < 200 * MEGABYTE


@pytest.mark.parametrize("place", ["vocabulary", "added"])
def test_an_id_of_four_billion_is_refused(checkpoint: Path, place: str) -> None:
    """The library would go through all the ids below."""
    path = checkpoint / "tokenizer.json"
    state = json.loads(path.read_text())
    if place == "added":
        state["added_tokens"][0]["id"] = 2**32 - 1
    else:
        state["model"]["vocab"]["zz"] = 2**32 - 1
    path.write_text(json.dumps(state))
    with pytest.raises(ModelError, match=r"tokenizer\.json has a token of id 4294967295, and no vocabulary"):
        load(checkpoint)


@pytest.mark.parametrize("tokenizer", ["byte_level_tokenizer", "sentencepiece_tokenizer"])
def test_the_rules_of_real_tokenizers_are_not_refused(tmp_path: Path, tokenizer: str) -> None:
    fast: PreTrainedTokenizerFast = tiny_models.as_fast(getattr(tiny_models, tokenizer)())
    fast.save_pretrained(tmp_path)
    check_tokenizer(tmp_path / "tokenizer.json", "model")


@pytest.mark.parametrize(
    "text", ["", "[]", "3", '{"normalizer": []}', '{"decoder": {"type": "Replace"}}', "[" * 10**5]
)
def test_what_is_no_tokenizer_is_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text(text)
    with pytest.raises(ModelError, match=r"model: the tokenizer in .*tokenizer\.json cannot be read"):
        check_tokenizer(path, "model")
