"""What a cell says, typed: one frozen dataclass for each kind of cell, and the parts that they share.

| class | `kind` | what it is |
|---|---|---|
| `CorpusCell` | `corpus` | what one model paid for one corpus under one policy |
| `TaskCell` | `task` | what one model answered to one task |
| `ProbeCell` | `trained-probe` | how far one network, trained on one task, generalizes |

The last is in `evalkit.cells.probe_schema`, a cell's policy in `evalkit.cells.policy_schema`, what it was
computed on in `evalkit.cells.environment_schema`.

Fields are named as in the file and are all in it, but where `evalkit.fields` says otherwise;
`evalkit.cells.reading` reads them, and refuses a file with a field more, or less, or of another type.

Schema 2, which is written, has the ``kind`` in every file. Schema 1 is read as well: there cells of corpora
have no kind, and those of tasks have the kind ``probe``. `content_of` gives back either as it was read.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, NamedTuple

from evalkit.cells import files as cell_files
from evalkit.cells.environment_schema import Environment
from evalkit.cells.policy_schema import CellPolicy, ContextCut, Fact
from evalkit.displayed import Displayed, Record
from evalkit.fields import JsonValue, Mark, Scalar, to_json
from evalkit.stats import Interval
from evalkit.tasks import SummaryRow

COMPRESSION_RATE_PERCENT_PER_BPB = 12.5
"""One bit per byte is an eighth of the text: the number that Uncheatable Eval prints."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cell:
    """What cells of every kind say."""

    kind: ClassVar[str]
    path: Annotated[Path, Mark.NOT_IN_FILE]
    """The JSON file."""
    schema_version: int
    created: str
    """When, in UTC, as ISO 8601 has it."""
    environment: Annotated[Environment, Mark.ALIKE]
    sha256: str
    """Digest of the rest of the file."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CellModel:
    """The model of a cell. The facts from `num_parameters` on do not change the numbers."""

    name: str
    loader: str
    revision: str | None
    weights_sha256: str
    tokenizer_sha256: str
    config_sha256: Fact = None
    """Digest of the other files that were read; absent where none were, and in older cells."""
    numerics: Fact = None
    """Generation of the library that computed; the same."""
    dtype: str
    num_parameters: Annotated[int | None, Mark.MAY_BE_ABSENT] = None
    released: Fact = None
    """``YYYY``, ``YYYY-MM`` or ``YYYY-MM-DD``."""
    knowledge_cutoff: Fact = None
    """The same."""
    cutoff_source: Fact = None
    license: Fact = None
    source: Fact = None
    target: Fact = None
    """Repository on the hub, or name of the local folder or file."""
    file: Fact = None
    model_type: Fact = None
    """As transformers calls it."""
    library: Fact = None
    """A compressor's, with its version."""
    settings: Fact = None
    """A compressor's."""
    details: Annotated[Mapping[str, Scalar], Mark.FLAT]
    """Whatever else a loader says of its model."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CellCorpus:
    """The corpus of a cell."""

    name: str
    sha256: str
    date_from: str | None
    """First day (``YYYY-MM-DD``) on which a document can have been published; None: not known."""
    date_to: str | None
    """Last such day, included."""
    num_documents: int
    num_bytes: int
    limit: int | None
    """How many documents ``--limit`` left of it; None where no document was left out."""
    licenses: Mapping[str, int]
    """Documents by license."""
    sources: Annotated[Mapping[str, int] | None, Mark.MAY_BE_ABSENT] = None
    """Documents by source; older cells do not say."""
    records_sha256: Fact = None
    """Digest of all fields of all documents, see `evalkit.corpora.document`; older cells do not say."""
    languages: Annotated[Mapping[str, int] | None, Mark.MAY_BE_ABSENT] = None
    """Documents by language, ``unknown`` where nobody stated it; the same."""
    num_with_context: Annotated[int | None, Mark.MAY_BE_ABSENT] = None
    """Documents with a context, which is no part of `num_bytes`; None where there is none."""
    cut: Annotated[ContextCut | None, Mark.MAY_BE_ABSENT] = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class CellTotals:
    """Sums over the documents that were scored."""

    num_documents: int
    num_bytes: int
    num_tokens: int | None
    """None for a compressor."""
    total_bits: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class CellMetrics:
    """What follows from the totals."""

    bits_per_byte: float
    bits_per_byte_low: float | None
    """Lower end of the interval; None where there are too few clusters for one."""
    bits_per_byte_high: float | None
    confidence: float
    num_clusters: int
    compression_rate_percent: float
    tokens_per_s: float | None
    bytes_per_s: float

    @property
    def interval(self) -> Interval | None:
        """Of the bits per byte."""
        if self.bits_per_byte_low is None or self.bits_per_byte_high is None:
            return None
        return Interval(self.bits_per_byte_low, self.bits_per_byte_high)


@dataclasses.dataclass(frozen=True, kw_only=True)
class LossyDocument:
    """A document that a model's tokens cannot represent, and why."""

    id: str
    reason: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class CellDocuments:
    """The rows, which are in a file of their own."""

    parquet: str
    parquet_sha256: str
    num_lossy: int
    lossy: tuple[LossyDocument, ...]
    num_literal: Annotated[int | None, Mark.MAY_BE_ABSENT] = None
    """Documents in tokens that the tokenizer would not give; None for a compressor and in older cells."""
    token_bits: bool
    """Whether the rows have the bits of every token."""
    token_bits_removed: Annotated[str | None, Mark.MAY_BE_ABSENT] = None
    """The day on which they were taken out to save room; see `evalkit.cells.pruning`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CellProof:
    """Documents of a cell that were coded by the model and decoded again to the last bit."""

    num_documents: int
    """The first of the corpus that the model's tokens can represent."""
    num_bytes: int
    code_bytes: int
    """Of one code for all of them, without any header."""
    total_bits: float
    """What they cost by the distributions that they were coded by."""


