"""``evalkit bench profile``: where each second of a whole run goes."""

import dataclasses
from typing import Annotated

import typer

from evalkit.cli.parsing import CommaLists, JsonOption, LimitOption, comma_list, comma_numbers, joined
from evalkit.terminal import show, show_json

_DEFAULT_MODELS = "rwkv7-nano,llama-nano"
_Models = Annotated[
    CommaLists,
    typer.Option("--models", help=f"Models, or shapes with random weights, by commas: {_DEFAULT_MODELS}."),
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
    from evalkit.bench.machine import processor
    from evalkit.bench.profile import profile_run, profile_table
    from evalkit.corpora.store import check_corpus_name
    from evalkit.environment import environment

    check_corpus_name(corpus)
    numbers = comma_numbers("--threads", joined(threads) or "1", least=1)
    names = comma_list(joined(models)) or comma_list(_DEFAULT_MODELS)
    rows = [profile_run(name, corpus, limit, number) for name in names for number in numbers]
    facts = environment()
    if as_json:
        content = {"environment": facts, "processor": processor(str(facts["cpu"]))}
        show_json({**content, "rows": [dataclasses.asdict(row) for row in rows]})
        return
    show(processor(str(facts["cpu"])))
    for line in profile_table(rows):
        show(line)
