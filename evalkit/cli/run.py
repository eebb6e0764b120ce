"""``evalkit run``: models on corpora and on tasks."""

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from evalkit.cli.parsing import (
    DEFAULT_OUTPUT,
    AcceptVersionsOption,
    AuditOption,
    CommaLists,
    CorporaOption,
    DryRunOption,
    DtypeOption,
    IgnoreTensorsOption,
    JsonOption,
    LimitOption,
    MaxContextOption,
    ModelsOption,
    OutputUrlOption,
    PolicyOption,
    PrefixOption,
    QuietOption,
    TokenBitsOption,
    TrustOption,
    UnauditedOption,
    VerboseOption,
    comma_list,
    comma_numbers,
    is_debug,
    joined,
)
from evalkit.cli.run_options import Course, Loading, Manner, processes_of, run_options
from evalkit.cli.watching import (
    CorporaRequest,
    UntilOption,
    WatchOption,
    check_watch,
    context_lengths,
    run_corpora,
)
from evalkit.errors import UsageError
from evalkit.scoring.policy import DEFAULT_POLICY
from evalkit.terminal import show, show_json

if TYPE_CHECKING:
    from evalkit.runner.options import RunOptions
    from evalkit.runner.ranking import RunResult
    from evalkit.runner.reporter import Reporter
    from evalkit.runner.tasks import TaskRunResult
    from evalkit.tasks import TaskOptions

_Tasks = Annotated[
    CommaLists,
    typer.Option("--tasks", help="Ask the models these, by commas: state-tracking, regular-languages, …"),
]
_Shots = Annotated[
    CommaLists, typer.Option("--shots", help="Tasks: solved examples before a question, by commas: 0,1,4.")
]
_Lengths = Annotated[
    CommaLists, typer.Option("--lengths", help="Tasks: operations in a question, by commas: 0,1,2,4.")
]
_Date = Annotated[
    str | None, typer.Option("--date", help="Tasks: day of which items are made; this month's first.")
]
_Seed = Annotated[int, typer.Option("--seed", help="Tasks: another seed makes other items.")]
_TryPrefixes = Annotated[
    bool, typer.Option("--try-prefixes", help="Print what each prefix costs on a sample, and score nothing.")
]
_Workers = Annotated[
    str,
    typer.Option(
        "--workers",
        metavar="auto | N",
        help="At most N processes compute a model on a CPU; auto: one a core, or threads, as a trial shows.",
    ),
]
_Devices = Annotated[
    str,
    typer.Option(
        "--device",
        metavar="auto | cpu | cuda | cuda:N | cuda:N,M | mps",
        help="Where models are computed; of several each has a process.",
    ),
]
_DeviceMap = Annotated[
    str | None,
    typer.Option("--device-map", help="auto: hf models larger than one GPU are spread over all of them."),
]
_Processes = Annotated[
    int | None,
    typer.Option(
        "--processes",
        min=0,
        help="Models scored at a time, each in its own process; as many as GPUs, or 1. 0: all in one.",
    ),
]
_Engine = Annotated[
    str, typer.Option("--engine", help="Where models are scored: local, or ray: on a Ray cluster's machines.")
]
_Address = Annotated[
    str | None,
    typer.Option("--address", help="Ray's HOST:PORT, or auto; one is started here if not said."),
]
_Shard = Annotated[
    str | None,
    typer.Option("--shard", help="Part i of n of the plan, e.g. 2/8, for machines that share nothing."),
]
_LogFile = Annotated[
    Path | None, typer.Option("--log-file", help="Append what happens to this file, as lines of JSON.")
]
_ContextGain = Annotated[
    CommaLists,
    typer.Option(
        "--context-gain",
        help="Score documents' ends behind so many bytes, by commas (1k,4k,16k,64k), and behind all.",
    ),
]
_Prove = Annotated[
    int, typer.Option("--prove", help="Code and decode N documents of each cell, which records it.", min=0)
]
_StateProbe = Annotated[
    bool, typer.Option("--hidden-state-probe", help="Tasks: read the state off hidden states as well.")
]


