"""What of a folder is read as a corpus: plain files that lie in it, whatever links say."""

import json
import os
import socket
from collections import Counter
from pathlib import Path

import datasets
import pytest

from evalkit.corpora.folder_files import MAX_NAMED_FILES, folder_files
from evalkit.corpora.importers import read_documents
from evalkit.errors import CorpusError


def outcome(folder: Path) -> tuple[list[str], dict[str, int]]:
    num_dropped: Counter[str] = Counter()
    return [str(file.relative_to(folder)) for file in folder_files(folder, num_dropped)], dict(num_dropped)


def test_nothing_outside_of_the_folder_and_no_pipe_socket_or_device_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "corpus"
    (folder / "sub").mkdir(parents=True)
    (folder / "text.txt").write_text("a text of its own")
    (tmp_path / "corpus-secrets").mkdir()  # its name begins like the folder's
    (tmp_path / "corpus-secrets" / "key").write_text("a secret")
    links = {
        "environment": "/proc/self/environ",
        "zero": "/dev/zero",
        "secret": "../corpus-secrets/key",
        "sub/up": "../../corpus-secrets/key",
        "chain": "sub/up",
        "through": "hop/key",
        "loop": "loop",
        "nothing": "nowhere",
    }
    for name, target in links.items():
        (folder / name).symlink_to(target)
    (folder / "hop").symlink_to("../corpus-secrets")
    os.mkfifo(folder / "pipe")
    (folder / "to-pipe").symlink_to("pipe")
    monkeypatch.chdir(folder)  # a socket's address has at most 108 bytes
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        files, num_dropped = outcome(folder)
        imported = read_documents(folder)
    assert files == ["text.txt"]
    outside, nothing = "a link to outside of the folder", "a link to nothing"
    assert num_dropped == {
        "link to a folder": 1,
        f"not read: chain: {outside}": 1,
        f"not read: environment: {outside}": 1,
        f"not read: loop: {nothing}": 1,
        f"not read: nothing: {nothing}": 1,
        "not read: pipe: a pipe": 1,
        f"not read: secret: {outside}": 1,
        "not read: socket: a socket": 1,
        f"not read: sub/up: {outside}": 1,
        f"not read: through: {outside}": 1,
        "not read: to-pipe: a pipe": 1,
        f"not read: zero: {outside}": 1,
    }
    assert [document.text for document in imported.documents] == ["a text of its own"]
    assert imported.num_dropped == num_dropped


def test_links_that_stay_inside_are_read_as_before(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "text").write_text("t")
    (tmp_path / "a").symlink_to("b/text")
    (tmp_path / "c").symlink_to(tmp_path / "b" / "text")
    assert outcome(tmp_path) == (["a", "b/text", "c"], {})
    (tmp_path / "entrance").symlink_to(tmp_path / "b")  # the folder itself may be given by a link
    assert outcome(tmp_path / "entrance") == (["text"], {})


def test_a_snapshot_of_the_hubs_cache_consists_of_links_to_blobs(tmp_path: Path) -> None:
    repository = tmp_path / "datasets--owner--name"
    snapshot = repository / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (repository / "blobs").mkdir()
    (repository / "blobs" / "0123").write_text("t")
    (snapshot / "text.txt").symlink_to("../../blobs/0123")
    (snapshot / "out.txt").symlink_to("/proc/self/environ")
    assert outcome(snapshot) == (["text.txt"], {"not read: out.txt: a link to outside of the folder": 1})


def test_many_are_counted_and_not_all_named(tmp_path: Path) -> None:
    for number in range(MAX_NAMED_FILES + 5):
        (tmp_path / f"{number:03d}").symlink_to("/etc/passwd")
    _, num_dropped = outcome(tmp_path)
    assert num_dropped["not read, not named"] == 5
    assert sum(num_dropped.values()) == MAX_NAMED_FILES + 5


@pytest.mark.parametrize("way", ["state", "splits", "link", "pipe"])
def test_a_saved_dataset_names_no_file_outside_of_its_folder(tmp_path: Path, way: str) -> None:
    secret, folder = tmp_path / "secret", tmp_path / "corpus"
    datasets.Dataset.from_dict({"text": ["a secret"]}).save_to_disk(secret)
    given = datasets.Dataset.from_dict({"text": ["a text"]})
    (datasets.DatasetDict({"test": given}) if way == "splits" else given).save_to_disk(folder)
    name = "data-00000-of-00001.arrow"
    if way == "state":
        state = json.loads((folder / "state.json").read_text())
        state["_data_files"] = [{"filename": f"../secret/{name}"}]
        (folder / "state.json").write_text(json.dumps(state))
    elif way == "splits":
        (folder / "dataset_dict.json").write_text(json.dumps({"splits": ["../secret"]}))
    else:
        (folder / name).unlink()
        if way == "link":
            (folder / name).symlink_to(secret / name)
        else:
            os.mkfifo(folder / name)
    problem = {"link": "a link to outside of the folder", "pipe": "a pipe"}.get(way, "outside of the folder")
    with pytest.raises(CorpusError, match=f"{problem}; a dataset's files have to lie in its folder"):
        read_documents(folder)
