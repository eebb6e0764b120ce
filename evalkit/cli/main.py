"""The command line: parses, calls, prints; everything else is in the modules that it imports when needed.

Exit codes: 0 done, 1 something failed (what succeeded is kept), 2 the request was wrong, 130 interrupted
(143 by SIGTERM).
"""

import sys
import traceback
from typing import Annotated

import typer

from evalkit.cli import (
    audit,
    bench,
    compare,
    compress,
    corpora,
    curve,
    cutoff,
    env,
    explore,
    export,
    leaderboard,
    leaks,
    lm_eval,
    losses,
    models,
    parity,
    plan,
    plot,
    report,
    requests,
    run,
    snr,
    status,
    table,
)
from evalkit.cli.parsing import CommandState
from evalkit.cli.plugins import add_commands
from evalkit.cli.process import end_output, exit_code_of_interruption, prepare
from evalkit.cli.program import Program
from evalkit.errors import EvalkitError, disk_error, system_line
from evalkit.extras import clash, missing_package
from evalkit.terminal import complain, show
from evalkit.version import __version__

INTERRUPTED = 130
"""Exit code that typer gives to an interrupted command."""

ENVIRONMENT = (
    "Environment: EVALKIT_CORPORA folder of corpora, EVALKIT_CACHE folder for what can be computed again, "
    "EVALKIT_CONFIG file of your models (evalkit.toml), EVALKIT_CONTACT address told to crawled sites, "
    "EVALKIT_API_KEY for openai: models, EVALKIT_PREFIX_TEXTS texts for --try-prefixes; HF_HOME, HF_TOKEN, "
    "CUDA_VISIBLE_DEVICES, NO_COLOR as usual."
)
"""What the program's help says of environment variables."""

app = typer.Typer(
    cls=Program,
    help="Bits per byte of language models on text that did not exist when they were trained.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=ENVIRONMENT,
)
app.add_typer(corpora.app, name="corpora")
app.add_typer(models.app, name="models")
app.add_typer(requests.app, name="requests")
app.add_typer(bench.app, name="bench")
app.add_typer(leaderboard.app, name="leaderboard")
app.command("run")(run.run_command)
app.command("audit")(audit.audit_command)
app.command("plan")(plan.plan_command)
app.command("status")(status.status_command)
app.command("compare")(compare.compare_command)
app.command("curve")(curve.curve_command)
app.command("compress")(compress.compress_command)
app.command("decompress")(compress.decompress_command)
app.command("snr")(snr.snr_command)
app.command("parity")(parity.parity_command)
app.command("losses")(losses.losses_command)
app.command("cutoff")(cutoff.cutoff_command)
app.command("leaks")(leaks.leaks_command)
app.command("report")(report.report_command)
app.command("explore")(explore.explore_command)
app.command("plot", cls=plot.PlotCommand)(plot.plot_command)
app.command("export", cls=export.ExportCommand)(export.export_command)
app.command("table")(table.table_command)
app.command("env")(env.env_command)
app.command(
    "lm-eval",
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    add_help_option=False,
)(lm_eval.lm_eval_command)

_BUILT_IN = {command.name for command in app.registered_commands} | {
    group.name for group in app.registered_groups
}


def _version(value: bool) -> None:
    if value:
        show(f"evalkit {__version__}")
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


def main(*, forks: bool = True) -> None:
    """The program ``evalkit``.

    Args:
        forks: whether work may be done in forks of this process: not where others have computed in it before.
    """
    prepare()
    state = CommandState(forks=forks)
    try:
        exit_code = _run(state)
        sys.stdout.flush()  # where it fails at the end, nobody is told why
    except BaseException as error:  # a panic of a library in Rust is no Exception
        exit_code = _say_error(error, debug=state.debug)
    end_output()
    sys.exit(exit_code)


def _run(state: CommandState) -> int | str | None:
    """Run the command that was given; what it ends with."""
    if (line := clash()) is not None:
        complain(line)
    try:
        add_commands(app, _BUILT_IN)
        app(obj=state)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer has caught the KeyboardInterrupt
            raise KeyboardInterrupt from None
        return end.code
    return 0


def _say_error(error: BaseException, *, debug: bool) -> int:
    """Tell of what ended a command; its exit code."""
    if isinstance(error, KeyboardInterrupt):
        complain("interrupted; what is finished is kept, and the same command goes on from there")
        return exit_code_of_interruption()
    if debug:
        for text in "".join(traceback.format_exception(error)).splitlines():
            show(text, err=True)
    if not isinstance(error, EvalkitError):
        error = disk_error(error, "standard output") or error
    if isinstance(error, EvalkitError):
        complain(str(error))
        return error.exit_code
    if (line := missing_package(error) or system_line(error)) is not None:
        complain(line)
        return 1
    advice = "" if debug else " (evalkit --debug … shows where)"
    complain(f"unexpected {type(error).__name__}: {error}{advice}")
    return 1
