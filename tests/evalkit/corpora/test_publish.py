"""Publishing: what is in the folder and what must not be, and a push to a hub on this machine."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from evalkit.cli.corpora import app
from evalkit.corpora.licenses import PUBLIC_DOMAIN
from evalkit.corpora.publish import check_repo, prepare_dataset
from evalkit.corpora.published import read_dataset
from evalkit.corpora.store import Corpus, make_corpus, make_document, save_corpus
from evalkit.errors import CorpusError, UsageError
from tests.support.hub_server import hub_environment
from tests.support.toys import PATIENCE_S
from tests.support.upload_hub import TOKEN, UploadHub, serve

SECRET = "A sentence that nobody may publish."
FREE = ("CC-BY-4.0", "CC0-1.0", "CC-BY-SA-3.0", PUBLIC_DOMAIN, "http://creativecommons.org/licenses/by/2.5/")
UNFREE = (None, "CC-BY-NC-4.0", "CC-BY-ND-4.0", "all rights reserved")


def corpus_of(
    licenses: tuple[str | None, ...] = (*FREE[:3], *UNFREE, *FREE[3:]), name: str = "news"
) -> Corpus:
    """Free and unfree documents among each other, so that an order can be lost."""
    documents = [
        make_document(
            f"Free text {number}\r\n\u2028é" if license in FREE else f"{SECRET} {number}",
            id=f"d{number}",
            source="news",
            url=f"https://news.example/{number}",
            title=f"{'Free' if license in FREE else 'Secret'} title {number}",
            published_at=f"2026-11-{number + 1:02}T06:30:00Z",
            fetched_at="2026-11-20T00:00:00Z",
            license=license,
            language="pt-BR" if number % 2 else "simple",
            extractor="trafilatura 2.3.1",
            source_version="v1",
        )
        for number, license in enumerate(licenses)
    ]
    return make_corpus(
        name,
        documents,
        description="News | of <November>",
        date_from="2026-11-01",
        date_to="2026-11-15",
        provenance={"program": "evalkit 0", "query": "feeds=a|b"},
        num_dropped={"near-duplicate": 1234},
    )


def card(folder: Path) -> tuple[dict[str, object], str]:
    _, front, page = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), page


def test_texts_are_published_only_where_the_license_allows(tmp_path: Path) -> None:
    corpus = corpus_of()
    prepared = prepare_dataset(corpus, "me/news", tmp_path / "out")
    assert (prepared.num_published, prepared.num_withheld) == (5, 4)
    for path in (tmp_path / "out").rglob("*"):
        assert path.is_dir() or b"nobody may publish" not in path.read_bytes()
    # Also not in compressed form.
    tables = {path.parent.name: pq.read_table(path) for path in (tmp_path / "out").rglob("*.parquet")}
    assert SECRET not in str([table.to_pylist() for table in tables.values()])
    assert "Secret" not in str([table.to_pylist() for table in tables.values()])
    assert {"text", "title"}.isdisjoint(tables["manifest"].column_names)
    free = [document for document in corpus.documents if document.license in FREE]
    unfree = [document for document in corpus.documents if document.license in UNFREE]
    assert tables["data"]["text"].to_pylist() == [document.text for document in free]
    for column in ("url", "sha256", "num_bytes", "published_at", "license", "extractor", "id"):
        assert tables["manifest"][column].to_pylist() == [getattr(document, column) for document in unfree]


def test_the_datasets_library_reads_the_folder(tmp_path: Path) -> None:
    corpus = corpus_of()
    folder = str(prepare_dataset(corpus, "me/news", tmp_path / "out").folder)
    assert datasets.get_dataset_config_names(folder) == ["default", "manifest"]
    texts = datasets.load_dataset(folder, split="test")
    withheld = datasets.load_dataset(folder, "manifest", split="test")
    assert texts["text"] == [document.text for document in corpus.documents if document.license in FREE]
    assert sorted([*texts["position"], *withheld["position"]]) == list(range(9))
    assert withheld["sha256"] == [
        document.sha256 for document in corpus.documents if document.license in UNFREE
    ]


def test_the_card_says_what_is_inside(tmp_path: Path) -> None:
    front, page = card(prepare_dataset(corpus_of(), "me/news", tmp_path / "out").folder)
    assert front["license"] == ["cc-by-2.5", "cc-by-4.0", "cc-by-nc-4.0", "cc-by-sa-3.0", "cc0-1.0", "other"]
    assert front["language"] == ["pt"]
    assert front["size_categories"] == ["n<1K"]
    assert front["task_categories"] == ["text-generation"]
    assert front["configs"] == [
        {
            "config_name": "default",
            "data_files": [{"split": "test", "path": "data/test-00000-of-00001.parquet"}],
            "default": True,
        },
        {
            "config_name": "manifest",
            "data_files": [{"split": "test", "path": "manifest/test-00000-of-00001.parquet"}],
        },
    ]
    assert "| CC-BY-4.0 | 1 | 1 |" in page
    assert "| CC-BY-NC-4.0 | 1 | 0 |" in page
    assert "| unknown | 1 | 0 |" in page
    assert "| near-duplicate | 1,234 |" in page
    assert "News \\| of &lt;November>" in page
    assert f"| SHA-256 | `{corpus_of().sha256}` |" in page
    assert "2026-11-01 to 2026-11-15" in page
    assert "evalkit corpora rebuild hub:me/news@COMMIT" in page


@pytest.mark.parametrize("licenses", [FREE, UNFREE])
def test_a_config_that_would_be_empty_is_not_there(licenses: tuple[str | None, ...], tmp_path: Path) -> None:
    folder = prepare_dataset(corpus_of(licenses), "me/news", tmp_path / "out").folder
    only = "data" if licenses is FREE else "manifest"
    assert [path.parent.name for path in folder.rglob("*.parquet")] == [only]
    front, _ = card(folder)
    (config,) = front["configs"]
    assert config["default"] is True
    assert datasets.load_dataset(str(folder), split="test").num_rows == len(licenses)


def test_what_is_read_back_is_the_corpus(tmp_path: Path) -> None:
    corpus = corpus_of()
    dataset = read_dataset(prepare_dataset(corpus, "me/news", tmp_path / "out").folder)
    assert dataset.manifest == dataclasses.replace(corpus.manifest, records_sha256=None)
    merged = {**dataset.documents, **dataset.withheld}
    for position, document in enumerate(corpus.documents):
        expected = (
            document if document.license in FREE else dataclasses.replace(document, text="", title=None)
        )
        assert merged[position] == expected


def test_the_same_corpus_gives_the_same_bytes(tmp_path: Path) -> None:
    corpus = corpus_of()
    save_corpus(corpus, tmp_path / "store")
    folders = [prepare_dataset(corpus, "me/news", tmp_path / name).folder for name in ("a", "b", "a")]
    contents = [
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in folders
    ]
    assert contents[0] == contents[1] == contents[2]
    assert len(contents[0]) == 4


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    prepare_dataset(corpus_of(), "me/news", tmp_path / "out")
    with pytest.raises(CorpusError, match="something else than corpus news; give a new --output"):
        prepare_dataset(corpus_of(FREE), "me/news", tmp_path / "out")
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("mine")
    with pytest.raises(CorpusError, match="something else"):
        prepare_dataset(corpus_of(), "me/news", tmp_path / "home")
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["thesis.tex"]
    (tmp_path / "file").write_text("a file")
    with pytest.raises(CorpusError, match="something else"):
        prepare_dataset(corpus_of(), "me/news", tmp_path / "file")


def test_what_could_never_be_had_again_is_refused(tmp_path: Path) -> None:
    corpus = corpus_of(UNFREE)
    documents = [dataclasses.replace(corpus.documents[0], url=None), *corpus.documents[1:]]
    with pytest.raises(CorpusError, match=r"1 documents \(the first is d0\).*license unknown.*no URL"):
        prepare_dataset(make_corpus("news", documents), "me/news", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_damaged_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CorpusError, match=r"corpus\.json cannot be read"):
        read_dataset(tmp_path)
    folder = prepare_dataset(corpus_of(), "me/news", tmp_path / "out").folder
    (folder / "manifest" / "test-00000-of-00001.parquet").unlink()
    with pytest.raises(CorpusError, match=r"it has 5 documents, not the 9 that corpus\.json says"):
        read_dataset(folder)
    (folder / "data" / "test-00000-of-00001.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(CorpusError, match="it is damaged"):
        read_dataset(folder)
    (folder / "corpus.json").write_text('{"sha256": 1}')
    with pytest.raises(CorpusError, match=r"corpus\.json cannot be read"):
        read_dataset(folder)


@pytest.mark.parametrize(
    "repo", ["", "news", "me/", "/news", "me/my/news", "me/my news", "me/-x", "me/a--b", "../x"]
)
def test_malformed_repository_names(repo: str) -> None:
    with pytest.raises(UsageError, match="write OWNER/NAME"):
        check_repo(repo)


def test_the_command_prepares_and_does_not_push(tmp_path: Path) -> None:
    save_corpus(corpus_of(), tmp_path / "store")
    arguments = ["publish", "news", "--repo", "me/news", "--store", str(tmp_path / "store")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert result.output == (
        "published/news: 5 documents with their text, 4 by URL, digest and date only\n"
        "not pushed; add --push to upload it\n"
    )
    assert read_dataset(Path("published/news")).manifest.sha256 == corpus_of().sha256
    for bad in (["publish", "news", "--repo", "nobody"], ["publish", "python-stdlib", "--repo", "me/x"]):
        assert isinstance(CliRunner().invoke(app, bad).exception, UsageError)


@pytest.fixture
def hub() -> Iterator[UploadHub]:
    with serve() as server:
        yield server


def evalkit(*arguments: str | Path, endpoint: str, home: Path, **variables: str) -> tuple[int, str, str]:
    """The program in a process of its own: the hub's client reads its environment when it is imported."""
    environment = hub_environment(home, **{"HF_ENDPOINT": endpoint} | variables)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "evalkit", *map(str, arguments)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def test_pushing(hub: UploadHub, tmp_path: Path) -> None:
    store, home = tmp_path / "store", tmp_path / "home"
    save_corpus(corpus_of(), store)
    save_corpus(corpus_of(FREE, name="other"), store)
    push = ["corpora", "publish", "news", "--repo", "me/news", "--store", store, "--push"]

    code, out, err = evalkit(*push, endpoint=hub.url, home=home, HF_TOKEN=TOKEN)
    assert code == 0, err
    commit = hub.datasets["me/news"][-1][0]
    assert out.endswith(f"pushed: hub:me/news@{commit}\n")
    local = Path("published/news")
    assert hub.files("me/news") == {
        path.relative_to(local).as_posix(): path.read_bytes() for path in local.rglob("*") if path.is_file()
    }
    assert hub.messages == [f"evalkit corpus news {corpus_of().sha256[:16]}"]

    # Again: nothing has changed, so there is nothing to commit.
    code, out, err = evalkit(*push, endpoint=hub.url, home=home, HF_TOKEN=TOKEN)
    assert code == 0, err
    assert out.endswith(f"pushed: hub:me/news@{commit}\n")
    assert len(hub.datasets["me/news"]) == 2  # the empty state and the one commit

    # Another corpus does not take its place.
    push_another = ["corpora", "publish", "other", "--repo", "me/news", "--store", store, "--push"]
    code, _, err = evalkit(*push_another, endpoint=hub.url, home=home, HF_TOKEN=TOKEN)
    assert code == 1
    assert "me/news holds the corpus news" in err and "never replaced" in err
    assert len(hub.datasets["me/news"]) == 2


