"""Numbers that others have published, and ours of the same models on the same texts under the same protocol.

They are in `published.toml` beside this file, as their sources print them. Nothing of them is ranked, and
none is an estimate of ours: evalkit has not seen what they were computed from.
"""

import importlib.resources
import statistics
import tomllib
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, get_args

from evalkit.analysis.configurations import ModelConfiguration
from evalkit.analysis.results import Results
from evalkit.cells.schema import COMPRESSION_RATE_PERCENT_PER_BPB
from evalkit.models.catalog import CatalogEntry

Unit = Literal["bits per byte", "rate %"]
_PER_BIT_PER_BYTE: Mapping[Unit, float] = {"bits per byte": 1.0, "rate %": COMPRESSION_RATE_PERCENT_PER_BPB}
DECIMALS: Mapping[Unit, int] = {"bits per byte": 4, "rate %": 3}
"""As the sources print them."""


class PublishedModel(NamedTuple):
    """A row of a published table."""

    name: str
    """As it was published."""
    catalog_name: str | None
    """Of the same model in the catalog; None: it has none."""
    values: tuple[float | None, ...]
    """Per column, in the table's unit; None where nothing was published."""


class PublishedTable(NamedTuple):
    """A table that somebody published."""

    key: str
    title: str
    source: str
    """Address of where it was read."""
    unit: Unit
    policy: str | None
    """Of evalkit's, the one that follows the same protocol; None: there is none."""
    note: str | None
    columns: Mapping[str, tuple[str, ...]]
    """By heading, the corpora whose plain mean it is; none where it is not known which texts they were."""
    models: tuple[PublishedModel, ...]


class OurRow(NamedTuple):
    """What one of our configurations has beside a row of a published table."""

    label: str
    values: tuple[float | None, ...]
    """Per column, in the table's unit; None where we have not scored the same texts."""
    differences: tuple[float | None, ...]
    """Ours minus the published number."""


class ComparedRow(NamedTuple):
    """A published row, and ours beside it."""

    published: PublishedModel
    ours: tuple[OurRow, ...]
    """Of each configuration with a number for at least one of the columns."""


def published_tables() -> list[PublishedTable]:
    """All tables, in the order of the file."""
    text = (
        importlib.resources.files("evalkit.analysis").joinpath("published.toml").read_text(encoding="utf-8")
    )
    return read_tables(text)


def read_tables(text: str) -> list[PublishedTable]:
    """Tables as `published.toml` writes them.

    Raises:
        ValueError: it is not TOML, or a table does not fit together.
    """
    tables = []
    for key, table in tomllib.loads(text).items():
        columns = {heading: tuple(corpora) for heading, corpora in table["columns"].items()}
        models = [
            PublishedModel(name, catalog_name or None, tuple(None if v == "" else float(v) for v in values))
            for name, catalog_name, *values in table["models"]
        ]
        if table["unit"] not in get_args(Unit) or any(len(row.values) != len(columns) for row in models):
            raise ValueError(f"published table {key}: unknown unit, or a row with more or fewer numbers")
        tables.append(
            PublishedTable(
                key,
                table["title"],
                table["source"],
                table["unit"],
                table.get("policy"),
                table.get("note"),
                columns,
                tuple(models),
            )
        )
    return tables


def compare(
    table: PublishedTable, results: Results | None, catalog: Mapping[str, CatalogEntry]
) -> list[ComparedRow]:
    """The rows of a table with what our cells have of the same.

    The same model is one of the catalog's repository and file, under whatever name it was scored; the same
    texts are corpora of the same names; the same protocol is the table's policy.

    Args:
        table: what was published.
        results: ours; None: there are none.
        catalog: see `evalkit.models.catalog.load_catalog`.
    """
    rows = []
    for model in table.models:
        entry = catalog.get(model.catalog_name or "")
        ours = [
            _our_row(table, model, results, index)
            for index in (_configurations(results, entry, table.policy) if results and entry else ())
            if results is not None
        ]
        rows.append(ComparedRow(model, tuple(row for row in ours if any(v is not None for v in row.values))))
    return rows


def _configurations(results: Results, entry: CatalogEntry, policy: str | None) -> Sequence[int]:
    def is_same(configuration: ModelConfiguration) -> bool:
        facts = configuration.facts
        return configuration.policy == policy and (facts.target, facts.file) == (entry.target, entry.file)

    return [index for index, row in enumerate(results.configurations) if policy and is_same(row)]


def _our_row(table: PublishedTable, model: PublishedModel, results: Results, configuration: int) -> OurRow:
    values = [
        _mean(results, corpora, configuration, _PER_BIT_PER_BYTE[table.unit])
        for corpora in table.columns.values()
    ]
    differences = [
        None if ours is None or published is None else ours - published
        for ours, published in zip(values, model.values, strict=True)
    ]
    return OurRow(results.configurations[configuration].label, tuple(values), tuple(differences))


def _mean(results: Results, names: Sequence[str], configuration: int, factor: float) -> float | None:
    """The plain mean over corpora; None where one was not scored, or two have its name."""
    cells = []
    for name in names:
        of_name = [corpus for corpus in results.corpora if corpus.name == name]
        cell = of_name[0].cells.get(configuration) if len(of_name) == 1 else None
        if cell is None or cell.documents.num_lossy:
            return None
        cells.append(cell)
    return factor * statistics.fmean(cell.bits_per_byte for cell in cells) if cells else None
