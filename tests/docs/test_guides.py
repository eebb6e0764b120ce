"""The guides' own code: written into a folder as a guide says, registered, tested and used, offline."""

import itertools
import math
import os
import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from evalkit.corpora.store import load_corpus
from tests.support.crawling import CONTACT
from tests.support.pages import GUIDES, blocks, install
from tests.support.replay import FakeClock, Reply, Request, serve
from tests.support.toy_source import prose
from tests.support.toys import PATIENCE_S, ROOT, run_cli


@pytest.fixture
def package(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The package of the guide that the test is parametrized with, installed; it is the working folder."""
    install(GUIDES / request.param, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_its_tests(folder: Path, num_tests: int) -> None:
    """The tests that the guide ends with, in a process of their own, as a reader would run them."""
    path = os.pathsep.join([str(folder), str(ROOT)])
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-W",
            "error",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            str(folder),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert f"{num_tests} passed" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0


def commands(guide: str) -> list[list[str]]:
    """What a guide tells its reader to type, without ``evalkit``."""
    return [
        line.split()[1:]
        for block in blocks(GUIDES / guide)
        if block.language == "sh"
        for line in block.code.splitlines()
        if line.startswith("evalkit ")
    ]


@pytest.mark.parametrize("package", ["add-a-model.md"], indirect=True)
def test_add_a_model(package: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_its_tests(package, 3)
    [words] = commands("add-a-model.md")
    done = run_cli(*words)
    assert done.exit_code == 0, done.stderr
    # The same, counted another way.
    ids = [256, *(package / "evalkit_bigram.py").read_bytes()]
    num_pairs, num_ids = Counter(itertools.pairwise(ids)), Counter(ids[:-1])
    documents = load_corpus("python-stdlib").limited(5).documents
    bits = -math.fsum(
        math.log2((num_pairs[pair] + 1) / (num_ids[pair[0]] + 257))
        for document in documents
        for pair in itertools.pairwise([256, *document.data])
    )
    [line] = [line for line in done.stdout.splitlines() if "bigram" in line and "±" in line]
    assert line.split()[2] == f"{bits / sum(len(document.data) for document in documents):.4f}"
    runpy.run_path(str(package / "use_it.py"))
    level = next(row.split()[1] for row in capsys.readouterr().out.splitlines() if row.startswith("bigram"))
    # The same model by either way: the same number.
    assert f"{float(level):.4f}" == line.split()[2]
    missing = run_cli("run", "--models", "bigram:nothing.txt", "--corpora", "python-stdlib", "--limit", "1")
    assert missing.exit_code == 1 and "there is no file nothing.txt" in missing.stderr


def notes_site(request: Request) -> Reply:
    """notes.example, as the guide describes it."""
    texts = {"/n1.txt": prose("n1"), "/n2.txt": "[withdrawn]", "/n3.txt": prose("n3")}
    if request.path == "/notes.json":
        listing = (
            '[{"id": "n1", "published": "2026-11-03T09:00:00+00:00", "topic": "rivers", "license": "CC0-1.0",'
            ' "author": "ada"}, {"id": "n2", "published": "2026-11-04T09:00:00+00:00", "topic": "rivers",'
            ' "license": "CC0-1.0", "author": "bob"}, {"id": "n3", "published": "2026-11-05T09:00:00+00:00",'
            ' "topic": "roads", "license": "CC0-1.0", "author": "ada"}, {"id": "n4", "topic": "roads",'
            ' "published": "2026-10-05T09:00:00+00:00", "license": "CC0-1.0", "author": "ada"}]'
        )
        return Reply(listing.encode())
    if request.path in texts:
        return Reply(texts[request.path].encode(), headers={"Content-Type": "text/plain"})
    return Reply(b"not here", status=404)


@pytest.mark.parametrize("package", ["add-a-source.md"], indirect=True)
def test_add_a_source(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_its_tests(package, 2)
    clock = FakeClock()
    monkeypatch.setattr("evalkit_crawlers.crawling.crawl.SystemClock", lambda: clock)
    lists = commands("add-a-source.md")
    all_notes, rivers = ([word.replace("you@example.org", CONTACT) for word in words] for words in lists)
    with serve(notes_site, ["notes.example"], clock) as server:
        endpoint = [
            "--endpoint",
            f"notes.example={server.endpoints['notes.example']}",
            "--allow-private-hosts",
        ]
        done = run_cli(*all_notes, *endpoint)
        assert done.exit_code == 0, done.stderr
        assert done.stdout.startswith("notes-2026-11-01-2026-11-15: 2 documents, ")
        again = run_cli(*rivers, *endpoint)
        assert again.exit_code == 0 and again.stdout.startswith("river-notes: 1 documents, ")
    shown = run_cli("corpora", "show", "notes-2026-11-01-2026-11-15").stdout
    assert "withdrawn" in shown and "out of the window" in shown
    assert run_cli("run", "--models", "xz", "--corpora", "river-notes").exit_code == 0


@pytest.mark.parametrize("package", ["add-a-task.md"], indirect=True)
def test_add_a_task(package: Path) -> None:
    run_its_tests(package, 3)
    [words] = commands("add-a-task.md")
    done = run_cli(*words)
    assert done.exit_code == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if " 33.3" in line]
    assert [row[:5] for row in rows[:1]] == [["brackets", "rwkv7-nano", "likelihood", "4", "8"]]
    assert rows[1][:2] == ["8", "8"]


@pytest.mark.parametrize("package", ["add-a-plot.md"], indirect=True)
def test_add_a_plot(package: Path) -> None:
    run_its_tests(package, 3)
    for words in commands("add-a-plot.md"):
        done = run_cli(*words)
        assert done.exit_code == 0, done.stderr
    assert (package / "lengths.svg").read_bytes().startswith(b"<?xml")
    assert "lengths: Bits per byte of each document" in " ".join(run_cli("plot", "--help").stdout.split())
    page = (package / "site" / "plots.html").read_text(encoding="utf-8")
    assert "What documents cost, by their length" in page and (package / "site/plots/lengths.svg").is_file()
