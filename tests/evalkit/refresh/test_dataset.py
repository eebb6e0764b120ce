"""Texts of all windows in one dataset repository: pushed by license, fetched by a machine that has none."""

import datetime as dt
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow.parquet as pq
import pytest
import yaml

from evalkit.corpora.licenses import ARXIV_LICENSE
from evalkit.corpora.publish import prepare_dataset
from evalkit.corpora.store import load_corpus, make_corpus, make_document, save_corpus
from evalkit.refresh.config import last_window, read_config
from evalkit.refresh.corpora import gate, publish
from tests.support.hub_server import hub_environment
from tests.support.leaderboard import CONFIG
from tests.support.toy_source import prose
from tests.support.toys import PATIENCE_S
from tests.support.upload_hub import TOKEN, UploadHub, serve

SECRET = "this sentence belongs to its author"
NAMES = [f"{source}-2026-{month}-01" for source in ("papers", "toy") for month in (10, 11)]
PUBLISH = ["leaderboard", "publish", "--date", "2026-11-20"]
PROGRAM = """
import json, os, sys
from tests.support.toys import run_cli
for arguments, environment in json.load(sys.stdin):
    os.environ.update(environment)
    print(json.dumps(run_cli(*arguments)))
"""


class Board(NamedTuple):
    """What became of the commands, each exit code and what it printed, and of the two repositories."""

    folder: Path
    done: dict[str, tuple[int, str, str]]
    files: dict[str, bytes]
    damaged: dict[str, bytes]
    messages: list[str]


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    """A board whose first window is published, the second about to be.

    The hub's client reads its address once, so that the commands have a process of their own.
    """
    folder = tmp_path_factory.mktemp("board")
    with pytest.MonkeyPatch.context() as patch, serve() as hub:
        patch.setenv("EVALKIT_CORPORA", str(folder / "corpora"))
        patch.chdir(folder)
        config = CONFIG.replace('"down"', '"papers"') + "\n[gates]\nmax_length_distance = 1\n"
        for repo in ("board", "damaged"):
            Path(f"{repo}.toml").write_text(f'dataset = "me/{repo}"\n{config}')
        for name in NAMES:
            store_corpus(name)
        settings = read_config(Path("board.toml"))
        publish(settings, gate(settings, last_window(settings, dt.date(2026, 10, 20))))
        hub.datasets["me/damaged"] = [("d" * 40, damaged_files())]
        steps = {
            "without token": ([*PUBLISH, "--config", "board.toml"], {}),
            "pushed": ([*PUBLISH, "--config", "board.toml"], {"HF_TOKEN": TOKEN}),
            "again": ([*PUBLISH, "--config", "board.toml"], {"HF_TOKEN": ""}),
            "backfilled": (
                ["leaderboard", "backfill", "--config", "board.toml", "--model", "zstd"],
                {"EVALKIT_CORPORA": str(folder / "elsewhere")},
            ),
            "fetched": (["leaderboard", "fetch", "--config", "board.toml"], {}),
            "refused": (
                [*PUBLISH, "--config", "damaged.toml"],
                {"HF_TOKEN": TOKEN, "EVALKIT_CORPORA": str(folder / "corpora")},
            ),
            "damaged": (
                ["leaderboard", "fetch", "--config", "damaged.toml"],
                {"EVALKIT_CORPORA": str(folder / "third")},
            ),
        }
        done = dict(zip(steps, run(hub, list(steps.values())), strict=True))
        yield Board(folder, done, hub.files("me/board"), hub.files("me/damaged"), hub.messages)


def is_withheld(name: str, number: int) -> bool:
    return name.startswith("papers") and number % 3 == 0


def store_corpus(name: str) -> None:
    day = name[-10:]
    documents = [
        make_document(
            prose(f"{name} {number}", 100) + SECRET * is_withheld(name, number),
            id=f"{name}-{number}",
            source=name.partition("-")[0],
            url=f"https://e.org/{name}/{number}",
            license=ARXIV_LICENSE if is_withheld(name, number) else "CC-BY-4.0",
            title=f"{'Withheld' if is_withheld(name, number) else 'Free'} {number}",
            published_at=day,
            language="en",
        )
        for number in range(12)
    ]
    save_corpus(make_corpus(name, documents, date_from=day, date_to=day))


def damaged_files() -> dict[str, bytes]:
    """A repository in which one corpus of October is another and the other one's table is damaged."""
    folder = prepare_dataset(load_corpus("papers-2026-10-01"), "me/damaged", Path("prepared")).folder
    papers = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.*")}
    files = {f"{name}-2026-10-01/{path}": papers[path] for name in ("toy", "papers") for path in papers}
    return files | {"papers-2026-10-01/data/test-00000-of-00001.parquet": b"PAR1"}


