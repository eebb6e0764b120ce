"""Every step of the scheduled refresh, as the workflow runs them, over two windows of a small source."""

import csv
import datetime as dt
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from evalkit.corpora.audit import read_audit
from evalkit.corpora.incomplete import lacks
from evalkit.corpora.store import load_corpus, make_corpus, make_document, save_corpus
from evalkit.errors import CrawlError, ScoringError, UsageError
from evalkit.files import TEMPORARY_SUFFIX, atomic_write, temporary_folder
from evalkit.refresh.config import last_window, read_config
from evalkit.refresh.corpora import crawl, gate, gate_lines, publish, published_names
from evalkit.refresh.results import commit
from tests.support.leaderboard import CONFIG, SOURCES
from tests.support.toy_source import prose
from tests.support.toys import plugin_environment, run_cli, run_process


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git checkout with a remote, in an environment in which the two sources are installed."""
    plugin = tmp_path / "plugin"
    info = plugin / "toy_sources-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-sources\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[evalkit.crawlers]\ntoy = toy_sources:toy\ndown = toy_sources:down\n"
    )
    (plugin / "toy_sources.py").write_text(SOURCES)
    board = tmp_path / "board"
    for role in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{role}_NAME", "a bot")
        monkeypatch.setenv(f"GIT_{role}_EMAIL", "bot@example.org")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    monkeypatch.setenv("EVALKIT_CORPORA", str(board / "corpora"))
    monkeypatch.setenv("PYTHONPATH", plugin_environment(plugin)["PYTHONPATH"])  # of the crawls
    monkeypatch.syspath_prepend(plugin)
    for command in (
        ["init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "remote")],
        ["clone", "--quiet", str(tmp_path / "remote"), str(board)],
    ):
        subprocess.run(["git", *command], check=True, capture_output=True)
    (board / "leaderboard.toml").write_text(CONFIG.replace("{documents}", "30"))
    (board / "mine.txt").write_text("not the leaderboard's business")
    monkeypatch.chdir(board)
    for command in (
        ["add", "leaderboard.toml"],
        ["commit", "-qm", "start"],
        ["push", "-q", "-u", "origin", "main"],
    ):
        subprocess.run(["git", *command], check=True, capture_output=True)
    return board


def test_a_refresh_step_by_step_and_the_next_as_one(board: Path) -> None:
    def step(*arguments: str) -> tuple[int, str]:
        # What crawls print goes past this process's own streams.
        run = run_process if "crawl" in arguments else run_cli
        done = run("leaderboard", *arguments)
        return done.exit_code, done.stdout + done.stderr

    code, said = step("crawl", "--date", "2026-10-20")
    assert code == 1 and "the source is down" in said and "not crawled: down (exit code 1)" in said
    code, said = step("score", "--date", "2026-10-20")
    assert code == 1 and "evalkit leaderboard publish" in said
    code, said = step("publish", "--date", "2026-10-20")
    assert code == 0 and "toy-2026-10-01: the first of its source, passed" in said
    published = board / "results" / "corpora" / "toy-2026-10-01"
    assert sorted(path.name for path in published.iterdir()) == [
        "audit.json",
        "documents.csv",
        "manifest.json",
        "profile.json",
    ]
    assert len((published / "documents.csv").read_text().splitlines()) == 31
    assert "was there" not in (published / "documents.csv").read_text()  # no text
    code, said = step("score", "--date", "2026-10-20")
    assert code == 0 and "2 cells, 2 of them scored now" in said
    assert "2 cells, 0 of them scored now" in step("score", "--date", "2026-10-20")[1]
    code, said = step("commit", "--push", "--date", "2026-10-20")
    assert code == 0 and "Results of 2026-10-01 to 2026-10-15 [skip ci]" in said
    assert "nothing new" in step("commit", "--date", "2026-10-20")[1]
    remote = subprocess.run(
        ["git", "-C", str(board.parent / "remote"), "ls-tree", "-r", "--name-only", "main"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert sum(path.startswith("results/cells/toy-2026-10-01/") for path in remote) == 6
    assert "mine.txt" not in remote

    # A month later everything at once; the source that is down stops nothing, and the program is told of it.
    program = f"import sys; open({str(board / 'told.json')!r}, 'w').write(sys.stdin.read())"
    config = CONFIG.replace("{documents}", "30")
    (board / "leaderboard.toml").write_text(
        f"notify = {json.dumps([sys.executable, '-c', program])}\n{config}"
    )
    subprocess.run(["git", "commit", "-qam", "somebody is told"], check=True)
    code, said = step("refresh", "--date", "2026-11-20", "--commit", "--push")
    [failure] = json.loads((board / "told.json").read_text())["failures"]
    assert failure["step"] == "crawl" and "not crawled: down (exit code 1)" in failure["message"]
    remote_log = subprocess.run(
        ["git", "-C", str(board.parent / "remote"), "log", "-2", "--format=%s", "main"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert remote_log == ["Results of 2026-11-01 to 2026-11-15 [skip ci]", "somebody is told"]
    assert code == 1 and "toy-2026-11-01 after toy-2026-10-01: passed" in said
    site = board / "site"
    assert "toy-2026-11-01" in (site / "index.html").read_text(encoding="utf-8")
    audited = read_audit(board / "results" / "corpora" / "toy-2026-11-01" / "audit.json")
    assert [(older.corpus, older.num_near) for older in audited.older] == [("toy-2026-10-01", 0)]
    page = (site / "corpora" / "toy-2026-11-01.html").read_text(encoding="utf-8")
    assert "overlap with toy-2026-10-01" in page and audited.sample[0].url in page
    drawn = {path.name for path in (site / "plots").iterdir()}
    assert {"heatmap.svg", "differences.png", "months.svg", "ranks.svg", "speed.svg"} <= drawn
    assert "no plot probe-lengths" in said
    code, said = step("months")
    assert (
        code == 0
        and said.splitlines()[0].split() == ["toy", "2026-10", "2026-11"]
        and "chained by xz" in said
    )

    # And a crawl that went wrong is not published, nor scored.
    (board / "leaderboard.toml").write_text(CONFIG.replace("{documents}", "7"))
    step("crawl", "--date", "2026-12-20")
    code, said = step("check", "--date", "2026-12-20")
    assert code == 1 and "FAILED  documents: 7 after 30" in said
    code, said = step("publish", "--date", "2026-12-20")
    assert code == 1 and not (board / "results" / "corpora" / "toy-2026-12-01").exists()
    assert step("score", "--date", "2026-12-20")[0] == 1


def test_a_model_that_cannot_be_reached_does_not_keep_the_site_from_being_built(board: Path) -> None:
    config = CONFIG.replace("{documents}", "30").replace('"zstd"]', '"hf:owner/nothing"]')
    (board / "leaderboard.toml").write_text(config.rpartition("[[sources]]")[0])
    done = run_cli("leaderboard", "refresh", "--date", "2026-10-20")
    assert done.exit_code == 1
    failure = "1 cells failed, the first is hf:owner/nothing on toy-2026-10-01: cannot reach the hub"
    assert failure in done.stderr
    assert "toy-2026-10-01" in (board / "site" / "index.html").read_text(encoding="utf-8")


def test_a_refresh_of_a_real_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wikipedia as the projects' own leaderboard crawls it, from a server that answers as MediaWiki does."""
    from tests.support.replay import serve
    from tests.support.site_wikipedia import wiki_page, wiki_site

    day = dt.datetime(2024, 10, 7, 12, tzinfo=dt.UTC)
    pages = [
        *(wiki_page("en", number, day + number * dt.timedelta(hours=1)) for number in range(4)),
        wiki_page("en", 4, day, kind="redirect"),
        wiki_page("en", 5, day - dt.timedelta(days=20)),
    ]
    with serve(wiki_site(pages), ["en.wikipedia.org"]) as server:
        options = ["--languages", "en", "--allow-private-hosts"]
        options += [f"--endpoint=en.wikipedia.org={server.endpoints['en.wikipedia.org']}"]
        source = f'[[sources]]\nsource = "wikipedia"\noptions = {json.dumps(options)}\n'
        source += "[gates]\nmin_documents = 4\n"
        (tmp_path / "leaderboard.toml").write_text(
            'contact = "me@uni.internal"\n' + CONFIG.partition("[[sources]]")[0] + source
        )
        monkeypatch.setenv("EVALKIT_CORPORA", str(tmp_path / "corpora"))
        monkeypatch.setenv("EVALKIT_CONTACT", "")  # as GitHub makes a variable that is not set
        monkeypatch.chdir(tmp_path)
        refresh = ("leaderboard", "refresh", "--date", "2024-10-18")
        done = run_cli(*refresh)
        assert done.exit_code == 0, done.stderr
        first = len(server.log)
        assert all("(me@uni.internal)" in entry.request.headers["user-agent"] for entry in server.log)
        assert run_cli(*refresh).exit_code == 0
        assert len(server.log) == first  # what is there is not fetched again
    name = "wikipedia-2024-10-01"
    with (tmp_path / "results" / "corpora" / name / "documents.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["title"] for row in rows] == [page.title for page in pages[:4]]
    texts = [document.text for document in load_corpus(name, store=tmp_path / "corpora").documents]
    expected = [page.text.replace("An item", "- An item") for page in pages[:4]]
    assert [sorted(text.splitlines()) for text in texts] == [sorted(text.splitlines()) for text in expected]
    assert [row["num_bytes"] for row in rows] == [str(len(text.encode())) for text in texts]
    assert [row["published_at"] for row in rows] == [f"2024-10-07T{hour}:00:00Z" for hour in range(12, 16)]
    page = (tmp_path / "site" / "corpora" / f"{name}.html").read_text(encoding="utf-8")
    assert '<th scope="row" class="text">redirect</th><td>1</td>' in page
    [path] = (tmp_path / "results" / "cells" / name / "zstd").glob("*.json")
    totals = json.loads(path.read_text(encoding="utf-8"))["totals"]
    assert totals["num_bytes"] == sum(int(row["num_bytes"]) for row in rows)


def test_a_model_that_nobody_knows_is_told_before_the_crawl(tmp_path: Path) -> None:
    path = tmp_path / "leaderboard.toml"
    path.write_text(CONFIG.replace('["xz", "zstd"]', '["xz", "zsdt"]'))
    config = read_config(path)
    messages: list[str] = []
    with pytest.raises(UsageError, match=r"unknown model 'zsdt'. Did you mean zstd"):
        crawl(config, last_window(config, dt.date(2026, 11, 18)), tell=messages.append)
    assert not messages


def test_a_model_that_is_not_there_today_does_not_keep_sources_from_being_crawled(tmp_path: Path) -> None:
    path = tmp_path / "leaderboard.toml"
    path.write_text(CONFIG.replace('["xz", "zstd"]', '["hf:/nowhere/step-*", "zsdt"]'))
    config = read_config(path)
    messages: list[str] = []
    with pytest.raises(UsageError, match="unknown model 'zsdt'"):  # what comes behind it is looked at
        crawl(config, last_window(config, dt.date(2026, 11, 18)), tell=messages.append)
    assert messages == ["hf:/nowhere/step-*: no folder here matches /nowhere/step-*"]


def test_nothing_unfinished_is_committed(board: Path) -> None:
    config = read_config(board / "leaderboard.toml")
    cells = board / "results" / "cells" / "toy" / "xz"
    cells.mkdir(parents=True)
    (cells / "a.json").write_text("{}")
    old = cells / ".a.json.ab12_d34.tmp"  # as versions before December 2026 called them
    killed = cells / f".a.parquet.ab12cd34{TEMPORARY_SUFFIX}"
    for path in (old, killed):
        path.write_text("half")
    with atomic_write(cells / "b.json") as running, temporary_folder(board / "results") as part:
        (part / "models").mkdir()
        for path in (running, part / "index.html", part / "models" / "a.html"):
            path.write_text("half")
        assert commit(config, "results", push=False, tell=lambda _: None)
        assert running.is_file() and part.is_dir() and old.is_file() and not killed.exists()
    commit(config, "results", push=False, tell=lambda _: None)
    listing = subprocess.run(
        ["git", "ls-files", "results"], capture_output=True, text=True, check=True
    ).stdout
    assert listing.split() == ["results/cells/toy/xz/a.json", "results/cells/toy/xz/b.json"]


def test_commit_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "leaderboard.toml"
    path.write_text(CONFIG)
    config = read_config(path)
    with pytest.raises(UsageError, match="no results to commit"):
        commit(config, "nothing", push=False, tell=pytest.fail)
    config.results.mkdir()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ScoringError, match=r"cannot run git .*; install it"):
        commit(config, "nothing", push=False, tell=pytest.fail)


