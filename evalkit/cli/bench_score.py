"""``evalkit bench score``: whole documents to bits, beside every peer that is installed."""

import dataclasses
from typing import Annotated

import typer

from evalkit.cli.parsing import (
    CommaLists,
    DeviceOption,
    DtypeOption,
    JsonOption,
    names_or,
)
from evalkit.terminal import complain, show, show_json

_DEFAULT_MODELS = ("rwkv7-0.1b-shape", "rwkv7-nano", "llama-nano")
_Models = Annotated[
    CommaLists,
    typer.Option(
        "--models", help=f"Models, or shapes with random weights, by commas: {','.join(_DEFAULT_MODELS)}."
    ),
]
_Corpora = Annotated[CommaLists, typer.Option("--corpora", help="Corpora, by commas: python-stdlib.")]


def bench_score_command(
    models: _Models = None,
    corpora: _Corpora = None,
    num_kilobytes: Annotated[
        int, typer.Option("--kilobytes", help="Text of each corpus to score, at most.", min=1)
    ] = 16,
    num_rounds: Annotated[int, typer.Option("--rounds", help="Times to measure each.", min=1)] = 3,
    num_threads: Annotated[
        int | None, typer.Option("--threads", help="Threads; all by default.", min=1)
    ] = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "float32",
    as_json: JsonOption = False,
) -> None:
    """Time whole scoring of models beside the programs that one would take instead, and compare the nats.

    Besides the models that `evalkit run` takes: rwkv7-0.1b-shape, qwen2.5-0.5b-shape and gemma-3-270m-shape,
    networks of these sizes with random weights. Peers that are not installed are named.
    """
    import torch

    from evalkit.bench.machine import processor, use_threads
    from evalkit.bench.score import BenchOptions, bench_documents, bench_score
    from evalkit.bench.score_lines import machine_line, score_lines
    from evalkit.bench.shapes import checked_specs
    from evalkit.corpora.store import load_corpora
    from evalkit.environment import environment, torch_environment
    from evalkit.models.protocol import LoadOptions

    corpus_names = _checked_names(names_or(corpora, ("python-stdlib",)))
    if num_threads:
        use_threads(num_threads)
    specs = checked_specs(
        names_or(models, _DEFAULT_MODELS), LoadOptions(device=device, dtype=dtype), compressors=False
    )
    texts = [
        (corpus.name, bench_documents(corpus, 1000 * num_kilobytes)) for corpus in load_corpora(corpus_names)
    ]
    facts = environment() | torch_environment(device)
    rates = _gemm_rates(device)
    named_processor = processor(str(facts["cpu"]))
    if not as_json:
        show(machine_line(named_processor, rates, torch.get_num_threads()))
    options = BenchOptions(num_rounds, device, dtype)
    rows = []
    for name, documents in texts:
        for spec in specs:
            row = bench_score(spec, name, documents, options)
            rows.append(row)
            if not as_json:
                for line in score_lines(row):
                    show(line)
    if as_json:
        content = {"environment": facts, "processor": named_processor, "gemm_gflops": rates}
        show_json({**content, "rows": [dataclasses.asdict(row) for row in rows]})
    differing = [f"{row.model}: {peer.name}" for row in rows for peer in row.peers if not peer.agrees]
    if differing:
        complain(f"the nats differ by more than the tolerance: {', '.join(differing)}")
        raise typer.Exit(1)


def _checked_names(corpora: list[str]) -> list[str]:
    from evalkit.corpora.store import check_corpus_name
    from evalkit.errors import UsageError

    if not corpora:
        raise UsageError("nothing to score: name at least one corpus")
    for name in corpora:
        check_corpus_name(name)
    return corpora


def _gemm_rates(device: str) -> dict[str, float]:
    """GFLOP/s by precision."""
    import torch

    from evalkit.bench.machine import gemm_gflops
    from evalkit.models.devices import resolve_device

    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    return {name: gemm_gflops(kind, resolve_device(device)) for name, kind in kinds.items()}
