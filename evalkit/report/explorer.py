"""The byte-level explorer: passages, and the documents that can be opened.

Made of cells that were scored with ``--token-bits`` and of the corpus's texts; `explorer_data` puts it into
the form that the pages' scripts read.
"""

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from evalkit.analysis import passages
from evalkit.analysis.byte_costs import byte_costs
from evalkit.analysis.results import Results, ScoredCorpus
from evalkit.cells.files import read_rows
from evalkit.corpora.licenses import may_republish
from evalkit.corpora.store import Document
from evalkit.scoring.tokens import Tokens

_Key = TypeVar("_Key")
MAX_ALL_PAIRS = 12
"""Models of a policy: each of so many is paired with each."""
NUM_NEIGHBORS = 5
"""On either side in rank: with whom each of more models is paired, and with the best."""


class Passage(NamedTuple):
    """A stretch of a document."""

    document: int
    start: int
    end: int
    bits: dict[int, float | None]
    """By configuration; None where it does not pay for every byte of the passage."""
    text: str | None
    """None where the license does not allow it."""


class PassageLists(NamedTuple):
    """Which passages are shown of whom: indices among an exploration's passages, the most extreme first."""

    won: dict[tuple[int, int], list[int]]
    """By pair: where the first saves most against the second."""
    lost: dict[tuple[int, int], list[int]]
    cheapest: dict[int, list[int]]
    """By configuration: where it pays least."""
    costliest: dict[int, list[int]]


@dataclasses.dataclass(frozen=True)
class Exploration:
    """What the explorer shows of one corpus; models are indices of the results' configurations."""

    corpus: int
    """Index among the results' corpora."""
    configurations: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    """Those that have passages of their own: of one policy each, the lower in bits per byte first."""
    passages: tuple[Passage, ...]
    lists: PassageLists
    opened: tuple[int, ...]
    """Documents that can be opened."""


class TokenReader:
    """Tokens of a corpus's documents by configuration, read from the cells."""

    def __init__(self, corpus: ScoredCorpus, configurations: Sequence[int]) -> None:
        self._columns = {}
        self._row_of = {
            configuration: {int(place): row for row, place in enumerate(part.places)}
            for configuration, part in corpus.part_cells.items()
        }
        cells = corpus.all_cells
        for configuration in configurations:
            cell = cells[configuration]
            table = read_rows(
                cell.path.with_suffix(".parquet"),
                ["token_bits", "token_ends"],
                remedy="delete it and run again",
            )
            bits, ends = (table[name].combine_chunks() for name in ("token_bits", "token_ends"))
            self._columns[configuration] = (
                bits.offsets.to_numpy(),
                bits.values.to_numpy(zero_copy_only=False).astype(np.float32),
                ends.values.to_numpy(),
            )

    def tokens(self, configuration: int, document: int) -> Tokens:
        """Of one document; no tokens where the model could not represent it."""
        offsets, bits, ends = self._columns[configuration]
        row = self._row_of[configuration][document] if configuration in self._row_of else document
        part = slice(offsets[row], offsets[row + 1])
        return Tokens(bits[part], ends[part])


def explore(
    results: Results, number: int, documents: Mapping[int, Document], *, num_documents: int
) -> tuple[Exploration, TokenReader] | None:
    """Explore a corpus; None where no model kept the bits of its tokens.

    Args:
        results: all cells.
        number: index of the corpus.
        documents: those whose texts are at hand, by place; the others are not explored.
        num_documents: how many can be opened at most.
    """
    corpus = results.corpora[number]
    configurations = _with_tokens(results, corpus)
    if not configurations:
        return None
    pairs = _pairs(results, configurations)
    reader = TokenReader(corpus, configurations)
    is_scored = ~np.isnan(corpus.bits[:, configurations])
    windows = []
    for index in [index for index in sorted(documents) if is_scored[index].any()]:
        costs = (
            byte_costs(*reader.tokens(model, index)) if can_represent else None
            for model, can_represent in zip(configurations, is_scored[index], strict=True)
        )
        windows.append(passages.cut(index, documents[index].data, costs))
    lists, shown = _choose_passages(windows, configurations, pairs, documents)
    exploration = Exploration(
        corpus=number,
        configurations=tuple(configurations),
        pairs=pairs,
        passages=tuple(shown),
        lists=lists,
        opened=tuple(
            _opened(corpus, configurations, documents, [passage.document for passage in shown], num_documents)
        ),
    )
    return exploration, reader


