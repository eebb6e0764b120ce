"""``evalkit probe``: what can an architecture track?"""

import typer

from evalkit_tasks import compile_cli, describe_cli, table_cli, train_cli

app = typer.Typer(help="Probe what an architecture can track.", no_args_is_help=True)
app.command("list")(describe_cli.list_command)
app.command("show")(describe_cli.show_command)
app.command("train")(train_cli.train_command)
app.command("bench")(table_cli.bench_command)
app.command("table")(table_cli.table_command)
app.command("compile")(compile_cli.compile_command)
app.command("registers")(compile_cli.registers_command)
