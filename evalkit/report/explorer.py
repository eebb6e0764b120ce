"""The byte-level explorer's data: passages, slices, and the documents that can be opened.

Made of cells that were scored with ``--token-bits`` and of the corpus's texts. A text is shown where its
licence allows it; of other documents the site holds digests, offsets and the bits of longer stretches.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis import passages
from evalkit.analysis.estimates import Estimate, estimates, resampled_columns
from evalkit.analysis.results import ScoredCorpus, Store
from evalkit.analysis.slices import WAYS, per_byte, slices_of
from evalkit.cells.corpus_cell import Cell
from evalkit.corpora.licenses import may_republish
from evalkit.corpora.store import Corpus, Document

MAX_ENTRANTS = 12
"""Of a corpus: of more models, those of the first policy and the lowest bits per byte are explored."""

BITS_STEP = 0.01
"""In which the site stores the bits of a token."""


COARSE_BYTES = 64
"""Of a text that may not be shown, the site tells no more than the bits of stretches of this length."""


class Tokens(NamedTuple):
    """A document as one model read it."""

    bits: NDArray[np.float32]
    """``[T]``, NaN where unpaid."""
    ends: NDArray[np.int64]
    """``[T]``: the byte at which each token ends."""


class Slice(NamedTuple):
    """A kind of text in a corpus, and what each model pays for it."""

    way: str
    name: str
    num_bytes: int
    levels: dict[int, Estimate]
    """Bits per byte, by entrant."""
    pairs: dict[tuple[int, int], Estimate]


class Passage(NamedTuple):
    """A stretch of a document."""

    document: int
    start: int
    end: int
    bits: dict[int, float]
    text: str | None
    """None where the licence does not allow it."""


@dataclasses.dataclass(frozen=True)
class Exploration:
    """What the explorer shows of one corpus."""

    corpus: int
    """Index among the store's corpora."""
    entrants: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    """Of one policy each, the lower in bits per byte first."""
    num_left_out: int
    """Documents that not every one of the models can represent."""
    num_entrants_left_out: int
    slices: tuple[Slice, ...]
    passages: tuple[Passage, ...]
    won: dict[tuple[int, int], list[int]]
    """By pair: indices of passages where the first saves most against the second."""
    lost: dict[tuple[int, int], list[int]]
    cheapest: dict[int, list[int]]
    """By entrant: where it pays least."""
    costliest: dict[int, list[int]]
    opened: tuple[int, ...]
    """Documents that can be opened."""


class TokenReader:
    """Tokens of a corpus's documents by entrant, read from the cells."""

    def __init__(self, cells: dict[int, Cell]) -> None:
        import pyarrow.parquet as pq

        self._columns = {}
        for entrant, cell in cells.items():
            table = pq.read_table(cell.path.with_suffix(".parquet"), columns=["token_bits", "token_ends"])
            bits, ends = (table[name].combine_chunks() for name in ("token_bits", "token_ends"))
            self._columns[entrant] = (
                bits.offsets.to_numpy(),
                bits.values.to_numpy(zero_copy_only=False).astype(np.float32),
                ends.values.to_numpy(),
            )

    def tokens(self, entrant: int, document: int) -> Tokens:
        """Of one document; no tokens where the entrant could not represent it."""
        offsets, bits, ends = self._columns[entrant]
        part = slice(offsets[document], offsets[document + 1])
        return Tokens(bits[part], ends[part])


