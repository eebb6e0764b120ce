"""The layouts and vocabularies in which RWKV-7 is published: the same numbers, or a refusal by name."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from torch import Tensor

from evalkit import ModelError, load_model
from evalkit.models.catalog import CatalogEntry
from evalkit.models.protocol import LoadOptions
from evalkit.models.rwkv7 import model as loader
from evalkit.models.rwkv7.embedding_norm import is_normalised
from tests.support.rwkv7_files import random_tensors, save_fla_folder
from tests.support.tiny_models import as_fast, byte_level_tokenizer

IDS = list(b"All happy families are alike.")
OPTIONS = LoadOptions("cpu", "float32")


def nats(path: Path, ids: list[int] = IDS) -> np.ndarray:
    model = load_model(f"rwkv7:{path}", device="cpu", dtype="float32")
    return np.asarray(model.nats([ids])[0])  # type: ignore[union-attr]


def folded(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """With the outputs of ``ln0`` as the embedding, and without it."""
    weight, bias = tensors["blocks.0.ln0.weight"], tensors["blocks.0.ln0.bias"]
    table = torch.nn.functional.layer_norm(tensors["emb.weight"], weight.shape, weight, bias)
    return {name: value for name, value in tensors.items() if ".ln0." not in name} | {"emb.weight": table}


def hub_release(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """As the official releases of 2026 have them, which make up a value residual for layer 0."""
    renamed = {
        name if name.startswith("head.") else f"rwkv7.{name}": value for name, value in tensors.items()
    }
    num_channels = tensors["emb.weight"].shape[1]
    residual = {"v0": (1, 1, num_channels), "v1": (num_channels, 16), "v2": (16, num_channels)}
    made_up = {f"rwkv7.blocks.0.att.{name}": torch.zeros(shape) for name, shape in residual.items()}
    return renamed | made_up


def save_folder(folder: Path, tensors: dict[str, Tensor], **settings: object) -> Path:
    folder.mkdir()
    save_file({name: value.clone() for name, value in tensors.items()}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "rwkv7"} | settings))
    return folder


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    return random_tensors(vocab_size=256, num_channels=64, head_size=32)


@pytest.fixture(scope="module")
def expected(tensors: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    path = tmp_path_factory.mktemp("official") / "model.pth"
    torch.save(tensors, path)
    return nats(path)


def test_a_hub_release_of_2026_is_the_same_model(
    tensors: dict[str, Tensor], expected: np.ndarray, tmp_path: Path
) -> None:
    sizes = {"vocab_size": 256, "hidden_size": 64, "num_hidden_layers": 2, "num_heads": 2, "head_dim": 32}
    folder = save_folder(tmp_path / "release", hub_release(tensors), norm_eps=2e-5, **sizes)
    # Its code multiplies by the head size: 32 times 2e-5 are the 64e-5 of the official file.
    layer_norms_of_official = 1e-5
    assert np.abs(nats(folder) - expected).max() < 1e-3
    model = load_model(f"rwkv7:{folder}", device="cpu", dtype="float32")
    network = model.network  # type: ignore[union-attr]
    assert network.blocks[1].att.ln_x.eps == pytest.approx(64e-5)
    assert network.ln_out.eps == 2 * layer_norms_of_official
    (folder / "config.json").unlink()
    assert np.array_equal(nats(folder), expected)


@pytest.mark.parametrize("wrapper", ["module.", "_orig_mod.", "model."])
def test_a_wrapped_network_is_the_same_model(
    tensors: dict[str, Tensor], expected: np.ndarray, tmp_path: Path, wrapper: str
) -> None:
    torch.save({f"{wrapper}{name}": value for name, value in tensors.items()}, tmp_path / "model.pth")
    assert np.array_equal(nats(tmp_path / "model.pth"), expected)
    torch.save(tensors | {f"{wrapper}emb.weight": torch.zeros(256, 64)}, tmp_path / "model.pth")
    with pytest.raises(ModelError, match="holds a tensor twice"):
        nats(tmp_path / "model.pth")


@pytest.mark.parametrize(
    ("name", "generation"),
    [
        ("blocks.1.ffn.s_emb", "RWKV-7a .DeepEmbed"),
        ("blocks.1.ffn.s_emb.weight", "RWKV-7a .DeepEmbed"),
        ("blocks.1.ffn.s_emb_x", "RWKV-7a .DeepEmbed"),
        ("blocks.1.ffn.s2", "RWKV-7a .DeepEmbed"),
        ("blocks.1.qkv.qq.weight", "RWKV-7b .DEA"),
        ("blocks.1.qkv.v_emb.weight", "RWKV-7b .DEA"),
        ("qkv.lnq.weight", "RWKV-7b .DEA"),
        ("blocks.1.ffn.enn.weight", "RWKV-8 .*enn"),
        ("blocks.1.qkv.ennk.weight", "RWKV-8 .*enn"),
        ("blocks.1.qkv.kkup", "RWKV-8 .*enn"),
        ("blocks.1.rosa_qkv.emb", "RWKV with ROSA"),
        ("rosa_qkv.x_q", "RWKV with ROSA"),
    ],
)
@pytest.mark.parametrize("layout", ["official", "hub", "fla"])
def test_later_networks_are_refused_by_what_they_are(
    tensors: dict[str, Tensor], tmp_path: Path, name: str, generation: str, layout: str
) -> None:
    extra = {"official": name, "hub": f"rwkv7.{name}", "fla": name.replace("blocks.", "model.layers.")}[
        layout
    ]
    if layout == "fla":
        save_fla_folder(tmp_path / "model", tensors)
        save_file({extra: torch.zeros(3)}, tmp_path / "model" / "more.safetensors")
    else:
        whole = hub_release(tensors) if layout == "hub" else tensors
        save_folder(tmp_path / "model", whole | {extra: torch.zeros(3)})
    with pytest.raises(ModelError, match=f"model is an? {generation}.*{extra}.*evalkit reads RWKV-7"):
        nats(tmp_path / "model")


# --- what config.json says


@pytest.mark.parametrize("norm_eps", [None, 1e-5, 1e-2])
def test_epsilons_of_an_fla_folder_are_those_of_its_config(
    tensors: dict[str, Tensor], tmp_path: Path, norm_eps: float | None
) -> None:
    save_fla_folder(tmp_path / "model", tensors)
    settings = {"model_type": "rwkv7", "norm_eps": norm_eps, "head_dim": 32, "hidden_act": "sqrelu"}
    (tmp_path / "model" / "config.json").write_text(json.dumps(settings))
    eps = norm_eps or 1e-5  # fla's default
    # Torch's own network with these epsilons, set by hand in the official model.
    torch.save(tensors, tmp_path / "official.pth")
    official = load_model(f"rwkv7:{tmp_path / 'official.pth'}", device="cpu", dtype="float32")
    released = np.asarray(official.nats([IDS])[0])  # type: ignore[union-attr]
    for module in official.network.modules():  # type: ignore[union-attr]
        if isinstance(module, torch.nn.LayerNorm | torch.nn.GroupNorm):
            module.eps = eps if isinstance(module, torch.nn.LayerNorm) else 32 * eps
    by_hand = np.asarray(official.nats([IDS])[0])  # type: ignore[union-attr]
    assert np.abs(nats(tmp_path / "model") - by_hand).max() < 1e-6
    assert np.abs(by_hand - released).max() > 1e-5


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"head_dim": 64}, "head_dim 64, the tensors 32"),
        ({"num_heads": 4}, "num_heads 4, the tensors 2"),
        ({"num_hidden_layers": 1}, "num_hidden_layers 1, the tensors 2"),
        ({"vocab_size": 65536}, "vocab_size 65536, the tensors 256"),
        ({"hidden_size": 128}, "hidden_size 128, the tensors 64"),
        ({"value_dim": [64, 128]}, "value_dim .64, 128."),
        ({"hidden_act": "gelu"}, "hidden_act 'gelu'; evalkit's RWKV-7 has"),
        ({"norm_first": False}, "norm_first false"),
        ({"attn": {"layers": [1], "num_heads": 2}}, "says attn"),
        ({"model_type": "rwkv6"}, "model_type 'rwkv6'"),
        ({"norm_eps": 0}, "norm_eps 0; it must be a number"),
        ({"norm_eps": "1e-5"}, "norm_eps '1e-5'; it must be a number"),
        ({"tie_word_embeddings": True}, "the file's head is not the embedding"),
    ],
)
@pytest.mark.parametrize("layout", ["hub", "fla"])
def test_a_config_that_says_something_else_is_refused(
    tensors: dict[str, Tensor], tmp_path: Path, settings: dict[str, object], message: str, layout: str
) -> None:
    if layout == "fla":
        save_fla_folder(tmp_path / "model", tensors)
        config = {"model_type": "rwkv7"} | settings
        (tmp_path / "model" / "config.json").write_text(json.dumps(config))
    else:
        save_folder(tmp_path / "model", hub_release(tensors), **settings)
    with pytest.raises(ModelError, match=message) as caught:
        nats(tmp_path / "model")
    assert "\n" not in str(caught.value)


def test_a_tied_head_is_the_embedding(tensors: dict[str, Tensor], tmp_path: Path) -> None:
    torch.save(tensors | {"head.weight": tensors["emb.weight"]}, tmp_path / "official.pth")
    without_head = {name: value for name, value in tensors.items() if name != "head.weight"}
    folder = save_folder(tmp_path / "tied", hub_release(without_head), tie_word_embeddings=True)
    assert np.array_equal(nats(folder), nats(tmp_path / "official.pth"))
    save_folder(tmp_path / "untied", hub_release(without_head))
    with pytest.raises(ModelError, match=r"missing tensors head\.weight"):
        nats(tmp_path / "untied")


# --- vocabularies of other sizes


def test_a_vocabulary_of_ones_own_needs_its_tokenizer(tmp_path: Path) -> None:
    """As with models trained on the Pile: rows are padded beyond the tokenizer's ids."""
    texts = ["the price of tea in China\n", "<|endoftext|> is text"]
    tokenizer = as_fast(byte_level_tokenizer(), eos_token="<|endoftext|>", bos_token="<|startoftext|>")
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    tensors = random_tensors(vocab_size=448, num_channels=64, num_layers=1)
    torch.save(tensors, tmp_path / "pile.pth")
    bare = CatalogEntry("pile", "rwkv7", str(tmp_path / "pile.pth"))
    with pytest.raises(ModelError, match=r"vocabulary of 448 rows.*name a tokenizer in the catalog"):
        loader.load(bare, OPTIONS)
    entry = dataclasses.replace(bare, tokenizer=str(tmp_path / "tokenizer"))
    model = loader.load(entry, OPTIONS)
    eos = tokenizer.convert_tokens_to_ids("<|endoftext|>")
    assert model.prefix == (eos,)
    for text in texts:
        ids = model.encode(text).ids.tolist()
        assert tokenizer.decode(ids) == text
        assert eos not in ids
        assert model.encode(text).ends[-1] == len(text)
    [costs] = model.nats([ids])
    [explicit] = model.nats([ids], contexts=[[eos]])
    assert np.array_equal(costs, explicit)
    named = loader.load(dataclasses.replace(entry, prefix="bos"), OPTIONS)
    assert named.prefix == (tokenizer.bos_token_id,)

    # Beside the weights it needs no naming, and what it says is part of the identity.
    folder = save_folder(tmp_path / "folder", hub_release(tensors), vocab_size=448)
    tokenizer.save_pretrained(folder)
    beside = loader.load(CatalogEntry("pile", "rwkv7", str(folder)), OPTIONS)
    assert beside.encode(texts[0]).ids.tolist() == model.encode(texts[0]).ids.tolist()
    assert beside.prefix == (eos,)

    identity = loader.identify(entry, OPTIONS)
    path = tmp_path / "tokenizer" / "tokenizer.json"
    path.write_text(path.read_text().replace('"id": 0', '"id":  0', 1))
    assert loader.identify(entry, OPTIONS).tokenizer_sha256 != identity.tokenizer_sha256


