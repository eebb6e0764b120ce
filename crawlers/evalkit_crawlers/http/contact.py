"""Whom the operator of a server may write to: the user says it once, every request tells it."""

import os
import re
from pathlib import Path

from evalkit.errors import UsageError
from evalkit.files import atomic_write, cache_dir
from evalkit.version import __version__

_CONTACT = re.compile(r"[!-~]+@[!-~]+\.[!-~]+|https?://[!-~]+")

_PLACEHOLDER = re.compile(
    r"(?:[@./]|^)(?:example\.(?:com|net|org|edu)|[\w.-]+\.(?:example|invalid|test|localhost))(?:[:/?#]|$)",
    re.IGNORECASE,
)
"""Names that are kept for documentation and belong to nobody: RFC 2606."""


def contact_of_user(option: str | None = None) -> str:
    """The user's e-mail or web address: ``--contact``, else ``$EVALKIT_CONTACT``, else the remembered one.

    Args:
        option: value of ``--contact``; it is remembered for later crawls. None: the option is not used.

    Raises:
        UsageError: there is no address, it is neither an e-mail address nor a web address, or a placeholder.
    """
    if option is not None:
        contact = _checked(option, "--contact")
        with atomic_write(_memory()) as temporary:
            temporary.write_text(contact + "\n", encoding="ascii")
        return contact
    if from_environment := os.environ.get("EVALKIT_CONTACT"):
        return _checked(from_environment, "$EVALKIT_CONTACT")
    try:
        return _checked(_memory().read_text(encoding="utf-8").strip(), str(_memory()))
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


def _checked(contact: str, origin: str) -> str:
    # It goes into a header, within parentheses (a comment, RFC 9110, 5.6.5): nothing may end either.
    if not _CONTACT.fullmatch(contact) or any(mark in contact for mark in '()<>\\"'):
        raise UsageError(f"{origin} {contact!r} is neither an e-mail address nor a web address")
    if _PLACEHOLDER.search(contact):
        raise UsageError(f"{origin} {contact!r} is a placeholder and reaches nobody; give your own address")
    return contact
