"""Probes of a completions endpoint, made before any corpus is scored: whether what it gives are costs at all.

Nothing is known of the model but what the server says, so that its answers are held against each other and
against what any probability distribution over a vocabulary must be.
"""

import collections
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from evalkit.errors import ModelError
from evalkit.models.openai.answers import PromptCosts
from evalkit.models.openai.client import RefusedRequest

NATURAL_TEXT = (
    "The ferry was late again, so the children counted gulls: one, two, three, four, five. Their mother said "
    "that "
    "the next boat would leave at half past nine, and that the museum in the old harbour opened at ten.\n"
)
UNLIKELY_TEXT = "qX7 zvk#Wp 09fj~ruQ lmB{ 5xe tyGo|n HcI3 sdAw@ 8PkZ\tJvO bqMi;Ee 2UfR xLhN4g\n"
"""Hardly any of its tokens can be foreseen."""
DIFFERENT_TEXT = "Warning: 12 unresolved symbols in module\n"
MOST_PROBE_TOKENS = 4096
"""Length of the longest probe; whether longer prompts are read whole shows with each of them."""

_MEAN_DIFFERENCE = 0.05
_MOST_DIFFERENCE = 1.0
"""By how much the cost of a token may change with what is computed beside it, in nats: servers round to "
"bfloat16."""
_ROUNDING = 1e-3
"""Of sums of probabilities, and of a cost that is said twice."""
_NEARLY_ALL = 1 - 1e-5
_MANY_BEST = 20
"""Likeliest tokens beside each that vLLM gives by default at most."""
_MOST_ALIKE = 0.2
"""Share of unlikely tokens that may have the very same cost."""
_MOST_CONTRADICTED = 0.2
"""Share of tokens whose cost may not be that of the token of their name; two tokens may have one name."""
_LEAST_MATCHING = 0.9
"""Share of tokens whose names must be those of the tokens that were sent; names are lossy."""


class Endpoint(Protocol):
    """What can be asked for the costs of prompts."""

    def explore(self, prompts: Sequence[Sequence[int]], num_best: int = ...) -> list[PromptCosts]:
        """The costs of prompts, with the likeliest tokens beside each."""
        ...


class Probes(NamedTuple):
    """Token ids of the texts that are asked for, each after the same start."""

    start: tuple[int, ...]
    """At least one token; without a cost."""
    natural: list[int]
    unlikely: list[int]
    different: list[int]
    texts: Mapping[int, str]
    """Of the tokens that stand for whole characters, and of no others."""


