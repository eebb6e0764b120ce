"""``python -m evalkit``: the program ``evalkit``."""

from evalkit.cli.main import main

main()
