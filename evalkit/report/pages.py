"""What the tables of all pages share: heads of rows and columns, and cells, as text."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from evalkit.analysis.aggregates import HEADLINE
from evalkit.analysis.configurations import unique
from evalkit.analysis.cutoff import Reading, combined
from evalkit.analysis.document_dates import readings
from evalkit.analysis.estimates import Estimate
from evalkit.analysis.rankings import Choice, Leaderboard, View
from evalkit.analysis.results import UNDATED, ScoredCorpus
from evalkit.analysis.sources import main_language
from evalkit.audit.records import audit_of_cell
from evalkit.audit.result import ModelAudit
from evalkit.cells.schema import CellMetrics, CellModel, CellTotals, CorpusCell
from evalkit.files import slug
from evalkit.models.catalog import CatalogEntry
from evalkit.models.weight_headers import is_quantised
from evalkit.report.shown import dates, rate
from evalkit.report.sources import Background
from evalkit.report.text import decimals, number, parameters
from evalkit.stats import MIN_CLUSTERS


@dataclasses.dataclass(frozen=True)
class RowHead:
    """A model configuration: names, links, and what filters look at."""

    index: int
    key: str
    label: str
    href: str
    details: str
    """Precision and context, or that it is a compressor."""
    policy: str | None
    num_parameters: int | None
    size: str
    license: str | None
    owner: str | None
    """Whose repository its weights come from; None of files of one's own."""
    released: str | None
    cutoff: str | None
    """The end of its training data, as stated."""
    cutoff_day: str | None
    """The last day of which it can have read something; None of a compressor, and where it is not known."""


@dataclasses.dataclass(frozen=True)
class ColumnHead:
    """A corpus."""

    index: int
    key: str
    label: str
    href: str
    source: str
    month: str
    dates: str
    decimals: int
    """Of the numbers in its column."""
    sha256: str
    first_day: str | None
    """On which a document can have been published; None: of some it is not known."""


class SourceHead(NamedTuple):
    """A source of corpora, or a field of one."""

    key: str
    """In links."""
    label: str
    language: str
    """That of most of its corpora; empty: of none, or not stated."""


class TableCell(NamedTuple):
    """A cell, as tables show it."""

    href: str
    """Its JSON."""
    value: str
    half_width: str | None
    marks: str
    """``*``, ``‡``, ``✓``, ``⚠`` and those of `evalkit.analysis.cutoff.MARKS`."""
    title: str
    """What a reader sees who points at it."""
    reading: Reading
    totals: CellTotals
    metrics: CellMetrics
    level: Estimate
    rate: str


class BoardWindow(NamedTuple):
    """The board of a month, or of all, over the corpora that count."""

    month: str | None
    """None: of all months."""
    view: View
    order: list[int]
    """The ranked models, from the lowest headline aggregate up."""
    ranks: Mapping[int, tuple[int, int]]


def cell_file(cell: CorpusCell, corpus: ScoredCorpus, configuration_key: str) -> str:
    """Where the site keeps a cell's JSON."""
    return f"cells/{corpus.key}/{configuration_key}/{slug(cell.path.stem)}.json"


