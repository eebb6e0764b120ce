"""RWKV-7 against numbers that others computed: rwkv.cpp's logits and the PyPI package ``rwkv``."""

import os
import pickle
import pydoc_data
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from evalkit import ModelError, load_model
from evalkit.models.protocol import TokenModel
from evalkit.models.rwkv7 import checkpoint
from evalkit.models.rwkv7.checkpoint import checked_shape, load_network, network_shape, read_tensors
from evalkit.models.rwkv7.model import RWKV7Model
from evalkit.models.rwkv7.tokenizer import encode_bytes, encode_world
from tests.support.rwkv7_files import TINY, fla_layout, random_tensors, save_fla_folder, save_official

EXPECTED_LOGITS = TINY.with_name("expected-logits-7v0-834K.bin")
ENGLISH = (Path(pydoc_data.__file__).with_name("topics.py")).read_text(encoding="utf-8")[3000:9000]
MANY_LANGUAGES = (
    "Größe 日本語のテキスト 😀 — naïve café, Ω≈ç√ \r\n\tПривет, мир! مرحبا \x00 שלום "
    "<|endoftext|> नमस्ते\n\n    x = 1\n"
)


def rwkv7(path: Path) -> RWKV7Model:
    model = load_model(f"rwkv7:{path}", device="cpu", dtype="float32")
    assert isinstance(model, RWKV7Model)
    return model


@pytest.fixture(scope="module")
def world_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("world") / "random-world.pth"
    save_official(path)
    return path


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("backend", ["auto", "torch", "reference"])
def test_logits_of_rwkv_cpp(dtype: torch.dtype, backend: str) -> None:
    expected = np.fromfile(EXPECTED_LOGITS, np.float32)
    network = load_network(TINY, dtype=dtype, device=torch.device("cpu"))
    hidden, _ = network(torch.tensor([list(b'"in')]), backend=backend)
    assert np.abs(network.head(hidden[0, -1]).numpy() - expected).max() < 1e-5
    state = None
    for byte in b'"in':
        hidden, state = network(torch.tensor([[byte]]), state, backend=backend)
    assert np.abs(network.head(hidden[0, -1]).numpy() - expected).max() < 1e-5


def test_chunks_steps_and_float64_agree() -> None:
    text = torch.tensor([list(ENGLISH[:300].encode())])
    exact_network = load_network(TINY, dtype=torch.float64, device=torch.device("cpu"))
    exact, exact_state = exact_network(text, backend="reference")
    network = load_network(TINY, dtype=torch.float32, device=torch.device("cpu"))
    for backend in ("auto", "torch", "reference"):
        hidden, state = network(text, backend=backend)
        assert (network.head(hidden).double() - exact_network.head(exact)).abs().max() < 1e-5
        for ours, theirs in zip(state, exact_state, strict=True):
            assert (ours.double() - theirs).abs().max() < 1e-5
    steps, state = [], None
    for t in range(text.shape[1]):
        hidden, state = network(text[:, t : t + 1], state)
        steps.append(hidden)
    assert (network.head(torch.cat(steps, 1)).double() - exact_network.head(exact)).abs().max() < 1e-5


PEER = """
import os, sys
os.environ["RWKV_V7_ON"] = "1"; os.environ["RWKV_JIT_ON"] = "1"; os.environ["RWKV_CUDA_ON"] = "0"
import numpy as np, torch
from rwkv.model import RWKV
from rwkv.rwkv_tokenizer import TRIE_TOKENIZER
import rwkv, pathlib
torch.set_num_threads(1)
text = pathlib.Path(sys.argv[2]).read_bytes().decode("utf-8")
vocabulary = pathlib.Path(rwkv.__path__[0]) / "rwkv_vocab_v20230424.txt"
ids = TRIE_TOKENIZER(str(vocabulary)).encode(text)
model = RWKV(model=sys.argv[1].removesuffix(".pth"), strategy="cpu fp32")
fed = [0, *ids]
logits, _ = model.forward(fed[:-1], None, full_output=True)
nats = -torch.log_softmax(logits.double(), -1)[torch.arange(len(ids)), torch.tensor(ids)]
np.savez(sys.argv[3], ids=np.array(ids), nats=nats.numpy())
"""


def test_nats_and_ids_of_the_rwkv_package(world_file: Path, tmp_path: Path) -> None:
    text = ENGLISH[:3500] + MANY_LANGUAGES
    (tmp_path / "text").write_bytes(text.encode("utf-8"))
    # In a process of its own: the package's version is chosen by an environment variable at import.
    command = [sys.executable, "-W", "ignore", "-c", PEER, str(world_file), str(tmp_path / "text")]
    subprocess.run([*command, str(tmp_path / "peer.npz")], check=True, capture_output=True)
    peer = np.load(tmp_path / "peer.npz")
    model = rwkv7(world_file)
    encoding = model.encode(text)
    assert encoding.ids.tolist() == peer["ids"].tolist()
    [nats] = model.nats([encoding.ids.tolist()])
    assert len(nats) > 600
    assert np.abs(nats - peer["nats"]).max() < 1e-4