def test_pushes_that_fail_say_why_in_one_line(hub: UploadHub, tmp_path: Path) -> None:
    store, home = tmp_path / "store", tmp_path / "home"
    save_corpus(corpus_of(), store)
    hub.forbidden.add("them")
    push = ["corpora", "publish", "news", "--store", store, "--push"]
    for repo, endpoint, variables, message in (
        ("me/news", hub.url, {}, "the hub answered 401 for the dataset me/news: set HF_TOKEN"),
        ("them/news", hub.url, {"HF_TOKEN": TOKEN}, "the hub answered 403 for the dataset them/news: set"),
        (
            "me/news",
            "http://127.0.0.1:9",
            {"HF_TOKEN": TOKEN},
            "cannot reach the hub for the dataset me/news",
        ),
        ("me/news", hub.url, {"HF_TOKEN": TOKEN, "HF_HUB_OFFLINE": "1"}, "HF_HUB_OFFLINE is set"),
    ):
        code, _, err = evalkit(*push, "--repo", repo, endpoint=endpoint, home=home, **variables)
        assert code == 1
        assert message in err
        assert err.count("\n") == 1
    assert hub.datasets == {}


def test_a_dataset_is_fetched_from_the_hub(hub: UploadHub, tmp_path: Path) -> None:
    folder = prepare_dataset(corpus_of(), "me/news", tmp_path / "out").folder
    files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}
    commit = "c" * 40
    inside = {f"news/{path}": data for path, data in files.items()}
    hub.datasets["me/news"] = [(commit, {**files, "unrelated.bin": b"x" * 100})]
    hub.datasets["me/several"] = [(commit, {**inside, "other/corpus.json": b"{}"})]
    script = """
import sys
from evalkit.corpora.published import fetch_dataset, read_dataset
for place in sys.argv[1:]:
    print(read_dataset(fetch_dataset(place)).manifest.sha256)
"""
    environment = hub_environment(tmp_path / "home", HF_ENDPOINT=hub.url)
    done = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            script,
            f"hub:me/news@{commit}",
            f"hub:me/several/news@{commit}",
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.stdout.split() == [corpus_of().sha256] * 2, done.stderr
    assert not any(path in request for request in hub.requests for path in ("unrelated.bin", "other/"))
    assert json.loads(files["corpus.json"])["created"] is None


