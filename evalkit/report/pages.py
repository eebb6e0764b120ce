"""What each page says, as plain values for the templates."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from evalkit.analysis.aggregates import AGGREGATES, HEADLINE
from evalkit.analysis.cutoff import cutoff_note
from evalkit.analysis.estimates import Estimate
from evalkit.analysis.rankings import Leaderboard
from evalkit.analysis.results import ScoredCorpus, unique
from evalkit.cells.corpus_cell import COMPRESSION_RATE_PERCENT_PER_BPB
from evalkit.cells.fields import to_json
from evalkit.cells.schema import CellCorpus, CellModel, CorpusCell
from evalkit.files import slug
from evalkit.models.catalog import CatalogEntry
from evalkit.report.sources import Background
from evalkit.report.text import decimals, number, parameters, signed, web_link
from evalkit.stats import MIN_CLUSTERS

_HEAT_LIMITS = (0.01, 0.05, 0.15, 0.4)


def cell_file(cell: CorpusCell, corpus: ScoredCorpus, configuration_key: str) -> str:
    """Where the site keeps a cell's JSON."""
    return f"cells/{corpus.key}/{configuration_key}/{slug(cell.path.stem)}.json"


class Pages:
    """Contexts of all pages; built once, asked by `evalkit.report.site`."""

    def __init__(
        self, board: Leaderboard, backgrounds: Sequence[Background], catalog: dict[str, CatalogEntry]
    ) -> None:
        self.board = board
        self.results = board.results
        self.backgrounds = backgrounds
        self._catalog = catalog
        keys: set[str] = set()
        names = sorted({configuration.model for configuration in self.results.configurations})
        self.model_keys = {name: unique(slug(name), keys) for name in names}
        self._links = [
            {
                e: cell_file(cell, corpus, self.results.configurations[e].key)
                for e, cell in corpus.cells.items()
            }
            for corpus in self.results.corpora
        ]
        self._places = [decimals(one.half_width for one in found.values()) for found in board.levels]

    def configuration(self, index: int) -> dict[str, Any]:
        """A row's head: names, links, and what filters look at."""
        configuration = self.results.configurations[index]
        facts = self.facts(index)
        limit = configuration.settings.context_limit
        details = (
            []
            if configuration.policy is None
            else [facts.dtype, f"context ≤\u00a0{limit:,}" if limit else "any length"]
        )
        return {
            "index": index,
            "key": configuration.key,
            "label": configuration.label,
            "href": f"models/{self.model_keys[configuration.model]}.html",
            "details": " · ".join(details) if details else "compressor",
            "policy": configuration.policy,
            "num_parameters": facts.num_parameters,
            "size": parameters(facts.num_parameters),
            "license": facts.license,
            "dated": facts.knowledge_cutoff or facts.released,
        }

    def facts(self, index: int) -> CellModel:
        """What the cells say of a model, completed from the catalog."""
        configuration = self.results.configurations[index]
        entry = self._catalog.get(configuration.model)
        facts = configuration.facts
        if entry is None:
            return facts
        return dataclasses.replace(
            facts,
            num_parameters=entry.num_parameters if facts.num_parameters is None else facts.num_parameters,
            released=facts.released or entry.released,
            knowledge_cutoff=facts.knowledge_cutoff or entry.knowledge_cutoff,
            cutoff_source=facts.cutoff_source or entry.cutoff_source,
            license=facts.license or entry.license,
            source=facts.source or entry.source,
        )

    def corpus(self, index: int) -> dict[str, Any]:
        """A column's head."""
        corpus = self.results.corpora[index]
        return {
            "index": index,
            "key": corpus.key,
            "label": corpus.label,
            "href": f"corpora/{corpus.key}.html",
            "source": self.board.sources[index],
            "month": corpus.month,
            "dates": dates(corpus.facts),
            "decimals": self._places[index],
            "sha256": corpus.sha256,
        }

    def cell(self, corpus: int, configuration: int) -> dict[str, Any] | None:
        """One number of the table; None where there is no cell."""
        found = self.results.corpora[corpus].cells.get(configuration)
        if found is None:
            return None
        level = self.board.level(corpus, configuration)
        note = cutoff_note(found, self.facts(configuration))
        num_lossy = found.documents.num_lossy
        notes = [f"{level.value:.6f} bits per byte"]
        notes += (
            [f"95 % interval {level.low:.6f} to {level.high:.6f}"]
            if level.low is not None
            else [f"no interval: fewer than {MIN_CLUSTERS} clusters"]
        )
        notes += [f"policy {found.policy.name}"]
        notes += (
            [f"{num_lossy} documents left out: its tokens do not decode to their bytes"] if num_lossy else []
        )
        notes += [note.text] if note.may_have_read else []
        return {
            "href": self._links[corpus][configuration],
            "value": number(level.value, self._places[corpus]),
            "half_width": number(level.half_width, self._places[corpus])
            if level.half_width is not None
            else None,
            "marks": ("*" if num_lossy else "") + ("†" if note.may_have_read else ""),
            "title": "; ".join(notes),
            "note": note,
            "num_lossy": num_lossy,
            "totals": found.totals,
            "metrics": found.metrics,
            "level": level,
            "rate": rate(level),
        }

    def leaderboard(self) -> dict[str, Any]:
        """The page without its script: everything under the default policy."""
        board = self.board
        choice = board.default
        view = board.views.get(choice)
        corpora = list(view.corpora) if view else []
        compared = [
            index
            for index, one in enumerate(self.results.configurations)
            if one.policy in (choice.policy, None)
        ]
        ranked = view.order(HEADLINE) if view else []
        best = [board.best(corpus, compared) for corpus in corpora]
        leaders = [
            min((board.level(c, e).value for e in compared if e in board.levels[c]), default=0.0)
            for c in corpora
        ]
        places = (
            {kind: decimals(one.half_width for one in view.levels[kind].values()) for kind in AGGREGATES}
            if view
            else {}
        )
        ranks = view.ranks(HEADLINE, ranked) if view else {}
        rows = []
        unranked = [
            one
            for one in compared
            if one not in ranked and any(one in self.results.corpora[corpus].cells for corpus in corpora)
        ]
        for configuration in [*ranked, *unranked]:
            aggregates = {}
            for kind in AGGREGATES:
                level = view.levels[kind].get(configuration) if view else None
                aggregates[kind] = None if level is None else estimate(level, places[kind])
            cells = []
            for corpus, leader, tied in zip(corpora, leaders, best, strict=True):
                cell = self.cell(corpus, configuration)
                if cell is not None:
                    cell["heat"] = heat(cell["level"].value, leader)
                    cell["best"] = configuration in tied
                cells.append(cell)
            headline = view.levels[HEADLINE].get(configuration) if view else None
            rows.append(
                {
                    **self.configuration(configuration),
                    "rank": rank_text(ranks.get(configuration)),
                    "aggregates": aggregates,
                    "rate": rate(headline) if headline else "–",
                    "cells": cells,
                }
            )
        return {
            "rows": rows,
            "columns": [self.corpus(index) for index in corpora],
            "elsewhere": [
                self.corpus(index) for index in range(len(self.results.corpora)) if index not in corpora
            ],
            "aggregates": {kind: aggregate.title for kind, aggregate in AGGREGATES.items()},
            "policy": choice.policy,
            "policies": self.results.policies,
            "sources": sorted(set(board.sources)),
            "months": sorted({corpus.month for corpus in self.results.corpora}),
            "licenses": sorted(
                {
                    row["license"]
                    for row in map(self.configuration, range(len(self.results.configurations)))
                    if row["license"]
                }
            ),
            "num_models": len({configuration.model for configuration in self.results.configurations}),
        }

    def leaderboard_cells(self) -> list[dict[str, Any]]:
        """For the script: per corpus, by configuration, the link, the marks and the title of every cell."""
        return [
            {
                str(configuration): [cell["href"], cell["marks"], cell["title"]]
                for configuration in corpus.cells
                if (cell := self.cell(number_, configuration)) is not None
            }
            for number_, corpus in enumerate(self.results.corpora)
        ]

    def model(self, name: str) -> dict[str, Any]:
        """The page of a model: its facts, its cells, its differences to every other."""
        own = [
            index
            for index, configuration in enumerate(self.results.configurations)
            if configuration.model == name
        ]
        configurations = []
        for index in own:
            facts = self.facts(index)
            cells = [
                (self.corpus(c), cell)
                for c in range(len(self.results.corpora))
                if (cell := self.cell(c, index)) is not None
            ]
            configurations.append(
                {
                    **self.configuration(index),
                    "settings": self.results.configurations[index].settings,
                    "facts": _card(facts),
                    "cells": cells,
                    "others": self._others(index),
                    "columns": [
                        self.corpus(c)
                        for c in range(len(self.results.corpora))
                        if index in self.results.corpora[c].cells
                    ],
                }
            )
        return {"name": name, "configurations": configurations}

    def _others(self, index: int) -> list[dict[str, Any]]:
        board = self.board
        own = [c for c, corpus in enumerate(self.results.corpora) if index in corpus.cells]
        rows = []
        for other in range(len(self.results.configurations)):
            gaps = [board.difference(c, index, other) for c in own] if other != index else []
            if any(gap is not None for gap in gaps):
                rows.append(
                    {
                        **self.configuration(other),
                        "gaps": [None if gap is None else difference(gap) for gap in gaps],
                    }
                )
        return rows

    def corpus_page(self, index: int) -> dict[str, Any]:
        """The page of a corpus: what it is, how it was made, and who scored what."""
        corpus, background = self.results.corpora[index], self.backgrounds[index]
        manifest = background.manifest
        sections: list[dict[str, Any]] = []
        models = {e for e in corpus.cells if self.results.configurations[e].policy}
        for policy in self.results.policies:
            group = [e for e in corpus.cells if self.results.configurations[e].policy in (policy, None)]
            if models.isdisjoint(group) and (models or sections):  # compressors alone: once, if at all
                continue
            group.sort(key=lambda e: (self.board.level(index, e).value, e))
            ranks = {e: self._rank(index, group, e) for e in group}
            tied = self.board.best(index, group)
            rows = [
                {
                    **self.configuration(e),
                    "cell": self.cell(index, e),
                    "rank": rank_text(ranks[e]),
                    "best": e in tied,
                }
                for e in group
            ]
            sections.append({"policy": policy, "rows": rows})
        return {
            "corpus": self.corpus(index),
            "facts": corpus.facts,
            "manifest": manifest,
            "num_clusters": len(set(corpus.clusters)),
            "num_input": manifest and manifest.num_documents + sum(manifest.num_dropped.values()),
            "languages": background.languages,
            "sections": sections,
        }

    def _rank(self, corpus: int, group: Sequence[int], configuration: int) -> tuple[int, int]:
        from evalkit.analysis.estimates import rank_interval

        return rank_interval(self.board.pairs[corpus], group, configuration)


