"""Whom the operator of a server may write to: the user says it once, every request tells it."""

import os
from pathlib import Path

from evalkit.contact import check_contact
from evalkit.errors import UsageError
from evalkit.files import atomic_write, cache_dir
from evalkit.version import __version__


def contact_of_user(option: str | None = None) -> str:
    """The user's e-mail or web address: ``--contact``, else ``$EVALKIT_CONTACT``, else the remembered one.

    Args:
        option: value of ``--contact``; it is remembered for later crawls. None: the option is not used.

    Raises:
        UsageError: there is no address, it is neither an e-mail address nor a web address, or a placeholder.
    """
    if option is not None:
        contact = check_contact(option, "--contact")
        with atomic_write(_memory()) as temporary:
            temporary.write_text(contact + "\n", encoding="ascii")
        return contact
    if from_environment := os.environ.get("EVALKIT_CONTACT"):
        return check_contact(from_environment, "$EVALKIT_CONTACT")
    try:
        return check_contact(_memory().read_text(encoding="utf-8").strip(), str(_memory()))
    except FileNotFoundError:
        raise UsageError(
            "say whom the operators of servers may write to: --contact you@example.org (it is remembered), "
            "or $EVALKIT_CONTACT"
        ) from None


def user_agent(contact: str) -> str:
    """The ``User-Agent`` header of every request: program, version and whom to write to."""
    return f"evalkit/{__version__} ({contact})"


def _memory() -> Path:
    return cache_dir() / "contact"