@pytest.mark.parametrize("license", ["http://[", "//[x", "https://exam\u2100ple.org/by/4.0"])
def test_a_license_that_is_no_address_is_unknown(license: str, tmp_path: Path) -> None:
    prepared = prepare_dataset(corpus_of((license,)), "me/news", tmp_path / "out")
    assert (prepared.num_published, prepared.num_withheld) == (0, 1)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_documents": "9"},
        {"num_documents": 10**12},
        {"provenance": []},
        {"num_dropped": 3},
        {"schema_version": 5},
        {"name": None},
        {"sha256": "0" * 64},
    ],
)
def test_a_dataset_whose_corpus_json_is_not_its_own_is_refused(
    changes: dict[str, object], tmp_path: Path
) -> None:
    folder = prepare_dataset(corpus_of(), "me/news", tmp_path / "out").folder
    fields = json.loads((folder / "corpus.json").read_bytes())
    (folder / "corpus.json").write_text(json.dumps(fields | changes))
    with pytest.raises(CorpusError, match=r"corpus\.json") as caught:
        read_dataset(folder)
    assert "\n" not in str(caught.value)


def test_tables_that_lack_something_are_refused(tmp_path: Path) -> None:
    folder = prepare_dataset(corpus_of(), "me/news", tmp_path / "out").folder
    path = folder / "data" / "test-00000-of-00001.parquet"
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["text"]), path)
    with pytest.raises(CorpusError, match="it has no text"):
        read_dataset(folder)
    pq.write_table(pa.concat_tables([table, table]), path)
    with pytest.raises(CorpusError, match="two documents at position 0"):
        read_dataset(folder)