def test_a_tokenizer_with_more_tokens_than_rows_is_refused(tmp_path: Path) -> None:
    as_fast(byte_level_tokenizer(), eos_token="<|endoftext|>").save_pretrained(tmp_path / "tokenizer")
    torch.save(random_tensors(vocab_size=300, num_channels=64, num_layers=1), tmp_path / "small.pth")
    entry = CatalogEntry(
        "small",
        "rwkv7",
        str(tmp_path / "small.pth"),
        tokenizer=str(tmp_path / "tokenizer" / "tokenizer.json"),
    )
    with pytest.raises(
        ModelError, match=r"wrong vocabulary: the tokenizer has ids up to 3.., the model 300 rows"
    ):
        loader.load(entry, OPTIONS)


def test_rows_as_many_as_worlds_are_not_world_beside_another_tokenizer(tmp_path: Path) -> None:
    tensors = random_tensors(num_channels=64, num_layers=1)
    folder = save_folder(tmp_path / "folder", hub_release(tensors))
    entry = CatalogEntry("model", "rwkv7", str(folder))
    tokenizer = as_fast(byte_level_tokenizer(), eos_token="<|endoftext|>")
    tokenizer.save_pretrained(folder)
    with pytest.raises(ModelError, match=r"as many rows as RWKV World, but .* is another vocabulary"):
        loader.identify(entry, OPTIONS)
    named = loader.load(dataclasses.replace(entry, tokenizer=str(folder)), OPTIONS)
    assert named.encode(" Hello").ids.tolist() == tokenizer.encode(" Hello", add_special_tokens=False)

    # The releases' own: World's tokens with World's ids.
    world = Tokenizer(models.WordLevel({"\n\n": 261, " Hello": 36786, "?": 0}, unk_token="?"))
    world.save(str(folder / "tokenizer.json"))
    assert loader.load(entry, OPTIONS).encode(" Hello").ids.tolist() == [36786]