def test_a_text_may_be_cut_anywhere(world_file: Path) -> None:
    model = rwkv7(world_file)
    ids = model.encode(ENGLISH).ids.tolist()[:1200]
    [whole] = model.nats([ids])
    for cut in (0, 1, 31, 32, 33, 511, 512, 513, 1199, 1200):
        first, reading = model.read(ids[:cut])
        second, _ = model.read(ids[cut:], reading)
        assert np.abs(np.concatenate((first, second)) - whole).max() < 1e-5
        [nats] = model.nats([ids[cut:]], contexts=[[0, *ids[:cut]]])
        assert np.abs(nats - whole[cut:]).max(initial=0) < 1e-5


def test_neighbours_and_order_change_nothing(world_file: Path) -> None:
    model = rwkv7(world_file)
    ids = model.encode(ENGLISH).ids.tolist()
    sequences = [ids[:700], ids[5:6], ids[100:133], [], ids[:1024], ids[200:1000], ids[7:40]]
    alone = [model.nats([sequence])[0] for sequence in sequences]
    together = model.nats(sequences)
    backwards = model.nats(sequences[::-1])[::-1]
    for single, many, reverse in zip(alone, together, backwards, strict=True):
        assert single.dtype == np.float32
        assert np.allclose(single, many, rtol=1e-5, atol=1e-6)
        assert np.allclose(single, reverse, rtol=1e-5, atol=1e-6)


def test_without_a_document_start_the_first_token_costs_the_vocabulary() -> None:
    model = rwkv7(TINY)
    assert model.prefix == ()
    [nats] = model.nats([list(b'"in')])
    assert nats[0] == pytest.approx(np.log(256), abs=1e-6)
    [after_context] = model.nats([list(b"in")], contexts=[list(b'"')])
    assert np.abs(after_context - nats[1:]).max() < 1e-6


def test_the_hugging_face_layout_is_the_same_model(world_file: Path, tmp_path: Path) -> None:
    tensors = torch.load(world_file, weights_only=True)
    save_fla_folder(tmp_path / "one", tensors)
    save_fla_folder(tmp_path / "three", tensors, num_shards=3)
    stacked = fla_layout(tensors)
    for layer in range(2):
        six = [stacked.pop(f"model.layers.{layer}.attn.x_{letter}") for letter in "rwkvag"]
        stacked[f"model.layers.{layer}.attn.x_x"] = torch.stack(six)
    save_file({name: value.clone() for name, value in stacked.items()}, tmp_path / "stacked.safetensors")
    save_file({name: value.clone() for name, value in tensors.items()}, tmp_path / "official.safetensors")
    ids = encode_world(ENGLISH).ids.tolist()[:200]
    [expected] = rwkv7(world_file).nats([ids])
    for name in ("one", "three", "stacked.safetensors", "official.safetensors"):
        assert np.array_equal(rwkv7(tmp_path / name).nats([ids])[0], expected)


def test_layer_0_may_carry_an_unused_value_residual(world_file: Path, tmp_path: Path) -> None:
    tensors = torch.load(world_file, weights_only=True)
    for name in ("v0", "v1", "v2"):
        tensors[f"blocks.0.att.{name}"] = torch.full_like(tensors[f"blocks.1.att.{name}"], torch.nan)
    torch.save(tensors, tmp_path / "with.pth")
    ids = encode_world(ENGLISH).ids.tolist()[:50]
    [with_unused] = rwkv7(tmp_path / "with.pth").nats([ids])
    [without] = rwkv7(world_file).nats([ids])
    assert np.array_equal(with_unused, without)


def test_sizes_are_read_from_the_tensors(world_file: Path) -> None:
    shape = network_shape(read_tensors(world_file), world_file)
    assert (shape.vocab_size, shape.num_channels, shape.head_size) == (65536, 128, 64)
    assert shape.layers[0].value_rank == 0
    assert shape.layers[1] == (24, 40, 16, 32, 512)


def test_bfloat16_files_and_models(world_file: Path, tmp_path: Path) -> None:
    tensors = torch.load(world_file, weights_only=True)
    halved = {name: value.bfloat16() for name, value in tensors.items()}
    torch.save(halved, tmp_path / "bf16.pth")
    torch.save({name: value.float() for name, value in halved.items()}, tmp_path / "same.pth")
    ids = encode_world(ENGLISH).ids.tolist()[:300]
    [exact] = rwkv7(tmp_path / "same.pth").nats([ids])
    [widened] = rwkv7(tmp_path / "bf16.pth").nats([ids])
    assert np.array_equal(widened, exact)
    low = load_model(f"rwkv7:{tmp_path / 'bf16.pth'}", device="cpu", dtype="bfloat16")
    assert isinstance(low, TokenModel)
    [rounded] = low.nats([ids])
    # bfloat16 keeps 8 bits: the package rwkv in bf16 is off by 0.012 nats per token on such a model.
    assert 1e-4 < np.abs(rounded - exact).mean() < 5e-2


