"""What runs a checkpoint's own Python: one option of the command line, and nothing that a file says."""

import json
import resource
from pathlib import Path
from typing import Any

import pytest

from evalkit.errors import ModelError
from evalkit.models.loading import locate_models
from evalkit.models.protocol import LoadOptions
from tests.support import tiny_models

AUTO_MAP = {
    "config.json": {"AutoConfig": "its_code.Config", "AutoModelForCausalLM": "its_code.TinyForCausalLM"},
    "tokenizer_config.json": {"AutoTokenizer": ["its_code.Tokenizer", None]},
}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A checkpoint that asks in every file to run code, which leaves a mark where it runs."""
    folder = tmp_path / "checkpoint"
    fast = tiny_models.as_fast(tiny_models.byte_level_tokenizer(), eos_token="<|endoftext|>")
    tiny_models.save_checkpoint(folder, tiny_models.random_model("llama", len(fast)), fast)
    for name, auto_map in AUTO_MAP.items():
        settings = json.loads((folder / name).read_text())
        (folder / name).write_text(json.dumps(settings | {"auto_map": auto_map, "trust_remote_code": True}))
    mark = tmp_path / "it-ran"
    (folder / "its_code.py").write_text(
        f"from pathlib import Path\nPath({str(mark)!r}).touch()\n"
        "from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast\n"
        "class Config(LlamaConfig): pass\n"
        "class TinyForCausalLM(LlamaForCausalLM): config_class = Config\n"
        "class Tokenizer(PreTrainedTokenizerFast): pass\n"
    )
    return folder


def named(folder: Path, **fields: Any) -> str:
    lines = "".join(f"{name} = {json.dumps(value)}\n" for name, value in fields.items())
    Path("evalkit.toml").write_text(f'[models.named]\nloader = "hf"\ntarget = "{folder}"\n{lines}')
    return "named"


def test_a_catalog_asks_and_does_not_grant(checkpoint: Path) -> None:
    spec = named(checkpoint, trust_remote_code=True)
    with pytest.raises(ModelError, match=r"named: .* own Python; pass --trust-remote-code to run that"):
        locate_models([spec], LoadOptions(device="cpu"))
    assert not (checkpoint.parent / "it-ran").exists()


def test_a_checkpoint_that_asks_is_read_without_its_code(checkpoint: Path) -> None:
    [located] = locate_models([named(checkpoint)], LoadOptions(device="cpu"))
    located.load()
    assert not (checkpoint.parent / "it-ran").exists()


def test_the_option_grants(checkpoint: Path) -> None:
    spec = named(checkpoint, trust_remote_code=True)
    locate_models([spec], LoadOptions(device="cpu", trust_remote_code=True))
    assert (checkpoint.parent / "it-ran").exists()


@pytest.mark.parametrize("field", ["vocab_size", "intermediate_size"])
def test_code_that_is_trusted_is_made_no_larger_than_its_weights(checkpoint: Path, field: str) -> None:
    path = checkpoint / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: 10**9}))
    [located] = locate_models([f"hf:{checkpoint}"], LoadOptions(device="cpu", trust_remote_code=True))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match=r"describes [\d,]+ parameters, and the weights beside it have"):
        located.load()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024


def test_a_trusted_checkpoint_is_scored_by_its_own_code(checkpoint: Path) -> None:
    [located] = locate_models([f"hf:{checkpoint}"], LoadOptions(device="cpu", trust_remote_code=True))
    model = located.load()
    assert type(model._model).__name__ == "TinyForCausalLM"  # type: ignore[union-attr]


def test_another_tokenizer_that_asks_is_read_without_its_code(checkpoint: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    fast = tiny_models.as_fast(tiny_models.byte_level_tokenizer(), eos_token="<|endoftext|>")
    tiny_models.save_checkpoint(other, tiny_models.random_model("llama", len(fast)), fast)
    [located] = locate_models([named(other, tokenizer=str(checkpoint))], LoadOptions(device="cpu"))
    located.load()
    assert not (tmp_path / "it-ran").exists()
