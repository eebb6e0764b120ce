"""Whether what a cell says fits together, and fits its rows. Types are `evalkit.cells.fields`' business."""

import datetime as dt
import math

import numpy as np
from numpy.typing import NDArray

from evalkit.cells.columns import SUM_TOLERANCE, DocumentColumns, check_types, read_columns, read_rows
from evalkit.cells.policy_schema import CellPolicy
from evalkit.cells.probe_schema import ProbeCell, ProbeTest
from evalkit.cells.schema import (
    COMPRESSION_RATE_PERCENT_PER_BPB,
    Cell,
    CorpusCell,
    TaskCell,
)
from evalkit.dates import first_day, last_day
from evalkit.fields import FieldError


def check_cell(cell: Cell) -> DocumentColumns | None:
    """Refuse a cell whose numbers contradict one another, or its rows; of a corpus's cell the rows.

    Raises:
        FieldError: they do; the message names the field.
        OSError: the rows cannot be read.
    """
    _check_moment(cell.created)
    match cell:
        case CorpusCell():
            _check_metrics(cell)
            _check_prefix(cell.policy)
            _check_corpus(cell)
            return read_columns(cell)
        case TaskCell():
            read_rows(cell.path.with_suffix(".parquet"))  # what they hold is the task's business
        case ProbeCell():
            _check_probe(cell)
    return None


def _check_moment(created: str) -> None:
    try:
        dt.datetime.fromisoformat(created)
    except ValueError as error:
        raise FieldError(f"created is {created!r}, which is no time") from error


def _check_metrics(cell: CorpusCell) -> None:
    totals, metrics = cell.totals, cell.metrics
    if totals.num_documents < 1 or totals.num_bytes < 1:
        raise FieldError("totals hold no document, or no byte")
    bits_per_byte = totals.total_bits / totals.num_bytes
    implied: dict[str, tuple[float | None, float | None]] = {
        "metrics.bits_per_byte": (metrics.bits_per_byte, bits_per_byte),
        "metrics.compression_rate_percent": (
            metrics.compression_rate_percent,
            COMPRESSION_RATE_PERCENT_PER_BPB * bits_per_byte,
        ),
    }
    if cell.seconds > 0:
        num_tokens = totals.num_tokens
        implied |= {
            "metrics.bytes_per_s": (metrics.bytes_per_s, totals.num_bytes / cell.seconds),
            "metrics.tokens_per_s": (
                metrics.tokens_per_s,
                None if num_tokens is None else num_tokens / cell.seconds,
            ),
        }
    for name, (stated, value) in implied.items():
        if (stated is None) != (value is None) or not math.isclose(
            stated or 0.0, value or 0.0, rel_tol=SUM_TOLERANCE, abs_tol=SUM_TOLERANCE
        ):
            raise FieldError(f"{name} is {stated!r}, the totals give {value!r}")
    low, high = metrics.bits_per_byte_low, metrics.bits_per_byte_high
    if (low is None) != (high is None) or (low is not None and high is not None and low > high):
        raise FieldError("metrics.bits_per_byte_low and bits_per_byte_high are no interval")


def _check_prefix(policy: CellPolicy) -> None:
    tried = policy.tried_prefixes
    if tried is None:
        return
    if not tried or min(tried, key=lambda prefix: prefix.bits_per_byte).ids != policy.prefix_ids:
        raise FieldError("policy.prefix_ids is not the cheapest of policy.tried_prefixes")


def _check_corpus(cell: CorpusCell) -> None:
    corpus = cell.corpus
    if sum(corpus.licenses.values()) != corpus.num_documents or min(corpus.licenses.values(), default=0) < 0:
        raise FieldError(f"corpus.licenses are not those of {corpus.num_documents} documents")
    for name, date in (("date_from", corpus.date_from), ("date_to", corpus.date_to)):
        try:
            if date is not None:
                last_day(date)
        except ValueError as error:
            raise FieldError(f"corpus.{name}: {error}") from error
    if corpus.date_from and corpus.date_to and first_day(corpus.date_from) > last_day(corpus.date_to):
        raise FieldError("corpus.date_from lies after date_to")


def _check_probe(cell: ProbeCell) -> None:
    import pyarrow as pa

    table = read_rows(cell.path.with_suffix(".parquet"))
    counts = dict.fromkeys(("num_scored", "num_correct"), pa.int64())
    check_types(table.schema, {"test": pa.string(), **counts, "last_correct": pa.bool_()})
    table = table.select(["test", *counts, "last_correct"])
    if any(column.null_count for column in table.columns):
        raise FieldError("a row lacks a number")
    names = np.asarray(table["test"].to_pylist(), dtype=object)
    if foreign := set(names.tolist()) - set(cell.tests):
        raise FieldError(f"its rows have the test {min(foreign)!r}, and tests do not")
    scored, correct, last = (table[name].to_numpy() for name in (*counts, "last_correct"))
    for name, test in cell.tests.items():
        rows = names == name
        if rows.sum() != test.num_items or not rows.any():
            raise FieldError(f"tests.{name}.num_items is {test.num_items}, it has {rows.sum()} rows")
        _check_accuracies(f"tests.{name}", test, scored[rows], correct[rows], last[rows])


def _check_accuracies(
    place: str,
    test: ProbeTest,
    num_scored: NDArray[np.int64],
    num_correct: NDArray[np.int64],
    last_correct: NDArray[np.bool_],
) -> None:
    if num_scored.min() < 1 or num_correct.min() < 0 or (num_correct > num_scored).any():
        raise FieldError(f"{place}: a row has more right answers than questions, or no question")
    accuracies = {
        "token_accuracy": (test.token_accuracy, num_correct.sum() / num_scored.sum()),
        "sequence_accuracy": (test.sequence_accuracy, (num_correct == num_scored).mean()),
        "last_position_accuracy": (test.last_position_accuracy, last_correct.mean()),
    }
    for name, (stated, value) in accuracies.items():
        if not math.isclose(stated, value, rel_tol=SUM_TOLERANCE, abs_tol=SUM_TOLERANCE):
            raise FieldError(f"{place}.{name} is {stated!r}, its rows give {float(value)!r}")