def test_memory_does_not_grow_with_the_text(tmp_path: Path) -> None:
    save_official(tmp_path / "small.pth", vocab_size=256, num_channels=64, num_layers=1)
    code = (
        "import resource, sys, torch; torch.set_num_threads(1)\n"
        "from evalkit import load_model\n"
        "model = load_model('rwkv7:' + sys.argv[1])\n"
        "text = list(b'All happy families are alike. ') * 10000\n"
        "model.nats([text[:8000]])\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "model.nats([text[:200000]])\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "small.pth")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 32 * 1024  # logits alone would take 200 MB


# --- tokenizers


@pytest.mark.parametrize(
    ("text", "ids"),
    [  # from the World tokenizer's published vocabulary, as the package rwkv encodes them
        ("\n\n", [261]),
        (" Hello", [36786]),
        ("Hello ", [33155, 33]),
        ("User: hi\n\nAssistant:", [24281, 59, 4571, 261, 5585, 41693, 59]),
        ("<think>", [61, 35762, 63]),
        ("\x00", [1]),
        ("a\r\nb", [98, 263, 99]),
        ("日本語😀", [13053, 13205, 16592, 3319, 153, 129]),
        (
            "The Eiffel tower is in the city of",
            [6699, 304, 25740, 109, 39990, 4600, 4596, 22590, 30449, 4706],
        ),
        ("", []),
    ],
)
def test_world_ids(text: str, ids: list[int]) -> None:
    assert encode_world(text).ids.tolist() == ids


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_tokens_tile_the_bytes(text: str) -> None:
    data = text.encode("utf-8")
    for encoding in (encode_world(text), encode_bytes(text)):
        assert len(encoding.ids) == len(encoding.ends)
        assert (np.diff(encoding.ends, prepend=0) > 0).all()
        assert (encoding.ends[-1] if len(encoding.ends) else 0) == len(data)
    assert bytes(encode_bytes(text).ids.tolist()) == data


def test_a_byte_vocabulary_with_a_document_start(tmp_path: Path) -> None:
    save_official(tmp_path / "bytes.pth", vocab_size=257, num_channels=64, head_size=32)
    model = rwkv7(tmp_path / "bytes.pth")
    assert model.prefix == (256,)
    [nats] = model.nats([list(b"abc")])
    [explicit] = model.nats([list(b"abc")], contexts=[[256]])
    assert np.array_equal(nats, explicit)
    assert nats[0] != pytest.approx(np.log(257), abs=1e-4)


# --- files that are something else


def refused(path: Path, message: str) -> None:
    with pytest.raises(ModelError, match=message) as caught:
        load_model(f"rwkv7:{path}")
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)


def test_an_unknown_tensor_is_refused_by_name(tmp_path: Path) -> None:
    tensors = random_tensors(vocab_size=256, num_channels=64, num_layers=1)
    torch.save(tensors | {"blocks.0.att.surprise": torch.zeros(1)}, tmp_path / "model.pth")
    refused(tmp_path / "model.pth", r"unknown tensors blocks\.0\.att\.surprise")
    del tensors["blocks.0.att.ln_x.bias"]
    torch.save(tensors, tmp_path / "model.pth")
    refused(tmp_path / "model.pth", r"missing tensors blocks\.0\.att\.ln_x\.bias")


def test_a_misshapen_tensor_is_refused_by_name(tmp_path: Path) -> None:
    tensors = random_tensors(vocab_size=256, num_channels=64, num_layers=1)
    tensors["blocks.0.ffn.value.weight"] = torch.zeros(64, 128)
    torch.save(tensors, tmp_path / "model.pth")
    refused(
        tmp_path / "model.pth", r"blocks\.0\.ffn\.value\.weight has shape \(64, 128\), expected \(64, 256\)"
    )


@pytest.mark.parametrize(
    ("name", "generation"),
    [
        ("blocks.0.att.time_maa_x", "RWKV-6"),
        ("blocks.0.att.time_decay", "RWKV-4, 5 or 6"),
        ("blocks.0.ffn.s_emb.weight", "RWKV-7a"),
    ],
)
def test_other_generations_are_named(tmp_path: Path, name: str, generation: str) -> None:
    torch.save({"emb.weight": torch.zeros(256, 64), name: torch.zeros(64)}, tmp_path / "old.pth")
    refused(tmp_path / "old.pth", rf"is a {generation}.*reads RWKV-7")


