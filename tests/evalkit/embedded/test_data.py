"""What the embedded models are trained on."""

import json
from pathlib import Path

import numpy as np
import pytest

from evalkit.embedded.card import unread_documents
from evalkit.embedded.data import DataSet, code, prose, token_stream
from evalkit.embedded.vocabulary import byte_vocabulary
from evalkit.errors import CorpusError, UsageError

WIKIPEDIA = "wikipedia_english_20240601to20240615.json"


def data_set(documents: list[str]) -> DataSet:
    return DataSet("toy", tuple(documents), "CC0-1.0", "2024-06-15", {})


def test_the_last_twentieth_of_each_set_is_never_read() -> None:
    sets = [data_set([f"<{index}>" for index in range(40)]), data_set([f"[{index}]" for index in range(15)])]
    assert [len(data.held_out) for data in sets] == [2, 1]
    vocabulary = byte_vocabulary()
    stream = bytes(x for x in token_stream(sets, 3, 1, vocabulary).tolist() if x != 256).decode()
    assert all(text in stream for data in sets for text in data.trained)
    assert not any(text in stream for data in sets for text in data.held_out)
    assert len(stream) == sum(len(text) for data in sets for text in data.trained)


def test_every_pass_reads_each_document_once_in_an_order_of_its_own() -> None:
    sets = [data_set([chr(0x41 + index) for index in range(40)])]
    once, twice = (token_stream(sets, 3, num_passes, byte_vocabulary()) for num_passes in (1, 2))
    assert len(once) == 2 * 38  # a start and a letter of each
    assert np.array_equal(twice[: len(once)], once)
    assert sorted(twice[len(once) :]) == sorted(once)
    assert not np.array_equal(twice[len(once) :], once)


def test_prose_is_dated_by_its_file_name(tmp_path: Path) -> None:
    path = tmp_path / WIKIPEDIA
    path.write_text(json.dumps(["one", "two"]), encoding="utf-8")
    data = prose(path, "CC-BY-SA-4.0")
    assert (data.date, data.documents) == ("2024-06-15", ("one", "two"))
    path.write_text("{}", encoding="utf-8")
    with pytest.raises(CorpusError, match="must be a JSON list of texts"):
        prose(path, "CC-BY-SA-4.0")
    with pytest.raises(UsageError, match="there is no such file"):
        prose(tmp_path / "missing.json", "CC-BY-SA-4.0")
    undated = tmp_path / "undated.json"
    undated.write_text("[]", encoding="utf-8")
    with pytest.raises(UsageError, match="its name must end in its dates"):
        prose(undated, "CC-BY-SA-4.0")


def test_code_is_that_of_the_packages_without_copies(tmp_path: Path) -> None:
    import typer

    packages = {"typer": {"version": typer.__version__, "license": "MIT"}}
    data = code(packages)
    assert len(set(data.documents)) == len(data.documents) > 5
    sources = {path.read_text(encoding="utf-8") for path in Path(typer.__file__).parent.rglob("*.py")}
    assert set(data.documents) <= sources
    assert data.facts["packages"]["typer"]["num_bytes"] == sum(len(x.encode()) for x in data.documents)
    assert code(packages).describe() == data.describe()
    with pytest.raises(CorpusError, match=r"typer is .*, packages.toml wants 0.0.1"):
        code({"typer": {"version": "0.0.1", "license": "MIT"}})


def test_what_repeats_the_training_text_is_not_scored() -> None:
    words = [f"word{index}" for index in range(400)]
    pages = [" ".join(words[start : start + 60]) for start in range(0, 400, 10)]
    read, held_out = (
        pages[:19],
        "nothing of this was ever read before by any model that is trained on these pages",
    )
    sets = [
        DataSet("repeats", (*read, pages[3].replace("word40", "word4x")), "CC0-1.0", "2024-06-15", {}),
        DataSet("new", (pages[30], held_out), "CC0-1.0", "2024-06-15", {}),
    ]
    assert [len(data.held_out) for data in sets] == [1, 1]
    unread = unread_documents(sets, {"other": [pages[30] + " end", held_out]})
    assert unread == {"repeats": [], "new": [held_out], "other": [held_out]}
