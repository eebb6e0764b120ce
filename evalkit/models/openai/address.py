"""Which model of which server a target means: ``http://HOST:PORT/v1?workers=16#MODEL``."""

import math
import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

from evalkit.errors import UsageError, unknown_name

DEFAULT_WORKERS = 8
DEFAULT_TIMEOUT_S = 600.0
_MAX_WORKERS = 1024
_SETTINGS = ("workers", "timeout", "tokenizer")


class ServerAddress(NamedTuple):
    """A model of a server, and how it is to be asked."""

    url: str
    """What the paths of the OpenAI interface are below, without a slash at its end."""
    model: str | None
    """None: the only one that the server has."""
    num_workers: int = DEFAULT_WORKERS
    """Most requests at a time."""
    timeout_s: float = DEFAULT_TIMEOUT_S
    """Longest time that an answer may take."""
    tokenizer: str | None = None
    """Folder or repository of the tokenizer; None: what the catalog or the server says."""

    @property
    def root_url(self) -> str:
        """Where servers have what is not in OpenAI's interface."""
        return self.url.removesuffix("/v1")

    @property
    def place(self) -> str:
        """``HOST:PORT``, to tell servers from one another."""
        return urlsplit(self.url).netloc


def parse_address(target: str, origin: str) -> ServerAddress:
    """The address that a target stands for.

    Args:
        target: ``http://HOST:PORT/v1#MODEL``; before the ``#`` may stand ``?`` and ``workers=N``,
            ``timeout=SECONDS`` or ``tokenizer=PLACE``, joined by ``&``.
        origin: where it was said, for messages.

    Raises:
        UsageError: it is something else, or holds a password.
    """
    origin, shown = (re.sub(r"//[^/#]*@", "//…@", text) for text in (origin, target))
    try:
        parts = urlsplit(target)
        port_is_number = parts.port is None or parts.port > 0
    except ValueError:
        port_is_number = False
    if not port_is_number or parts.scheme not in ("http", "https") or not parts.hostname:
        raise UsageError(f"{origin}: {shown!r} is no address; say openai:http://HOST:PORT/v1#MODEL")
    if parts.username is not None or parts.password is not None:
        raise UsageError(
            f"{origin}: an address with a password would be told; leave it out and set EVALKIT_API_KEY"
        )
    if not target.isprintable() or " " in target:
        raise UsageError(f"{origin}: {shown!r} has a character that no address has")
    settings = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in settings:
        if name not in _SETTINGS:
            raise UsageError(f"{origin}: {unknown_name('setting', name, _SETTINGS, f'Known: {_SETTINGS}.')}")
    num_workers = _number(settings.get("workers"), DEFAULT_WORKERS, "workers", origin)
    if num_workers != int(num_workers) or num_workers > _MAX_WORKERS:
        raise UsageError(f"{origin}: workers must be a whole number of at most {_MAX_WORKERS}")
    return ServerAddress(
        f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}",
        parts.fragment or None,
        int(num_workers),
        _number(settings.get("timeout"), DEFAULT_TIMEOUT_S, "timeout", origin),
        settings.get("tokenizer"),
    )


def model_name(model: str) -> str:
    """What to call a served model in results, which should not tell of a server's folders."""
    parts = model.rstrip("/").split("/")
    return model if len(parts) <= 2 and parts[0] else parts[-1]


def short_specs(targets: Sequence[str | None]) -> list[str | None]:
    """What to call models that were given as addresses: ``openai:MODEL``; of two alike, with the server.

    Args:
        targets: None for a model that was not given as an address.
    """
    addresses = [None if target is None else parse_address(target, target) for target in targets]
    names = [
        f"openai:{model_name(address.model) if address.model else address.place}" if address else None
        for address in addresses
    ]
    return [
        f"{name}@{address.place}" if address and address.model and names.count(name) > 1 else name
        for name, address in zip(names, addresses, strict=True)
    ]


def _number(text: str | None, default: float, name: str, origin: str) -> float:
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise UsageError(f"{origin}: {name} must be a number above 0, not {text!r}")
    return number