def explore(
    store: Store, number: int, texts: Corpus, *, num_documents: int
) -> tuple[Exploration, TokenReader] | None:
    """Explore a corpus; None where no model kept the bits of its tokens.

    Args:
        store: all cells.
        number: index of the corpus.
        texts: the same documents with their texts.
        num_documents: how many can be opened at most.
    """
    corpus = store.corpora[number]
    kept = {e: cell for e, cell in corpus.cells.items() if cell.content["documents"]["token_bits"]}
    if not kept:
        return None
    order = sorted(
        kept,
        key=lambda entrant: (
            store.policies.index(store.entrants[entrant].policy or store.policies[0]),
            kept[entrant].bits_per_byte,
            entrant,
        ),
    )
    entrants = order[:MAX_ENTRANTS]
    pairs = tuple(
        (first, second)
        for place, first in enumerate(entrants)
        for second in entrants[place + 1 :]
        if store.entrants[first].policy == store.entrants[second].policy
    )
    reader = TokenReader({entrant: kept[entrant] for entrant in entrants})
    common = np.flatnonzero(~np.isnan(corpus.bits[:, entrants]).any(axis=1)).tolist()
    cut, cells = [], []
    for index in common:
        document = texts.documents[index]
        bits = np.stack(
            [per_byte(*reader.tokens(entrant, index), document.n_bytes) for entrant in entrants], axis=1
        )
        cut.append(passages.cut(index, document.data, bits))
        cells.append(_slice_sums(document, bits))
    # No document that all can represent: no passages, of any model or pair.
    found: dict[str, Any] = {name: {pair: [] for pair in pairs} for name in ("won", "lost")}
    found |= {name: {entrant: [] for entrant in entrants} for name in ("cheapest", "costliest")}
    shown: list[Passage] = []
    if cut:
        found, shown = _passages(passages.joined(cut), entrants, pairs, texts.documents)
    opened = _opened(corpus, entrants, [passage.document for passage in shown], num_documents)
    return (
        Exploration(
            corpus=number,
            entrants=tuple(entrants),
            pairs=pairs,
            num_left_out=len(corpus.ids) - len(common),
            num_entrants_left_out=len(order) - len(entrants),
            slices=tuple(_slices(cells, [corpus.clusters[index] for index in common], entrants, pairs)),
            passages=tuple(shown),
            opened=tuple(opened),
            **found,
        ),
        reader,
    )


_SliceSums = dict[tuple[str, str], NDArray[np.float64]]


def _slice_sums(document: Document, bits: NDArray[np.float64]) -> _SliceSums:
    """By way and name: bytes, then bits of each model."""
    return {
        (way, name): np.append(float(mask.sum()), bits[mask].sum(axis=0))
        for way, parts in slices_of(document).items()
        for name, mask in parts
    }


def _slices(
    sums: Sequence[_SliceSums],
    clusters: Sequence[str],
    entrants: Sequence[int],
    pairs: Sequence[tuple[int, int]],
) -> Iterator[Slice]:
    names = {name for one in sums for name in one}
    num_bytes = {name: sum(float(one[name][0]) for one in sums if name in one) for name in names}
    place = {entrant: number for number, entrant in enumerate(entrants)}
    nothing = np.zeros(1 + len(entrants))
    for way, name in sorted(names, key=lambda key: (WAYS.index(key[0]), -num_bytes[key], key)):
        columns = np.stack([one.get((way, name), nothing) for one in sums])
        rows = resampled_columns(columns, clusters, stream=0)
        with np.errstate(divide="ignore", invalid="ignore"):  # resamples without such text
            levels = rows[1:] / rows[0]
        gaps = [levels[place[a]] - levels[place[b]] for a, b in pairs]
        yield Slice(
            way,
            name,
            int(num_bytes[way, name]),
            dict(zip(entrants, estimates(levels, len(set(clusters))), strict=True)),
            dict(zip(pairs, estimates(np.stack(gaps), len(set(clusters))), strict=True)) if pairs else {},
        )


def _passages(
    windows: passages.Windows,
    entrants: Sequence[int],
    pairs: Sequence[tuple[int, int]],
    documents: Sequence[Document],
) -> tuple[dict[str, Any], list[Passage]]:
    place = {entrant: number for number, entrant in enumerate(entrants)}
    found: dict[str, Any] = {"won": {}, "lost": {}, "cheapest": {}, "costliest": {}}
    for a, b in pairs:
        gaps = windows.bits[:, place[a]] - windows.bits[:, place[b]]
        found["won"][a, b] = passages.lowest(windows, gaps, below=0)
        found["lost"][a, b] = passages.lowest(windows, -gaps, below=0)
    # Per byte, for the last window of a document may be a few bytes longer or shorter.
    rates = windows.bits / (windows.ends - windows.starts)[:, None]
    for entrant in entrants:
        found["cheapest"][entrant] = passages.lowest(windows, rates[:, place[entrant]])
        found["costliest"][entrant] = passages.lowest(windows, -rates[:, place[entrant]])
    used = sorted({index for kind in found.values() for chosen in kind.values() for index in chosen})
    new = {index: number for number, index in enumerate(used)}
    shown = [_passage(windows, index, place, documents) for index in used]
    renumbered = {
        kind: {key: [new[index] for index in chosen] for key, chosen in by_key.items()}
        for kind, by_key in found.items()
    }
    return renumbered, shown


