"""The page of a corpus: what it is, how it was made, and who scored what."""

from collections.abc import Mapping
from typing import NamedTuple

from evalkit.analysis.estimates import Estimate
from evalkit.analysis.parity import CorpusParity, corpus_parity
from evalkit.cells.schema import CellCorpus
from evalkit.corpora.audit import Audit
from evalkit.corpora.document import Manifest
from evalkit.report.pages import ColumnHead, Pages, RowHead, TableCell
from evalkit.report.shown import rank_text


class CorpusRow(NamedTuple):
    """A model's number."""

    head: RowHead
    cell: TableCell
    rank: str
    is_best: bool


class PolicySection(NamedTuple):
    """The models under one policy."""

    policy: str
    rows: list[CorpusRow]


class ParityRow(NamedTuple):
    """What a model pays for stories in other languages, in the order of the table's languages."""

    head: RowHead
    reference_bits: list[float]
    """Of a story in the reference language, over the stories that each language shares with it."""
    bits: list[float]
    """Of a story."""
    ratios: list[Estimate]
    """Of the bits."""


class ParityTable(NamedTuple):
    """Stories in several languages."""

    parity: CorpusParity
    rows: list[ParityRow]


class CorpusPage(NamedTuple):
    """What the page says."""

    corpus: ColumnHead
    facts: CellCorpus
    manifest: Manifest | None
    """None where it is not at hand."""
    num_clusters: int
    num_input: int | None
    """Documents before any was left out."""
    languages: Mapping[str, int]
    sections: list[PolicySection]
    parallel: ParityTable | None
    """None where no story stands in several languages."""
    audit: Audit | None
    """None where it was not audited."""
    num_pruned: int
    """Models whose bits of tokens were taken out to save room."""
    pruned_on: str | None
    """The last day on which that was done."""


def corpus_page(pages: Pages, index: int) -> CorpusPage:
    """The page of a corpus."""
    corpus, background = pages.results.corpora[index], pages.backgrounds[index]
    manifest = background.manifest
    num_input = None
    if manifest is not None:
        num_input = manifest.num_documents + sum(manifest.num_dropped.values())
    pruned = [day for cell in corpus.cells.values() if (day := cell.documents.token_bits_removed)]
    return CorpusPage(
        corpus=pages.column(index),
        facts=corpus.facts,
        manifest=manifest,
        num_clusters=len(set(corpus.clusters)),
        num_input=num_input,
        languages=background.languages,
        sections=_sections(pages, index),
        parallel=_parallel(pages, index),
        audit=background.audit,
        num_pruned=len(pruned),
        pruned_on=max(pruned, default=None),
    )


def _parallel(pages: Pages, index: int) -> ParityTable | None:
    parity = corpus_parity(pages.results, index)
    if parity is None:
        return None
    rows = []
    for configuration in pages.results.corpora[index].cells:
        parities = [language.parities[configuration] for language in parity.languages]
        rows.append(
            ParityRow(
                pages.row(configuration),
                [entry.reference_bits_per_story for entry in parities],
                [entry.bits_per_story for entry in parities],
                [entry.ratio for entry in parities],
            )
        )
    return ParityTable(parity, rows)


def _sections(pages: Pages, corpus: int) -> list[PolicySection]:
    board, cells = pages.board, pages.results.corpora[corpus].all_cells
    policy_of = {index: pages.results.configurations[index].policy for index in cells}
    models = {index for index, policy in policy_of.items() if policy}
    sections: list[PolicySection] = []
    for policy in pages.results.policies:
        group = [index for index in cells if policy_of[index] in (policy, None)]
        if models.isdisjoint(group) and (models or sections):  # compressors alone: once, if at all
            continue
        group.sort(key=lambda index: (board.level(corpus, index).value, index))
        best = board.best(corpus, group)
        ranks = board.pairs[corpus].rank_intervals(group)
        rows = []
        for index in group:
            cell = pages.cell(corpus, index)
            assert cell is not None
            rows.append(CorpusRow(pages.row(index), cell, rank_text(ranks[index]), index in best))
        sections.append(PolicySection(policy, rows))
    return sections