def run(hub: UploadHub, steps: list[tuple[list[str], dict[str, str]]]) -> list[tuple[int, str, str]]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        input=json.dumps(steps),
        env=hub_environment(Path("home").absolute(), HF_ENDPOINT=hub.url),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [tuple(json.loads(line)) for line in done.stdout.splitlines()]


def commit_of(board: Board, name: str) -> str:
    record = json.loads((board.folder / "results" / "corpora" / name / "dataset.json").read_text())
    return str(record["commit"])


def test_texts_are_pushed_once_and_only_where_their_license_allows(board: Board) -> None:
    code, out, err = board.done["without token"]
    assert code == 1 and "set HF_TOKEN" in err and out.count("published: ") == 2  # published all the same
    code, out, err = board.done["pushed"]
    assert code == 0, err
    assert f" has {', '.join(NAMES)}\n" in out
    assert board.done["again"][0] == 0  # nothing is missing there, so nobody is asked, and no token is needed
    assert board.messages[0] == f"evalkit corpora {', '.join(NAMES)}"

    assert {path.split("/")[0] for path in board.files} == {"README.md", *NAMES}
    _, front, page = board.files["README.md"].decode().split("---\n", 2)
    configs = {entry["config_name"]: entry["data_files"] for entry in yaml.safe_load(front)["configs"]}
    assert list(configs) == ["papers", "papers-manifest", "toy"]
    path = "papers-????-??-??/manifest/test-00000-of-00001.parquet"
    assert configs["papers-manifest"] == [{"split": "test", "path": path}]
    assert "| papers-2026-10-01 | 2026-10-01 to 2026-10-01 | 12 | 8 |" in page
    tables = {
        path: pq.read_table(io.BytesIO(data))
        for path, data in board.files.items()
        if path.endswith("parquet")
    }
    assert sum(map(len, tables.values())) == 48
    shown = str([table.to_pylist() for table in tables.values()])
    assert SECRET not in shown and "Withheld" not in shown and "Free 1" in shown
    listed = (board.folder / "results" / "corpora" / "papers-2026-10-01" / "documents.csv").read_text()
    assert "Withheld" not in listed and "Free 1" in listed


def test_a_machine_without_texts_knows_the_past_and_scores_a_new_model_on_it(board: Board) -> None:
    code, out, err = board.done["backfilled"]
    assert (code, out) == (0, "4 cells, 4 of them scored now\n"), err
    identifier = f"hub:me/board/papers-2026-10-01@{commit_of(board, 'toy-2026-10-01')}"
    assert f"papers-2026-10-01: 8 of 12 texts may be published; `evalkit corpora rebuild {identifier}`" in err
    assert board.done["fetched"][:2] == (0, "0 corpora fetched, 0 in part\n")
    here, elsewhere = board.folder / "corpora", board.folder / "elsewhere"
    for name in ("toy-2026-10-01", "toy-2026-11-01"):
        assert load_corpus(name, store=elsewhere).documents == load_corpus(name, store=here).documents
    partial = load_corpus("papers-2026-10-01-partial", store=elsewhere)
    assert partial.documents == tuple(
        document
        for document in load_corpus("papers-2026-10-01", store=here).documents
        if document.license == "CC-BY-4.0"
    )
    scored = {path.parts[-3] for path in (board.folder / "results" / "cells").glob("*/zstd/*.json")}
    assert scored == {"toy-2026-10-01", "toy-2026-11-01", *(f"papers-2026-{m}-01-partial" for m in (10, 11))}
    assert "papers-2026-10-01: scored on 8 of 12 documents" in err


def test_what_is_there_is_never_replaced_and_what_is_damaged_costs_itself_only(board: Board) -> None:
    code, out, err = board.done["refused"]
    assert code == 1 and "holds another corpus toy-2026-10-01" in err
    assert f" has {', '.join(name for name in NAMES if name != 'toy-2026-10-01')}\n" in out
    assert damaged_unchanged(board)
    code, _, err = board.done["damaged"]
    assert code == 1 and "toy-2026-10-01: " in err and "papers-2026-10-01: " in err
    fetched = {path.parent.name for path in (board.folder / "third").glob("*/manifest.json")}
    assert fetched == {"toy-2026-11-01", "papers-2026-11-01-partial"}


def damaged_unchanged(board: Board) -> bool:
    """Whether what the repository had of October is as it was."""
    corpora = [json.loads(board.damaged[f"{name}-2026-10-01/corpus.json"]) for name in ("toy", "papers")]
    table = board.damaged["papers-2026-10-01/data/test-00000-of-00001.parquet"]
    return [corpus["name"] for corpus in corpora] == ["papers-2026-10-01"] * 2 and table == b"PAR1"
