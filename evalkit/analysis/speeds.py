"""How fast things were: operators beside their peers, of benchmarks' JSON files, and models, of cells."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from evalkit.analysis.results import Results, json_files
from evalkit.errors import UsageError
from evalkit.files import parse_json


class Ratio(NamedTuple):
    """A peer's time over ours."""

    operator: str
    peer: str
    ratio: float
    is_limit: bool = False
    """Whether it is no peer, but what the machine would allow."""


class Benchmarks(NamedTuple):
    """What benchmarks' files say."""

    ratios: tuple[Ratio, ...] = ()
    machine: str = ""
    """Where these were measured."""
    files: frozenset[Path] = frozenset()
    """Those that are benchmarks'."""


class Throughput(NamedTuple):
    """How fast a model read a corpus."""

    model: str
    corpus: str
    bytes_per_s: float
    machine: str


def throughputs(results: Results) -> list[Throughput]:
    """The speeds of all cells of corpora, loading apart."""
    speeds = []
    for cell in results.cells:
        torch = cell.environment.torch
        machine = (torch.gpu if torch else None) or cell.environment.cpu
        speeds.append(Throughput(cell.model.name, cell.corpus.name, cell.metrics.bytes_per_s, machine))
    return speeds


def read_benchmarks(place: Path, read: Iterable[Path] = (), *, warn: Callable[[str], None]) -> Benchmarks:
    """The benchmarks in a folder, or in a file that ``evalkit bench … --json`` printed.

    Args:
        place: the folder or the file; other JSON files in the folder are passed over.
        read: files that are something else, as somebody who has read them knows.
        warn: told of every file that looks like a benchmark's and is none.

    Raises:
        UsageError: there is no such file or folder.
    """
    if not place.exists():
        raise UsageError(
            f"{place}: no such file or folder; give results, or what `evalkit bench --json` printed"
        )
    ratios: list[tuple[str, Ratio]] = []  # with the processor
    machines: list[str] = []
    files = set()
    paths = json_files(place) if place.is_dir() else [place]
    for path in sorted(set(paths) - set(read)):
        try:
            content = parse_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            warn(f"left out: {path} cannot be read as JSON ({type(error).__name__})")
            continue
        if not isinstance(content, dict) or "environment" not in content or "status" in content:
            continue
        files.add(path)
        try:
            measured = _ratios(content)
            environment = content["environment"]
            machine = str(environment.get("gpu") or environment.get("cpu") or "")
        except (AttributeError, KeyError, TypeError, ValueError, ArithmeticError) as error:
            warn(f"left out: {path} is not what `evalkit bench --json` prints ({type(error).__name__})")
            continue
        ratios += [(str(content.get("processor") or machine), ratio) for ratio in measured]
        machines += [machine] if measured and machine else []
    return Benchmarks(_told_apart(ratios), "; ".join(dict.fromkeys(machines)), frozenset(files))


def _told_apart(ratios: Sequence[tuple[str, Ratio]]) -> tuple[Ratio, ...]:
    """The ratios by operator; one that was measured on several processors has their names in its own."""
    by_operator: dict[str, list[tuple[str, Ratio]]] = {}
    for processor, ratio in ratios:
        by_operator.setdefault(ratio.operator, []).append((processor, ratio))
    distinct: list[Ratio] = []
    for operator, measured in by_operator.items():
        is_one = len({processor for processor, _ in measured}) == 1
        distinct += [
            ratio if is_one else ratio._replace(operator=f"{operator}, {processor}")
            for processor, ratio in measured
        ]
    return tuple(distinct)


def _ratios(content: Mapping[str, Any]) -> list[Ratio]:
    """The ratios in what a benchmark printed: of operators by rows, or of a model as a whole."""
    if isinstance(content.get("rows"), list):
        ratios = []
        for row in content["rows"]:
            if "operator" not in row:
                ratios += _ratios_of_model(row)
                continue
            operator = f"{row['operator']}, {row['shape']}"
            ratios += [Ratio(operator, name, float(peer["ratio"])) for name, peer in row["peers"].items()]
            limit = float(row["floor_s"]) / float(row["ours_s"])
            ratios.append(Ratio(operator, "the machine's limit", limit, is_limit=True))
        return ratios
    if content.get("ratio_median") is not None:
        return [Ratio(f"RWKV-7 as a whole, {content['shape']}", "rwkv", float(content["ratio_median"]))]
    return []


def _ratios_of_model(row: Mapping[str, Any]) -> list[Ratio]:
    """What `evalkit bench score` says of a model; a row of `evalkit bench profile` compares nothing."""
    if "peers" not in row:
        return []
    operator = f"{row['model']} as a whole, {row['dtype']}"
    ratios = [Ratio(operator, peer["name"], float(peer["ratio_median"])) for peer in row["peers"]]
    limit = Ratio(operator, "its matrix products alone", float(row["gemm_share"]), is_limit=True)
    return [*ratios, limit]
