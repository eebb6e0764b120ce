"""An audit of a model: all checks, in the order in which a failure of one explains those of the next."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch

from evalkit.audit.distribution import check_sum
from evalkit.audit.order import (
    check_carried_state,
    check_causality,
    check_company,
    check_last_token,
    check_repetition,
)
from evalkit.audit.positions import check_positions
from evalkit.audit.precision import check_finite, check_knowledge, check_precision
from evalkit.audit.prefix import check_prefix_is_read, check_prefix_is_right
from evalkit.audit.records import audit_key
from evalkit.audit.result import SCHEMA_VERSION, AuditedModel, CheckResult, ModelAudit, now
from evalkit.audit.states import check_states
from evalkit.audit.subject import EXTENTS, Subject
from evalkit.audit.tokens import check_tokens
from evalkit.errors import EvalkitError, ModelError, ScoringError, UsageError
from evalkit.models.protocol import ModelIdentity, TokenModel
from evalkit.version import __version__

P = ParamSpec("P")
T = TypeVar("T")
_CHECKS: tuple[Callable[[Subject], CheckResult], ...] = (
    check_tokens,
    check_finite,
    check_sum,
    check_causality,
    check_last_token,
    check_company,
    check_repetition,
    check_carried_state,
    check_prefix_is_read,
    check_prefix_is_right,
    check_knowledge,
)


@torch.inference_mode()
def audit_model(
    model: TokenModel,
    *,
    extent: str = "standard",
    reference: TokenModel | None = None,
    progress: Callable[[CheckResult], None] = lambda _: None,
) -> ModelAudit:
    """Check that a model is one: that its numbers are probabilities, of the text, and of nothing else.

    Works on anything with the members of `evalkit.models.protocol.TokenModel`, also an object of your own::

        audit = evalkit.audit_model(my_model)
        assert audit.passed, audit.faults

    Args:
        model: a model that is loaded.
        extent: ``short`` (hundreds of tokens), ``standard`` (thousands) or ``long`` (to 131,072).
        reference: the same model in float32, where ``model`` is in another precision.
        progress: called with every result as it is there.

    Raises:
        UsageError: ``extent`` is none, or ``model`` no `TokenModel`.
        ScoringError: the model can represent nothing of the texts, its context is too short for any, or it
            breaks its protocol.
        ModelError: the model raises something; the message says what.
    """
    subject = _subject(model, extent)
    checks: list[CheckResult] = []

    def add(result: CheckResult) -> None:
        checks.append(result)
        progress(result)

    for check in _CHECKS:
        add(_checked(model, check, subject))
    for result in _checked(model, check_positions, subject):
        add(result)
    add(_checked(model, check_precision, subject, reference))
    result, states = _checked(model, check_states, subject)
    add(result)
    return ModelAudit(
        schema_version=SCHEMA_VERSION,
        created=now(),
        evalkit=__version__,
        extent=extent,
        model=audited_model(model.identity, model.vocab_size),
        key=audit_key(model.identity),
        checks=tuple(checks),
        states=states,
        num_tokens_read=subject.num_tokens_read,
    )


def _subject(model: TokenModel, extent: str) -> Subject:
    """What is audited.

    Raises:
        UsageError: see `audit_model`.
        ScoringError: the same.
    """
    if extent not in EXTENTS:
        raise UsageError(f"extent {extent!r}; known: {', '.join(EXTENTS)}")
    if not isinstance(model, TokenModel):
        raise UsageError(
            f"{model!r} has no tokens to audit; it lacks members of evalkit.models.protocol.TokenModel"
        )
    subject = _checked(model, Subject, model, EXTENTS[extent])
    if len(set(subject.ids)) < 2:
        raise ScoringError(f"{subject.name} can represent nothing of the audit's texts")
    if not subject.fits(subject.extent.lengths[0]):
        raise ScoringError(
            f"{subject.name}: a context of {subject.context_limit} tokens is too short for an audit, which "
            f"reads {subject.extent.lengths[0]} after the prefix; raise it"
        )
    return subject


def _checked(model: TokenModel, check: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
    """What a check gives; what a model raises in it becomes a line that names the model."""
    try:
        return check(*args, **named)
    except (EvalkitError, MemoryError):
        raise
    except Exception as error:
        raise ModelError(f"{model.identity.name} cannot be audited: it raises {error!r}") from error


def audited_model(identity: ModelIdentity, vocab_size: int) -> AuditedModel:
    """What an audit says of its model."""
    return AuditedModel(
        name=identity.name,
        loader=identity.loader,
        revision=identity.revision,
        weights_sha256=identity.weights_sha256,
        tokenizer_sha256=identity.tokenizer_sha256,
        dtype=identity.dtype,
        prefix=identity.prefix,
        context_limit=identity.context_limit,
        vocab_size=vocab_size,
    )