def run_command(
    context: typer.Context,
    models: ModelsOption = None,
    corpora: CorporaOption = None,
    tasks: _Tasks = None,
    policy: PolicyOption = DEFAULT_POLICY,
    limit: LimitOption = None,
    output: OutputUrlOption = str(DEFAULT_OUTPUT),
    device: _Devices = "auto",
    dtype: DtypeOption = "auto",
    device_map: _DeviceMap = None,
    token_bits: TokenBitsOption = False,
    max_context: MaxContextOption = None,
    prefix: PrefixOption = None,
    trust_remote_code: TrustOption = False,
    accept_versions: AcceptVersionsOption = False,
    ignore_tensors: IgnoreTensorsOption = None,
    workers: _Workers = "auto",
    processes: _Processes = None,
    engine: _Engine = "local",
    address: _Address = None,
    shard: _Shard = None,
    log_file: _LogFile = None,
    audit: AuditOption = False,
    unaudited: UnauditedOption = False,
    dry_run: DryRunOption = False,
    quiet: QuietOption = False,
    verbose: VerboseOption = False,
    try_prefixes: _TryPrefixes = False,
    prove: _Prove = 0,
    gain: _ContextGain = None,
    watch: WatchOption = None,
    until: UntilOption = None,
    shots: _Shots = None,
    lengths: _Lengths = None,
    date: _Date = None,
    seed: _Seed = 0,
    hidden_state_probe: _StateProbe = False,
    as_json: JsonOption = False,
) -> None:
    """Score models on corpora, as far as that is not done yet, and print the ranking.

    Without arguments: the embedded models and compressors on this Python's library. --tasks asks questions.
    """
    about_tasks = bool(shots or lengths or date or seed or hidden_state_probe)
    scoring = (corpora, policy, limit, token_bits, prove, gain)
    _check_requests(tasks, scoring, about_tasks, try_prefixes, dry_run)
    options = run_options(
        Loading(device, dtype, device_map, max_context, prefix, trust_remote_code, ignore_tensors),
        Course(output, engine, address, processes_of(context, processes, engine), workers, shard),
        Manner(accept_versions, audit, unaudited, dry_run, is_debug(context)),
        _reporter(quiet, verbose, is_plan=dry_run and not as_json),
    )
    check_watch(watch, until, is_alone=not (tasks or try_prefixes or dry_run or shard))
    _try_prefixes(try_prefixes, _names(models), _names(corpora), limit, options, as_json=as_json)
    task_options = _taskrun_options(date, seed, lengths, shots, limit if tasks else None, hidden_state_probe)
    with _journaled(options, log_file) as options:
        task_result = _run_tasks(_names(models), _names(tasks), _names(corpora), task_options, options)
        result = run_corpora(models, scoring, watch, until, options) if tasks is None or corpora else None
    _print_results(result, task_result, as_json=as_json, dry_run=dry_run)


def _reporter(is_quiet: bool, is_verbose: bool, *, is_plan: bool) -> "Reporter":
    """Who tells of the run, which on a terminal begins with the seconds that imports take."""
    stream = sys.stdout if is_plan else sys.stderr
    if is_quiet and is_verbose:
        raise UsageError("--quiet and --verbose are opposites; give one")
    if sys.stderr.isatty() and not is_quiet:
        show("loading libraries, looking at models and corpora …", err=True)
    from evalkit.runner.progress import reporter_for

    return reporter_for(stream, is_quiet=is_quiet, is_verbose=is_verbose)


@contextlib.contextmanager
def _journaled(options: "RunOptions", log: Path | None) -> Iterator["RunOptions"]:
    """The options of a run of which a file says how far it is, and a log what happened."""
    from evalkit.runner.journal import Journal

    if options.dry_run:
        yield options
        return
    journal = Journal(options.reporter, options.folder, log, options.remote)
    try:
        yield replace(options, reporter=journal, journal=journal)
    finally:
        journal.end()


def _check_requests(
    tasks: CommaLists, scoring: CorporaRequest, about_tasks: bool, try_prefixes: bool, dry_run: bool
) -> None:
    """Refuse options that would not be looked at, and lengths of contexts that are none.

    Raises:
        UsageError: there are such options.
    """
    corpora, policy, _, token_bits, prove, gain = scoring
    about_corpora = policy != DEFAULT_POLICY or token_bits or prove > 0 or bool(context_lengths(gain))
    if tasks is None and about_tasks:
        raise UsageError("--shots, --lengths, --date, --seed and --hidden-state-probe need --tasks")
    if tasks is not None and corpora is None and about_corpora:
        raise UsageError(
            "--policy, --token-bits, --prove and --context-gain are about corpora; give --corpora too"
        )
    if try_prefixes and (tasks is not None or about_corpora or dry_run):
        raise UsageError(
            "--try-prefixes goes without --tasks, --policy, --token-bits and --dry-run, and without --prove "
            "and --context-gain"
        )


