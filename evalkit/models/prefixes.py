"""What a model reads before a document and does not pay for: the rule, the ids, and their text."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from evalkit.errors import ModelError, UsageError
from evalkit.terminal import printable

if TYPE_CHECKING:  # a protocol speaks of prefixes, and a prefix under a policy is one of a model
    from evalkit.models.protocol import TokenModel

_RULE = re.compile(r"bos|eos|none|token:[0-9]{1,9}(,(token:)?[0-9]{1,9})*")
EVERY_CHUNK = "uncheatable"
"""The policy whose documents are cut into chunks that may each begin with ids of their own."""
CHEAPEST = "uncheatable-2025-12"
"""The policy whose prefix is the cheapest of several, see `evalkit.scoring.mode_finder`."""

WITH_CONTEXT = "lm-eval with a context"
"""Names what is read before a document's context under ``lm-eval``: what the tokenizer adds by itself."""


class Prefix(NamedTuple):
    """What is read before a document, or before a document under one policy."""

    rule: str
    """``bos``, ``eos``, ``none`` or ``token:ID,ID``; it says the same as `ids`."""
    ids: tuple[int, ...]
    """All that is read before a document's first token."""
    chunk_ids: tuple[int, ...] = ()
    """The first of `ids`, where every chunk of a document begins with them; see `EVERY_CHUNK`."""


NO_PREFIX = Prefix("none", ())


def parse_rule(text: str, origin: str) -> str:
    """A rule as it is written in keys: without blanks, ids without leading zeros.

    Args:
        text: ``bos``, ``eos``, ``none``, ``token:ID`` or ``token:ID,ID,ID``, also as ``token:ID,token:ID``.
        origin: where it was said, for the message.

    Raises:
        UsageError: it is something else.

    >>> parse_rule("token: 1, 02", "--prefix")
    'token:1,2'
    """
    rule = re.sub(r"\s*([:,])\s*", r"\1", text.strip())
    if not _RULE.fullmatch(rule):
        raise UsageError(f"{origin} must be bos, eos, none or token:ID,ID,…, not {text!r}")
    return rule_of(_ids_in(rule)) if rule.startswith("token:") else rule


def prefix_of_rule(rule: str, special_ids: Mapping[str, int | None], name: str) -> Prefix:
    """The prefix that a rule stands for in a vocabulary.

    Args:
        rule: from `parse_rule`.
        special_ids: what ``bos`` and ``eos`` mean to the model's tokenizer.
        name: the model's, for the message.

    Raises:
        ModelError: the rule is a token that the tokenizer does not define.
    """
    if rule == "none":
        return NO_PREFIX
    if rule.startswith("token:"):
        return Prefix(rule, _ids_in(rule))
    token = special_ids.get(rule)
    if token is None:
        raise ModelError(
            f"{name}: the prefix is to be {rule}, but the tokenizer defines no such token; use token:ID"
        )
    return Prefix(rule, (int(token),))


def prefix_of_ids(ids: Sequence[int], special_ids: Mapping[str, int | None]) -> Prefix:
    """The prefix of these ids, under the first name of ``special_ids`` that says the same."""
    return Prefix(rule_of(ids, special_ids), tuple(map(int, ids)))


def rule_of(ids: Sequence[int], special_ids: Mapping[str, int | None] | None = None) -> str:
    """The rule that stands for ids: a name if one says the same, else the ids themselves."""
    if not ids:
        return "none"
    names = [name for name, token in (special_ids or {}).items() if [token] == list(ids)]
    return names[0] if names else "token:" + ",".join(map(str, ids))


def check_in_vocabulary(prefixes: Iterable[Sequence[int]], vocab_size: int, name: str) -> None:
    """Refuse ids that a model has no rows for.

    Raises:
        ModelError: an id lies outside the vocabulary.
    """
    for ids in prefixes:
        if any(not 0 <= token < vocab_size for token in ids):
            raise ModelError(
                f"{name}: prefix {rule_of(ids)} lies outside the {vocab_size} tokens; give a smaller ID"
            )


def explicit_prefixes(prefix: Prefix) -> dict[str, Prefix]:
    """By policy, what ``--prefix`` makes of it where a published protocol would read something else."""
    return {
        "lm-eval": prefix,
        WITH_CONTEXT: prefix,
        EVERY_CHUNK: prefix._replace(chunk_ids=prefix.ids),
    }


def prefix_under(model: "TokenModel", policy: str) -> Prefix:
    """What a model reads before a document under a policy; the rule and the ids say the same.

    `WITH_CONTEXT` is nothing for a model that says nothing of it.
    """
    identity = model.identity
    if policy == WITH_CONTEXT and policy not in model.policy_prefixes:
        return NO_PREFIX
    ids = tuple(model.policy_prefixes.get(policy, model.prefix))
    stated = identity.policy_prefixes.get(policy)
    if stated is not None and stated.ids == ids:
        return stated
    # Models of other packages say one rule, and ids by policy.
    is_planned = ids == tuple(model.prefix)
    return Prefix(stated_rule(identity.prefix, ids) if is_planned else rule_of(ids), ids)


def stated_rule(rule: str, ids: Sequence[int]) -> str:
    """The rule that a model's identity states, if it does not contradict the ids; else that of the ids."""
    return rule if rule in ("bos", "eos") and len(ids) == 1 else rule_of(ids)


def token_text(ids: Sequence[int], names: Mapping[int, str]) -> str | None:
    """The tokens of a prefix as text, line breaks and the like escaped; None: there are none with a text."""
    if not ids or not all(token in names for token in ids):
        return None
    return printable("".join(names[token] for token in ids))


def prefix_in_words(rule: str, ids: Sequence[int] | None, text: str | None) -> str:
    """A prefix for people: ``[gMASK]<sop> (token:3,4)``, ``<s> (bos, token:1)``, ``token:0``, ``none``."""
    if not ids:
        return rule
    spelled = rule_of(ids)
    words = spelled if rule == spelled else f"{rule}, {spelled}"
    return f"{text} ({words})" if text else words


def _ids_in(rule: str) -> tuple[int, ...]:
    return tuple(map(int, rule.replace("token:", "").split(",")))
