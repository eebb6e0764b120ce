"""Adapters of PEFT on tiny random models, against PEFT's own forward pass in float64."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from evalkit.errors import ModelError
from evalkit.models.hf import files
from evalkit.models.hf.model import HfModel
from evalkit.models.loading import load_model, locate_models
from evalkit.models.protocol import LoadOptions
from tests.support.adapters import KINDS, edit_json, save_pair
from tests.support.tiny_models import TEXTS, as_fast, byte_level_tokenizer, random_model, save_checkpoint

IDS = [5, 60, 7, 80, 9, 100, 11, 120, 13]


def reference_nats(adapted: Any) -> np.ndarray:
    with torch.inference_mode():
        logits = adapted(input_ids=torch.tensor([[0, *IDS[:-1]]]), use_cache=False).logits[0].double()
    return -logits.log_softmax(-1).gather(-1, torch.tensor(IDS)[:, None])[:, 0].numpy()


def nats(spec: str) -> tuple[np.ndarray, HfModel]:
    model = load_model(spec)
    assert isinstance(model, HfModel)
    return model.nats([IDS], contexts=[[0]])[0], model


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "prompt"])
def test_an_adapted_model_costs_what_peft_says(kind: str, tmp_path: Path) -> None:
    adapted = save_pair(tmp_path, kind)
    reference = reference_nats(adapted)
    costs, model = nats(f"hf:{tmp_path}/base+{tmp_path}/adapter")
    assert costs.astype(float).sum() == pytest.approx(reference.sum(), rel=1e-6)
    np.testing.assert_allclose(costs, reference, rtol=1e-4, atol=1e-5)
    bare, _ = nats(f"hf:{tmp_path}/base")
    assert abs(costs - bare).max() > 0.01
    assert model.identity.name == "hf:base+adapter"
    assert model.identity.details["adapter"] == "adapter"
    assert "peft" in str(model.identity.numerics)
    # Carried on from the cache as well, which the trial at loading did not see adapted.
    if model.carries_state:
        ending = model.branch_nats(model.read_on([0, *IDS[:4]]), [IDS[4:]])[0]
        assert ending.astype(float).sum() == pytest.approx(reference[4:].sum(), rel=1e-6)


@pytest.mark.parametrize("kind", ["lora", "head", "dora"])
def test_an_adapter_beside_the_weights_is_applied_whole_or_refused(kind: str, tmp_path: Path) -> None:
    adapted = save_pair(tmp_path, kind)
    for path in (tmp_path / "adapter").glob("adapter_*"):
        shutil.copy(path, tmp_path / "base")
    if kind == "dora":  # transformers leaves out its magnitudes
        said = refusal(f"hf:{tmp_path}/base")
        assert "missing model.layers.0.mlp.down_proj.lora_magnitude_vector" in said
        assert said.endswith("name it: hf:MODEL+ADAPTER")
        return
    costs, _ = nats(f"hf:{tmp_path}/base")
    assert costs.astype(float).sum() == pytest.approx(reference_nats(adapted).sum(), rel=1e-6)
    with pytest.raises(ModelError, match="lies beside the weights, and another is named; move"):
        nats(f"hf:{tmp_path}/base+{tmp_path}/adapter")


def change_weights(folder: Path) -> None:
    path = folder / "adapter_model.safetensors"
    tensors = load_file(path)
    name = sorted(tensors)[0]
    save_file(tensors | {name: tensors[name] + 1}, path)


CHANGES: dict[str, Callable[[Path], None]] = {
    "adapter/adapter_model.safetensors": change_weights,
    "adapter/adapter_config.json": lambda folder: edit_json(folder / "adapter_config.json", lora_alpha=16),
}


@pytest.mark.parametrize("name", CHANGES)
def test_the_identity_is_of_model_and_adapter(name: str, tmp_path: Path) -> None:
    save_pair(tmp_path, "lora")
    spec = f"hf:{tmp_path}/base+{tmp_path}/adapter"
    [bare, before] = locate_models([f"hf:{tmp_path}/base", spec], LoadOptions())
    assert bare.identity.weights_sha256 == before.identity.weights_sha256
    assert bare.identity.config_sha256 != before.identity.config_sha256
    assert before.identity.details["num_parameters"] == bare.identity.details["num_parameters"]
    CHANGES[name](tmp_path / "adapter")
    with pytest.raises(ModelError, match=f"{name} changed between planning and loading; run again"):
        before.load()
    [after] = locate_models([spec], LoadOptions())
    assert after.identity.config_sha256 != before.identity.config_sha256
    after.load()


def test_the_base_that_an_adapter_was_trained_on_is_told_where_it_is_another(tmp_path: Path) -> None:
    save_pair(tmp_path, "lora")
    spec = f"hf:{tmp_path}/base+{tmp_path}/adapter"
    for stated, told in {
        "owner/base": None,
        "/somebody/secret/Base": None,
        "owner/base-instruct": "owner/base-instruct",
        "/somebody/secret/other": "other",
        "": None,
    }.items():
        edit_json(tmp_path / "adapter" / "adapter_config.json", base_model_name_or_path=stated)
        [located] = locate_models([spec], LoadOptions())
        assert located.identity.details.get("adapter_base") == told


def refusal(spec: str) -> str:
    with pytest.raises(ModelError) as caught:
        load_model(spec)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_what_is_no_adapter_of_the_model_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_pair(tmp_path, "lora")
    base, adapter = tmp_path / "base", tmp_path / "adapter"
    tokenizer = as_fast(byte_level_tokenizer())
    wider = random_model("llama", len(tokenizer), hidden_size=64)
    save_checkpoint(tmp_path / "wider", wider, tokenizer)
    said = refusal(f"hf:{tmp_path}/wider+{adapter}")
    assert "the adapter adapter does not fit the model: " in said
    assert said.endswith("; it was trained on owner/base")
    save_checkpoint(tmp_path / "other", random_model("gpt_neox", len(tokenizer)), tokenizer)
    assert "does not fit the model" in refusal(f"hf:{tmp_path}/other+{adapter}")
    assert "is no PEFT adapter: it has no adapter_config.json" in refusal(f"hf:{base}+{base}")
    for change in (lambda tensors: dict(list(tensors.items())[1:]), lambda tensors: {}):
        shutil.copytree(adapter, tmp_path / "part", dirs_exist_ok=True)
        path = tmp_path / "part" / "adapter_model.safetensors"
        save_file(change(load_file(path)), path)
        assert "does not fit the model, which has places that" in refusal(f"hf:{base}+{tmp_path}/part")
    path.write_bytes(b"weights")
    assert "does not fit the model: " in refusal(f"hf:{base}+{tmp_path}/part")
    path.unlink()
    assert "no PEFT adapter: it has no adapter_model.safetensors" in refusal(f"hf:{base}+{tmp_path}/part")
    (tmp_path / "part" / "adapter_model.safetensors").touch()
    (tmp_path / "part" / "adapter_config.json").write_text("[]")
    assert "is no adapter's config; fetch it again" in refusal(f"hf:{base}+{tmp_path}/part")
    monkeypatch.setattr(files, "is_peft_available", lambda: False)
    assert refusal(f"hf:{base}+{adapter}").endswith(
        "peft, which applies adapters, is not installed; pip install 'evalkit-bpb[peft]'"
    )


def test_vectors_before_the_text_are_no_change_of_weights(tmp_path: Path) -> None:
    save_pair(tmp_path, "prompt")
    said = refusal(f"hf:{tmp_path}/base+{tmp_path}/adapter")
    assert "is of the kind PROMPT_TUNING, which puts vectors before a text" in said


def test_an_adapter_in_the_catalog(tmp_path: Path) -> None:
    adapted = save_pair(tmp_path, "lora")
    Path("evalkit.toml").write_text(
        f'[models.tuned]\nloader = "hf"\ntarget = "{tmp_path}/base"\nadapter = "{tmp_path}/adapter"\n'
    )
    costs, model = nats("tuned")
    assert model.identity.name == "tuned"
    assert costs.astype(float).sum() == pytest.approx(reference_nats(adapted).sum(), rel=1e-6)
    assert model.encode("".join(TEXTS)).ids.size
