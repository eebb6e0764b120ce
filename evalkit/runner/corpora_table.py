"""The table at the end of a run."""

from collections.abc import Iterator, Mapping
from typing import TextIO

from rich.table import Table

from evalkit.cells.schema import COMPRESSION_RATE_PERCENT_PER_BPB, CellCorpus, CorpusCell
from evalkit.displayed import first_of
from evalkit.runner.ranking import RankedModel, RunResult
from evalkit.runner.unaudited import unaudited_notes
from evalkit.stats import Interval
from evalkit.terminal import console_for


def print_result(result: RunResult, stream: TextIO) -> None:
    """Print the ranking, what to know when reading it, and what failed."""
    # One line per model, however long: a narrow terminal may wrap it, but must not cut numbers short.
    console = console_for(stream, width=10_000, soft_wrap=True)
    if result.cells:
        console.print(_table(result), soft_wrap=False)
    for line in notes(result):
        console.print(line)
    for failure in result.failures:
        console.print(f"FAILED {failure.model} on {failure.subject}: {failure.reason}")


def _table(result: RunResult) -> Table:
    several = len(result.corpora) > 1
    is_part = len(result.counted) < len(result.corpora)
    marks = {id(cell): reading.exposure.mark for cell, reading in result.readings()}
    table = Table(
        title="bits per byte ± 95 % interval, lower is better", box=None, header_style="bold", pad_edge=False
    )
    table.add_column("", justify="right")
    table.add_column("model", no_wrap=True)
    for corpus in result.corpora:
        table.add_column(corpus, justify="right")
    if several:
        table.add_column("macro average", justify="right")
    if is_part:
        table.add_column("of all corpora", justify="right")
    table.add_column("rate %", justify="right")
    table.add_column("tokens/s", justify="right")
    table.add_column("kB/s", justify="right")
    table.add_column("policy")
    table.add_column("prefix")
    for rank, ranked in enumerate(result.ranking(), start=1):
        cells = list(ranked.cells.values())
        row = ["–" if ranked.bits_per_byte is None else f"{rank}{ranked.mark}", ranked.model]
        row += [_cell(ranked.cells.get(corpus), marks) for corpus in result.corpora]
        if several:
            row.append(_average(ranked, len(result.counted)))
        if is_part:
            row.append(_number(ranked.bits_per_byte_of_all, ranked.interval_of_all))
        rate = ranked.bits_per_byte and COMPRESSION_RATE_PERCENT_PER_BPB * ranked.bits_per_byte
        missing = "–" if ranked.partial else "failed"
        row.append(missing if rate is None else f"{rate:.2f}")
        seconds = sum(cell.seconds for cell in cells)
        row.append(_speed([cell.totals.num_tokens for cell in cells], seconds, unit=1))
        row.append(_speed([cell.totals.num_bytes for cell in cells], seconds, unit=1000))
        row.append(", ".join(sorted({_policy(cell) for cell in cells})))
        row.append(
            ", ".join(sorted({"–" if cell.is_of_a_compressor else cell.policy.prefix for cell in cells}))
        )
        table.add_row(*row)
    return table


def _cell(cell: CorpusCell | None, marks: Mapping[int, str]) -> str:
    if cell is None:
        return "failed"
    mark = ("*" if cell.documents.num_lossy else "") + ("‡" if cell.documents.num_literal else "")
    mark += "✓" if cell.proof else ""
    mark += "⚠" if cell.failed_audit else ""
    return _number(cell.bits_per_byte, cell.metrics.interval) + mark + marks[id(cell)]


def _average(ranked: RankedModel, num_corpora: int) -> str:
    """The macro average; of a model that lacks some of the corpora that over the others, which says so."""
    if ranked.partial is None:
        return _number(ranked.bits_per_byte, ranked.interval) + ranked.mark
    part = f"{ranked.mark} {ranked.partial.num_corpora} of {num_corpora}"
    return _number(ranked.partial.bits_per_byte, ranked.partial.interval) + part


def _number(value: float | None, interval: Interval | None) -> str:
    if value is None:
        return "failed"
    return f"{value:.4f}" + (f" ± {interval.half_width:.4f}" if interval else "")


def _speed(amounts: list[int | None], seconds: float, *, unit: int) -> str:
    """Per second; a dash where a cell does not know its amount."""
    known_amounts = [amount for amount in amounts if amount is not None]
    if not seconds or len(known_amounts) < len(amounts):
        return "–"
    speed = sum(known_amounts) / unit / seconds
    return f"{speed:,.{1 if speed < 10 else 0}f}"


def _policy(cell: CorpusCell) -> str:
    limit = cell.policy.context_limit
    return cell.policy.name + (f" ≤{limit}" if limit else "")


def notes(result: RunResult) -> Iterator[str]:
    """What a reader must know beside the numbers."""
    seen = set()
    for cell in result.cells:
        corpus = cell.corpus
        if corpus.name not in seen:
            seen.add(corpus.name)
            yield (
                f"{corpus.name}: {corpus.num_documents} documents, {corpus.num_bytes:,} bytes, "
                f"{_dates(corpus)}, sha256 {corpus.sha256[:12]}"
                + (f", the first {corpus.limit} documents only" if corpus.limit else "")
            )
    if len(result.counted) < len(result.corpora):
        names = [name for name in result.corpora if name not in result.counted]
        yield (
            f"rank and macro average count {', '.join(result.counted)}, newer than every model here "
            f"(cutoffs and releases until {result.latest_day}), and not {', '.join(names)}"
        )
    for cell in result.cells:
        lossy = cell.documents.lossy
        if lossy:
            yield (
                f"* {cell.model.name} on {cell.corpus.name}: {len(lossy)} of {cell.corpus.num_documents} "
                f"documents left out, for their tokens do not decode to their bytes: {lossy[0].id} "
                f"({lossy[0].reason})" + (", …" if len(lossy) > 1 else "")
            )
    for cell in result.cells:
        if num_literal := cell.documents.num_literal:
            yield (
                f"‡ {cell.model.name} on {cell.corpus.name}: {num_literal} of {cell.corpus.num_documents} "
                "documents spelled as they stand, for the tokens its tokenizer gives lose something of them"
            )
    for cell in result.cells:
        if proof := cell.proof:
            yield (
                f"✓ {cell.model.name} on {cell.corpus.name}: {proof.num_documents} documents, "
                f"{proof.num_bytes:,} bytes, were decoded from {proof.code_bytes:,} bytes of code"
            )
        if cell.failed_audit:
            yield f"⚠ {cell.model.name} on {cell.corpus.name}: failed its audit ({cell.failed_audit})"
    yield from unaudited_notes(result.unaudited)
    if any(cell.policy.name == "uncheatable" for cell in result.cells):
        yield "policy uncheatable: the first token of each chunk is not paid for; its bytes count"
    alike: dict[tuple[str, str, str], list[str]] = {}  # as of all checkpoints of a training
    for cell, reading in result.readings():
        if reading.exposure.mark:
            same = (reading.exposure.mark, cell.corpus.name, reading.text)
            alike.setdefault(same, []).append(cell.model.name)
    for (mark, corpus_name, text), models in alike.items():
        yield f"{mark} {first_of(models)} on {corpus_name}: {text}"


def _dates(corpus: CellCorpus) -> str:
    first, last = corpus.date_from, corpus.date_to
    if first is None:
        return "undated"
    return first if first == last else f"{first} to {last}"
