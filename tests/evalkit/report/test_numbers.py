"""Every number on the pages, recomputed from the Parquet files by code that shares nothing with the report's.

Only the random draws are the same, by the rule that `evalkit.stats` states: multinomial counts of clusters in
their sorted order from ``default_rng([0, stream])``, 4000 times, and the expanded percentiles; and by that of
`evalkit.analysis.estimates`: the stream is 0 for a corpus by itself, among others 64 bits of its digest.
"""

import collections
import itertools
import json
import math
import re
from pathlib import Path
from statistics import NormalDist
from typing import Any

import lxml.html
import numpy as np
import pandas as pd
import pytest
from scipy.stats import t as student

from evalkit.corpora.store import Corpus
from tests.evalkit.report.conftest import Small

LOSSY = "lossy"


def read_data(site: Path, path: str) -> Any:
    text = (site / path).read_text(encoding="utf-8")
    call = re.fullmatch(r"evalkitData\(\"[^\"]+\",(.*)\);\n", text, re.DOTALL)
    assert call
    return json.loads(call[1])


def page(site: Path, path: str) -> Any:
    return lxml.html.fromstring((site / path).read_bytes().decode("utf-8"))


def text_of(node: Any) -> str:
    return " ".join(node.text_content().split())


class Cells:
    """The store, read plainly: per corpus name, a table with a column of bits per model and policy."""

    def __init__(self, results: Path) -> None:
        self.paths: dict[tuple[str, str, str], Path] = {}
        self.tables: dict[str, pd.DataFrame] = {}
        for path in sorted(results.rglob("*.json")):
            cell = json.loads(path.read_text(encoding="utf-8"))
            if cell["corpus"]["limit"] is not None:
                continue
            corpus, model = cell["corpus"]["name"], cell["model"]["name"]
            policy = "none" if cell["model"]["loader"] == "codec" else cell["policy"]["name"]
            rows = pd.read_parquet(path.with_suffix(".parquet"))
            table = self.tables.setdefault(corpus, rows[["id", "cluster", "num_bytes"]].copy())
            table[model, policy] = rows["total_bits"]
            self.paths[corpus, model, policy] = path
        self.corpora = sorted(self.tables)
        self.known: dict[Any, tuple[Any, Any]] = {}

    def stream(self, corpus: str) -> int:
        path = next(path for key, path in self.paths.items() if key[0] == corpus)
        digest = json.loads(path.read_text(encoding="utf-8"))["corpus"]["sha256"]
        return int.from_bytes(bytes.fromhex(digest)[:8], "big")

    def sums(self, corpus: str, columns: list[Any], stream: int) -> tuple[Any, Any]:
        """See `_sums`, which is slow."""
        key = (corpus, tuple(columns), stream)
        if key not in self.known:
            self.known[key] = self._sums(corpus, columns, stream)
        return self.known[key]

    def _sums(self, corpus: str, columns: list[Any], stream: int) -> tuple[Any, Any]:
        """Bits ``[4001, K]`` and bytes ``[4001]`` over documents that all columns have; first measured."""
        table = self.tables[corpus]
        known = table[columns].notna().all(axis=1)
        # A cluster without a document that counts is drawn all the same.
        masked = table.assign(**{"kept": table["num_bytes"].where(known, 0)})
        for column in columns:
            masked[column] = masked[column].where(known, 0.0)
        groups = masked.groupby("cluster", sort=True)
        bits = groups[columns].sum().to_numpy()
        num_bytes = groups["kept"].sum().to_numpy()
        count = len(num_bytes)
        draws = np.random.default_rng([0, stream]).multinomial(count, [1 / count] * count, size=4000)
        draws = np.concatenate((np.ones((1, count), dtype=int), draws))
        return draws @ bits, draws @ num_bytes

    def level(self, corpus: str, column: Any) -> tuple[float, float, float]:
        bits, num_bytes = self.sums(corpus, [column], 0)
        return interval(bits[:, 0] / num_bytes, self.fewest([corpus]))

    def gap(self, corpus: str, a: Any, b: Any) -> tuple[float, float, float]:
        bits, num_bytes = self.sums(corpus, [a, b], 0)
        return interval((bits[:, 0] - bits[:, 1]) / num_bytes, self.fewest([corpus]))

    def fewest(self, corpora: list[str]) -> int:
        return min(self.tables[corpus]["cluster"].nunique() for corpus in corpora)

    def aggregate(self, kind: str, corpora: list[str], columns: list[Any], which: Any) -> Any:
        """Samples ``[4001]`` of the aggregate of column ``which``, over the documents all columns have."""
        tops, bottoms = [], []
        for corpus in corpora:
            stream = self.stream(corpus) if len(corpora) > 1 else 0
            bits, num_bytes = self.sums(corpus, columns, stream)
            tops.append(bits[:, columns.index(which)])
            bottoms.append(num_bytes)
        if kind == "micro":
            return sum(tops) / sum(bottoms)
        ratios = [top / bottom for top, bottom in zip(tops, bottoms, strict=True)]
        if kind == "macro":
            return sum(ratios) / len(ratios)
        return math.prod(ratios) ** (1 / len(ratios))


