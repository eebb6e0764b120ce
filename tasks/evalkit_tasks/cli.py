"""``evalkit probe``: what can an architecture track?"""

import typer

app = typer.Typer(help="Probe what an architecture can track.", no_args_is_help=True)
