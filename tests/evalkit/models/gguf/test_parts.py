"""Models in several files: equal to the whole, and what is wrong with parts that are none."""

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np
import pytest

from evalkit.errors import ModelError
from evalkit.models.gguf.parts import first_parts, names_of_parts
from evalkit.models.loading import load_model, locate_models
from evalkit.models.protocol import LoadOptions, ModelIdentity, TokenModel
from tests.support.exact_llama_cpp import ExactLlamaCpp
from tests.support.gguf_files import random_model, write_parts

NUM_PARTS = 3


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_model(tmp_path_factory.mktemp("gguf") / "whole.gguf", "qwen3")


@pytest.fixture
def parts(whole: Path, tmp_path: Path) -> list[Path]:
    return write_parts(whole, tmp_path / "model", NUM_PARTS)


def identity_of(target: Path | str) -> ModelIdentity:
    return locate_models([f"gguf:{target}"], LoadOptions())[0].identity


def test_parts_cost_what_the_whole_does(whole: Path, parts: list[Path]) -> None:
    """To the last bit, named by any part or by the folder; and llama.cpp takes these very parts."""
    ids = np.random.default_rng(0).integers(2, 600, 60).tolist()
    model = load_model(f"gguf:{whole}")
    assert isinstance(model, TokenModel)
    expected = model.nats([ids], contexts=[(0,)])[0]
    for target in (parts[0], parts[2], parts[0].parent):
        model = load_model(f"gguf:{target}")
        assert isinstance(model, TokenModel)
        np.testing.assert_array_equal(model.nats([ids], contexts=[(0,)])[0], expected)
    theirs = ExactLlamaCpp(parts[0], num_threads=1).nats([0], ids)
    assert float(theirs.sum()) == pytest.approx(float(expected.sum()), rel=2e-6)


def test_the_identity_is_of_all_parts(whole: Path, parts: list[Path]) -> None:
    identity, of_whole = identity_of(parts[0]), identity_of(whole)
    assert [file.name for file in identity.files] == [path.name for path in parts]
    assert identity.details["file_bytes"] == sum(path.stat().st_size for path in parts)
    for name in ("num_parameters", "bits_per_weight", "quantisation"):
        assert identity.details[name] == of_whole.details[name]
    assert identity.tokenizer_sha256 == of_whole.tokenizer_sha256
    content = bytearray(parts[2].read_bytes())
    content[-1] ^= 1
    parts[2].write_bytes(content)
    assert identity_of(parts[0]).weights_sha256 != identity.weights_sha256


def test_names_of_parts() -> None:
    assert names_of_parts("a-00002-of-00003.gguf") == [
        f"a-0000{number}-of-00003.gguf" for number in (1, 2, 3)
    ]
    for name in ("a.gguf", "a-00001-of-00000.gguf", "a-00004-of-00003.gguf", "a-1-of-3.gguf"):
        assert names_of_parts(name) == [name]
    assert first_parts(["a.gguf", "b-00002-of-00002.gguf", "b-00001-of-00002.gguf"]) == [
        "a.gguf",
        "b-00001-of-00002.gguf",
    ]


def test_a_folder_with_two_models_in_parts_names_both(whole: Path, parts: list[Path]) -> None:
    write_parts(whole, parts[0].parent / "second", 2)
    with pytest.raises(
        ModelError, match=r"add one after a colon: model-00001-of-00003.gguf, second-00001-of-00002.gguf$"
    ):
        identity_of(parts[0].parent)
    assert len(identity_of(f"{parts[0].parent}:second-00001-of-00002.gguf").files) == 2


def set_number(path: Path, key: str, value: int, layout: str = "<H") -> None:
    """Overwrite a number in a file's metadata."""
    content = bytearray(path.read_bytes())
    place = content.index(key.encode()) + len(key) + 4
    content[place : place + struct.calcsize(layout)] = struct.pack(layout, value)
    path.write_bytes(content)


def cut_off(parts: list[Path]) -> None:
    parts[1].write_bytes(parts[1].read_bytes()[:-100])


def with_part_of_another_cut(parts: list[Path]) -> None:
    """The same model cut into as many parts elsewhere, so that tensors come twice."""
    others = write_parts(
        parts[0].parent / "whole-copy.gguf",
        parts[0].parent / "elsewhere" / "model",
        NUM_PARTS,
        first_tensors=20,
    )
    shutil.copy(others[1], parts[1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda parts: parts[1].unlink(), r"has no model-00002-of-00003.gguf, of 3 parts of the model"),
        (
            lambda parts: [path.unlink() for path in parts[:2]],
            r"has no model-00001-of-00003.gguf(?: and 1 more)?, of [13] parts of the model",
        ),
        (cut_off, r"model-00002-of-00003.gguf is cut off"),
        (lambda parts: parts[2].write_bytes(b""), r"model-00003-of-00003.gguf is no GGUF file"),
        (lambda parts: shutil.copy(parts[2], parts[1]), r"is called part 2 and says that it is part 3"),
        (lambda parts: shutil.copy(parts[0], parts[1]), r"is called part 2 and says that it is part 1"),
        (
            with_part_of_another_cut,
            r"model-00003-of-00003.gguf: tensor .* is in model-00002-of-00003.gguf as well",
        ),
        (lambda parts: set_number(parts[1], "split.count", 4), r"00002-.*its split.count is not that of"),
        (lambda parts: set_number(parts[0], "split.count", 65535), r"says that it is one of 65535 parts"),
        (lambda parts: set_number(parts[0], "split.count", 1), r"one of 1 parts, and its name .* of 3;"),
        (
            lambda parts: [set_number(path, "split.tensors.count", 2**31 - 1, "<i") for path in parts],
            r"has 2,147,483,647 tensors by its metadata, and the 3 parts have 36;",
        ),
        (
            lambda parts: [set_number(path, "split.tensors.count", -1, "<i") for path in parts],
            r"has -1 tensors by its metadata",
        ),
        (
            lambda parts: [set_number(path, "split.tensors.count", 35, "<i") for path in parts],
            r"has 35 tensors by its metadata, and the 3 parts have 36;",
        ),
    ],
)
def test_parts_that_make_no_model_are_refused_in_a_line(
    whole: Path, parts: list[Path], change: Callable[[list[Path]], object], message: str
) -> None:
    shutil.copy(whole, parts[0].parent / "whole-copy.gguf")
    target = parts[0]
    change(parts)
    with pytest.raises(ModelError, match=message) as raised:
        identity_of(target if target.exists() else parts[2])
    assert "\n" not in str(raised.value)


def test_a_part_that_lost_its_name_is_refused(parts: list[Path]) -> None:
    path = parts[0].rename(parts[0].with_name("model.gguf"))
    with pytest.raises(ModelError, match=r"model.gguf is one of 3 parts, and is not called so; .*-of-00003"):
        identity_of(path)


def test_a_part_of_another_model_is_refused(tmp_path: Path, parts: list[Path]) -> None:
    """As large, cut alike and of the same tensors; what its metadata say is not what the first part's do."""
    stranger = random_model(
        tmp_path / "stranger.gguf",
        "qwen3",
        quantisation=gguf.GGMLQuantizationType.F32,
        extra={"general.name": "B"},
    )
    others = write_parts(stranger, tmp_path / "others" / "model", NUM_PARTS, repeats_metadata=True)
    shutil.copy(others[1], parts[1])
    with pytest.raises(ModelError, match=r"its general.name is not that of model-00001-of-00003.gguf"):
        identity_of(parts[0])