@pytest.mark.parametrize("layout", ["official", "release", "bfloat16", "fla"])
def test_an_embedding_that_was_normalised_in_the_file_is_not_normalised_again(
    layout: str, tensors: dict[str, Tensor], expected: np.ndarray, tmp_path: Path
) -> None:
    stored = folded(tensors)
    path, tolerance = tmp_path / "model.pth", 1e-5
    if layout == "official":
        torch.save(stored, path)
    elif layout == "bfloat16":
        torch.save(stored | {"emb.weight": stored["emb.weight"].bfloat16()}, path)
        tolerance = 0.05
    elif layout == "release":
        path = save_folder(tmp_path / "release", hub_release(stored))
    else:
        ones, zeros = torch.ones(64), torch.zeros(64)
        whole = stored | {"blocks.0.ln0.weight": ones, "blocks.0.ln0.bias": zeros}
        save_fla_folder(path, whole)
        [shard] = path.glob("*.safetensors")
        save_file({k: v for k, v in load_file(shard).items() if "pre_norm" not in k}, shard)
        _edit(path / "config.json", norm_first=False, norm_eps=1e-5)
        tolerance = 1e-2  # fla's epsilon of heads is 32 times 1e-5
    assert np.abs(nats(path) - expected).max() < tolerance
    model = load_model(f"rwkv7:{path}", device="cpu", dtype="float32")
    assert model.identity.details["embedding"] == "normalised in the file, which has no ln0"