def interval(samples: Any, num_clusters: int) -> tuple[float, float, float]:
    wider = math.sqrt(num_clusters / (num_clusters - 1)) * student.ppf(0.975, num_clusters - 1)
    low = 100 * NormalDist().cdf(-wider)
    return (float(samples[0]), *np.percentile(samples[1:], [low, 100 - low]).tolist())


@pytest.fixture(scope="module")
def cells(small: Small) -> Cells:
    return Cells(small.results)


def column_of(configuration: dict[str, Any], site_policy: str = "document") -> tuple[str, str]:
    label = configuration["label"].replace("[U+202E]", "\u202e")
    return label, configuration["policy"] or "none"


def shown_number(text: str) -> tuple[float, float]:
    """A printed number and half a unit of its last digit."""
    text = text.replace("−", "-").replace(",", "")
    places = len(text.partition(".")[2])
    return float(text), 0.5 * 10**-places + 1.1e-6  # numbers are rounded to 1e-6 before they are printed


def assert_shows(text: str, value: float) -> None:
    printed, tolerance = shown_number(text)
    assert abs(printed - value) <= tolerance, f"printed {text}, recomputed {value}"


def test_every_number_of_the_leaderboard(small: Small, cells: Cells) -> None:
    data = read_data(small.site, "data/leaderboard.js")
    tree = page(small.site, "index.html")
    corpora = [corpus["label"] for corpus in data["corpora"]]
    assert corpora == cells.corpora
    # Those newer than every model: of free-2026-10 `pairs`, whose data end on 2026-10-03, may have read most.
    counted = ["closed-2026-11", "hostile"]
    rows = tree.xpath("//table[@id='leaderboard']/tbody/tr")
    assert len(rows) == 6
    scores = {}
    for row in rows:
        configuration = data["configurations"][int(row.get("data-configuration"))]
        column = column_of(configuration)
        scores[column] = cells.aggregate("macro", counted, [column], column)
        unchecked = set(row.xpath("td"))
        shown = [corpora[int(node.get("data-corpus"))] for node in row.xpath("td[@data-corpus]")]
        assert shown == counted
        for node, corpus in zip(row.xpath("td[@data-corpus]"), shown, strict=True):
            value, low, high = cells.level(corpus, column)
            assert_shows(text_of(node.xpath("a")[0]), value)
            assert_shows(text_of(node.xpath("small")[0]).removeprefix("± "), (high - low) / 2)
            path = cells.paths[(corpus, *column)]
            assert (small.site / node.xpath("a/@href")[0]).read_bytes() == path.read_bytes()
            unchecked.remove(node)
        for node in row.xpath("td[@data-aggregate]"):
            kind = node.get("data-aggregate")
            value, low, high = interval(
                cells.aggregate(kind, counted, [column], column), cells.fewest(counted)
            )
            assert_shows(node.text.strip(), value)
            assert_shows(text_of(node.xpath("small")[0]).removeprefix("± "), (high - low) / 2)
            unchecked.remove(node)
        [_, size] = sorted(unchecked, key=row.index)
        number = configuration["num_parameters"]
        assert text_of(size) == {256: "256", 2_000_000_000: "2 B", 7: "7", None: "–"}[number]
    # Ranks, once the scores of all are known.
    for row in rows:
        column = column_of(data["configurations"][int(row.get("data-configuration"))])
        better = worse = 0
        for other in scores:
            if other == column:
                continue
            both = [column, other]
            gap = cells.aggregate("macro", counted, both, column) - cells.aggregate(
                "macro", counted, both, other
            )
            _, low, high = (round(one, 6) for one in interval(gap, cells.fewest(counted)))
            better += low > 0
            worse += high < 0
        first, last = 1 + better, len(scores) - worse
        mark = "" if column[0] in ("bytes", "pairs", "xz", "zstd") else "?"  # nobody says when their data end
        assert text_of(row.xpath("td[1]")[0]) == (str(first) if first == last else f"{first}–{last}") + mark
    means = [scores[column_of(data["configurations"][int(row.get("data-configuration"))])][0] for row in rows]
    assert means == sorted(means)