def _with_tokens(results: Results, corpus: ScoredCorpus) -> list[int]:
    """The configurations that kept the bits of tokens: by policy, then from the lowest bits per byte."""
    cells = {index: cell for index, cell in corpus.all_cells.items() if cell.documents.token_bits}
    return sorted(
        cells,
        key=lambda index: (
            results.policies.index(results.configurations[index].policy or results.policies[0]),
            cells[index].bits_per_byte,
            index,
        ),
    )


def _pairs(results: Results, configurations: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """The pairs of models, in the order of the models.

    All that share a policy; of many models those near each other in rank, so that pairs grow as models do.
    """
    groups: dict[str | None, list[int]] = {}
    for index in configurations:
        groups.setdefault(results.configurations[index].policy, []).append(index)
    return tuple(
        (first, second)
        for group in groups.values()
        for place, first in enumerate(group)
        for second in group[place + 1 :][
            : None if place == 0 or len(group) <= MAX_ALL_PAIRS else NUM_NEIGHBORS
        ]
    )


def _choose_passages(
    parts: Sequence[passages.Windows],
    configurations: Sequence[int],
    pairs: Sequence[tuple[int, int]],
    documents: Mapping[int, Document],
) -> tuple[PassageLists, list[Passage]]:
    """The lists, and the passages that any of them names; none where there is no document."""
    if not parts:
        by_pair: dict[tuple[int, int], list[int]] = {pair: [] for pair in pairs}
        by_model: dict[int, list[int]] = {index: [] for index in configurations}
        return PassageLists(by_pair, by_pair, by_model, by_model), []
    windows = passages.joined(parts)
    column_of = {index: column for column, index in enumerate(configurations)}
    gaps = {(a, b): windows.bits[:, column_of[a]] - windows.bits[:, column_of[b]] for a, b in pairs}
    # Per byte, for the last window of a document may be a few bytes longer or shorter.
    rates = windows.bits / (windows.ends - windows.starts)[:, None]
    lists = PassageLists(
        won={pair: passages.lowest(windows, gap, below=0) for pair, gap in gaps.items()},
        lost={pair: passages.lowest(windows, -gap, below=0) for pair, gap in gaps.items()},
        cheapest={index: passages.lowest(windows, rates[:, column_of[index]]) for index in configurations},
        costliest={index: passages.lowest(windows, -rates[:, column_of[index]]) for index in configurations},
    )
    chosen = sorted({index for by_key in lists for indices in by_key.values() for index in indices})
    place_of = {index: place for place, index in enumerate(chosen)}

    shown = [_passage(windows, index, column_of, documents) for index in chosen]
    return (
        PassageLists(
            won=_renumbered(lists.won, place_of),
            lost=_renumbered(lists.lost, place_of),
            cheapest=_renumbered(lists.cheapest, place_of),
            costliest=_renumbered(lists.costliest, place_of),
        ),
        shown,
    )


def _renumbered(indices_by_key: dict[_Key, list[int]], place_of: dict[int, int]) -> dict[_Key, list[int]]:
    return {key: [place_of[index] for index in indices] for key, indices in indices_by_key.items()}


def _passage(
    windows: passages.Windows, index: int, column_of: dict[int, int], documents: Mapping[int, Document]
) -> Passage:
    document = int(windows.documents[index])
    start, end = int(windows.starts[index]), int(windows.ends[index])
    text = None
    if may_republish(documents[document].license):
        text = documents[document].data[start:end].decode("utf-8")
    row = windows.bits[index].round(2)
    bits = {
        configuration: None if np.isnan(row[column]) else float(row[column])
        for configuration, column in column_of.items()
    }
    return Passage(document, start, end, bits, text)


def _opened(
    corpus: ScoredCorpus,
    configurations: Sequence[int],
    at_hand: Collection[int],
    with_passages: Sequence[int],
    num_documents: int,
) -> list[int]:
    """The documents that can be opened: those with passages first, then those the models differ on most."""
    rates = corpus.bits[:, configurations] / corpus.num_bytes[:, None]
    is_scored = ~np.isnan(rates).all(axis=1) & np.isin(np.arange(len(rates)), list(at_hand))
    spread = np.zeros(len(rates))
    spread[is_scored] = np.nanmax(rates[is_scored], axis=1) - np.nanmin(rates[is_scored], axis=1)
    counts = np.bincount(np.asarray(with_passages, dtype=np.int64), minlength=len(rates))
    order = sorted(
        np.flatnonzero(is_scored).tolist(), key=lambda index: (-counts[index], -spread[index], index)
    )
    return sorted(order[:num_documents])
