"""The page of a model: its facts, its cells, its differences from every other."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from evalkit.analysis.aggregates import AGGREGATES, HEADLINE
from evalkit.analysis.effective_cutoff import effective_cutoff
from evalkit.analysis.effective_cutoff_text import short_text
from evalkit.analysis.estimates import NUM_NEIGHBORS
from evalkit.audit.result import ModelAudit
from evalkit.cells.policy_schema import CellPolicy
from evalkit.cells.schema import CellModel
from evalkit.errors import UsageError
from evalkit.fields import to_json
from evalkit.report.pages import ColumnHead, Pages, RowHead, TableCell
from evalkit.report.shown import ShownEstimate, ShownGap, difference, estimate, part_text, rank_text
from evalkit.report.text import decimals, parameters, web_link

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


class Standing(NamedTuple):
    """Where a model stands on the board as it opens."""

    rank: str | None
    """With its mark; None: it lacks some of the corpora, and the aggregates are over the others."""
    mark: str
    """Behind the aggregates."""
    num_ranked: int
    num_corpora: int
    num_scored: int
    """Of the corpora: those that it has."""
    month: str | None
    """None: of all months."""
    aggregates: Mapping[str, ShownEstimate]
    """By heading."""


class PastStanding(NamedTuple):
    """Where a model stood in a month."""

    month: str
    rank: str
    num_ranked: int
    mark: str
    aggregate: ShownEstimate
    part: str
    """Over how many of the month's corpora it is, ``3 of 7``; empty: over all."""
    num_corpora: int


class RivalTable(NamedTuple):
    """Differences on the corpora of a month, or of all."""

    month: str | None
    columns: list[ColumnHead]
    rivals: list[Rival]


class ConfigurationSection(NamedTuple):
    """A model in one configuration."""

    head: RowHead
    settings: CellPolicy
    standing: Standing | None
    """None: it has none of the corpora that count there."""
    facts: list[Fact]
    effective_cutoff: str | None
    """Until when it has read, as the cells tell; None where there are too few months to look."""
    cells: list[tuple[ColumnHead, TableCell]]
    history: list[PastStanding]
    """Month by month, the newest first; empty where months are no windows."""
    rival_tables: list[RivalTable]
    """The newest month first: corpora of years side by side are nothing to look at."""
    num_rivals: int
    num_models: int
    """That share a corpus with it; more than the rivals where only neighbors in rank are paired."""
    losses: list[ColumnHead]
    """Those with a page of losses by kind that has it."""
    audit: ModelAudit | None


class ModelPage(NamedTuple):
    """What the page says."""

    name: str
    configurations: list[ConfigurationSection]


def model_page(pages: Pages, name: str, losses: Mapping[int, Collection[int]]) -> ModelPage:
    """The page of a model.

    Args:
        pages: of the site.
        name: the model's.
        losses: by corpus, the models that its page of losses by kind has.
    """
    configurations = [
        _section(pages, index, losses)
        for index, configuration in enumerate(pages.results.configurations)
        if configuration.model == name
    ]
    return ModelPage(name, configurations)


def _section(pages: Pages, index: int, losses: Mapping[int, Collection[int]]) -> ConfigurationSection:
    columns = [column for column in pages.columns() if index in pages.results.corpora[column.index].all_cells]
    corpora = [column.index for column in columns]
    heads = _heads_of_rivals(pages, index, corpora)
    rivals = _rivals(pages, index, corpora, heads)
    cells = [(column, pages.cell(column.index, index)) for column in columns]
    return ConfigurationSection(
        head=pages.row(index),
        settings=pages.results.configurations[index].settings,
        standing=_standing(pages, index),
        facts=_facts(pages.facts(index)),
        effective_cutoff=_effective_cutoff(pages, index),
        cells=[(column, cell) for column, cell in cells if cell is not None],
        history=_history(pages, index),
        rival_tables=_rival_tables(pages, columns, rivals),
        num_rivals=len(rivals),
        num_models=len(rivals) if len(heads) == len(pages.rows()) else _num_comparable(pages, index, corpora),
        losses=[column for column in columns if index in losses.get(column.index, ())],
        audit=pages.audit(index),
    )