def test_every_number_that_the_scripts_show(small: Small, cells: Cells) -> None:
    data = read_data(small.site, "data/leaderboard.js")
    columns = [column_of(configuration) for configuration in data["configurations"]]
    corpora = [corpus["label"] for corpus in data["corpora"]]
    for corpus, levels, pairs in zip(corpora, data["levels"], data["pairs"], strict=True):
        scored = {key[1:] for key in cells.paths if key[0] == corpus}
        assert {columns[int(configuration)] for configuration in levels} == scored
        for configuration, level in levels.items():
            assert level == pytest.approx(cells.level(corpus, columns[int(configuration)]), abs=1.1e-6)
        compared = {
            frozenset(pair)
            for pair in itertools.combinations(scored, 2)
            if len({policy for _, policy in pair} - {"none"}) <= 1
        }
        found = {
            frozenset((columns[int(a)], columns[int(b)])): gap
            for a, row in pairs.items()
            for b, gap in row.items()
        }
        assert set(found) == compared
        for a, row in pairs.items():
            for b, gap in row.items():
                assert gap == pytest.approx(cells.gap(corpus, columns[int(a)], columns[int(b)]), abs=1.1e-6)
    for policy, source, month, index in data["choices"]:
        view = data["views"][index]
        names = [
            corpus["label"]
            for corpus in data["corpora"]
            if source in (None, corpus["source"]) and month in (None, corpus["month"])
            if any(key[0] == corpus["label"] and key[2] == policy for key in cells.paths)
        ]
        assert [corpora[corpus] for corpus in view["corpora"]] == names
        for kind, aggregate in view["aggregates"].items():
            complete = {
                column
                for column in columns
                if column[1] in (policy, "none") and all((name, *column) in cells.paths for name in names)
            }
            assert {columns[int(configuration)] for configuration in aggregate["levels"]} == complete
            for configuration, level in aggregate["levels"].items():
                column = columns[int(configuration)]
                again = interval(cells.aggregate(kind, names, [column], column), cells.fewest(names))
                assert level == pytest.approx(again, abs=1.1e-6)
            for a, row in (aggregate["pairs"] or {}).items():
                for b, gap in row.items():
                    both = [columns[int(a)], columns[int(b)]]
                    samples = [cells.aggregate(kind, names, both, one) for one in both]
                    assert gap == pytest.approx(
                        interval(samples[0] - samples[1], cells.fewest(names)), abs=1.1e-6
                    )
    policies = {choice[0] for choice in data["choices"]}
    assert policies == {"document", "uncheatable"}


