"""The command line: parses, calls, prints; everything else is in the modules that it imports when needed.

Exit codes: 0 done, 1 something failed (what succeeded is kept), 2 the request was wrong, 130 interrupted.
"""

import codecs
import io
import json
import sys
import traceback
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer

from evalkit import __version__
from evalkit.cli import bench as bench_cli
from evalkit.cli import corpora as corpora_cli
from evalkit.cli import export as export_cli
from evalkit.cli import leaderboard as leaderboard_cli
from evalkit.cli import models as models_cli
from evalkit.cli import plot as plot_cli
from evalkit.cli import report as report_cli
from evalkit.errors import EvalkitError, one_line

COMMAND_GROUP = "evalkit.commands"
"""Entry-point group under which other packages add their `typer.Typer` as a command."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells count it."""

app = typer.Typer(
    help="Bits per byte of language models on text that did not exist when they were trained.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(corpora_cli.app, name="corpora")
app.add_typer(models_cli.app, name="models")
app.add_typer(bench_cli.app, name="bench")
app.add_typer(leaderboard_cli.app, name="leaderboard")
app.command("report")(report_cli.report_command)
app.command("plot")(plot_cli.plot_command)
app.command("export")(export_cli.export_command)

_debug = False

_Models = Annotated[
    str | None,
    typer.Option("--models", help="Names or LOADER:TARGET, by commas; see `evalkit models list`."),
]
_Corpora = Annotated[
    str | None,
    typer.Option("--corpora", help="Names or paths of anything importable, by commas."),
]
_Policy = Annotated[str, typer.Option("--policy", help="Context policy: document, uncheatable or lm-eval.")]
_Limit = Annotated[int | None, typer.Option("--limit", help="Score only the first N documents.")]
_Output = Annotated[Path, typer.Option("--output", help="Folder of the result cells.")]
_Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
_Dtype = Annotated[str, typer.Option("--dtype", help="auto, float32, bfloat16 or float16.")]
_MaxContext = Annotated[
    int | None, typer.Option("--max-context", help="Cap every model's context at N tokens.")
]
_Trust = Annotated[bool, typer.Option("--trust-remote-code", help="Let a hub repository run its own Python.")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def _version(value: bool) -> None:
    if value:
        typer.echo(f"evalkit {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    global _debug
    _debug = debug


@app.command("run")
def run_command(
    models: _Models = None,
    corpora: _Corpora = None,
    tasks: Annotated[
        str | None,
        typer.Option("--tasks", help="Ask the models these, by commas: state-tracking, regular-languages, …"),
    ] = None,
    policy: _Policy = "document",
    limit: _Limit = None,
    output: _Output = Path("runs"),
    device: _Device = "auto",
    dtype: _Dtype = "auto",
    token_bits: Annotated[bool, typer.Option("--token-bits", help="Keep the bits of every token.")] = False,
    max_context: _MaxContext = None,
    trust_remote_code: _Trust = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")] = False,
    shots: Annotated[
        str | None, typer.Option("--shots", help="Tasks: solved examples before a question, e.g. 0,1,4.")
    ] = None,
    lengths: Annotated[
        str | None, typer.Option("--lengths", help="Tasks: operations in a question, e.g. 1,2,4,8.")
    ] = None,
    date: Annotated[
        str | None, typer.Option("--date", help="Tasks: day of which items are made; this month's first.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Tasks: another seed makes other items.")] = 0,
    hidden_state_probe: Annotated[
        bool, typer.Option("--hidden-state-probe", help="Tasks: read the state off hidden states as well.")
    ] = False,
    as_json: _Json = False,
) -> None:
    """Score models on corpora, as far as that is not done yet, and print the ranking.

    Without arguments: the embedded models and the classical compressors on the standard library of
    this Python. With --tasks the models are asked questions instead, --limit of each length; with
    --corpora too, both.
    """
    from evalkit.corpora.store import check_corpus_name
    from evalkit.errors import UsageError
    from evalkit.files import strict_json
    from evalkit.runner.corpora import DEFAULT_CORPORA, DEFAULT_MODELS, run
    from evalkit.runner.corpora_table import print_result
    from evalkit.runner.progress import reporter_for
    from evalkit.runner.tasks import run_tasks
    from evalkit.runner.tasks_table import print_task_result
    from evalkit.tasks import DEFAULT_TASK_MODELS, parse_options

    if tasks is None and (shots or lengths or date or seed or hidden_state_probe):
        raise UsageError("--shots, --lengths, --date, --seed and --hidden-state-probe need --tasks")
    if tasks is not None and corpora is None and (policy != "document" or token_bits):
        raise UsageError("--policy and --token-bits are about corpora; give --corpora too")
    names = None if models is None else _names(models)
    told = sys.stdout if dry_run and not as_json else sys.stderr
    asked = result = None
    if tasks is not None:
        options = parse_options(
            date=date,
            seed=seed,
            lengths=lengths,
            shots=shots,
            num_items=limit,
            hidden_state_probe=hidden_state_probe,
        )
        for name in _names(corpora or ""):  # before anything is asked
            check_corpus_name(name)
        asked = run_tasks(
            DEFAULT_TASK_MODELS if names is None else names,
            _names(tasks),
            options,
            output=output,
            device=device,
            dtype=dtype,
            max_context=max_context,
            trust_remote_code=trust_remote_code,
            dry_run=dry_run,
            debug=_debug,
            reporter=reporter_for(told, "items"),
        )
    if tasks is None or corpora is not None:
        result = run(
            DEFAULT_MODELS if names is None else names,
            _names(corpora) if corpora is not None else DEFAULT_CORPORA,
            policy=policy,
            limit=limit,
            output=output,
            device=device,
            dtype=dtype,
            token_bits=token_bits,
            max_context=max_context,
            trust_remote_code=trust_remote_code,
            dry_run=dry_run,
            debug=_debug,
            reporter=reporter_for(told),
        )
    if as_json:
        printed = (result.to_json() if result else {}) | ({"tasks": asked.to_json()} if asked else {})
        typer.echo(strict_json(printed), nl=False)
    elif not dry_run:
        if result:
            print_result(result, sys.stdout)
        if asked:
            print_task_result(asked, sys.stdout)
    if (result and result.failures) or (asked and asked.failures):
        raise typer.Exit(1)


@app.command("compare")
def compare_command(
    a: Annotated[str, typer.Argument(help="A model, or a cell's .json file.")],
    b: Annotated[str, typer.Argument(help="Another model or cell.")],
    corpus: Annotated[str | None, typer.Option("--corpus", help="Name or path of the corpus.")] = None,
    policy: _Policy = "document",
    limit: _Limit = None,
    output: _Output = Path("runs"),
    device: _Device = "auto",
    dtype: _Dtype = "auto",
    max_context: _MaxContext = None,
    trust_remote_code: _Trust = False,
    common_documents: Annotated[
        bool, typer.Option("--common-documents", help="Leave out what one of the two cannot represent.")
    ] = False,
    num_documents: Annotated[
        int, typer.Option("--documents", help="Best and worst documents to show.", min=0)
    ] = 5,
    as_json: _Json = False,
) -> None:
    """Compare two models document by document, scoring what is missing first."""
    from evalkit.analysis.compare import compare_cells, comparison_lines
    from evalkit.cells.corpus_cell import read_cell
    from evalkit.errors import ScoringError, UsageError
    from evalkit.files import strict_json
    from evalkit.runner.corpora import run
    from evalkit.runner.progress import reporter_for

    paths = [Path(name) for name in (a, b) if name.endswith(".json")]
    for path in paths:
        if not path.is_file():
            raise UsageError(f"there is no file {path}; cells lie under runs/CORPUS/MODEL/")
    if len(paths) == 1:
        raise UsageError(f"{paths[0]} is a cell's file; give another cell's, or two models and --corpus")
    if paths:
        cells = [read_cell(path) for path in paths]
    elif corpus is None:
        raise UsageError("give --corpus NAME, or two cells' .json files")
    else:
        result = run(
            [a, b],
            [corpus],
            policy=policy,
            limit=limit,
            output=output,
            device=device,
            dtype=dtype,
            max_context=max_context,
            trust_remote_code=trust_remote_code,
            debug=_debug,
            reporter=reporter_for(sys.stderr),
        )
        if result.failures:
            raise ScoringError(f"{result.failures[0].model} could not be scored: {result.failures[0].reason}")
        cells = list(result.cells)
    comparison = compare_cells(*cells, common_documents=common_documents)
    if as_json:
        typer.echo(strict_json(comparison.to_json(num_documents)), nl=False)
    else:
        for line in comparison_lines(comparison, num_documents):
            typer.echo(line)


@app.command("env")
def env_command(as_json: _Json = False, device: _Device = "auto") -> None:
    """Show what results from here will say of the machine and the software."""
    from evalkit.environment import environment, torch_environment
    from evalkit.files import strict_json

    known = environment() | torch_environment(device)
    if as_json:
        typer.echo(strict_json(known), nl=False)
        return
    for name, value in known.items():
        if isinstance(value, dict):
            value = ", ".join(f"{key} {item}" for key, item in value.items())
        typer.echo(f"{name + ':':<19}{value}")


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


_OWN_COMMANDS = {command.name for command in app.registered_commands} | {
    group.name for group in app.registered_groups
}


def _add_commands_of_other_packages() -> None:
    for point in entry_points(group=COMMAND_GROUP):
        problem = None
        try:
            command = point.load()
        except Exception as error:  # a broken plug-in must not take the others down, but must be seen
            problem = repr(error)
        else:
            if not isinstance(command, typer.Typer):
                problem = f"it is a {type(command).__name__}, not a typer.Typer"
            else:
                problem = _add_command(point.name, command)
        if problem:
            _complain(f"command {point.name!r} ({point.value}) is not available: {problem}")


def _add_command(name: str, command: typer.Typer) -> str | None:
    """Add a command, or more commands to a group of evalkit's own; returns what is wrong, if something is."""
    group = next((group.typer_instance for group in app.registered_groups if group.name == name), None)
    if group is None:
        if name in _OWN_COMMANDS:
            return "evalkit has a command of this name"
        app.add_typer(command, name=name)
        return None
    taken = {known.name: known for known in group.registered_commands}
    new = [added for added in command.registered_commands if taken.get(added.name) is not added]
    clashes = sorted(str(added.name) for added in new if added.name in taken)
    if clashes:
        return f"evalkit {name} has {', '.join(clashes)} already"
    group.registered_commands += new
    return None


def _complain(text: str) -> None:
    typer.echo(f"evalkit: {one_line(text)}", err=True)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


def main() -> None:
    """The program ``evalkit``."""
    # What a stream's encoding lacks is written as JSON does it (``\\u00b1``), so that nothing ends with a
    # UnicodeEncodeError after hours of scoring, and JSON stays JSON.
    codecs.register_error("json-escapes", _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="json-escapes")
    try:
        _add_commands_of_other_packages()
        app()
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer has caught the KeyboardInterrupt
            _complain("interrupted; what is finished is kept, and the same command goes on from there")
        raise
    except Exception as error:
        if _debug:
            traceback.print_exc()
        if isinstance(error, EvalkitError):
            _complain(str(error))
            sys.exit(error.exit_code)
        advice = "" if _debug else " (evalkit --debug … shows where)"
        _complain(f"unexpected {type(error).__name__}: {error}{advice}")
        sys.exit(1)
