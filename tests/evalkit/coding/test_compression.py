"""Whole files: what is compressed comes back to the last bit, or is refused in one line."""

import dataclasses
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from evalkit.coding import lanes
from evalkit.coding.compression import check_model, compress_bytes, decompress_bytes
from evalkit.coding.container import read_container
from evalkit.coding.rounds import Layout
from evalkit.corpora.store import make_document
from evalkit.errors import CorpusError, ModelError, ScoringError
from evalkit.models.lanes import DecodingModel, LaneReader, lane_reader
from evalkit.models.loading import load_model
from evalkit.scoring.documents import score_documents
from evalkit_kernels import attention_cpu
from tests.faults.coded_files import ByteBigram
from tests.support import tiny_models
from tests.support.nasty_texts import nasty_texts
from tests.support.rwkv7_files import TINY, save_official


def round_trip(data: bytes, model: Any, **options: Any) -> Any:
    compressed = compress_bytes(data, model, **options)
    assert decompress_bytes(read_container(compressed.content, "x.ek"), model, "x.ek") == data
    return compressed


@pytest.fixture(scope="module")
def tiny_rwkv7() -> Any:
    return load_model(f"rwkv7:{TINY}", device="cpu")


@pytest.fixture(scope="module")
def tiny_world(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """65,536 tokens: more than a coder of 24 bits has room for in one step."""
    path = tmp_path_factory.mktemp("models") / "world.pth"
    save_official(path, num_channels=64, num_layers=1)
    return load_model(f"rwkv7:{path}", device="cpu")


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a short text is read in several, where that gives a decoder's bits."""
    monkeypatch.setattr(lanes, "_LARGEST_PIECE", 8)


@pytest.fixture(scope="module")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("models") / "llama"
    tokenizer = tiny_models.sentencepiece_tokenizer(space="prepend", adds_bos=True)
    model = tiny_models.random_model("llama", tokenizer.get_vocab_size(), max_position_embeddings=100)
    tiny_models.save_checkpoint(folder, model, tiny_models.as_fast(tokenizer))
    return load_model(f"hf:{folder}", device="cpu")


TEXT = "".join(tiny_models.TEXTS[:1])


@pytest.fixture
def many_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(100)
    yield
    torch.set_num_threads(before)


def test_the_largest_machine_asks_a_small_one_for_few_threads(many_threads: None) -> None:
    """As many as a reader takes from a file that nobody vouches for; the caller has his own again."""
    content = compress_bytes(b"Some text.", ByteBigram()).content
    assert read_container(content, "x.ek").header.numerics.num_threads == 64
    assert torch.get_num_threads() == 100


def hostile_bytes(count: int) -> list[bytes]:
    """Nasty texts, cut anywhere, with bytes that are no UTF-8 among them, and bytes alone."""
    source = random.Random(7)
    strings = [
        b"",
        b"\x00",
        b"\xff",
        b" ",
        b"\xef\xbb\xbf",
        "é".encode()[:1],
        b"\xed\xa0\x80",
        bytes(range(256)),
    ]
    for text in nasty_texts(count - len(strings), seed=20):
        data = text.encode(errors="replace")
        place = source.randrange(len(data) + 1)
        noise = source.randbytes(source.choice([0, 0, 1, 2, 40]))
        strings.append(data[:place] + noise + data[place : place + source.randrange(200)])
    return strings


@pytest.mark.parametrize("num_lanes", [None, 3])
def test_hostile_bytes_come_back(tiny_llama: Any, num_lanes: int | None) -> None:
    for model in (ByteBigram(), tiny_llama):
        for data in hostile_bytes(12):
            round_trip(data, model, num_lanes=num_lanes)


@pytest.mark.parametrize("num_lanes", [1, 5])
@pytest.mark.parametrize("name", ["tiny_rwkv7", "tiny_world", "tiny_llama"])
def test_a_text_takes_the_bits_that_its_score_says(
    name: str, num_lanes: int, request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(name)
    compressed = round_trip(TEXT.encode(), model, num_lanes=num_lanes)
    [score] = score_documents(model, [make_document(TEXT, source="test")], "document")
    assert score.total_bits is not None
    if num_lanes == 1:  # nothing is begun anew
        assert compressed.ideal_bits == pytest.approx(score.total_bits, rel=1e-4)
        assert 8 * compressed.num_code_bytes == pytest.approx(score.total_bits, rel=2e-3, abs=8 * 16)
    assert 8 * compressed.num_code_bytes == pytest.approx(compressed.ideal_bits, rel=2e-3, abs=8 * 16)
    assert compressed.num_lanes == num_lanes and compressed.num_stored_bytes == 0


class FewKeys:
    """Reads ahead as long as few keys are read, and then sees other bits than one by one."""

    def __init__(self, reader: LaneReader) -> None:
        self.reader = reader
        self.model, self.start = reader.model, reader.start
        self.may_read_ahead, self.num_pieces = True, 0

    def read(self, ids: torch.Tensor) -> torch.Tensor:
        self.num_pieces += ids.shape[1] > 1
        self.may_read_ahead = self.num_pieces < 3
        predictors = self.reader.read(ids)
        return predictors if self.may_read_ahead or ids.shape[1] == 1 else -predictors


def test_what_reads_other_bits_ahead_is_read_one_by_one() -> None:
    reader = FewKeys(lane_reader(ByteBigram()))
    ids = np.frombuffer(TEXT.encode()[:60], np.uint8).astype(np.int64)
    layout = Layout((60,), "document", (), None, 1)
    assert lanes.encode_lanes(reader, layout, [ids]) == lanes.encode_lanes(
        lane_reader(ByteBigram()), layout, [ids]
    )
    assert reader.num_pieces > 3


def test_reading_ahead_is_tried_on_ordinary_text(tiny_llama: Any) -> None:
    """Not on ids that no text has, at which some models make much of roundings."""
    embeddings = tiny_llama.network.get_input_embeddings().weight.data
    unknown = embeddings[0].clone()
    embeddings[0] = torch.nan
    try:
        assert lane_reader(tiny_llama).may_read_ahead
    finally:
        embeddings[0] = unknown


def test_where_no_native_loop_serves_attention_of_torch_does(
    tiny_llama: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    by_loop = round_trip(TEXT.encode()[:150], tiny_llama, num_lanes=2)
    monkeypatch.setattr(attention_cpu, "serves", lambda *_: False)
    by_torch = round_trip(TEXT.encode()[:150], tiny_llama, num_lanes=2)
    assert by_torch.ideal_bits == pytest.approx(by_loop.ideal_bits, rel=1e-5)


def test_any_flipped_bit_and_any_cut_is_refused(tiny_rwkv7: Any) -> None:
    content = compress_bytes(b"All of it or nothing.", tiny_rwkv7).content
    source = random.Random(3)
    for place in source.sample(range(8 * len(content)), 100):
        damaged = bytearray(content)
        damaged[place // 8] ^= 1 << place % 8
        with pytest.raises(CorpusError, match=r"x\.ek"):
            read_container(bytes(damaged), "x.ek")
    for length in source.sample(range(len(content)), 50):
        with pytest.raises(CorpusError, match=r"x\.ek"):
            read_container(content[:length], "x.ek")
    with pytest.raises(CorpusError, match="cut or changed"):
        read_container(content + b"\0", "x.ek")


def test_another_model_is_refused_by_what_differs() -> None:
    model = ByteBigram()
    container = read_container(compress_bytes(b"text of a bigram", model).content, "x.ek")
    for change in (
        {"weights_sha256": "1"},
        {"tokenizer_sha256": "1"},
        {"prefix": "bos"},
        {"dtype": "bfloat16"},
    ):
        identity = dataclasses.replace(model.identity, **change)  # type: ignore[arg-type]
        with pytest.raises(ModelError, match=f"differ in {next(iter(change))};"):
            check_model(container.header, identity, "x.ek")
    # The same name and digests, and other numbers: a machine that rounds otherwise.
    changed = ByteBigram()
    changed.table = np.nextafter(model.table.astype(np.float32), np.inf).astype(np.float64)
    with pytest.raises(ModelError, match="computes other numbers here"):
        decompress_bytes(container, changed, "x.ek")


def test_numbers_that_differ_later_are_seen_by_the_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ByteBigram()
    container = read_container(compress_bytes(TEXT.encode(), model).content, "x.ek")
    changed = ByteBigram()
    changed.table[ord("e")] = np.roll(changed.table[ord("e")], 1)  # no id of the trial
    with pytest.raises(ScoringError, match="does not give back what was compressed"):
        decompress_bytes(container, changed, "x.ek")


def test_a_compressor_has_nothing_to_decode_by() -> None:
    with pytest.raises(ModelError, match="xz does not show the distribution"):
        compress_bytes(b"text", load_model("xz"))
    assert isinstance(ByteBigram(), DecodingModel)