def test_every_number_of_the_corpus_pages(small: Small, cells: Cells) -> None:
    data = read_data(small.site, "data/leaderboard.js")
    for corpus in small.corpora:
        tree = page(small.site, f"corpora/{corpus.name}.html")
        assert text_of(tree.get_element_by_id("num-documents")) == f"{len(corpus.documents)}"
        assert (
            text_of(tree.get_element_by_id("num-bytes")) == f"{sum(len(d.data) for d in corpus.documents):,}"
        )
        clusters = {document.cluster or document.id for document in corpus.documents}
        assert text_of(tree.get_element_by_id("num-clusters")) == f"{len(clusters)}"
        counted = {}
        for row in tree.xpath("//table[contains(@class, 'counts')]//tr[not(@class)]"):
            counted[text_of(row.xpath("th")[0])] = int(text_of(row.xpath("td")[0]))
        expected: collections.Counter[str] = collections.Counter()
        for document in corpus.documents:
            expected.update([document.license or "", document.source, document.language or "unknown"])
        expected.update(dict(corpus.manifest.num_dropped))
        assert counted == {shown(name): count for name, count in merged(corpus).items()}
        for row in tree.xpath("//table[contains(@class, 'standings')]/tbody/tr"):
            column = column_of(data["configurations"][int(row.get("data-configuration"))])
            value, low, high = cells.level(corpus.name, column)
            assert_shows(text_of(row.xpath("td[2]/a")[0]), value)
            assert_shows(text_of(row.xpath("td[2]/small")[0]).removeprefix("± "), (high - low) / 2)
            assert_shows(text_of(row.xpath("td[3]")[0]), 12.5 * value)


def shown(name: str) -> str:
    return " ".join(name.replace("\u202e", "[U+202E]").split())


def merged(corpus: Corpus) -> dict[str, int]:
    """All names that the page counts, each in the last table that has it."""
    found: dict[str, int] = {}
    for names in (
        [document.license or "unknown" for document in corpus.documents],
        [document.source for document in corpus.documents],
        [document.language or "unknown" for document in corpus.documents],
    ):
        found |= collections.Counter(names)
    return found | dict(corpus.manifest.num_dropped)


def test_every_number_of_the_model_pages(small: Small, cells: Cells) -> None:
    data = read_data(small.site, "data/leaderboard.js")
    keys = {corpus["key"]: corpus["label"] for corpus in data["corpora"]}
    for path in (small.site / "models").glob("*.html"):
        tree = page(small.site, f"models/{path.name}")
        own = [
            configuration
            for configuration in data["configurations"]
            if configuration["href"] == f"models/{path.name}"
        ]
        for configuration, section in zip(own, tree.xpath("//main/section"), strict=True):
            column = column_of(configuration)
            newest = ["closed-2026-11", "hostile"]
            if all((corpus, *column) in cells.paths for corpus in newest):
                mean = float(cells.aggregate("macro", newest, [column], column)[0])
                standing = " ".join(text_of(section.xpath("p[@class='standing']")[0]).split())
                assert f"of 6 on 2 corpora; macro average {mean:.3f} ±" in standing
            table, *others = section.xpath(".//table[not(contains(@class, 'months'))]")
            for row in table.xpath("tbody/tr"):
                corpus = keys[row.get("data-corpus")]
                content = json.loads(cells.paths[(corpus, *column)].read_text(encoding="utf-8"))
                rows = pd.read_parquet(cells.paths[(corpus, *column)].with_suffix(".parquet"))
                paid = rows[rows["total_bits"].notna()]
                value, low, high = cells.level(corpus, column)
                bpb, rate, documents, num_bytes, tokens, speed, _ = row.xpath("td")
                assert_shows(text_of(bpb.xpath("a")[0]), value)
                assert_shows(text_of(bpb.xpath("small")[0]).removeprefix("± "), (high - low) / 2)
                assert_shows(text_of(rate), 12.5 * value)
                assert int(text_of(documents)) == len(paid)
                assert text_of(num_bytes) == f"{paid['num_bytes'].sum():,}"
                if column[1] == "none":
                    assert text_of(tokens) == text_of(speed) == "–"
                else:
                    assert text_of(tokens) == f"{int(paid['num_tokens'].sum()):,}"
                    assert_shows(text_of(speed), paid["num_tokens"].sum() / content["seconds"])
            scored = [corpus for corpus in cells.corpora if (corpus, *column) in cells.paths]
            assert sorted(text_of(head) for head in section.xpath(".//th[@class='corpus']")) == scored
            pairs = [(table, row) for table in others for row in table.xpath("tbody/tr")]
            for table, row in pairs:
                other = column_of(data["configurations"][int(row.get("data-rival"))])
                corpora = [text_of(head) for head in table.xpath("thead//th[@class='corpus']")]
                for corpus, node in zip(corpora, row.xpath("td"), strict=True):
                    if (corpus, *other) not in cells.paths:
                        assert text_of(node) == "–"
                        continue
                    value, low, high = cells.gap(corpus, column, other)
                    assert_shows(text_of(node.xpath("span")[0]), value)
                    ends = text_of(node.xpath("small")[0]).split(" to ")
                    for printed, again in zip(ends, (low, high), strict=True):
                        assert_shows(printed, again)
                    verdict = "better" if round(high, 6) < 0 else "worse" if round(low, 6) > 0 else "tie"
                    assert node.xpath("span/@class") == [f"gap {verdict}"]