def rate(level: Estimate) -> str:
    """The compression rate in percent."""
    return f"{COMPRESSION_RATE_PERCENT_PER_BPB * level.value:.2f}"


def estimate(one: Estimate, places: int) -> dict[str, Any]:
    """An estimate as text."""
    return {
        "value": number(one.value, places),
        "half_width": None if one.half_width is None else number(one.half_width, places),
        "low": one.low,
        "high": one.high,
        "raw": one.value,
    }


def difference(gap: Estimate) -> dict[str, Any]:
    """A paired difference as text, with its verdict."""
    places = max(4, decimals([gap.half_width]))
    return {
        "value": signed(gap.value, places),
        "low": signed(gap.low, places),
        "high": signed(gap.high, places),
        "verdict": "unknown" if gap.low is None else {-1: "better", 0: "tie", 1: "worse"}[gap.sign],
    }


def rank_text(ranks: tuple[int, int] | None) -> str:
    """``2`` or ``1–3``; an en dash for a model that cannot be ranked."""
    if ranks is None:
        return "–"
    return str(ranks[0]) if ranks[0] == ranks[1] else f"{ranks[0]}–{ranks[1]}"


def heat(value: float, best: float) -> int:
    """How far above the best, in five steps."""
    return sum(value / best - 1 > limit for limit in _HEAT_LIMITS) if best > 0 else 0


def dates(corpus: CellCorpus) -> str:
    """The days of a corpus."""
    if corpus.date_from is None:
        return "undated"
    return (
        corpus.date_from if corpus.date_from == corpus.date_to else f"{corpus.date_from} to {corpus.date_to}"
    )


def _card(model: CellModel) -> list[tuple[str, str, str | None]]:
    """A model's facts: name, text, link."""
    names = {
        "num_parameters": "parameters",
        "released": "released",
        "knowledge_cutoff": "knowledge cutoff",
        "cutoff_source": "cutoff according to",
        "license": "licence",
        "source": "model card",
        "loader": "loader",
        "target": "repository or file",
        "file": "file",
        "revision": "revision",
        "dtype": "precision",
        "weights_sha256": "weights, SHA-256",
        "tokenizer_sha256": "tokenizer",
    }
    rows = []
    facts = {name: value for name, value in to_json(model).items() if value is not None}
    for name in [*names, *sorted(set(facts) - set(names) - {"name"})]:
        if name not in facts:
            continue
        text = str(facts[name])
        if name == "num_parameters":
            text = f"{model.num_parameters:,} ({parameters(model.num_parameters)})"
        rows.append((names.get(name, name.replace("_", " ")), text, web_link(text)))
    return rows
