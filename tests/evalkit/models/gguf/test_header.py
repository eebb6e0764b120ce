"""Headers of GGUF files: what is in them, and what is wrong with those that are damaged or hostile."""

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.errors import EvalkitError, ModelError
from evalkit.models.gguf.header import read_header
from evalkit.models.loading import load_model, locate_models
from evalkit.models.protocol import LoadOptions
from tests.support.gguf_files import WIDTH, random_model


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_model(
        tmp_path_factory.mktemp("gguf") / "llama.gguf", "llama", quantisation=gguf.GGMLQuantizationType.Q8_0
    )


def string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def file_bytes(num_tensors: int, num_values: int, body: bytes = b"", version: int = 3) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", version, num_tensors, num_values) + body


def test_header_is_what_the_formats_own_reader_reads(model_path: Path) -> None:
    header = read_header(model_path)
    reader = gguf.GGUFReader(model_path)
    assert list(header.tensors) == [tensor.name for tensor in reader.tensors]
    for tensor in reader.tensors:
        read = header.tensors[tensor.name]
        assert read.shape == tuple(int(size) for size in reversed(tensor.shape))
        assert (read.type_name, read.offset, read.num_bytes) == (
            tensor.tensor_type.name,
            tensor.data_offset,
            tensor.n_bytes,
        )
    fields = {name: field.contents() for name, field in reader.fields.items() if "GGUF." not in name}
    assert fields.keys() == header.metadata.keys()
    for name, value in fields.items():
        ours = header.metadata[name]
        assert (ours.tolist() if isinstance(ours, np.ndarray) else ours) == value


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "does not start with GGUF"),
        (b"<html>not found</html>", "does not start with GGUF"),
        (b"GGUF\x03\x00", "cut off after 6 bytes"),
        (b"GGUF" + struct.pack("<I", 1), "version 1 GGUF"),
        (b"GGUF" + struct.pack(">I", 3), "big-endian GGUF"),
        (file_bytes(0, 2**62), "counts 4,611,686,018,427,387,904 key-value pairs"),
        (file_bytes(2**40, 0), "counts 1,099,511,627,776 tensors"),
        (file_bytes(0, 20_000, bytes(20_000 * 13)), "20,000 key-value pairs and 0 tensors are more than any"),
        (file_bytes(300_000, 0, bytes(300_000 * 32)), "300,000 tensors are more than any model has"),
        (
            file_bytes(0, 1, string("key") + struct.pack("<IIQ", 9, 8, 1 << 22) + bytes(8 << 22)),
            "with key it has more than 2,097,152 strings",
        ),
        (file_bytes(0, 1, string("a" * 3)), "counts 1 key-value pairs|within the header"),
        (file_bytes(0, 1, struct.pack("<Q", 2**63) + bytes(64)), "within the header"),
        (file_bytes(0, 1, string("key") + struct.pack("<I", 99) + bytes(64)), "key is of type 99"),
        (
            file_bytes(0, 1, string("key") + struct.pack("<IIQ", 9, 4, 2**60) + bytes(64)),
            "counts 1,152,921,504,606,846,976 values of key",
        ),
        (
            file_bytes(0, 1, string("key") + struct.pack("<IIQ", 9, 8, 2**60) + bytes(64)),
            "counts 1,152,921,504,606,846,976 strings of key",
        ),
        (file_bytes(0, 1, string("key") + struct.pack("<IIQ", 9, 9, 1) + bytes(64)), "array of arrays"),
        (file_bytes(0, 1, struct.pack("<Q", 2) + b"\xff\xff" + bytes(64)), "not UTF-8"),
        (file_bytes(0, 2, (string("key") + struct.pack("<IB", 0, 1)) * 2 + bytes(64)), "key twice"),
        (file_bytes(1, 0, string("t") + struct.pack("<I", 2**31) + bytes(64)), "t has 2147483648 dimensions"),
        (
            file_bytes(1, 0, string("t") + struct.pack("<IQIQ", 1, 2**50, 0, 0) + bytes(64)),
            "tensor t ends at byte",
        ),
        (
            file_bytes(1, 0, string("t") + struct.pack("<IQIQ", 1, 64, 12345, 0) + bytes(64)),
            "tensor t is of type 12345",
        ),
        (
            file_bytes(1, 0, string("t") + struct.pack("<IQIQ", 1, 33, 8, 0) + bytes(64)),
            r"shape \(33,\) is no whole number of blocks of Q8_0",
        ),
        (
            file_bytes(1, 0, string("t") + struct.pack("<IQQIQ", 2, 2**63, 2**63, 0, 0) + bytes(64)),
            "tensor t ends at byte",
        ),
        (
            file_bytes(2, 0, (string("t") + struct.pack("<IQIQ", 1, 1, 0, 0)) * 2 + bytes(64)),
            "tensor t twice",
        ),
    ],
)
def test_damaged_and_hostile_headers_get_a_line_and_no_memory(
    tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    read_header_error(path, message)


def read_header_error(path: Path, message: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=message) as raised:
            read_header(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20 + 4 * path.stat().st_size
    finally:
        tracemalloc.stop()
    assert "\n" not in str(raised.value)
    assert str(path) in str(raised.value)


def test_file_cut_off_anywhere_is_refused(tmp_path: Path, model_path: Path) -> None:
    whole = model_path.read_bytes()
    path = tmp_path / "cut.gguf"
    for length in [*range(8, 600, 37), len(whole) // 2, len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(ModelError, match=r"cut off|can hold") as raised:
            read_header(path)
        assert "fetch it again" in str(raised.value)


@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_any_damage_to_a_header_is_an_error_of_ours_or_none(
    tmp_path_factory: pytest.TempPathFactory, model_path: Path, data: st.DataObject
) -> None:
    content = bytearray(model_path.read_bytes())
    first_tensor = min(tensor.offset for tensor in read_header(model_path).tensors.values())
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(4, first_tensor - 9))
        content[place : place + 8] = data.draw(st.binary(min_size=8, max_size=8))
    path = tmp_path_factory.mktemp("damaged") / "model.gguf"
    path.write_bytes(content)
    try:
        locate_models([f"gguf:{path}"], LoadOptions())
    except EvalkitError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"general.architecture": "megalodon"}, "architecture 'megalodon'; it reads gemma"),
        ({"llama.block_count": 10**9}, "counts 1,000,000,000 layers, its tensors have 3"),
        ({"llama.embedding_length": 2**31}, "by its metadata"),
        ({"llama.attention.head_count": 0}, "attention.head_count is 0, not a number above zero"),
        ({"llama.attention.head_count": 4.5}, "num_attention_heads is 4.5, not a whole number"),
        ({"llama.attention.head_count": [4, 4, 4]}, "attention.head_count is 'an array', not a number"),
        ({"llama.attention.layer_norm_rms_epsilon": float("nan")}, "rms_epsilon is nan, not a number above"),
        ({"llama.attention.layer_norm_rms_epsilon": "tiny"}, "rms_epsilon is 'tiny', not a number above"),
        ({"llama.attention.key_length": 15}, "heads of 15 dimensions have no pairs"),
        ({"llama.rope.freq_base": 0.0}, "rope.freq_base is 0.0"),
        ({"llama.leading_dense_block_count": [1, 2]}, "block_count = an array means to llama"),
        ({"llama.attention.key_length": 2**31}, "dimensions are rotated|by its metadata"),
        ({"llama.feed_forward_length": 7}, r"ffn_up.weight is \(96, 64\), by its metadata \(7, 64\)"),
        ({"llama.rope.freq_base": float("nan")}, "rope.freq_base is not a number"),
        ({"llama.rope.scaling.type": "su"}, "positions are scaled by 'su'"),
        ({"llama.rope.scaling.type": "yarn", "llama.rope.scaling.factor": 0.5}, "scaled from 256 by 0.5"),
        ({"llama.rope.scaling.yarn_beta_fast": 16.0}, "what llama.rope.scaling.yarn_beta_fast = 16.0 means"),
        ({"llama.attention.sliding_window": 128}, "what llama.attention.sliding_window = 128 means"),
        ({"llama.expert_count": 8}, "has no num_experts_per_tok of llama"),
        ({"qwen3.expert_count": 8, "llama.expert_group_count": 8}, "llama.expert_group_count = 8 means"),
        ({"split.count": 3}, "is one of 3 parts, and is not called so"),
        ({"tokenizer.ggml.pre": "klingon"}, "does not know, 'klingon'"),
        ({"tokenizer.ggml.model": "bert"}, "no tokenizer of kind 'bert'"),
        ({"tokenizer.ggml.token_type": [1, 2]}, "2 types of tokens"),
        ({"tokenizer.ggml.bos_token_id": 10**9}, "bos_token_id is 1000000000, of"),
        ({"tokenizer.ggml.merges": ["a b c"]}, "no pair"),
        ({"tokenizer.ggml.merges": ["a nosuchtoken"]}, "cannot be built"),
        ({"tokenizer.ggml.tokens": "x"}, "tokenizer.ggml.tokens is not an array of strings"),
    ],
)
def test_metadata_that_no_model_is_made_of_are_refused_by_name(
    tmp_path: Path, extra: dict[str, object], message: str
) -> None:
    path = random_model(tmp_path / "model.gguf", "llama", extra=extra)
    with pytest.raises(ModelError, match=message) as raised:
        load_model(f"gguf:{path}")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda tensors: tensors.pop("blk.1.ffn_up.weight"),
            "no tensor for model.layers.1.mlp.up_proj.weight",
        ),
        (lambda tensors: tensors.pop("token_embd.weight"), "token_embd.weight is missing"),
        (
            lambda tensors: tensors.update({"blk.0.attn_sinks.weight": np.ones(4)}),
            "no tensor blk.0.attn_sinks",
        ),
        (lambda tensors: tensors.update({"rope_freqs.weight": np.ones(3)}), "fits no positions"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    tmp_path: Path, change: Callable[[dict[str, np.ndarray]], object], message: str
) -> None:
    path = random_model(tmp_path / "model.gguf", "llama", change=change)
    with pytest.raises(ModelError, match=message):
        load_model(f"gguf:{path}")