def test_documents_of_the_comparison(small: Small, cells: Cells) -> None:
    data = read_data(small.site, "data/leaderboard.js")
    for corpus in small.corpora:
        found = read_data(small.site, f"data/documents/{corpus.name}.js")
        table = cells.tables[corpus.name]
        assert found["num_bytes"] == table["num_bytes"].tolist()
        for configuration, bits in found["bits"].items():
            expected = table[column_of(data["configurations"][int(configuration)])]
            for shown_bits, own in zip(bits, expected, strict=True):
                assert shown_bits is None if math.isnan(own) else shown_bits == pytest.approx(own, abs=5.1e-5)
        if corpus.name.startswith("closed"):
            assert found["labels"] == [document.id for document in corpus.documents]
        else:
            assert found["labels"] == [shown(document.title or document.id) for document in corpus.documents]


def byte_costs(parquet: Path) -> dict[str, list[float]]:
    """Bits of each paid byte by document, spread by a plain loop; NaN for bytes that are not paid for."""
    found = {}
    for row in pd.read_parquet(parquet).itertuples():
        if row.lossy is not None and row.lossy == row.lossy:
            continue
        costs, start = [0.0] * row.num_bytes, 0
        for bits, end in zip(row.token_bits, row.token_ends, strict=True):
            for place in range(start, end):
                costs[place] += float(bits) / (end - start)
            start = end
        found[row.id] = costs
    return found


def test_losses_by_kind(small: Small, cells: Cells) -> None:
    """The class "line ends", told here character by character, and that classes add up."""
    for corpus in small.corpora:
        data = read_data(small.site, f"data/losses/{corpus.name}.js")
        labels = {one["key"]: (one["label"], one["policy"]) for one in data["configurations"]}
        for part in data["parts"]:
            whole, *classes = part["classes"]
            costs = {
                key: byte_costs(
                    cells.paths[
                        (corpus.name, labels[key][0].replace("[U+202E]", "\u202e"), labels[key][1])
                    ].with_suffix(".parquet")
                )
                for key in whole["levels"]
            }
            common = [d for d in corpus.documents if all(d.id in own for own in costs.values())]
            assert part["num_left_out"] == len(corpus.documents) - len(common)
            paid = {
                key: [cost for document in common for cost in own[document.id]] for key, own in costs.items()
            }
            is_line_end = [
                character in "\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029"
                for document in common
                for character in document.text
                for _ in character.encode()
            ]
            is_paid = [not any(map(math.isnan, row)) for row in zip(*paid.values(), strict=True)]
            chosen = [end and pays for end, pays in zip(is_line_end, is_paid, strict=True)]
            line_ends = [row for row in classes if row["name"] == "line ends"]
            assert bool(line_ends) == any(chosen)
            for row in line_ends:
                assert row["num_bytes"] == sum(chosen)
                for key, own in paid.items():
                    bits = sum(cost for cost, is_in in zip(own, chosen, strict=True) if is_in)
                    assert row["levels"][key][0] == pytest.approx(bits / sum(chosen), abs=1.1e-6)
            for axis in {row["axis"] for row in classes}:
                assert sum(row["num_bytes"] for row in classes if row["axis"] == axis) == whole["num_bytes"]


