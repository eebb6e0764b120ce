"""Errors of the hub's client: a line each, for models and datasets alike."""

import httpx2
import pytest
from huggingface_hub import errors

from evalkit.errors import CorpusError, EvalkitError, ModelError
from evalkit.hub_errors import HubRepository, hub_errors, hub_message

MODEL = HubRepository("owner/tiny", "model", "v9")
DATASET = HubRepository("owner/news", "dataset", "v9")


def answered(kind: type[errors.HfHubHTTPError], status: int) -> errors.HfHubHTTPError:
    request = httpx2.Request("GET", "https://hub.example/api")
    return kind("many\nlines", response=httpx2.Response(status, request=request))


def caused_by(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "model", "dataset"),
    [
        (
            answered(errors.GatedRepoError, 403),
            "owner/tiny is gated: accept its licence at https://huggingface.co/owner/tiny and set "
            "HF_TOKEN to a token of that account",
            "owner/news is gated: accept its licence at https://huggingface.co/datasets/owner/news and set "
            "HF_TOKEN to a token of that account",
        ),
        (
            answered(errors.RepositoryNotFoundError, 404),
            "the hub has no model owner/tiny, or it is private: check the name at "
            "https://huggingface.co/owner/tiny, or set HF_TOKEN",
            "the hub has no dataset owner/news, or it is private: check the name at "
            "https://huggingface.co/datasets/owner/news, or set HF_TOKEN",
        ),
        (
            answered(errors.RevisionNotFoundError, 404),
            "owner/tiny has no revision 'v9': see https://huggingface.co/owner/tiny/commits/main",
            "the dataset owner/news has no revision 'v9': see "
            "https://huggingface.co/datasets/owner/news/commits/main",
        ),
        (
            errors.HFValidationError("many\nlines"),
            "'owner/tiny' is not the name of a hub repository (owner/name)",
            "'owner/news' is not the name of a hub repository (owner/name)",
        ),
        (
            answered(errors.HfHubHTTPError, 401),
            "the hub answered 401 for owner/tiny: set HF_TOKEN to a token that may do this",
            "the hub answered 401 for the dataset owner/news: set HF_TOKEN to a token that may do this",
        ),
        (
            answered(errors.HfHubHTTPError, 503),
            "the hub answered 503 for owner/tiny: try again later",
            "the hub answered 503 for the dataset owner/news: try again later",
        ),
        (
            errors.LocalTokenNotFoundError("many\nlines"),
            "there is no token for owner/tiny: set HF_TOKEN",
            "there is no token for the dataset owner/news: set HF_TOKEN",
        ),
        (
            errors.OfflineModeIsEnabled("many\nlines"),
            "cannot reach the hub for owner/tiny (HF_HUB_OFFLINE is set): wait",
            "cannot reach the hub for the dataset owner/news (HF_HUB_OFFLINE is set): wait",
        ),
        (
            errors.LocalEntryNotFoundError("many\nlines"),
            "cannot reach the hub for owner/tiny (HF_HUB_OFFLINE is set): wait",
            "cannot reach the hub for the dataset owner/news (HF_HUB_OFFLINE is set): wait",
        ),
        (
            caused_by(errors.LocalEntryNotFoundError("many\nlines"), httpx2.ReadTimeout("slow")),
            "cannot reach the hub for owner/tiny (ReadTimeout): wait",
            "cannot reach the hub for the dataset owner/news (ReadTimeout): wait",
        ),
        (
            httpx2.ConnectError("many\nlines"),
            "cannot reach the hub for owner/tiny (ConnectError): wait",
            "cannot reach the hub for the dataset owner/news (ConnectError): wait",
        ),
        (OSError("disk full"), None, None),
        (KeyError("x"), None, None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_the_client_says(error: Exception, model: str | None, dataset: str | None) -> None:
    assert hub_message(error, MODEL, ": wait") == model
    assert hub_message(error, DATASET, ": wait") == dataset


def test_the_errors_are_ours_and_others_pass() -> None:
    classes: list[type[EvalkitError]] = [ModelError, CorpusError]
    for error_type in classes:
        client_error = httpx2.ConnectError("no route")
        with pytest.raises(error_type, match="ConnectError") as caught, hub_errors(error_type, MODEL, ""):
            raise client_error
        assert caught.value.__cause__ is client_error
    with pytest.raises(KeyError), hub_errors(ModelError, MODEL, ""):
        raise KeyError("x")
    ours = CorpusError("it holds another corpus")
    with pytest.raises(CorpusError) as passed, hub_errors(ModelError, MODEL, ""):
        raise ours
    assert passed.value is ours