class Pages:
    """The numbers, and the rows, columns and cells that the pages make of them; built once."""

    def __init__(
        self,
        board: Leaderboard,
        backgrounds: Sequence[Background],
        catalog: Mapping[str, CatalogEntry],
        audits: Sequence[ModelAudit] = (),
    ) -> None:
        self._audits = audits
        self.board = board
        self.results = board.results
        self.backgrounds = backgrounds
        self.catalog = catalog
        keys: set[str] = set()
        names = sorted({configuration.model for configuration in self.results.configurations})
        self.model_keys = {name: unique(slug(name), keys) for name in names}
        self._places = [decimals(level.half_width for level in levels.values()) for levels in board.levels]
        self._readings = [
            readings(self.results, number, catalog, background.corpus)
            for number, background in enumerate(backgrounds)
        ]

    @functools.cached_property
    def opening(self) -> BoardWindow | None:
        """The board as it opens: what every model's page says its place in; None: no model has a cell."""
        return self._window(self.board.default.month)

    @functools.cached_property
    def windows(self) -> list[BoardWindow]:
        """The board of every month, the newest first; none where months are no windows."""
        if self.board.default.month is None:
            return []
        months = sorted({corpus.month for corpus in self.results.corpora} - {UNDATED}, reverse=True)
        return [window for month in months if (window := self._window(month)) is not None]

    def _window(self, month: str | None) -> BoardWindow | None:
        counted = self.board.counted(Choice(self.board.default.policy, None, month))
        if counted is None:
            return None
        order = counted.view.order(HEADLINE)
        return BoardWindow(month, counted.view, order, counted.view.ranks(HEADLINE, order))

    @functools.cached_property
    def _rows(self) -> list[RowHead]:
        return [self._row(index) for index in range(len(self.results.configurations))]

    def row(self, index: int) -> RowHead:
        """The head of a configuration's row."""
        return self._rows[index]

    def _row(self, index: int) -> RowHead:
        configuration = self.results.configurations[index]
        facts = self.facts(index)
        cutoff = self.board.dates.cutoffs[index]
        details = "compressor"
        if configuration.policy is not None:
            limit = configuration.settings.context_limit
            context = f"context ≤\u00a0{limit:,}" if limit else "any length"
            details = f"{_precision(facts)} · {context}"
        return RowHead(
            index=index,
            key=configuration.key,
            label=configuration.label,
            href=f"models/{self.model_keys[configuration.model]}.html",
            details=details,
            policy=configuration.policy,
            num_parameters=facts.num_parameters,
            size=parameters(facts.num_parameters),
            license=facts.license,
            owner=self._owner(configuration.model),
            released=facts.released,
            cutoff=facts.knowledge_cutoff,
            cutoff_day=cutoff.last_day.isoformat() if cutoff else None,
        )

    def _owner(self, model: str) -> str | None:
        entry = self.catalog.get(model)
        return entry.target.partition("/")[0] if entry is not None and "/" in entry.target else None

    def rows(self) -> list[RowHead]:
        """The heads of all rows."""
        return list(self._rows)

    def facts(self, index: int) -> CellModel:
        """What the cells say of a model, completed from the catalog."""
        configuration = self.results.configurations[index]
        entry = self.catalog.get(configuration.model)
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

    @functools.cached_property
    def _columns(self) -> list[ColumnHead]:
        return [self._column(index) for index in range(len(self.results.corpora))]

    def column(self, index: int) -> ColumnHead:
        """The head of a corpus's column."""
        return self._columns[index]

    def _column(self, index: int) -> ColumnHead:
        corpus = self.results.corpora[index]
        earliest = self.board.dates.earliest[index]
        return ColumnHead(
            index=index,
            key=corpus.key,
            label=corpus.label,
            href=f"corpora/{corpus.key}.html",
            source=self.board.sources[index],
            month=corpus.month,
            dates=dates(corpus.facts.date_from, corpus.facts.date_to),
            decimals=self._places[index],
            sha256=corpus.sha256,
            first_day=earliest.isoformat() if earliest else None,
        )

    def columns(self) -> list[ColumnHead]:
        """The heads of all columns."""
        return list(self._columns)

    @functools.cached_property
    def sources(self) -> list[SourceHead]:
        """Of all corpora, in the order of their labels."""
        corpora_of: dict[str, list[ScoredCorpus]] = {}
        for label, corpus in zip(self.board.sources, self.results.corpora, strict=True):
            corpora_of.setdefault(label, []).append(corpus)
        keys: set[str] = set()
        heads = []
        for label, corpora in sorted(corpora_of.items()):
            languages = Counter(main_language(corpus.facts) for corpus in corpora)
            language = max(languages, key=lambda name: (languages[name], name))
            heads.append(SourceHead(unique(slug(label), keys), label, language))
        return heads

    def mark(self, configuration: int, corpora: Iterable[int]) -> str:
        """What stands behind a rank or an aggregate of a model over these corpora."""
        read = [self._readings[corpus] for corpus in corpora]
        exposures = [by_model[configuration].exposure for by_model in read if configuration in by_model]
        return combined(exposures).mark if exposures else ""

    def audit(self, configuration: int) -> ModelAudit | None:
        """The newest audit of a language model's load; None where there is none, or it is a compressor."""
        cells = (corpus.all_cells.get(configuration) for corpus in self.results.corpora)
        cell = next(cell for cell in cells if cell is not None)
        return None if cell.is_of_a_compressor else audit_of_cell(self._audits, cell)

    def cell(self, corpus: int, configuration: int) -> TableCell | None:
        """One number of a table; None where there is no cell."""
        scored = self.results.corpora[corpus]
        cell = scored.all_cells.get(configuration)
        if cell is None:
            return None
        is_part = configuration in scored.part_cells
        level = self.board.level(corpus, configuration)
        reading = self._readings[corpus][configuration]
        places = self._places[corpus]
        audit = audit_of_cell(self._audits, cell)
        failed_audit = cell.failed_audit or (audit.likely_fault if audit else None)
        return TableCell(
            href=cell_file(cell, scored, self.results.configurations[configuration].key),
            value=number(level.value, places),
            half_width=None if level.half_width is None else number(level.half_width, places),
            marks=("*" if cell.documents.num_lossy or is_part else "")
            + ("‡" if cell.documents.num_literal else "")
            + ("✓" if cell.proof else "")
            + ("⚠" if failed_audit else "")
            + reading.exposure.mark,
            title="; ".join(
                [
                    *_notes(cell, level, reading),
                    *([_part_note(cell, scored)] if is_part else []),
                    *_audit_notes(cell, failed_audit, audit),
                ]
            ),
            reading=reading,
            totals=cell.totals,
            metrics=cell.metrics,
            level=level,
            rate=rate(level),
        )


