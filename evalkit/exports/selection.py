"""Which cells are exported."""

from collections.abc import Sequence
from pathlib import Path

from evalkit.analysis.configurations import configurations_of, unique
from evalkit.analysis.results import Results
from evalkit.cells.schema import CorpusCell
from evalkit.errors import UsageError
from evalkit.exports.writing import Warn, silent
from evalkit.files import slug


def corpus_cells(results: Results, *, warn: Warn = silent) -> list[CorpusCell]:
    """The cells that are exported: the whole ones of corpora, in the order of their paths.

    Args:
        results: see `evalkit.analysis.results.read_results`.
        warn: told how many cells have no place in an export, for they are of probes and tasks.

    Raises:
        UsageError: there is none.
    """
    if not results.cells:
        raise UsageError(f"{results.folder} holds no whole cell of a corpus; score without --limit")
    if results.probes:
        warn(f"left out: {len(results.probes)} cells that are not of corpora (probes and tasks)")
    return list(results.cells)


def distinct(cells: Sequence[CorpusCell]) -> list[CorpusCell]:
    """Without cells that only lack the tokens' bits of another: for formats without a place for these."""
    _, configuration_of = configurations_of(cells)
    chosen: dict[tuple[int, str, str], CorpusCell] = {}
    for cell in sorted(cells, key=lambda cell: cell.documents.token_bits):
        chosen[configuration_of[cell.path], cell.corpus.name, cell.corpus.sha256] = cell
    return [cell for cell in cells if any(cell is candidate for candidate in chosen.values())]


def model_folders(cells: Sequence[CorpusCell]) -> dict[str, str]:
    """A folder for each model's name; names that are the same as far as folders go get numbers."""
    taken: set[str] = set()
    return {name: unique(slug(name), taken) for name in sorted({cell.model.name for cell in cells})}


def corpus_ids(cells: Sequence[CorpusCell]) -> dict[Path, str]:
    """What to call the corpus of each cell, by the cell's path.

    That is its name; with its digest where another corpus among the cells has the same.
    """
    digests: dict[str, set[str]] = {}
    for cell in cells:
        digests.setdefault(cell.corpus.name, set()).add(cell.corpus.sha256)
    return {
        cell.path: name if len(digests[name]) == 1 else f"{name}@{cell.corpus.sha256[:8]}"
        for cell in cells
        for name in (cell.corpus.name,)
    }
