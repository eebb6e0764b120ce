"""``evalkit bench compress``: a model's code beside its score and beside other compressors."""

import dataclasses
from collections.abc import Callable
from typing import Annotated

import typer

from evalkit.cli.parsing import JsonOption
from evalkit.terminal import complain, show, show_json


def bench_compress_command(
    model: Annotated[str, typer.Option("--model", help="A model that shows distributions.")] = "rwkv7-nano",
    corpus: Annotated[str, typer.Option("--corpus", help="Name or path of the text.")] = "python-stdlib",
    num_bytes: Annotated[int, typer.Option("--bytes", help="How much of it.", min=1)] = 100_000,
    num_lanes: Annotated[
        int | None, typer.Option("--lanes", help="As `evalkit compress` has it.", min=1, max=4096)
    ] = None,
    num_rounds: Annotated[int, typer.Option("--rounds", help="Times to measure each.", min=1)] = 3,
    num_threads: Annotated[int, typer.Option("--threads", help="Threads.", min=1)] = 1,
    num_hostile: Annotated[
        int, typer.Option("--hostile", help="Instead: code and decode so many hostile strings.", min=0)
    ] = 0,
    num_documents: Annotated[
        int, typer.Option("--documents", help="Instead: code and decode so many documents.", min=0)
    ] = 0,
    skip: Annotated[
        int, typer.Option("--skip", help="Of --hostile or --documents: so many came back before.", min=0)
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Time real compression beside scoring, and its size beside xz, zstd, brotli and published figures.

    With --hostile also every bit of a small file is flipped and every cut of it made; with --documents the
    first documents of the corpus are coded and decoded. Either fails where a byte does not come back, and
    says on its way how many have, where --skip goes on.
    """
    from evalkit.bench.compression import bench_compression, compression_lines
    from evalkit.bench.machine import use_threads
    from evalkit.environment import environment, torch_environment
    from evalkit.errors import UsageError

    if as_json and (num_hostile or num_documents):
        raise UsageError("--json goes with neither --hostile nor --documents, which print a line")
    if skip and (skip >= (num_hostile or num_documents) or (num_hostile and num_documents)):
        raise UsageError("--skip leaves out some of --hostile or --documents; give one of them, and fewer")
    use_threads(num_threads)
    if num_hostile:
        _try_hostile(model, num_hostile, skip)
    if num_documents:
        _try_documents(model, corpus, num_documents, skip)
    if num_hostile or num_documents:
        return
    result = bench_compression(model, corpus, num_bytes=num_bytes, num_lanes=num_lanes, num_rounds=num_rounds)
    if as_json:
        facts = environment() | torch_environment("cpu")
        show_json({"environment": facts, **dataclasses.asdict(result)})
    else:
        for line in compression_lines(result):
            show(line)


def _try_hostile(model: str, count: int, skip: int) -> None:
    from evalkit.bench.compression import try_damage, try_hostile_bytes

    num_tokens = try_hostile_bytes(model, count, skip=skip, tell=_teller(model))
    show(f"{model}: {count - skip:,} hostile strings came back, {num_tokens:,} tokens")
    show(f"{model}: {try_damage(model):,} damaged files, every flipped bit and every cut, were refused")


def _try_documents(model: str, corpus: str, count: int, skip: int) -> None:
    from evalkit.bench.compression import try_documents

    decoded = try_documents(model, corpus, count, skip=skip, tell=_teller(model))
    show(
        f"{model}: {decoded.num_documents} documents of {corpus}, {decoded.num_bytes:,} bytes, came back "
        f"from {decoded.num_code_bytes:,} of code ({decoded.ideal_bits / 8:,.1f} by the distributions)"
    )


def _teller(model: str) -> Callable[[int], None]:
    """What says how many have come back, and how to go on from there."""
    return lambda count: complain(f"{model}: {count:,} have come back; --skip {count} goes on from here")
