"""Codecs: what they encode decodes, and their sizes are those of the tools."""

import lzma

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit import Codec, load_corpus, load_model
from evalkit.models.compressors import NAMES, ClassicalCodec


def codec(name: str) -> ClassicalCodec:
    model = load_model(name)
    assert isinstance(model, ClassicalCodec)
    assert isinstance(model, Codec)
    return model


@pytest.mark.parametrize("name", NAMES)
def test_what_is_encoded_decodes(name: str) -> None:
    model = codec(name)

    @settings(max_examples=60, deadline=None)
    @given(st.binary(max_size=2000) | st.text(max_size=500).map(lambda text: text.encode("utf-8", "replace")))
    def check(data: bytes) -> None:
        code = model.encode(data)
        assert model.decode(code, len(data)) == data
        assert model.code_length_bytes(data) == len(code)

    check()
    for document in load_corpus("python-stdlib").documents[:5]:
        assert model.decode(model.encode(document.data), document.num_bytes) == document.data


@pytest.mark.parametrize("name", NAMES)
def test_text_shrinks(name: str) -> None:
    data = max((document.data for document in load_corpus("python-stdlib").documents), key=len)
    assert 0.1 * len(data) < codec(name).code_length_bytes(data) < 0.4 * len(data)


def test_sizes_are_those_of_the_tools_without_their_containers() -> None:
    for document in load_corpus("python-stdlib").documents[:20]:
        data = document.data
        # .xz: 12 bytes of header, 12 of footer, block header, index, padding and check.
        container = lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)
        assert 0.97 * len(container) - 80 <= codec("xz").code_length_bytes(data) <= len(container) - 24
        frame = zstandard.ZstdCompressor(level=22).compress(data)
        assert len(frame) - 20 <= codec("zstd").code_length_bytes(data) <= len(frame) - 4
        assert codec("brotli").code_length_bytes(data) == len(brotli.compress(data, quality=11, lgwin=24))


def test_settings_are_part_of_the_identity() -> None:
    digests = {codec(name).identity.weights_sha256 for name in NAMES}
    assert len(digests) == len(NAMES)
    assert "order 32" in str(codec("ppmd").identity.details["settings"])
