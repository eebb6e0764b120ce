"""Models that accelerate's hooks spread over devices: here over the CPU alone, layer by layer."""

import sys
from pathlib import Path
from typing import Any

import accelerate
import pytest

from evalkit.errors import ModelError, UsageError
from evalkit.models.device_maps import check_device_map
from evalkit.models.hf import model as hf
from evalkit.models.hf.spread import check_fits
from evalkit.models.loading import locate_models
from evalkit.models.protocol import LoadOptions
from tests.support.tiny_models import as_fast, byte_level_tokenizer, entry, random_model, save_checkpoint

ROWS = [[5, 6, 7, 8, 9], [11, 12]]
SPREAD = LoadOptions(device="cpu", device_map="auto")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    tokenizer = as_fast(byte_level_tokenizer())
    model = random_model("llama", len(tokenizer))
    return save_checkpoint(tmp_path_factory.mktemp("spread") / "llama", model, tokenizer)


def costs(model: hf.HfModel) -> list[list[float]]:
    return [row.tolist() for row in model.nats(ROWS)]


def test_a_map_of_devices_changes_no_cost(folder: Path) -> None:
    whole = hf.load(entry(folder), LoadOptions(device="cpu"))
    spread = hf.load(entry(folder), SPREAD)
    assert {part.device.type for part in spread.network.parameters()} == {"cpu"}
    assert spread.identity == whole.identity
    assert costs(spread) == costs(whole)


def test_hooks_between_layers_change_no_cost_and_no_head(folder: Path) -> None:
    whole = hf.load(entry(folder), LoadOptions(device="cpu"))
    network: Any = hf.load(entry(folder), SPREAD).network
    names = ["model.embed_tokens", "model.rotary_emb", "model.norm", "lm_head"]
    names += [f"model.layers.{number}" for number in range(len(network.model.layers))]
    hooked = accelerate.dispatch_model(network, dict.fromkeys(names, "cpu"), force_hooks=True)
    assert all(hasattr(layer, "_hf_hook") for layer in hooked.model.layers)
    again = hf.wrap(
        hooked,
        whole._token_bytes,
        identity=whole.identity,
        prefix=whole.prefix,
        policy_prefixes=whole.policy_prefixes,
    )
    assert costs(again) == costs(whole)
    assert again.is_forkable


def test_what_does_not_fit_into_the_gpus_is_refused(folder: Path) -> None:
    network: Any = hf.load(entry(folder), LoadOptions(device="cpu")).network
    for places, left in (({"model": 0, "lm_head": "disk"}, "disk"), ({"model": "cpu", "lm_head": 1}, "cpu")):
        network.hf_device_map = places
        with pytest.raises(ModelError, match=f"^llama: does not fit .* would be on {left}; give more GPUs"):
            check_fits(network, "llama")
    network.hf_device_map = {"model": 0, "lm_head": 1}
    check_fits(network, "llama")


def test_a_map_is_for_models_that_can_be_spread_and_takes_its_library(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UsageError, match="--device-map auto is for hf: models, and rwkv7-nano is one of"):
        locate_models(["xz", "rwkv7-nano"], SPREAD)
    assert [located.identity.name for located in locate_models(["xz"], SPREAD)] == ["xz"]
    check_device_map(SPREAD)
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(
        UsageError, match=r"accelerate is not installed: pip install 'evalkit-bpb\[accelerate\]'"
    ):
        check_device_map(SPREAD)
