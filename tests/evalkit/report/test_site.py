"""What `build_site` and its command take, refuse, say and leave behind."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urldefrag

import lxml.html
import numpy as np
import PIL.Image
import pytest
from typer.testing import CliRunner

import evalkit
from evalkit.analysis.estimates import Estimate
from evalkit.analysis.pair_table import PairTable
from evalkit.cli.main import app
from evalkit.corpora.store import make_corpus, make_document, save_corpus
from evalkit.errors import UsageError
from evalkit.files import strict_json
from evalkit.plots import draw_all
from evalkit.report import SiteOptions
from evalkit.report.text import decimals, number, parameters, signed, visible
from tests.evalkit.report.conftest import Large, Small
from tests.support.cells import probe_content, task_content, write_cell_files
from tests.support.sites import build_site_of
from tests.support.stores import Counted, _documents, _write_cell, write_synthetic_store
from tests.support.toys import run_cli


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def tiny_run(folder: Path, **options: Any) -> None:
    documents = [make_document(f"document {n} " * 5, source="x", license="MIT") for n in range(4)]
    evalkit.run(
        models=["xz", "zstd"],
        corpora=[make_corpus("tiny", documents)],
        options=evalkit.RunOptions(output=folder),
        **options,
    )


def test_two_builds_are_the_same_to_the_byte(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALKIT_CORPORA", str(small.results.parent / "corpora"))
    # No git, neither here nor in the command: somebody may commit between the two.
    monkeypatch.setattr("evalkit.environment._git_state", lambda _: None)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("PYTHONHASHSEED", "77")
    shutil.copytree(small.results, tmp_path / "copy of runs")
    build_site_of(small.results, tmp_path / "site", SiteOptions(figures=draw_all(small.results)))
    command = [sys.executable, "-m", "evalkit", "report", "copy of runs", "--output", "again"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert files_of(tmp_path / "again") == files_of(tmp_path / "site")
    assert files_of(tmp_path / "site").keys() == files_of(small.site).keys()


def test_every_link_leads_somewhere(small: Small) -> None:
    for path in small.site.rglob("*.html"):
        tree = lxml.html.fromstring(path.read_bytes().decode("utf-8"))
        ids = {node.get("id") for node in tree.xpath("//*[@id]")}
        for href in tree.xpath("//a/@href"):
            if href.startswith(("http://", "https://")):
                continue
            target, fragment = urldefrag(href)
            if target:
                assert (path.parent / unquote(target)).is_file(), f"{path}: {href}"
            else:
                assert fragment in ids, f"{path}: {href}"
        # Everything is inside: no sheet, script, font or picture from anywhere.
        assert not tree.xpath(
            "//link[not(starts-with(@href, 'data:'))] | //script[@src] | //iframe | //@style | //@onclick"
        )
        for source in tree.xpath("//img/@src"):
            assert (path.parent / source).is_file() and source.startswith("plots/")


def test_limited_cells_are_refused_by_name(small: Small, tmp_path: Path) -> None:
    assert (
        len(small.warnings) == 1
        and "only the first 4 documents of free-2026-10 (--limit)" in small.warnings[0]
    )
    assert "the first 4 documents" in (small.site / "index.html").read_text(encoding="utf-8")
    tiny_run(tmp_path / "runs", limit=2)
    words = ("report", str(tmp_path / "runs"), "--output", str(tmp_path / "site"), "--no-plots")
    refused = run_cli(*words)
    assert refused.exit_code == 2 and not (tmp_path / "site").exists()
    assert refused.stderr.splitlines()[0] == (
        "left out (2 of the files): holds only the first 2 documents of tiny (--limit); "
        "score without --limit, or give report --limited"
    )
    shown = run_cli(*words, "--limited")
    assert shown.exit_code == 0 and "left out" not in shown.stderr, shown.stderr
    assert "tiny (first 2)" in (tmp_path / "site" / "index.html").read_text(encoding="utf-8")


def test_damaged_cells_are_left_out_by_name(tmp_path: Path) -> None:
    tiny_run(tmp_path / "runs")
    [path] = (tmp_path / "runs").glob("tiny/xz/*.json")
    path.write_text(path.read_text().replace('"total_bits": ', '"total_bits": 1'))
    [probe] = [tmp_path / "runs" / "probe.json"]
    probe.write_text(strict_json({"kind": "probe", "sha256": "0" * 64}))
    (tmp_path / "runs" / "broken.json").write_text("{")
    warnings: list[str] = []
    built = build_site_of(tmp_path / "runs", tmp_path / "site", warn=warnings.append)
    assert built.num_cells == 1
    assert [line.split(" ", 3)[2] for line in warnings] == [
        "broken.json",
        "probe.json",
        f"tiny/xz/{path.name}",
    ]
    text = (tmp_path / "site" / "index.html").read_text()
    assert "3 files of the results are not shown" in text and path.name in text


def test_only_a_site_is_replaced(tmp_path: Path) -> None:
    tiny_run(tmp_path / "runs")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "thesis.tex").write_text("ten years")
    with pytest.raises(UsageError, match="something else than a site"):
        build_site_of(tmp_path / "runs", tmp_path / "site")
    with pytest.raises(UsageError, match="holds the results themselves"):
        build_site_of(tmp_path / "runs", tmp_path)
    with pytest.raises(UsageError, match="is a file"):
        build_site_of(tmp_path / "runs", tmp_path / "site" / "thesis.tex")
    assert files_of(tmp_path / "site") == {"thesis.tex": b"ten years"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs", "site"]


def test_the_command(tmp_path: Path) -> None:
    tiny_run(tmp_path / "runs")
    site = tmp_path / "site"
    done = CliRunner().invoke(app, ["report", str(tmp_path / "runs"), "--output", str(site)])
    assert done.exit_code == 0, done.output
    assert "models: 2, corpora: 1, cells: 2, corpora in the explorer: 0" in done.output
    assert (site / "index.html").is_file()
    missing = CliRunner().invoke(app, ["report", str(tmp_path / "nothing")])
    assert isinstance(missing.exception, UsageError) and "no such folder" in str(missing.exception)


def test_every_page_links_the_documentation_where_there_is_one(tmp_path: Path) -> None:
    tiny_run(tmp_path / "runs")
    built = tmp_path / "pages" / "guides"
    built.mkdir(parents=True)
    (tmp_path / "pages" / "index.html").write_text("<p>how to</p>")
    (built / "one.html").write_text("<p>a guide</p>")
    (tmp_path / "pages" / "sitemap.xml").write_text("made on a day")

    def docs_links(options: SiteOptions) -> dict[str, list[str]]:
        build_site_of(tmp_path / "runs", tmp_path / "site", options)
        pages = [path for path in (tmp_path / "site").rglob("*.html") if "docs" not in path.parts]
        return {
            path.relative_to(tmp_path / "site").as_posix(): lxml.html.fromstring(path.read_bytes()).xpath(
                "//header//a[text()='Documentation']/@href"
            )
            for path in pages
        }

    links = docs_links(SiteOptions(docs=str(tmp_path / "pages")))
    assert links["index.html"] == ["docs/index.html"] and links["corpora/tiny.html"] == ["../docs/index.html"]
    assert all((tmp_path / "site" / page).parent.joinpath(link).is_file() for page, [link] in links.items())
    assert sorted(files_of(tmp_path / "site" / "docs")) == ["guides/one.html", "index.html"]
    links = docs_links(SiteOptions(docs="https://docs.example.org/evalkit/"))
    assert set(map(tuple, links.values())) == {("https://docs.example.org/evalkit/",)}
    assert not (tmp_path / "site" / "docs").exists()
    assert set(map(tuple, docs_links(SiteOptions()).values())) == {()}
    for nothing in ("javascript:alert(1)", str(built)):
        with pytest.raises(UsageError, match=r"--docs .* `make docs` builds"):
            build_site_of(tmp_path / "runs", tmp_path / "site", SiteOptions(docs=nothing))


def test_every_page_has_an_icon_and_a_picture_of_the_board(tmp_path: Path) -> None:
    def tags(path: Path) -> dict[str, str]:
        head = lxml.html.fromstring(path.read_bytes()).find("head")
        assert head is not None
        [icon] = head.xpath("link[@rel='icon']/@href")
        kind, _, drawn = icon.partition(",")
        assert kind == "data:image/svg+xml" and lxml.html.fromstring(unquote(drawn)).tag == "svg"
        return {node.get("property"): node.get("content") for node in head.xpath("meta[@property]")}

    tiny_run(tmp_path / "runs")
    title = '"><b>\u202e 文字 ' + "long " * 99
    build_site_of(tmp_path / "runs", tmp_path / "site", SiteOptions(title=title))
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert len(pages) > 8
    for page in pages:
        picture = page.parent / tags(page)["og:image"]
        assert picture.resolve() == (tmp_path / "site" / "card.png").resolve()
        assert "og:url" not in tags(page) and tags(page)["og:title"].endswith(visible(title))
    image = PIL.Image.open(tmp_path / "site" / "card.png").convert("RGB")
    size = tuple(int(tags(pages[0])[f"og:image:{end}"]) for end in ("width", "height"))
    assert image.size == size == (1200, 630)
    accent = (np.asarray(image)[200:, 900:] == (11, 90, 168)).all(axis=2).any(axis=1)
    assert np.count_nonzero(np.diff(accent.astype(int)) == 1) == 2  # a dot for each model
    build_site_of(tmp_path / "runs", tmp_path / "site", SiteOptions(address="https://e.org/board"))
    shown = tags(tmp_path / "site" / "models" / "xz.html")
    assert shown["og:image"] == "https://e.org/board/card.png"
    assert shown["og:url"] == "https://e.org/board/models/xz.html"
    for nothing in ("e.org", "javascript:alert(1)", "https://e.org/#a", "https://[/", "https://e.org/ a", ""):
        with pytest.raises(UsageError, match="is no address of the web"):
            build_site_of(tmp_path / "runs", tmp_path / "site", SiteOptions(address=nothing))


def test_a_corpus_that_is_not_in_the_store_is_named(tmp_path: Path) -> None:
    lines = "".join(json.dumps({"text": f"text {n} " * 9, "license": "MIT"}) + "\n" for n in range(3))
    (tmp_path / "notes.jsonl").write_text(lines)
    model = Counted("bytes", "text", 1)
    evalkit.run(
        models=[model],
        corpora=[str(tmp_path / "notes.jsonl")],
        options=evalkit.RunOptions(output=tmp_path / "runs"),
        token_bits=True,
    )
    warnings: list[str] = []
    assert build_site_of(tmp_path / "runs", tmp_path / "site", warn=warnings.append).num_explored == 0
    assert warnings == [
        "notes: its texts are not at hand, so it is not in the explorer; "
        "name the corpus or its file with --corpora"
    ]
    assert "was not at hand" in (tmp_path / "site" / "corpora" / "notes.html").read_text()
    options = SiteOptions(corpora=(str(tmp_path / "notes.jsonl"),))
    built = build_site_of(tmp_path / "runs", tmp_path / "site", options, warn=pytest.fail)
    assert built.num_explored == 1
    (tmp_path / "other.jsonl").write_text(lines.replace("text 0", "text 9"))
    build_site_of(
        tmp_path / "runs",
        tmp_path / "site",
        SiteOptions(corpora=(str(tmp_path / "other.jsonl"),)),
        warn=warnings.append,
    )
    assert "no cell is of this text" in warnings[-1]


def test_a_manifest_beside_the_cells_is_enough(small: Small, tmp_path: Path) -> None:
    shutil.copytree(small.results, tmp_path / "runs")
    stored = small.results.parent / "corpora" / "closed-2026-11" / "manifest.json"
    shutil.copy(stored, tmp_path / "runs" / "closed-2026-11" / "manifest.json")
    build_site_of(tmp_path / "runs", tmp_path / "site")
    assert "a crawler 1.0" in (tmp_path / "site" / "corpora" / "closed-2026-11.html").read_text()


def test_configurations_of_a_model_get_names_that_tell_them_apart(tmp_path: Path) -> None:
    write_synthetic_store(tmp_path / "runs", num_models=2, num_corpora=1, num_documents=5)
    [path] = (tmp_path / "runs").glob("*/model-01/*.json")
    content = json.loads(path.read_text())
    content["model"]["name"] = "model-00"
    del content["sha256"]
    content["sha256"] = hashlib.sha256(strict_json(content).encode()).hexdigest()
    path.write_text(strict_json(content))
    build_site_of(tmp_path / "runs", tmp_path / "site")
    tree = lxml.html.fromstring((tmp_path / "site" / "index.html").read_text(encoding="utf-8"))
    labels = tree.xpath("//table[@id='leaderboard']/tbody//th/a/text()")
    assert len(set(labels)) == 2 and all(label.startswith("model-00 · weights ") for label in labels)


def test_a_model_s_page_says_in_text_and_ids_what_was_read_before_a_document(tmp_path: Path) -> None:
    write_synthetic_store(tmp_path / "runs", num_models=1, num_corpora=1, num_documents=5)
    [path] = (tmp_path / "runs").glob("*/model-00/*.json")
    content = json.loads(path.read_text())
    content["policy"] |= {
        "name": "uncheatable",
        "prefix_rule": "token:5,6,5",
        "prefix_ids": [5, 6, 5],
        "prefix_text": "[gMASK]<sop>[gMASK]",
        "chunk_prefix_ids": [5, 6],
    }
    del content["sha256"]
    content["sha256"] = hashlib.sha256(strict_json(content).encode()).hexdigest()
    path.write_text(strict_json(content))
    build_site_of(tmp_path / "runs", tmp_path / "site")
    tree = lxml.html.fromstring((tmp_path / "site" / "models" / "model-00.html").read_text(encoding="utf-8"))
    [text] = tree.xpath("//dt[.='read before a document']/following-sibling::dd/text()")
    assert text == "[gMASK]<sop>[gMASK] (token:5,6,5), token:5,6 before every chunk"


def test_synthetic_cells_have_the_schema_of_real_ones(tmp_path: Path) -> None:
    documents = [make_document(f"document {n} " * 5, source="x", license="MIT") for n in range(4)]
    corpus = make_corpus("tiny", documents, date_from="2026-01-01", date_to="2026-01-15")
    model = Counted("m", "text", 2, num_parameters=4, license="MIT", released="2025-12")
    options = evalkit.RunOptions(output=tmp_path / "runs")
    [real] = evalkit.run(models=[model], corpora=[corpus], options=options).cells
    bits = np.array([9.0, 8.0])
    _write_cell(
        tmp_path, 0, 0, num_bytes=np.array([4, 5]), bits=bits, clusters=["a", "b"], interval=(1.0, 2.0)
    )
    [path] = tmp_path.glob("source0*/*/*.json")
    made, scored = (json.loads(file.read_text()) for file in (path, real.path))
    assert made.keys() == scored.keys()
    for name in ("model", "corpus", "policy", "totals", "metrics", "documents"):
        assert made[name].keys() == scored[name].keys(), name


def test_a_large_store_is_built_fast(large: Large) -> None:
    assert large.build_cpu_s < 20
    assert (large.built.num_models, large.built.num_corpora, large.built.num_cells) == (40, 20, 800)


def test_the_numbers_of_probes_are_on_their_page(tmp_path: Path) -> None:
    gained = {**task_content("b"), "summary": task_content()["summary"][:1]}
    gained["summary"][0]["further"] |= {"gain": 0.671875, "gain from": 0.5, "gain to": -0.0625}
    runs = {
        "tasks/s3/a/1.json": task_content("<b>a</b>"),
        "tasks/s3/b/2.json": gained,
        "probes/s3/c/3.json": probe_content("s3", "c", accuracies={32: 1.0, 48: 0.5}, num_losses=99),
        "probes/s3/lstm/4.json": probe_content("s3", "lstm", accuracies={32: 1.0, 48: 0.5}, seed=1),
        "probes/s3/lstm/5.json": probe_content("s3", "lstm", accuracies={32: 1.0, 48: 0.25}, seed=0),
    }
    cells = [write_cell_files(tmp_path / "runs" / path, content) for path, content in runs.items()]
    assert build_site_of(tmp_path / "runs", tmp_path / "site").num_cells == 5
    tree = lxml.html.fromstring((tmp_path / "site" / "probes.html").read_text(encoding="utf-8"))
    tables = [
        [[" ".join(" ".join(cell.itertext()).split()) for cell in row] for row in table.xpath(".//tr")]
        for table in tree.xpath("//table[contains(@class, 'probes')]")
    ]
    setting = "layers 1, labels every, T 32, steps"
    beside = "chance 16.7 best heuristic 31.2 gain"
    # The same name is a task that is trained and a task that is asked.
    assert tables == [
        [
            ["model", "1x", "48", "L90"],
            [f"c {setting} 2,475 seed 0", "100.0 90.0–100.0", "50.0 45.0–55.0", "37"],
            [f"lstm {setting} 75 seed 0 , seed 1 layers by theory: 1", "100.0", "37.5 25.0 50.0", "37"],
        ],
        [
            ["model", "1–2", "3–4"],
            [
                "<b>a</b> likelihood, 4 shots the cell",
                f"98.4 91.7–99.7 {beside} +67.2",
                f"25.0 16.0–36.8 {beside} −6.2",
            ],
            ["b likelihood, 4 shots the cell", f"98.4 91.7–99.7 {beside} +67.2 (+50.0 to −6.2)", "–"],
        ],
    ]
    assert [" ".join(title.text_content().split()) for title in tree.xpath("//h2 | //h3")] == [
        "Networks trained from scratch",
        "s3 solvable",
        "Pretrained models, asked",
        "s3",
    ]
    assert "Elements of a group, uniform: the product so far after each." in tree.text_content()
    assert "99 values, in the cell" in tree.text_content()
    for href in tree.xpath("//table[contains(@class, 'probes')]//a/@href"):
        assert json.loads((tmp_path / "site" / href).read_text(encoding="utf-8")) in cells


def test_characters_that_act_are_shown_by_their_codes() -> None:
    assert visible("a\u202eb\x00c\u2028\ud800\x85") == "a[U+202E]b[U+0000]c[U+2028][U+D800][U+0085]"
    plain = "tabs\tand\nlines, é 文字 \u0633\u0644\u0627\u0645 می\u200cخواهم \U0001f469\u200d\U0001f4bb"
    assert visible(plain) == plain


def test_numbers_as_text() -> None:
    assert (number(-0.12345, 3), number(None, 3), signed(0.5, 2), signed(-0.001, 2)) == (
        "−0.123",
        "–",
        "+0.50",
        "0.00",
    )
    assert [decimals([width]) for width in (0.2, 0.001, 0.0009, 0.00002, None, 0)] == [3, 3, 4, 5, 3, 3]
    counts = (None, 12, 834_000, 191_084_544, 2_948_065_280, 123_456_789_012)
    assert [parameters(count) for count in counts] == ["–", "12", "834 K", "191 M", "2.95 B", "123 B"]


def test_ranks_are_intervals_and_ties_share_them() -> None:
    # 0 is surely better than 2 and 3; 1 is tied with 0 and 2, and better than 3; nothing is known of 4.
    surely, tied, unknown = Estimate(-1, -2, -0.5), Estimate(-1, -2, 0.5), Estimate(-1, None, None)
    pairs = {(0, 1): tied, (0, 2): surely, (0, 3): surely, (1, 2): tied, (1, 3): surely, (2, 3): tied}
    pairs |= {(one, 4): unknown for one in range(4)}
    ranks = {0: (1, 3), 1: (1, 4), 2: (2, 5), 3: (3, 5), 4: (1, 5)}
    assert PairTable(pairs).rank_intervals(range(5)) == ranks
    assert PairTable(pairs).rank_intervals([3, 0]) == {3: (2, 2), 0: (1, 1)}  # among the models shown
    assert PairTable({}).rank_intervals([4, 2]) == {4: (1, 2), 2: (1, 2)}


def test_a_site_among_the_results_is_no_result(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    tiny_run(runs)
    for path, name in ((runs / "tasks" / "a.json", "a"), (runs / "b.json", "b")):
        write_cell_files(path, probe_content("parity", name))
    first = build_site_of(runs, runs / "site", warn=pytest.fail)
    before = files_of(runs / "site")
    assert build_site_of(runs, runs / "site", warn=pytest.fail)[1:] == first[1:]
    assert first.num_cells == 4 and files_of(runs / "site") == before


def test_a_link_to_a_site_stays_a_link(tmp_path: Path) -> None:
    tiny_run(tmp_path / "runs")
    (tmp_path / "www").mkdir()
    (tmp_path / "site").symlink_to("www")
    build_site_of(tmp_path / "runs", tmp_path / "site")
    assert (tmp_path / "site").is_symlink() and (tmp_path / "www" / "index.html").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["runs", "site", "www"]


def test_models_without_a_document_in_common(tmp_path: Path) -> None:
    texts = [f"{word} text {number} " * 30 for number in range(2) for word in ("aaa", "bbb")]
    corpus = make_corpus("apart", [make_document(text, source="x", license="MIT") for text in texts])
    models = [Counted("no-a", "text of", 3, refuses="aaa"), Counted("no-b", "text", 3, refuses="bbb")]
    evalkit.run(
        models=models, corpora=[corpus], options=evalkit.RunOptions(output=tmp_path / "runs"), token_bits=True
    )
    save_corpus(corpus)
    assert build_site_of(tmp_path / "runs", tmp_path / "site", warn=pytest.fail).num_explored == 1
    page = lxml.html.fromstring((tmp_path / "site" / "explorer" / "apart.html").read_text(encoding="utf-8"))
    assert page.xpath("//ol[@class='passages']/li/text()") == ["None.", "None."]
    assert len(page.xpath("//table[@id='documents']/tbody/tr")) == 4


def test_a_corpus_of_compressors_alone_is_not_lost_among_policies(tmp_path: Path) -> None:
    corpora = [make_corpus(name, _documents(seed, 6, source="x")) for seed, name in enumerate(("one", "two"))]
    model = Counted("bytes", "text", 1)
    for policy in ("document", "uncheatable"):
        evalkit.run(
            models=[model],
            corpora=corpora[:1],
            options=evalkit.RunOptions(output=tmp_path / "runs"),
            policy=policy,
        )
    evalkit.run(
        models=["xz", "zstd"], corpora=corpora[1:], options=evalkit.RunOptions(output=tmp_path / "runs")
    )
    build_site_of(tmp_path / "runs", tmp_path / "site")
    page = lxml.html.fromstring((tmp_path / "site" / "corpora" / "two.html").read_text(encoding="utf-8"))
    [table] = page.xpath("//table[contains(@class, 'standings')]")
    assert sorted(table.xpath("./tbody/tr/th/a/text()")) == ["xz", "zstd"]
    front = lxml.html.fromstring((tmp_path / "site" / "index.html").read_text(encoding="utf-8"))
    assert front.xpath("//table[@id='leaderboard']/tbody//th/a/text()") == ["bytes"]
    [elsewhere] = front.xpath("//p[a/@href='corpora/two.html']")
    assert "No model was scored under the policy document" in elsewhere.text_content()


def test_names_as_long_as_a_file_name_may_be(tmp_path: Path) -> None:
    corpus = make_corpus("tiny", _documents(1, 4, source="x"))
    for seed in ("of", "the"):  # two weights under one name
        evalkit.run(
            models=[Counted("m" * 240, seed, 1)],
            corpora=[corpus],
            options=evalkit.RunOptions(output=tmp_path / "runs"),
        )
    folder = tmp_path / "runs" / "tasks" / "state-tracking" / ("m" * 240)
    write_cell_files(folder / "1.json", task_content("m" * 240))
    built = build_site_of(tmp_path / "runs", tmp_path / "site")
    assert (built.num_models, built.num_cells) == (1, 3)
    assert len(list((tmp_path / "site" / "cells" / "tiny").iterdir())) == 2


def test_plots_are_of_the_policy_that_the_site_begins_with(tmp_path: Path) -> None:
    corpus = make_corpus("tiny", _documents(1, 9, source="x"))
    models = [Counted("bytes", "text", 1), Counted("pairs", "text", 2)]
    evalkit.run(
        models=models,
        corpora=[corpus],
        options=evalkit.RunOptions(output=tmp_path / "runs"),
        policy="uncheatable",
    )
    figures = draw_all(tmp_path / "runs")
    assert {"heatmap", "differences"} <= {figure.name for figure in figures}
    build_site_of(tmp_path / "runs", tmp_path / "site", SiteOptions(figures=figures))
    page = (tmp_path / "site" / "plots.html").read_text(encoding="utf-8")
    assert "evalkit plot heatmap RESULTS --policy uncheatable -o heatmap.svg" in page


def test_a_wrong_corpus_is_told_before_anything_is_drawn(tmp_path: Path) -> None:
    tiny_run(tmp_path / "runs")
    done = CliRunner().invoke(app, ["report", str(tmp_path / "runs"), "--corpora", "tyni"])
    assert isinstance(done.exception, UsageError) and "unknown corpus 'tyni'" in str(done.exception)
    assert done.output == ""