def _passage(
    windows: passages.Windows, index: int, place: dict[int, int], documents: Sequence[Document]
) -> Passage:
    document = int(windows.documents[index])
    start, end = int(windows.starts[index]), int(windows.ends[index])
    text = None
    if may_republish(documents[document].license):
        text = documents[document].data[start:end].decode("utf-8")
    bits = {entrant: float(windows.bits[index, number].round(2)) for entrant, number in place.items()}
    return Passage(document, start, end, bits, text)


def _opened(
    corpus: ScoredCorpus, entrants: Sequence[int], with_passages: Sequence[int], num_documents: int
) -> list[int]:
    """The documents that can be opened: those with passages first, then those the models differ on most."""
    rates = corpus.bits[:, entrants] / corpus.num_bytes[:, None]
    known = ~np.isnan(rates).all(axis=1)
    spread = np.zeros(len(rates))
    spread[known] = np.nanmax(rates[known], axis=1) - np.nanmin(rates[known], axis=1)
    counts = np.bincount(np.asarray(with_passages, dtype=np.int64), minlength=len(rates))
    order = sorted(np.flatnonzero(known).tolist(), key=lambda index: (-counts[index], -spread[index], index))
    return sorted(order[:num_documents])


def document_data(document: Document) -> dict[str, Any]:
    """What the explorer's page needs of a document; its text only where its licence allows."""
    shown = may_republish(document.license)
    return {
        "id": document.id,
        "title": document.title if shown else None,
        "sha256": document.sha256,
        "num_bytes": document.n_bytes,
        "license": document.license,
        "url": document.url,
        "source": document.source,
        "published_at": document.published_at,
        "language": document.language,
        "text": document.text if shown else None,
    }


def token_data(tokens: Tokens) -> dict[str, Any]:
    """Tokens as lists of whole numbers: bits in steps of `BITS_STEP` (None: unpaid), and lengths in bytes."""
    rounded = np.round(tokens.bits / BITS_STEP)
    return {
        "bits": [None if np.isnan(bits) else int(bits) for bits in rounded.tolist()],
        "lengths": np.diff(tokens.ends, prepend=0).tolist(),
    }


def coarse_data(tokens: Tokens, num_bytes: int) -> dict[str, Any]:
    """The same for a text that may not be shown: stretches of `COARSE_BYTES` in place of tokens.

    Who has the model could make out a text from the bits of each token.
    """
    starts = np.arange(0, num_bytes, COARSE_BYTES)
    sums = np.add.reduceat(per_byte(tokens.bits, tokens.ends, num_bytes), starts)
    return {
        "bits": np.round(sums / BITS_STEP).astype(int).tolist(),
        "lengths": np.diff(np.append(starts, num_bytes)).tolist(),
    }


def exploration_data(found: Exploration, names: Callable[[int], str], documents: Sequence[Document]) -> Any:
    """What the script of the corpus's explorer page needs.

    Args:
        found: the exploration.
        names: an entrant's key.
        documents: of the corpus.
    """

    def pair_key(pair: tuple[int, int]) -> str:
        return f"{names(pair[0])} {names(pair[1])}"

    return {
        "passages": [
            {
                "document": one.document,
                "start": one.start,
                "end": one.end,
                "bits": {names(entrant): bits for entrant, bits in one.bits.items()},
                "text": one.text,
                "label": label_of(documents[one.document]),
            }
            for one in found.passages
        ],
        "won": {pair_key(pair): chosen for pair, chosen in found.won.items()},
        "lost": {pair_key(pair): chosen for pair, chosen in found.lost.items()},
        "cheapest": {names(entrant): chosen for entrant, chosen in found.cheapest.items()},
        "costliest": {names(entrant): chosen for entrant, chosen in found.costliest.items()},
        "slices": [
            {
                "way": one.way,
                "name": one.name,
                "num_bytes": one.num_bytes,
                "levels": {names(entrant): list(level) for entrant, level in one.levels.items()},
                "pairs": {pair_key(pair): list(gap) for pair, gap in one.pairs.items()},
            }
            for one in found.slices
        ],
        "opened": list(found.opened),
    }


def label_of(document: Document) -> str:
    """How a document is called on the pages: by its title where its licence allows, else by its id."""
    return (document.title if may_republish(document.license) else None) or document.id
