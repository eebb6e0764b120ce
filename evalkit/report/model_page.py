"""The page of a model: its facts, its cells, its differences from every other."""

from collections.abc import Sequence
from typing import NamedTuple

from evalkit.cells.policy_schema import CellPolicy
from evalkit.cells.schema import CellModel
from evalkit.fields import to_json
from evalkit.report.pages import ColumnHead, Pages, RowHead, TableCell
from evalkit.report.shown import ShownGap, difference
from evalkit.report.text import parameters, web_link

_FACT_NAMES = {
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


class Fact(NamedTuple):
    """Something that is known of a model."""

    name: str
    text: str
    link: str | None


class Rival(NamedTuple):
    """Another model, and the differences from it."""

    head: RowHead
    gaps: Sequence[ShownGap | None]
    """Per column."""


class ConfigurationSection(NamedTuple):
    """A model in one configuration."""

    head: RowHead
    settings: CellPolicy
    facts: list[Fact]
    cells: list[tuple[ColumnHead, TableCell]]
    rivals: list[Rival]
    columns: list[ColumnHead]
    """The corpora that it was scored on."""


class ModelPage(NamedTuple):
    """What the page says."""

    name: str
    configurations: list[ConfigurationSection]


def model_page(pages: Pages, name: str) -> ModelPage:
    """The page of the model of this name."""
    configurations = [
        _section(pages, index)
        for index, configuration in enumerate(pages.results.configurations)
        if configuration.model == name
    ]
    return ModelPage(name, configurations)


def _section(pages: Pages, index: int) -> ConfigurationSection:
    columns = [column for column in pages.columns() if index in pages.results.corpora[column.index].cells]
    cells = [(column, pages.cell(column.index, index)) for column in columns]
    return ConfigurationSection(
        head=pages.row(index),
        settings=pages.results.configurations[index].settings,
        facts=_facts(pages.facts(index)),
        cells=[(column, cell) for column, cell in cells if cell is not None],
        rivals=_rivals(pages, index, [column.index for column in columns]),
        columns=columns,
    )


def _rivals(pages: Pages, index: int, corpora: Sequence[int]) -> list[Rival]:
    """The models that share a corpus with this one."""
    rivals = []
    for head in pages.rows():
        if head.index == index:
            continue
        gaps = [pages.board.difference(corpus, index, head.index) for corpus in corpora]
        if any(gap is not None for gap in gaps):
            rivals.append(Rival(head, [None if gap is None else difference(gap) for gap in gaps]))
    return rivals


def _facts(model: CellModel) -> list[Fact]:
    values = {name: value for name, value in to_json(model).items() if value is not None and name != "name"}
    facts = []
    for name in [*_FACT_NAMES, *sorted(set(values) - set(_FACT_NAMES))]:
        if name not in values:
            continue
        text = str(values[name])
        if name == "num_parameters":
            text = f"{model.num_parameters:,} ({parameters(model.num_parameters)})"
        facts.append(Fact(_FACT_NAMES.get(name, name.replace("_", " ")), text, web_link(text)))
    return facts
