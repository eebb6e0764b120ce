"""The command line: parses, calls, prints; everything else is in the modules that it imports when needed.

Exit codes: 0 done, 1 something failed (what succeeded is kept), 2 the request was wrong, 130 interrupted.
"""

import codecs
import io
import json
import sys
import traceback
from typing import Annotated

import typer

from evalkit.cli import bench, compare, corpora, env, export, leaderboard, models, plot, report, run
from evalkit.cli.parsing import CommandState
from evalkit.cli.plugins import add_commands, complain
from evalkit.errors import EvalkitError
from evalkit.version import __version__

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells count it."""

app = typer.Typer(
    help="Bits per byte of language models on text that did not exist when they were trained.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(corpora.app, name="corpora")
app.add_typer(models.app, name="models")
app.add_typer(bench.app, name="bench")
app.add_typer(leaderboard.app, name="leaderboard")
app.command("run")(run.run_command)
app.command("compare")(compare.compare_command)
app.command("report")(report.report_command)
app.command("plot", cls=plot.PlotCommand)(plot.plot_command)
app.command("export", cls=export.ExportCommand)(export.export_command)
app.command("env")(env.env_command)

_BUILT_IN = {command.name for command in app.registered_commands} | {
    group.name for group in app.registered_groups
}


def _version(value: bool) -> None:
    if value:
        typer.echo(f"evalkit {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    context.ensure_object(CommandState).debug = debug


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
    state = CommandState()
    try:
        add_commands(app, _BUILT_IN)
        app(obj=state)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer has caught the KeyboardInterrupt
            complain("interrupted; what is finished is kept, and the same command goes on from there")
        raise
    except Exception as error:
        if state.debug:
            traceback.print_exc()
        if isinstance(error, EvalkitError):
            complain(str(error))
            sys.exit(error.exit_code)
        advice = "" if state.debug else " (evalkit --debug … shows where)"
        complain(f"unexpected {type(error).__name__}: {error}{advice}")
        sys.exit(1)
