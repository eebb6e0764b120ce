"""What a server says of a prompt's tokens: every cost there, a number, and of the token that was sent."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from evalkit.errors import ModelError

_TOKEN_ID = re.compile(r"token_id:(\d+)")
_MOST_ROUNDING = 1e-4
"""By which a cost may be below nothing."""
_LEAST_LOGPROB = -9000.0
"""vLLM writes -9999 for minus infinity."""


class PromptCosts(NamedTuple):
    """What a server says of a prompt that begins with a token without a cost."""

    logprobs: list[float]
    """Natural logarithms, of every token but the first."""
    best: list[dict[str, float]]
    """Beside each of them the likeliest tokens of the place, by the names that the server gives to tokens."""
    names: list[str]
    """The server's names of the tokens themselves."""


def mapping(value: object) -> Mapping[str, object]:
    """A JSON object; an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> Sequence[object]:
    """A JSON array; an empty one in place of anything else."""
    return value if isinstance(value, list) else []


def read_completion(answer: object, ids: Sequence[int], name: str) -> PromptCosts:
    """The costs of a prompt in the answer of a completions endpoint with ``echo`` and ``logprobs``.

    Args:
        answer: JSON.
        ids: the prompt.
        name: the model's, for messages.

    Raises:
        ModelError: it is no such answer, the prompt was not read as it was sent, or a cost is none.
    """
    choices = sequence(mapping(answer).get("choices"))
    choice = mapping(choices[0] if choices else None)
    logprobs = mapping(choice.get("logprobs"))
    tokens = [str(token) for token in sequence(logprobs.get("tokens"))]
    costs = sequence(logprobs.get("token_logprobs"))
    if not tokens or len(costs) != len(tokens):
        raise ModelError(
            f"{name}: the server passes over echo and logprobs: it gives no costs of a prompt's tokens, "
            "without "
            "which nothing can be scored"
        )
    # The last token is a generated one: not every server can generate none.
    num_echoed = len(tokens) - 1 if len(tokens) > len(ids) else len(tokens)
    num_read = mapping(mapping(answer).get("usage")).get("prompt_tokens", num_echoed)
    if not isinstance(num_read, int):
        num_read = num_echoed
    if len(tokens) == 1 < len(ids) and num_read in (1, len(ids)):
        raise ModelError(f"{name}: the server gives costs of generated tokens only, and none of the prompt's")
    _check_prompt(ids, _stated_ids(choice, tokens, num_read), num_read, name)
    if num_echoed != len(ids):
        raise ModelError(f"{name}: the server gives {num_echoed} costs for a prompt of {len(ids)} tokens")
    if costs[0] is not None:
        raise ModelError(
            f"{name}: the server gives a prompt's first token a cost ({costs[0]}): it reads something before "
            "it, "
            "or its costs belong to other tokens"
        )
    numbers = [check_logprob(cost, place, name) for place, cost in enumerate(costs[1 : len(ids)], 1)]
    best = [_numbers(entry) for entry in sequence(logprobs.get("top_logprobs"))[1 : len(ids)]]
    return PromptCosts(numbers, best, tokens[1 : len(ids)])


def check_logprob(value: object, place: int, name: str) -> float:
    """A logarithm of a probability.

    Raises:
        ModelError: it is none.
    """
    if value is None:
        raise ModelError(f"{name}: the server gives no cost of token {place} of a prompt")
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
        raise ModelError(f"{name}: the server gives {value!r} for token {place} of a prompt: no number")
    if value > _MOST_ROUNDING:
        raise ModelError(
            f"{name}: the server gives token {place} of a prompt a probability above 1 ({value:+g})"
        )
    if value < _LEAST_LOGPROB:
        raise ModelError(
            f"{name}: the server gives token {place} of a prompt no probability at all ({value:g})"
        )
    return float(value)


def _numbers(entry: object) -> dict[str, float]:
    return {
        token: float(value)
        for token, value in mapping(entry).items()
        if isinstance(value, int | float) and not math.isnan(value)
    }


def _stated_ids(choice: Mapping[str, object], tokens: Sequence[str], num_read: int) -> list[int]:
    """Ids of the tokens that were read, as far as the server says them; empty where it does not."""
    stated = [token for token in sequence(choice.get("prompt_token_ids")) if isinstance(token, int)]
    named = [match for token in tokens if (match := _TOKEN_ID.fullmatch(token))]
    if not stated and len(named) == len(tokens):
        return [int(match[1]) for match in named][:num_read]
    return stated


def _check_prompt(ids: Sequence[int], read_ids: Sequence[int], num_read: int, name: str) -> None:
    """Refuse a server that read another prompt than it was sent.

    Raises:
        ModelError: it did; the message says what it may have done to it.
    """
    if num_read > len(ids) and (not read_ids or list(read_ids) == list(ids)):
        raise ModelError(
            f"{name}: the server reads {num_read - len(ids)} tokens more than the {len(ids)} it is sent: it "
            "adds a "
            "BOS or applies a chat template; serve the model without"
        )
    num_read = len(read_ids) or num_read
    start = _place_of(ids, read_ids) if read_ids else 0
    if num_read < len(ids):
        raise ModelError(
            f"{name}: the server truncates prompts: it reads {num_read} of {len(ids)} tokens; let it read "
            "more, or "
            f"pass --max-context {max(num_read - 2, 4)}"
        )
    if start is None:
        pairs = enumerate(zip(ids, read_ids, strict=False))
        first = next(place for place, (sent, read) in pairs if sent != read)
        raise ModelError(
            f"{name}: the server reads other tokens than it is sent, from token {first} on: it has another "
            "tokenizer"
        )
    num_behind = num_read - start - len(ids)
    if num_behind or start > 1:
        raise ModelError(
            f"{name}: the server puts {start} tokens before a prompt and {num_behind} behind it: it applies "
            "a chat "
            "template; ask an endpoint of plain completions"
        )
    if start:
        raise ModelError(
            f"{name}: the server puts token {read_ids[0]} before a prompt: it adds a BOS to ids that begin "
            "as they "
            "should already; serve the model without"
        )


def _place_of(ids: Sequence[int], read_ids: Sequence[int]) -> int | None:
    """Where a prompt begins within what was read; None: nowhere."""
    ids, read_ids = list(ids), list(read_ids)
    starts = range(len(read_ids) - len(ids) + 1)
    return next((start for start in starts if read_ids[start : start + len(ids)] == ids), None)
