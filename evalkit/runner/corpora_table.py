"""The table at the end of a run."""

from collections.abc import Iterator
from typing import TextIO

from rich.console import Console
from rich.table import Table

from evalkit.cells.corpus_cell import COMPRESSION_RATE_PERCENT_PER_BPB, Cell
from evalkit.runner.ranking import RunResult
from evalkit.stats import Interval


def print_result(result: RunResult, stream: TextIO) -> None:
    """Print the ranking, what to know when reading it, and what failed."""
    # One line per model, however long: a narrow terminal may wrap it, but must not cut numbers short.
    console = Console(file=stream, width=10_000, highlight=False, markup=False, soft_wrap=True)
    if result.cells:
        console.print(_table(result), soft_wrap=False)
    for line in notes(result):
        console.print(line)
    for failure in result.failures:
        console.print(f"FAILED {failure.model} on {failure.subject}: {failure.reason}")


def _table(result: RunResult) -> Table:
    several = len(result.corpora) > 1
    table = Table(
        title="bits per byte ± 95 % interval, lower is better", box=None, header_style="bold", pad_edge=False
    )
    table.add_column("", justify="right")
    table.add_column("model", no_wrap=True)
    for corpus in result.corpora:
        table.add_column(corpus, justify="right")
    if several:
        table.add_column("macro average", justify="right")
    table.add_column("rate %", justify="right")
    table.add_column("tokens/s", justify="right")
    table.add_column("kB/s", justify="right")
    table.add_column("policy")
    for rank, ranked in enumerate(result.ranking(), start=1):
        cells = list(ranked.cells.values())
        row = ["–" if ranked.bits_per_byte is None else str(rank), ranked.model]
        row += [_cell(ranked.cells.get(corpus)) for corpus in result.corpora]
        if several:
            row.append(_number(ranked.bits_per_byte, ranked.interval))
        rate = ranked.bits_per_byte and COMPRESSION_RATE_PERCENT_PER_BPB * ranked.bits_per_byte
        row.append("failed" if rate is None else f"{rate:.2f}")
        row += [_speed(cells, "num_tokens", 1), _speed(cells, "num_bytes", 1000)]
        row.append(", ".join(sorted({_policy(cell) for cell in cells})))
        table.add_row(*row)
    return table


def _cell(cell: Cell | None) -> str:
    if cell is None:
        return "failed"
    metrics = cell.content["metrics"]
    low, high = metrics["bits_per_byte_low"], metrics["bits_per_byte_high"]
    mark = "*" if cell.content["documents"]["num_lossy"] else ""
    return _number(cell.bits_per_byte, None if low is None else Interval(low, high)) + mark


def _number(value: float | None, interval: Interval | None) -> str:
    if value is None:
        return "failed"
    return f"{value:.4f}" + (f" ± {interval.half_width:.4f}" if interval else "")


def _speed(cells: list[Cell], total: str, unit: int) -> str:
    amounts = [cell.content["totals"][total] for cell in cells]
    seconds = sum(cell.content["seconds"] for cell in cells)
    if not cells or None in amounts or not seconds:
        return "–"
    return f"{sum(amounts) / unit / seconds:,.0f}"


def _policy(cell: Cell) -> str:
    policy = cell.content["policy"]
    limit = policy["context_limit"]
    return str(policy["name"]) + (f" ≤{limit}" if limit else "")


def notes(result: RunResult) -> Iterator[str]:
    """What a reader must know beside the numbers."""
    seen = set()
    for cell in result.cells:
        corpus = cell.content["corpus"]
        if corpus["name"] not in seen:
            seen.add(corpus["name"])
            yield (
                f"{corpus['name']}: {corpus['num_documents']} documents, {corpus['num_bytes']:,} bytes, "
                f"{_dates(corpus)}, sha256 {corpus['sha256'][:12]}"
                + (f", the first {corpus['limit']} documents only" if corpus["limit"] else "")
            )
    for cell in result.cells:
        lossy = cell.content["documents"]["lossy"]
        if lossy:
            yield (
                f"* {cell.model} on {cell.corpus}: {len(lossy)} of {cell.content['corpus']['num_documents']} "
                f"documents left out, for their tokens do not decode to their bytes: {lossy[0]['id']} "
                f"({lossy[0]['reason']})" + (", …" if len(lossy) > 1 else "")
            )
    if any(cell.content["policy"]["name"] == "uncheatable" for cell in result.cells):
        yield "policy uncheatable: the first token of each chunk is not paid for; its bytes count"
    for cell in result.cells:
        known = cell.content["model"].get("knowledge_cutoff") or cell.content["model"].get("released")
        first_day = cell.content["corpus"]["date_from"]
        if cell.content["model"]["loader"] == "codec" or not known:
            continue
        if first_day is None:
            yield f"{cell.model} may have read {cell.corpus} in training: the corpus is undated"
            continue
        num_predating = result.num_predating.get((cell.model, cell.corpus), 0)
        if num_predating:
            num_documents = cell.content["corpus"]["num_documents"]
            which = "all" if num_predating == num_documents else f"{num_predating} of"
            word = "cutoff" if cell.content["model"].get("knowledge_cutoff") else "release"
            yield (
                f"{cell.model} may have read {cell.corpus} in training: {which} {num_documents} documents "
                f"predate its {word}, {known}"
            )


def _dates(corpus: dict[str, str | None]) -> str:
    first, last = corpus["date_from"], corpus["date_to"]
    if first is None:
        return "undated"
    return first if first == last else f"{first} to {last}"