def _precision(facts: CellModel) -> str:
    """The type in which a model computes, and how its weights are stored where they were quantised."""
    stored_dtype = facts.details.get("stored_dtype")
    if isinstance(stored_dtype, str) and is_quantised(stored_dtype):
        return f"{stored_dtype} weights, computed in {facts.dtype}"
    return facts.dtype


def _notes(cell: CorpusCell, level: Estimate, reading: Reading) -> list[str]:
    """What stands behind a number."""
    notes = [f"{level.value:.6f} bits per byte"]
    if level.low is None:
        notes.append(f"no interval: fewer than {MIN_CLUSTERS} clusters")
    else:
        notes.append(f"95 % interval {level.low:.6f} to {level.high:.6f}")
    notes.append(f"policy {cell.policy.name}")
    if cell.documents.num_lossy:
        notes.append(
            f"{cell.documents.num_lossy} documents left out: its tokens do not decode to their bytes"
        )
    if cell.documents.num_literal:
        notes.append(f"{cell.documents.num_literal} documents spelled as they stand, without its normaliser")
    if cell.proof:
        notes.append(
            f"{cell.proof.num_documents} documents were decoded from {cell.proof.code_bytes:,} bytes of code"
        )
    if reading.exposure.mark:
        notes.append(reading.text)
    return notes


def _part_note(cell: CorpusCell, corpus: ScoredCorpus) -> str:
    """Why a number is over fewer documents than the others of its column."""
    return (
        f"over {cell.corpus.num_documents:,} of {len(corpus.ids):,} documents: the texts of the others were "
        "not at hand; differences are over the documents that both models were scored on, and no aggregate "
        "counts this number"
    )


def _audit_notes(cell: CorpusCell, failed_audit: str | None, audit: ModelAudit | None) -> list[str]:
    """What is known of the model's load; nothing of a compressor's, which is not audited."""
    if failed_audit is not None:
        return [f"the model failed its audit: {failed_audit}"]
    if cell.is_of_a_compressor:
        return []
    return ["the model was not audited" if audit is None else f"the model passed its {audit.extent} audit"]
