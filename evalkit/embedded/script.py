"""What the recipe's modules are when they are run as programs."""

import sys
from collections.abc import Callable

from evalkit.errors import EvalkitError
from evalkit.terminal import complain


def run_script(main: Callable[[], None]) -> None:
    """Run a module's ``main``; an error of evalkit's is a line, and the program's exit code."""
    try:
        main()
    except EvalkitError as error:
        complain(str(error))
        sys.exit(error.exit_code)