def _standing(pages: Pages, index: int) -> Standing | None:
    opening = pages.opening
    if opening is None:
        return None
    view = opening.view
    levels = {aggregate.title: view.level(kind, index) for kind, aggregate in AGGREGATES.items()}
    scored = {title: part for title, part in levels.items() if part is not None}
    if not scored:
        return None
    mark = pages.mark(index, view.corpora)
    return Standing(
        rank=rank_text(opening.ranks[index]) + mark if index in opening.ranks else None,
        mark=mark,
        num_ranked=len(view.configurations),
        num_corpora=len(view.corpora),
        num_scored=min(part.num_corpora for part in scored.values()),
        month=opening.month,
        aggregates={
            title: estimate(part.level, decimals([part.level.half_width])) for title, part in scored.items()
        },
    )


def _history(pages: Pages, index: int) -> list[PastStanding]:
    past = []
    for window in pages.windows:
        part = window.view.level(HEADLINE, index)
        if part is None or window.month is None:
            continue
        past.append(
            PastStanding(
                month=window.month,
                rank=rank_text(window.ranks.get(index)),
                num_ranked=len(window.order),
                mark=pages.mark(index, window.view.corpora),
                aggregate=estimate(part.level, decimals([part.level.half_width])),
                part=part_text(window.view, part),
                num_corpora=len(window.view.corpora),
            )
        )
    return past


def _rival_tables(pages: Pages, columns: Sequence[ColumnHead], rivals: Sequence[Rival]) -> list[RivalTable]:
    """The differences by month where months are windows, each with the rivals that have one there."""
    months = sorted({column.month for column in columns}, reverse=True) if pages.windows else [None]
    tables = []
    for month in months:
        places = [place for place, column in enumerate(columns) if month in (None, column.month)]
        rows = [Rival(rival.head, [rival.gaps[place] for place in places]) for rival in rivals]
        rows = [row for row in rows if any(gap is not None for gap in row.gaps)]
        tables.append(RivalTable(month, [columns[place] for place in places], rows))
    return [table for table in tables if table.rivals]


def _heads_of_rivals(pages: Pages, index: int, corpora: Sequence[int]) -> list[RowHead]:
    """All models; where only neighbors are paired, those that are this one's on the most of these corpora."""
    tables = [pages.board.pairs[corpus] for corpus in corpora]
    if not any(table.near_only for table in tables):
        return pages.rows()
    counts = Counter(partner for table in tables for partner in table.partners(index))
    nearest = sorted(counts, key=lambda partner: (-counts[partner], abs(partner - index)))
    return [pages.row(partner) for partner in sorted(nearest[: 2 * NUM_NEIGHBORS])]


def _num_comparable(pages: Pages, index: int, corpora: Sequence[int]) -> int:
    """How many models of the same policy, or of none, share one of these corpora."""
    rows = pages.results.configurations
    scored = set().union(*(pages.results.corpora[corpus].all_cells for corpus in corpora)) - {index}
    policy = rows[index].policy
    return sum(policy is None or rows[rival].policy in (policy, None) for rival in scored)


def _rivals(pages: Pages, index: int, corpora: Sequence[int], heads: Sequence[RowHead]) -> list[Rival]:
    """Those of the models that share a corpus with this one, the best of the board first."""
    order = pages.opening.order if pages.opening else []
    places = {model: place for place, model in enumerate(order)}
    rivals = []
    for head in sorted(heads, key=lambda head: places.get(head.index, len(places))):
        if head.index == index:
            continue
        gaps = [pages.board.difference(corpus, index, head.index) for corpus in corpora]
        if any(gap is not None for gap in gaps):
            rivals.append(Rival(head, [None if gap is None else difference(gap) for gap in gaps]))
    return rivals


def _effective_cutoff(pages: Pages, index: int) -> str | None:
    configuration = pages.results.configurations[index]
    if configuration.policy is None:
        return None
    try:
        cutoff = effective_cutoff(
            pages.results, configuration.label, policy=configuration.policy, catalog=pages.catalog
        )
    except UsageError:  # it is alone
        return None
    return None if cutoff.rise is None else short_text(cutoff)


def _facts(model: CellModel) -> list[Fact]:
    values = {name: value for name, value in to_json(model).items() if value is not None and name != "name"}
    facts = []
    for name in [*_FACT_NAMES, *sorted(set(values) - set(_FACT_NAMES))]:
        if name not in values:
            continue
        text = str(values[name])
        if name == "num_parameters":
            text = f"{model.num_parameters:,} ({parameters(model.num_parameters)})"
        if name == "tokenizer_sha256" and text.startswith("by vocabulary size"):
            # What keys of RWKV-7 say; the digest of such a file is in that of the configuration.
            text = f"tokenizer.json beside the weights, where there is one; else {text}"
        facts.append(Fact(_FACT_NAMES.get(name, name.replace("_", " ")), text, web_link(text)))
    return facts