def test_an_embedding_that_was_not_normalised_needs_its_norm(
    tensors: dict[str, Tensor], tmp_path: Path
) -> None:
    without = {name: value for name, value in tensors.items() if ".ln0." not in name}
    torch.save(without, tmp_path / "without.pth")
    with pytest.raises(ModelError, match=r"blocks\.0\.ln0\.weight is missing, and the embedding is not what"):
        nats(tmp_path / "without.pth")
    half = folded(tensors) | {"blocks.0.ln0.weight": torch.ones(64)}
    torch.save(half, tmp_path / "half.pth")
    with pytest.raises(ModelError, match=r"missing tensors blocks\.0\.ln0\.bias"):
        nats(tmp_path / "half.pth")
    save_fla_folder(tmp_path / "denied", tensors)
    _edit(tmp_path / "denied" / "config.json", norm_first=False)
    with pytest.raises(ModelError, match=r"says norm_first false, and the file has blocks\.0\.ln0\.weight"):
        nats(tmp_path / "denied")


def test_rows_of_a_norm_lie_on_a_hyperplane_and_no_others_do() -> None:
    torch.manual_seed(0)
    table = torch.randn(2000, 96) * torch.rand(96)
    rows = torch.nn.functional.layer_norm(table, (96,), 0.1 + torch.rand(96), torch.randn(96))
    assert is_normalised(rows)
    assert is_normalised(rows.bfloat16())
    assert not is_normalised(table)
    assert not is_normalised(rows + 0.05 * torch.randn(rows.shape))
    assert not is_normalised(rows[:97])  # too few to tell


def _edit(path: Path, **settings: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))