def test_several_corpora_of_one_crawl_are_gated_each_against_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALKIT_CORPORA", str(tmp_path / "corpora"))
    path = tmp_path / "leaderboard.toml"
    path.write_text(CONFIG.replace('source = "down"', 'source = "papers"\ncorpora = ["cs", "math"]'))
    config = read_config(path)
    sizes = {"2026-10-01": {"cs": 30, "math": 12, "econ": 5}, "2026-11-01": {"cs": 31, "math": 3}}
    for first_day, by_field in sizes.items():
        for field, num_documents in by_field.items():
            documents = [
                make_document(
                    prose(f"{first_day} {field} {number}"),
                    source="papers",
                    published_at=first_day,
                    language="en",
                )
                for number in range(num_documents)
            ]
            save_corpus(make_corpus(f"papers-{first_day}-{field}", documents))
    october, november = (last_window(config, dt.date(2026, month, 18)) for month in (10, 11))
    publish(config, gate(config, october))
    assert published_names(config, october) == ["papers-2026-10-01-cs", "papers-2026-10-01-math"]
    verdicts = {gated.name: (gated.previous, gated.passed) for gated in gate(config, november)}
    assert verdicts == {
        "papers-2026-11-01-cs": ("papers-2026-10-01-cs", True),
        "papers-2026-11-01-math": ("papers-2026-10-01-math", False),
    }


def test_an_incomplete_corpus_is_not_published_and_is_crawled_again(board: Path) -> None:
    config = read_config(Path("leaderboard.toml"))
    window = last_window(config, dt.date(2026, 10, 20))
    document = make_document("half of it", source="toy", published_at="2026-10-01")
    save_corpus(make_corpus(window.corpus("toy"), [document], incomplete={"e.org: HTTP 403": 29}))
    gated = gate(config, window)
    assert publish(config, gated) == [] and not (board / "results").exists()
    assert "FAILED  complete: it lacks 29 e.org: HTTP 403" in "\n".join(gate_lines(gated))
    lines: list[str] = []
    with pytest.raises(CrawlError, match=r"not crawled: down \(exit code 1\)"):
        crawl(config, window, tell=lines.append)
    assert f"{window.corpus('toy')}: is incomplete (29 e.org: HTTP 403) and is crawled again" in lines
    assert lacks(window.corpus("toy")) == "" and len(publish(config, gate(config, window))) == 1