def test_types_that_cannot_be_dequantised_are_named(tmp_path: Path) -> None:
    path = random_model(tmp_path / "model.gguf", "llama")
    content = path.read_bytes()
    # The table has the type behind the dimensions; Q8_1 has blocks of 36 bytes for 32 numbers.
    row = b"blk.0.ffn_up.weight" + struct.pack("<IQQ", 2, WIDTH, 96)
    place = content.index(row) + len(row)
    path.write_bytes(
        content[:place] + struct.pack("<I", gguf.GGMLQuantizationType.Q8_1) + content[place + 4 :]
    )
    with pytest.raises(ModelError, match=r"blk.0.ffn_up.weight is Q8_1, which the installed gguf cannot"):
        load_model(f"gguf:{path}")


def test_the_identity_is_the_files_and_says_how_it_is_stored(model_path: Path) -> None:
    [located] = locate_models([f"gguf:{model_path}"], LoadOptions())
    header = read_header(model_path)
    identity = located.identity
    num_weights = sum(int(np.prod(tensor.shape)) for tensor in gguf.GGUFReader(model_path).tensors)
    assert identity.details["num_parameters"] == num_weights
    assert identity.details["weights"] == "dequantised from Q8_0"
    assert identity.details["quantisation"] == "Q8_0 (23), F32 (7)"
    assert identity.details["file_bytes"] == model_path.stat().st_size
    stored_bits = 8 * sum(tensor.num_bytes for tensor in header.tensors.values())
    assert identity.details["bits_per_weight"] == pytest.approx(stored_bits / num_weights, abs=1e-4)
    assert 8.5 < stored_bits / num_weights < 8.7  # 34 bytes for 32 numbers, and a few vectors
    assert identity.context_limit == 256
    assert identity.prefix == "eos"
    model = located.load()
    assert model.identity.weights_sha256 == identity.weights_sha256
