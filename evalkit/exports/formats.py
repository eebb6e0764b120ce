"""The table of formats: results as tables, and in the formats of other programs.

All are views of the cells under a folder. Cells of ``--limit`` runs and damaged ones are left out, and told
(`evalkit.exports.selection`). The command line and its help follow from the table.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from evalkit.errors import unknown_name

if TYPE_CHECKING:  # the help lists the formats, and imports nothing heavy
    from evalkit.cells.schema import CorpusCell


class Format(NamedTuple):
    """A format that can be asked for by name."""

    name: str
    help: str
    """What it holds and who reads it, in a line of ``evalkit export --help``."""
    suffixes: tuple[str, ...]
    """Of its file; where they are several, the name must end in one, for it says what is written. None for a
    format of several files, which are written into a folder."""
    write: Callable[..., str]
    """Takes cells, the file or folder, and options by name, of those of ``evalkit export`` what it needs;
    returns what was written, in words."""


def _csv(cells: "Sequence[CorpusCell]", output: Path, *, documents: bool = False) -> str:
    from evalkit.exports.tables import write_csv

    return write_csv(cells, output, documents=documents)


def _parquet(cells: "Sequence[CorpusCell]", output: Path, *, documents: bool = False) -> str:
    from evalkit.exports.tables import write_parquet

    return write_parquet(cells, output, documents=documents)


def _lm_eval(cells: "Sequence[CorpusCell]", output: Path) -> str:
    from evalkit.exports.lm_eval import write_lm_eval

    return write_lm_eval(cells, output)


def _eval_results(
    cells: "Sequence[CorpusCell]",
    output: Path,
    *,
    dataset: str,
    revision: str | None = None,
    source_url: str | None = None,
) -> str:
    from evalkit.exports.eval_results import write_eval_results

    return write_eval_results(cells, output, dataset=dataset, revision=revision, source_url=source_url)


def _documents(cells: "Sequence[CorpusCell]", output: Path) -> str:
    from evalkit.exports.documents import write_documents

    return write_documents(cells, output)


def _every_eval_ever(
    cells: "Sequence[CorpusCell]", output: Path, *, organization: str = "unknown", relationship: str = "other"
) -> str:
    from evalkit.exports.every_eval_ever import write_every_eval_ever

    return write_every_eval_ever(cells, output, organization=organization, relationship=relationship)


_ROWS = (
    Format("csv", "A row per cell, or per document and cell, for spreadsheets.", (".csv",), _csv),
    Format("parquet", "The same rows, with types.", (".parquet",), _parquet),
    Format(
        "documents",
        "What each document cost: doc_id, corpus_id, loss, bits_per_byte, …; JSON Lines (.jsonl) or "
        "Parquet (.parquet), as the file's name says.",
        (".jsonl", ".parquet"),
        _documents,
    ),
    Format(
        "lm-eval",
        "Results of lm-evaluation-harness: <model>/results_*.json.",
        (),
        _lm_eval,
    ),
    Format(
        "eval-results",
        "Entries of the Hub's leaderboards, to be copied into the models' repositories: "
        "<model>/.eval_results/<corpus>.yaml.",
        (),
        _eval_results,
    ),
    Format(
        "every-eval-ever",
        "Records of Every Eval Ever's schema, to be copied into its datastore: "
        "data/evalkit/<developer>/<model>/<uuid>.json.",
        (),
        _every_eval_ever,
    ),
)
FORMATS: Mapping[str, Format] = {format.name: format for format in _ROWS}
"""By name, in the order in which they are listed."""


def find_format(name: str) -> Format:
    """A format by its name.

    Raises:
        UsageError: there is none of this name.
    """
    if name not in FORMATS:
        raise unknown_name("format", name, FORMATS, f"Known: {', '.join(FORMATS)}.")
    return FORMATS[name]