def _names(lists: CommaLists) -> list[str] | None:
    return None if lists is None else comma_list(joined(lists))


def _try_prefixes(
    is_asked: bool,
    model_names: list[str] | None,
    corpus_names: list[str] | None,
    num_documents: int | None,
    options: "RunOptions",
    *,
    as_json: bool,
) -> None:
    """Print what each prefix costs, if that is asked for; the program ends, with 1 where a model failed."""
    if not is_asked:
        return
    from evalkit.runner.corpora import DEFAULT_CORPORA
    from evalkit.runner.prefixes import DEFAULT_NUM_DOCUMENTS, print_trials, try_prefixes

    result = try_prefixes(
        model_names,
        DEFAULT_CORPORA if corpus_names is None else corpus_names,
        num_documents=DEFAULT_NUM_DOCUMENTS if num_documents is None else num_documents,
        options=options,
    )
    if as_json:
        show_json(result.to_json())
    else:
        print_trials(result, sys.stdout)
    raise typer.Exit(1 if result.failures else 0)


def _taskrun_options(
    date: str | None,
    seed: int,
    length_lists: CommaLists,
    shot_lists: CommaLists,
    num_items: int | None,
    hidden_state_probe: bool,
) -> "TaskOptions":
    from evalkit.tasks import DEFAULT_LENGTHS, DEFAULT_NUM_ITEMS, DEFAULT_SHOTS, TaskOptions, default_date

    lengths, shots = joined(length_lists), joined(shot_lists)
    return TaskOptions(
        date=default_date() if date is None else date,
        seed=seed,
        lengths=DEFAULT_LENGTHS if lengths is None else comma_numbers("--lengths", lengths, least=0),
        shots=DEFAULT_SHOTS if shots is None else comma_numbers("--shots", shots, least=0),
        num_items=DEFAULT_NUM_ITEMS if num_items is None else num_items,
        hidden_state_probe=hidden_state_probe,
    )


def _run_tasks(
    model_names: list[str] | None,
    task_names: list[str] | None,
    corpus_names: list[str] | None,
    task_options: "TaskOptions",
    options: "RunOptions",
) -> "TaskRunResult | None":
    """Ask the models; None where no task was named."""
    if task_names is None:
        return None
    from evalkit.corpora.store import check_corpus_name
    from evalkit.runner.tasks import run_tasks
    from evalkit.tasks import DEFAULT_TASK_MODELS

    for name in corpus_names or ():  # their turn comes after the tasks, which may take hours
        check_corpus_name(name)
    models = DEFAULT_TASK_MODELS if model_names is None else model_names
    return run_tasks(models, task_names, task_options, options=options)


def _print_results(
    result: "RunResult | None", task_result: "TaskRunResult | None", *, as_json: bool, dry_run: bool
) -> None:
    """Print what a run came to; the program exits with 1 where a cell failed."""
    if as_json:
        _print_json(result, task_result)
    elif not dry_run:
        _print_tables(result, task_result)
    if (result and result.failures) or (task_result and task_result.failures):
        raise typer.Exit(1)


def _print_json(result: "RunResult | None", task_result: "TaskRunResult | None") -> None:
    from evalkit.analysis.context_gain import gain_curves, gain_json

    content = result.to_json() if result else {}
    if curves := gain_curves(result.cells) if result else []:
        content |= {"context_gain": [gain_json(curve) for curve in curves]}
    show_json(content | ({"tasks": task_result.to_json()} if task_result else {}))


def _print_tables(result: "RunResult | None", task_result: "TaskRunResult | None") -> None:
    from evalkit.analysis.context_gain import gain_curves, gain_lines
    from evalkit.runner.corpora_table import print_result
    from evalkit.runner.tasks_table import print_task_result

    if result:
        print_result(result, sys.stdout)
        for line in (line for curve in gain_curves(result.cells) for line in gain_lines(curve)):
            show(line)
    if task_result:
        print_task_result(task_result, sys.stdout)