COLUMN_CHANGES: dict[str, tuple[object, str]] = {
    "num_bytes": (7, "num_bytes"),
    "sha256": ("0" * 64, "sha256"),
    "id": ("d9", "is used twice"),
    "published_at": ("2026-02-30", "published_at '2026-02-30' is neither YYYY-MM-DD nor"),
    "fetched_at": ("yesterday", "fetched_at 'yesterday' is neither"),
    "license": ("MIT", "does not belong to its tables"),
    "source": ("wiki", "sources is"),
    "url": ("https://elsewhere.example", "records_sha256 is"),
    "language": ("xx", "records_sha256 is"),
    "cluster": ("one for all", "records_sha256 is"),
    "extractor": (None, "records_sha256 is"),
    "source_version": ("v9", "records_sha256 is"),
    "title": ("Another title", "records_sha256 is"),
    "text": ("Another text", "the text of document d0 is not the one that was published"),
}


@pytest.mark.parametrize("config", ["data", "manifest"])
@pytest.mark.parametrize("name", COLUMN_CHANGES)
def test_every_column_of_a_dataset_is_verified(tmp_path: Path, config: str, name: str) -> None:
    """Of the texts that it has and of those that are still to be fetched."""
    folder = prepare_dataset(corpus_of(), "me/news", tmp_path / "out").folder
    path = folder / config / "test-00000-of-00001.parquet"
    table = pq.read_table(path)
    if name not in table.column_names:
        assert config == "manifest" and name in ("text", "title")
        return
    value, says = COLUMN_CHANGES[name]
    if name == "id":
        value = table["id"][1].as_py()
    values = [value, *table[name].to_pylist()[1:]]
    changed = pa.array(values, table.schema.field(name).type)
    pq.write_table(table.set_column(table.column_names.index(name), table.schema.field(name), changed), path)
    with pytest.raises(CorpusError, match=says) as caught:
        read_dataset(folder)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


def test_a_dataset_of_a_version_without_the_digest_is_read(tmp_path: Path) -> None:
    folder = prepare_dataset(corpus_of(), "me/news", tmp_path / "out").folder
    fields = json.loads((folder / "corpus.json").read_bytes())
    del fields["records_sha256"]
    (folder / "corpus.json").write_text(json.dumps({**fields, "schema_version": 2}))
    assert read_dataset(folder).manifest.sha256 == corpus_of().sha256


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CorpusError, match=r"file/out cannot be written: Not a directory.*--output"):
        prepare_dataset(corpus_of(), "me/news", tmp_path / "file" / "out")