def test_quantised_weights_are_refused_and_not_taken_for_numbers(tmp_path: Path) -> None:
    tensors = random_tensors(vocab_size=256, num_channels=64, num_layers=1)
    name = "blocks.0.att.key.weight"
    tensors[name] = (100 * tensors[name]).to(torch.int8)
    torch.save(tensors, tmp_path / "model.pth")
    refused(tmp_path / "model.pth", rf"tensor '{name}' is int8; evalkit reads no quantised weights")
    save_file(tensors, tmp_path / "model.safetensors")
    refused(tmp_path / "model.safetensors", rf"tensor '{name}' is int8; evalkit reads no quantised weights")


def test_checkpoints_of_a_training_are_read_once_for_their_shape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_training, other = (
        [random_tensors(vocab_size=size, num_channels=64, num_layers=1, seed=seed) for seed in (0, 1)]
        for size in (256, 257)
    )
    contents = {"step-1": of_training[0], "step-20": of_training[1], "step-3": other[0], "last": other[1]}
    paths = [tmp_path / f"{name}.pth" for name in contents]
    for path, tensors in zip(paths, contents.values(), strict=True):
        torch.save(tensors, path)
    read: list[str] = []
    read_pth = checkpoint._read_pth
    monkeypatch.setattr(checkpoint, "_read_pth", lambda path: (read.append(path.stem), read_pth(path))[1])
    checkpoint._KNOWN_TABLES.clear()
    assert [checked_shape(path).vocab_size for path in paths] == [256, 256, 257, 257]
    assert read == ["step-1", "step-3"]
    assert all(checked_shape(path) == network_shape(read_tensors(path), path) for path in paths)
    paths[-1].write_bytes(paths[-1].read_bytes()[:-1000])  # whose table is known
    refused(paths[-1], "truncated")


def test_a_truncated_file_is_refused(tmp_path: Path) -> None:
    for keep in (10, 1000, TINY.stat().st_size - 1):
        (tmp_path / "cut.pth").write_bytes(TINY.read_bytes()[:keep])
        refused(tmp_path / "cut.pth", "truncated")
    (tmp_path / "cut.pth").write_bytes(b"")
    refused(tmp_path / "cut.pth", "is empty; fetch the file again")
    (tmp_path / "cut.pth").write_text("<html>404</html>")
    refused(tmp_path / "cut.pth", "it is no file of torch tensors")
    save_file({"emb.weight": torch.zeros(256, 64)}, tmp_path / "cut.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "cut.safetensors").read_bytes()[:-5])
    refused(tmp_path / "cut.safetensors", "not a whole safetensors file")


class _Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_that_is_not_tensors_is_not_run(tmp_path: Path) -> None:
    for name, save in (("zip", torch.save), ("plain", _plain_pickle)):
        path = tmp_path / f"{name}.pth"
        save({"emb.weight": _Trap(tmp_path / "sprung")}, path)
        refused(path, "was refused and nothing in it was run")
        assert not (tmp_path / "sprung").exists()
    torch.save([torch.zeros(3)], tmp_path / "list.pth")
    refused(tmp_path / "list.pth", "holds a list, not named tensors")
    torch.save({"model": {"emb.weight": torch.zeros(3)}}, tmp_path / "nested.pth")
    refused(tmp_path / "nested.pth", "entry 'model' is a dict, not a tensor")


def _plain_pickle(value: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(value))


def test_an_unknown_vocabulary_is_refused_before_loading(tmp_path: Path) -> None:
    save_official(tmp_path / "pile.pth", vocab_size=50277, num_channels=64)
    refused(tmp_path / "pile.pth", "vocabulary of 50277 rows")


def test_an_impossible_prefix_is_refused(tmp_path: Path) -> None:
    (tmp_path / "evalkit.toml").write_text(
        f'[models.far]\nloader = "rwkv7"\ntarget = "{TINY}"\nprefix = "token:256"\n'
        f'[models.named]\nloader = "rwkv7"\ntarget = "{TINY}"\nprefix = "bos"\n'
    )
    os.environ["EVALKIT_CONFIG"] = str(tmp_path / "evalkit.toml")
    try:
        with pytest.raises(ModelError, match="lies outside the 256 tokens"):
            load_model("far")
        with pytest.raises(ModelError, match="use token:ID"):
            load_model("named")
    finally:
        del os.environ["EVALKIT_CONFIG"]


def test_a_cap_on_the_context_is_kept_by_recurrent_models_too(world_file: Path) -> None:
    model = load_model(f"rwkv7:{world_file}", device="cpu", dtype="float32", max_context=64)
    assert isinstance(model, RWKV7Model)
    assert model.context_limit == model.identity.context_limit == 64
    assert rwkv7(world_file).context_limit is None
