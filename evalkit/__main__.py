"""``python -m evalkit``: the program ``evalkit``."""

from evalkit.cli import main

main()