class DocumentRow(NamedTuple):
    """A document of a cell of a corpus."""

    id: str
    sha256: str
    title: str | None
    cluster: str
    """What it is resampled with."""
    num_bytes: int
    num_tokens: int | None
    """None for a compressor, and where the document could not be represented."""
    total_bits: float | None
    """None where the document could not be represented."""
    lossy: str | None
    """Why it could not."""
    published_at: str | None = None
    """When it was published, as `evalkit.corpora.document.Document` has it; older cells do not say."""
    story_id: str | None = None
    """What it shares with documents that say the same in other languages; None in a corpus without any."""
    language: str | None = None
    """Where a corpus has such documents, as the document states it; else None."""


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class CorpusCell(Displayed, Cell):
    """What one model paid for one corpus under one policy."""

    kind: ClassVar[str] = "corpus"
    seconds: float
    """Time that the scoring took, without loading."""
    model: Annotated[CellModel, Mark.ALIKE]
    corpus: Annotated[CellCorpus, Mark.ALIKE]
    policy: Annotated[CellPolicy, Mark.ALIKE]
    totals: CellTotals
    metrics: CellMetrics
    documents: CellDocuments
    scorer_version: int
    proof: Annotated[CellProof | None, Mark.MAY_BE_ABSENT] = None
    """Absent where no document was decoded; no part of the key."""
    failed_audit: Fact = None
    """The fault for which the model failed its audit; absent where it passed, or was not audited."""

    def headline(self) -> str:
        """Model, corpus, policy and the metric."""
        place = f"{self.model.name} on {self.corpus.name}, policy {self.policy.name}"
        return f"{place}: {self.bits_per_byte:.4f} bits/byte"

    def records(self) -> list[Record]:
        """A row per document, as `rows` has them."""
        return [row._asdict() for row in self.rows()]

    def as_record(self, **marks: object) -> Record:
        """The cell as a row among others: what it is of, marks, metric with interval, totals and speeds."""
        return {
            "model": self.model.name,
            "corpus": self.corpus.name,
            "policy": None if self.is_of_a_compressor else self.policy.name,
            **marks,
            **dataclasses.asdict(self.metrics),
            **dataclasses.asdict(self.totals),
            "path": str(self.path),
        }

    @property
    def bits_per_byte(self) -> float:
        """The metric."""
        return self.metrics.bits_per_byte

    @property
    def is_of_a_compressor(self) -> bool:
        """Whether the model has no tokens, and so no policy."""
        return self.totals.num_tokens is None

    def rows(self) -> list[DocumentRow]:
        """A row per document, without the tokens.

        Raises:
            ScoringError: the files are not what was written.
        """
        path, remedy = self.path.with_suffix(".parquet"), "delete it and run again"
        cell_files.check_rows(path, self.documents.parquet_sha256, remedy=remedy)
        columns = cell_files.read_rows(path, DocumentRow._fields, remedy=remedy).to_pydict()
        values = zip(*columns.values(), strict=True)
        return [DocumentRow(**dict(zip(columns, row, strict=True))) for row in values]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskCellModel(CellModel):
    """The model of a cell of a task, and what it read before every question."""

    context_limit: int | None
    prefix_rule: str
    prefix_ids: tuple[int, ...]
    prefix_text: Fact = None
    planned_rule: Fact = None
    """As `CellPolicy.planned_rule`."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CellTask:
    """The task of a cell."""

    name: str
    method: str
    """How it was asked."""
    sha256: str
    """Of everything but the model that determines the numbers."""
    num_items: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class CellItems:
    """The rows, which are in a file of their own."""

    parquet: str
    parquet_sha256: str


@dataclasses.dataclass(frozen=True, kw_only=True, repr=False)
class TaskCell(Displayed, Cell):
    """What one model answered to one task."""

    kind: ClassVar[str] = "task"
    seconds: float
    """Time that the asking took, without loading."""
    model: Annotated[TaskCellModel, Mark.ALIKE]
    task: Annotated[CellTask, Mark.ALIKE]
    summary: tuple[SummaryRow, ...]
    """The lines of the table."""
    details: Annotated[Mapping[str, JsonValue], Mark.ANY_JSON]
    """Whatever else the task says of its results."""
    documents: CellItems
    tasks_version: int

    def headline(self) -> str:
        """Model and task."""
        return f"{self.model.name} on {self.task.name}: {self.task.num_items} items"

    def records(self) -> list[Record]:
        """The lines of its table: accuracy by bucket."""
        return [dataclasses.asdict(row) for row in self.summary]

    def rows(self) -> list[dict[str, JsonValue]]:
        """A row per item, with the task's own columns.

        Raises:
            ScoringError: the files are not what was written.
        """
        path, remedy = self.path.with_suffix(".parquet"), "delete it and run again"
        cell_files.check_rows(path, self.documents.parquet_sha256, remedy=remedy)
        rows: list[dict[str, JsonValue]] = cell_files.read_rows(path, remedy=remedy).to_pylist()
        return rows

    @property
    def date(self) -> str | None:
        """The day for which the items were made, where the task says it."""
        return _text(self.details.get("date"))

    @property
    def note(self) -> str | None:
        """A line to be printed below the table, where there is one."""
        return _text(self.details.get("note"))

    @property
    def num_tokens_read(self) -> int | None:
        """How many tokens were read, where the task says it."""
        return _count(self.details.get("num_tokens_read"))

    @property
    def num_tokens_unshared(self) -> int | None:
        """How many would have been read if no beginning had been shared, where the task says it."""
        return _count(self.details.get("num_tokens_unshared"))


def _text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) else None


def _count(value: JsonValue) -> int | None:
    return value if isinstance(value, int) else None


def content_of(cell: Cell) -> dict[str, object]:
    """A cell as its file has it."""
    kind = kind_in_file(type(cell), cell.schema_version)
    return {"status": "success", **({} if kind is None else {"kind": kind}), **to_json(cell)}


def kind_in_file(cls: type[Cell], schema_version: int) -> str | None:
    """What a file of a schema says under ``kind``; None where it does not have it."""
    if schema_version == 1 and cls is CorpusCell:
        return None
    if schema_version == 1 and cls is TaskCell:
        return "probe"
    return cls.kind