def test_passages_of_the_explorer(small: Small, cells: Cells) -> None:
    for corpus in small.corpora:
        data = read_data(small.site, f"data/explorer/{corpus.name}.js")
        labels = {
            configuration["key"]: (
                configuration["label"].replace("[U+202E]", "\u202e"),
                configuration["policy"],
            )
            for configuration in data["configurations"]
        }
        costs = {
            key: byte_costs(cells.paths[(corpus.name, *column)].with_suffix(".parquet"))
            for key, column in labels.items()
        }
        places = {key: place for place, key in enumerate(labels)}
        num_lacking = 0  # what one cannot represent is shown of the others
        for passage in data["passages"]:
            document = corpus.documents[passage["document"]]
            for own, bits in zip(costs.values(), passage["bits"], strict=True):
                again = sum(own.get(document.id, [math.nan])[passage["start"] : passage["end"]] or [math.nan])
                assert bits is None if math.isnan(again) else bits == pytest.approx(again, abs=0.0051)
                num_lacking += document.id not in own
            if corpus.name.startswith("closed"):
                assert passage["text"] is None
        assert num_lacking or corpus.name != "free-2026-10"
        for pair, chosen in data["won"].items():
            a, b = pair.split(" ")
            shown_bits = [data["passages"][index]["bits"] for index in chosen]
            gaps = [bits[places[a]] - bits[places[b]] for bits in shown_bits]
            assert all(gap < 0.011 for gap in gaps)
            assert all(x <= y + 0.021 for x, y in itertools.pairwise(gaps))


def test_documents_of_the_explorer(small: Small, cells: Cells) -> None:
    for corpus in small.corpora:
        data = read_data(small.site, f"data/explorer/{corpus.name}.js")
        tree = page(small.site, f"explorer/{corpus.name}.html")
        rows = tree.xpath("//table[@id='documents']/tbody/tr")
        assert [int(row.xpath("th/a/@data-document")[0]) for row in rows] == data["opened"]
        for index, row in zip(data["opened"], rows, strict=True):
            document = corpus.documents[index]
            title = None if corpus.name.startswith("closed") else document.title
            assert text_of(row.xpath("th")[0]) == shown(title or document.id)
            num_bytes, license, *levels = (text_of(node) for node in row.xpath("td"))
            assert num_bytes == f"{len(document.data):,}"
            assert license == shown(document.license or "not stated")
            for configuration, level in zip(data["configurations"], levels, strict=True):
                column = (configuration["label"].replace("[U+202E]", "\u202e"), configuration["policy"])
                bits = cells.tables[corpus.name][column].iloc[index]
                if math.isnan(bits):
                    assert level == "–"
                else:
                    assert_shows(level, bits / len(document.data))


def test_tokens_of_the_explorer(small: Small, cells: Cells) -> None:
    for corpus in small.corpora:
        data = read_data(small.site, f"data/explorer/{corpus.name}.js")
        for configuration in data["configurations"]:
            column = (configuration["label"].replace("[U+202E]", "\u202e"), configuration["policy"])
            parquet = cells.paths[(corpus.name, *column)].with_suffix(".parquet")
            rows = pd.read_parquet(parquet).set_index("id")
            for index in data["opened"]:
                document = corpus.documents[index]
                path = f"data/explorer/{corpus.name}/{index}.{configuration['key']}.js"
                if math.isnan(rows.loc[document.id, "total_bits"]):
                    assert not (small.site / path).exists()
                    continue
                tokens = read_data(small.site, path)
                assert sum(tokens["lengths"]) == document.num_bytes
                if corpus.name.startswith("closed"):
                    assert set(tokens["lengths"][:-1]) == {64}
                    costs = byte_costs(parquet)[document.id]
                    assert tokens["bits"][0] / 100 == pytest.approx(sum(costs[:64]), abs=0.0051)
                    continue
                assert np.cumsum(tokens["lengths"]).tolist() == rows.loc[document.id, "token_ends"].tolist()
                for shown_bits, bits in zip(tokens["bits"], rows.loc[document.id, "token_bits"], strict=True):
                    assert shown_bits is None if math.isnan(bits) else shown_bits == round(100 * float(bits))
