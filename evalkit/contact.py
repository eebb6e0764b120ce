"""Addresses at which people are reached: a crawl tells one to every server."""

import re

from evalkit.errors import UsageError

_CONTACT = re.compile(r"[!-~]+@[!-~]+\.[!-~]+|https?://[!-~]+")

_PLACEHOLDER = re.compile(
    r"(?:[@./]|^)(?:example\.(?:com|net|org|edu)|[\w.-]+\.(?:example|invalid|test|localhost))(?:[:/?#]|$)",
    re.IGNORECASE,
)
"""Names that are kept for documentation and belong to nobody: RFC 2606."""


def check_contact(contact: str, origin: str) -> str:
    """The address itself, if it may be one.

    Args:
        contact: an e-mail or web address.
        origin: who says it, for the message.

    Raises:
        UsageError: it is neither an e-mail address nor a web address, or a placeholder.
    """
    # It goes into a header, within parentheses (a comment, RFC 9110, 5.6.5): nothing may end either.
    if not _CONTACT.fullmatch(contact) or any(mark in contact for mark in '()<>\\"'):
        raise UsageError(f"{origin} {contact!r} is neither an e-mail address nor a web address")
    if _PLACEHOLDER.search(contact):
        raise UsageError(f"{origin} {contact!r} is a placeholder and reaches nobody; give your own address")
    return contact
