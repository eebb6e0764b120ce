"""What crawlers add to ``evalkit corpora``."""

import typer

app = typer.Typer()
