"""``evalkit bench profile``: where each second of a whole run goes."""

import dataclasses
from typing import Annotated

import typer

from evalkit.cli.parsing import CommaLists, JsonOption, LimitOption, comma_numbers, joined, names_or
from evalkit.terminal import show, show_json

_DEFAULT_MODELS = ("rwkv7-nano", "llama-nano")
_Models = Annotated[
    CommaLists,
    typer.Option(
        "--models", help=f"Models, or shapes with random weights, by commas: {','.join(_DEFAULT_MODELS)}."
    ),
]
_Threads = Annotated[CommaLists, typer.Option("--threads", help="Numbers of threads, by commas: 1.")]


def bench_profile_command(
    models: _Models = None,
    corpus: Annotated[str, typer.Option("--corpus", help="What to score.")] = "python-stdlib",
    limit: LimitOption = None,
    threads: _Threads = None,
    as_json: JsonOption = False,
) -> None:
    """Run models in processes of their own and print where each second goes, from the start to the table."""
    from evalkit.bench.machine import check_threads, processor
    from evalkit.bench.profile import imports_cpu_s, imports_line, profile_run, profile_table
    from evalkit.bench.shapes import checked_specs
    from evalkit.corpora.document import check_limit
    from evalkit.corpora.store import check_corpus_name
    from evalkit.environment import environment
    from evalkit.models.protocol import LoadOptions

    check_corpus_name(corpus)
    check_limit(limit)
    numbers = comma_numbers("--threads", joined(threads) or "1", least=1)
    check_threads(numbers)
    specs = checked_specs(names_or(models, _DEFAULT_MODELS), LoadOptions(device="cpu"), compressors=True)
    rows = [profile_run(spec, corpus, limit, number) for spec in specs for number in numbers]
    imports_s = imports_cpu_s()
    facts = environment()
    if as_json:
        content = {"environment": facts, "processor": processor(str(facts["cpu"]))}
        rows_content = [dataclasses.asdict(row) for row in rows]
        show_json({**content, "imports_cpu_s": imports_s, "rows": rows_content})
        return
    show(processor(str(facts["cpu"])))
    for line in profile_table(rows):
        show(line)
    show(imports_line(imports_s))
