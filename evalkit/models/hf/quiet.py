"""transformers without its log and its progress bars."""

import contextlib
import sys
from collections.abc import Iterator

import transformers


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from logging and, unless stderr is a terminal, from drawing progress bars.

    What matters in its warnings (missing weights, unknown settings) is checked here and raised.
    """
    logging = transformers.logging
    verbosity, had_bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    if not sys.stderr.isatty():
        logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if had_bars:
            logging.enable_progress_bar()
