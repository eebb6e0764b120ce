"""Errors of the Hugging Face Hub's client, which have many lines, as one line that says what to do."""

import contextlib
import json
import sys
from collections.abc import Iterator
from typing import Literal, NamedTuple

from evalkit.errors import EvalkitError

_NOT_THE_HUB = "what answered is not the hub: a network's login page, or a proxy"


class HubRepository(NamedTuple):
    """What was to be had from the hub."""

    name: str
    """``OWNER/NAME``."""
    kind: Literal["model", "dataset"]
    revision: str | None = None
    """Branch, tag or commit; None: the newest state."""

    @property
    def url(self) -> str:
        """Its page."""
        from huggingface_hub import constants

        return f"{constants.ENDPOINT}/{'datasets/' if self.kind == 'dataset' else ''}{self.name}"

    @property
    def label(self) -> str:
        """What messages call it."""
        return f"the dataset {self.name}" if self.kind == "dataset" else self.name


def bars_on_terminals_only() -> None:
    """Let the hub's client draw no progress bars where stderr is none, unless its own variable says so."""
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import disable_progress_bars

    if not sys.stderr.isatty() and constants.HF_HUB_DISABLE_PROGRESS_BARS is None:
        disable_progress_bars()


@contextlib.contextmanager
def hub_errors(
    error_type: type[EvalkitError], repository: HubRepository, when_unreachable: str
) -> Iterator[None]:
    """Raise the hub client's errors as ours; those of other kinds pass.

    Args:
        error_type: which of ours.
        repository: what was to be had.
        when_unreachable: what to do if the hub cannot be reached.
    """
    try:
        yield
    except Exception as error:
        message = hub_message(error, repository, when_unreachable)
        if message is None:
            raise
        raise error_type(message) from error


def is_refused_token(error: BaseException) -> bool:
    """Whether the hub refused a token that has expired or was revoked, whatever was to be had with it."""
    from huggingface_hub import errors

    # Of a repository that is private or gated the client raises an error of its own.
    if not isinstance(error, errors.HfHubHTTPError) or isinstance(error, errors.RepositoryNotFoundError):
        return False
    return error.response.status_code == 401 and "authorization" in error.response.request.headers


def hub_message(error: BaseException, repository: HubRepository, when_unreachable: str) -> str | None:
    """What an error of the hub's client means, in one line; None if it is another library's.

    Args:
        error: as it was caught. Of an error that another library made of the client's, its `__cause__`.
        repository: what was to be had.
        when_unreachable: what to do if the hub cannot be reached.
    """
    from httpx2 import TransportError
    from huggingface_hub import errors

    name, kind, revision = repository
    url = repository.url
    if isinstance(error, errors.GatedRepoError):
        return f"{name} is gated: accept its licence at {url} and set HF_TOKEN to a token of that account"
    if isinstance(error, errors.RepositoryNotFoundError):
        return f"the hub has no {kind} {name}, or it is private: check the name at {url}, or set HF_TOKEN"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"{repository.label} has no revision {revision!r}: see {url}/commits/main"
    if isinstance(error, errors.HFValidationError):
        return f"{name!r} is not the name of a hub repository (owner/name)"
    if is_refused_token(error):
        return f"the hub does not know the token for {repository.label}: renew it, or unset HF_TOKEN"
    if isinstance(error, errors.HfHubHTTPError):
        status = error.response.status_code
        remedy = "set HF_TOKEN to a token that may do this" if status in (401, 403) else "try again later"
        return f"the hub answered {status} for {repository.label}: {remedy}"
    if isinstance(error, errors.LocalTokenNotFoundError):
        return f"there is no token for {repository.label}: set HF_TOKEN"
    if isinstance(error, json.JSONDecodeError):
        reason = _NOT_THE_HUB
    elif isinstance(error, errors.OfflineModeIsEnabled):
        reason = "HF_HUB_OFFLINE is set"
    elif isinstance(error, errors.RevisionResolutionError | errors.LocalEntryNotFoundError):
        cause = error.__cause__
        is_offline = cause is None or isinstance(cause, errors.OfflineModeIsEnabled)
        is_impostor = isinstance(cause, errors.FileMetadataError | json.JSONDecodeError)
        reason = "HF_HUB_OFFLINE is set" if is_offline else type(cause).__name__
        reason = _NOT_THE_HUB if is_impostor else reason
    elif isinstance(error, TransportError):
        reason = type(error).__name__
    else:
        return None
    return f"cannot reach the hub for {repository.label} ({reason}){when_unreachable}"
