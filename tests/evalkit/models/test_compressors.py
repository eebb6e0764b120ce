"""Codecs: what they encode decodes, and their sizes are those of the tools."""

import json
import lzma
import os
from pathlib import Path

import brotli
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit import Codec, load_corpus, load_model
from evalkit.errors import UsageError
from evalkit.models.catalog import load_catalog, resolve_spec
from evalkit.models.codecs import CODECS
from evalkit.models.compressors import ClassicalCodec
from evalkit.runner.corpora import DEFAULT_MODELS
from tests.support.toys import run_process


def codec(name: str) -> ClassicalCodec:
    model = load_model(name)
    assert isinstance(model, ClassicalCodec)
    assert isinstance(model, Codec)
    return model


@pytest.mark.parametrize("name", CODECS)
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


@pytest.mark.parametrize("name", CODECS)
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


def test_catalog_defaults_help_and_order_follow_from_the_table() -> None:
    entries = {name: entry for name, entry in load_catalog().items() if entry.loader == "codec"}
    assert list(entries) == list(CODECS) == [entry.target for entry in entries.values()]
    assert DEFAULT_MODELS[-len(CODECS) :] == tuple(CODECS)
    assert resolve_spec("codec:xz", {}) == entries["xz"]
    done = run_process("run", "--help", env=os.environ | {"COLUMNS": "200"})
    assert f"({', '.join(CODECS)}: compressors)" in done.stdout
    shown = json.loads(run_process("models", "show", "ppmd", "--json").stdout)
    assert shown["license"] == CODECS["ppmd"].license


def test_a_codec_of_the_users_must_be_in_the_table(tmp_path: Path) -> None:
    path = tmp_path / "evalkit.toml"
    path.write_text('[models.mine]\nloader = "codec"\ntarget = "zst"\n', encoding="utf-8")
    with pytest.raises(UsageError, match=r"model mine: unknown codec 'zst'\. Did you mean zstd"):
        load_catalog(path)


def test_settings_are_part_of_the_identity() -> None:
    digests = {codec(name).identity.weights_sha256 for name in CODECS}
    assert len(digests) == len(CODECS)
    assert "order 32" in str(codec("ppmd").identity.details["settings"])