def check_endpoint(endpoint: Endpoint, probes: Probes, vocab_size: int, max_tokens: int, name: str) -> float:
    """Ask for the costs of a few texts, and refuse a server whose answers cannot be right.

    Args:
        endpoint: which answers each prompt with a cost for each token that was sent, or raises.
        probes: what to ask for.
        vocab_size: number of tokens that the model chooses from.
        max_tokens: length of the longest prompt that will be sent.
        name: the model's, for messages.

    Returns:
        Nats of the natural text, to be kept: another sum of another day is another model.

    Raises:
        ModelError: see there; the message says what is wrong with the server.
    """
    start = list(probes.start)
    natural, unlikely = [*start, *probes.natural], [*start, *probes.unlikely]
    long = (natural * (max_tokens // len(natural) + 1))[: min(max_tokens, MOST_PROBE_TOKENS)]
    prompts = [natural, [*natural, *probes.unlikely], [*natural, *probes.different], unlikely]
    prompts = [prompt[:max_tokens] for prompt in prompts]
    alone, before_unlikely, before_other = endpoint.explore(prompts[:3])
    of_unlikely = _with_many_best(endpoint, prompts[3])
    [of_long] = endpoint.explore([long])
    check_names(prompts[0], alone, probes.texts, name)
    for costs in (alone, of_unlikely):
        check_distributions(costs, vocab_size, name)
    _check_not_renormalised(of_unlikely, vocab_size, name)
    for costs in (before_unlikely, before_other, of_long):
        check_same_costs(alone, costs, name)
    _check_continuation(endpoint, natural[:max_tokens], before_other, probes, name)
    return -math.fsum(alone.logprobs)


def check_names(ids: Sequence[int], costs: PromptCosts, texts: Mapping[int, str], name: str) -> None:
    """Refuse a server whose tokens are named otherwise than those that were sent.

    Raises:
        ModelError: they are others.
    """
    pairs = [
        (_plain(token_name), _plain(texts[token]))
        for token, token_name in zip(ids[1:], costs.names, strict=True)
        if token in texts and not token_name.startswith(("token_id:", "bytes:"))
    ]
    num_matching = sum(token_name == text for token_name, text in pairs)
    if num_matching < _LEAST_MATCHING * len(pairs):
        token_name, text = next(pair for pair in pairs if pair[0] != pair[1])
        raise ModelError(
            f"{name}: the server reads other tokens than it is sent: {token_name!r} for {text!r}; it has "
            "another "
            "tokenizer, or reads something before the prompt"
        )


def check_distributions(costs: PromptCosts, vocab_size: int, name: str) -> None:
    """Refuse costs that are no logarithms, to the base e, of probabilities over a vocabulary.

    Of a distribution the likeliest tokens' probabilities sum to 1 at most, and the others, of which each has
    at most that of the least of these, must make up for the rest. The text's own token is among them with the
    cost that it has, or is less likely than all of them.

    Raises:
        ModelError: they cannot be.
    """
    if len(costs.best) != len(costs.logprobs) or not all(costs.best):
        raise ModelError(
            f"{name}: the server gives no likeliest tokens (top_logprobs) beside a prompt's, against which "
            "its costs "
            "could be checked"
        )
    most_rows = vocab_size + vocab_size // 4 + 256  # a model may have more rows than its tokenizer has tokens
    most_best = max(map(len, costs.best))
    num_contradicted = 0
    for logprob, token_name, best in zip(costs.logprobs, costs.names, costs.best, strict=True):
        total = math.fsum(map(_exp, best.values()))
        if total > 1 + _ROUNDING:
            raise ModelError(
                f"{name}: the server's probabilities of {len(best)} tokens sum to {total:.3f}: its costs are "
                "no "
                "natural logarithms (to the base 10?)"
            )
        # The text's own token may come beside the likeliest.
        least = min((value for key, value in best.items() if key != token_name), default=0.0)
        at_most = total + max(0, most_rows - len(best)) * _exp(least)
        # Of two tokens with one name the answer has one, which may be the less likely.
        is_whole = len(best) == most_best or token_name.startswith("token_id:")
        if is_whole and at_most < 1 - _ROUNDING:
            raise ModelError(
                f"{name}: the server's probabilities of {most_rows} tokens sum to {at_most:.3f} at most: its "
                "costs "
                "are no natural logarithms (to the base 2?)"
            )
        stated = best.get(token_name)
        num_contradicted += (
            logprob > least + _ROUNDING if stated is None else abs(stated - logprob) > _ROUNDING
        )
    if num_contradicted > _MOST_CONTRADICTED * len(costs.logprobs):
        raise ModelError(
            f"{name}: the server gives the cost of another token than the prompt's: of the likeliest, of a "
            "sampled "
            "one, or of a neighbour"
        )


def check_same_costs(alone: PromptCosts, within: PromptCosts, name: str) -> None:
    """Refuse a server whose costs change with what comes later.

    Raises:
        ModelError: they do.
    """
    pairs = zip(alone.logprobs, within.logprobs, strict=False)
    differences = [abs(cost - cost_within) for cost, cost_within in pairs]
    if math.fsum(differences) > _MEAN_DIFFERENCE * len(differences) or max(differences) > _MOST_DIFFERENCE:
        raise ModelError(
            f"{name}: the cost of a prompt's tokens changes with what follows them (by "
            f"{max(differences):.2g} nats): "
            "the server lets tokens see later ones, or its costs belong to their neighbours"
        )


def _with_many_best(endpoint: Endpoint, ids: Sequence[int]) -> PromptCosts:
    """The costs of a prompt beside as many likeliest tokens as the server gives."""
    try:
        return endpoint.explore([ids], _MANY_BEST)[0]
    except RefusedRequest:  # OpenAI's own limit is lower
        return endpoint.explore([ids])[0]


def _check_not_renormalised(costs: PromptCosts, vocab_size: int, name: str) -> None:
    pairs = zip(costs.logprobs, costs.best, strict=True)
    least = [logprob for logprob, best in pairs if logprob <= min(best.values())]
    [(value, num_alike)] = collections.Counter(least).most_common(1) or [(0.0, 0)]
    if num_alike > _MOST_ALIKE * len(costs.logprobs):
        raise ModelError(
            f"{name}: the server gives {num_alike} of {len(costs.logprobs)} unlikely tokens the very same "
            "cost "
            f"({value:g}): it knows none of tokens that are not among the likeliest"
        )
    totals = [math.fsum(map(_exp, best.values())) for best in costs.best]
    num_best = _num_best(costs)
    if num_best < vocab_size and min(totals) > _NEARLY_ALL:
        raise ModelError(
            f"{name}: the server leaves no probability to tokens beyond the {num_best} likeliest, not even "
            "where nothing "
            "can be foreseen: it renormalises over those"
        )


def _check_continuation(
    endpoint: Endpoint, ids: Sequence[int], continued: PromptCosts, probes: Probes, name: str
) -> None:
    """Refuse costs that are not those of their own tokens, each where it stands.

    The token that is likeliest after a text must cost what was said of it, when the text goes on with it.
    """
    if len(continued.best) < len(ids):
        return  # the context is so short that nothing was behind the text
    best = continued.best[len(ids) - 1]
    names = zip(ids[1:], continued.names, strict=False)
    is_exact = all(name == probes.texts[token] for token, name in names if token in probes.texts)
    by_name = _ids_by_name(
        probes.texts if is_exact else {i: _plain(text) for i, text in probes.texts.items()}
    )
    named = {
        token: logprob
        for key, logprob in best.items()
        if (token := _id_of(key if is_exact else _plain(key), by_name)) is not None
    }
    if not named:
        return
    tokens = sorted(named, key=lambda token: -named[token])
    for token, costs in zip(tokens, endpoint.explore([[*ids, token] for token in tokens]), strict=True):
        if abs(costs.logprobs[-1] - named[token]) > _MOST_DIFFERENCE / 2:
            raise ModelError(
                f"{name}: the server says {named[token]:.3f} of a likely next token, and "
                f"{costs.logprobs[-1]:.3f} where "
                "the prompt has it: its costs belong to other tokens than it says"
            )


def _num_best(costs: PromptCosts) -> int:
    """How many likeliest tokens a server gives everywhere; the text's own may come beside them."""
    return min(map(len, costs.best))


def _ids_by_name(texts: Mapping[int, str]) -> dict[str, int]:
    """Tokens by their text, where it is of one only."""
    by_name: dict[str, int] = {}
    doubled: set[str] = set()
    for token, text in texts.items():
        doubled.update({text} & by_name.keys())
        by_name[text] = token
    return {text: token for text, token in by_name.items() if text not in doubled}


def _id_of(token_name: str, by_name: Mapping[str, int]) -> int | None:
    prefix, _, number = token_name.partition(":")
    if prefix == "token_id" and number.isdecimal():
        return int(number)
    return by_name.get(token_name)


def _plain(token_name: str) -> str:
    """A token's name without what servers write differently: blanks, and what vocabularies write for them."""
    return token_name.replace("Ġ", " ").replace("▁", " ").replace("Ċ", "\n").strip()


def _exp(logprob: float) -> float:
    return math.exp(min(logprob, 1.0))
