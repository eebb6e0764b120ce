"""``evalkit crawl``: one command per source."""

import typer

app = typer.Typer(help="Collect dated text into corpora.", no_args_is_help=True)
