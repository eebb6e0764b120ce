"""Questions with a closed set of answers, answered by likelihood: nothing is generated, nothing parsed.

Which tokens are an answer? Each answer is tokenised together with all that stands before it, as the model
would read it, and never alone. Paid for are all tokens from the first one that any answer changes: the
first token that reaches beyond the question in the encoding of some answer, or, where that comes earlier,
the first at which the encodings differ. So a token that belongs half to the question and half to the
answer is paid for in all answers alike, and the costs of the answers differ by nothing but the
probabilities of the whole texts. (lm-evaluation-harness takes the tokens after the first n, n being the
length of the question encoded alone, which is wrong where that encoding is no beginning of the whole's.)
"""

import itertools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.errors import LossyTextError, ScoringError
from evalkit.models.continuations import Request, check_lengths, continuation_nats
from evalkit.models.protocol import Encoding, TokenModel

_QUESTIONS_AT_ONCE = 128
"""Among these, what begins alike is read once; after each lot, progress is told."""


class Question(NamedTuple):
    """A text, and the answers of which one follows it."""

    text: str
    answers: tuple[str, ...]
    """Each with the white space before it."""


class AnswerCosts(NamedTuple):
    """What every answer to every question costs, and what it took to find out."""

    nats: list[NDArray[np.float64]]
    """For each question ``[num_answers]``."""
    num_tokens_read: int
    num_tokens_unshared: int
    """Tokens to be read if every answer had been asked for on its own."""


def answer_costs(
    model: TokenModel, questions: Sequence[Question], advance: Callable[[int], None] = lambda _: None
) -> AnswerCosts:
    """Nats of every answer.

    Args:
        model: who is asked.
        questions: they may share their beginnings, which are then read once.
        advance: told how many questions are done.

    Raises:
        ScoringError: a text cannot be represented or is too long for the model.
    """
    if questions:  # before hours of asking the shorter ones
        longest = max(questions, key=lambda question: len(question.text))
        check_lengths(model, answer_requests(model, longest))
    nats: list[NDArray[np.float64]] = []
    num_read = num_unshared = 0
    for first in range(0, len(questions), _QUESTIONS_AT_ONCE):
        lot = questions[first : first + _QUESTIONS_AT_ONCE]
        requests = [answer_requests(model, question) for question in lot]
        costs = continuation_nats(model, list(itertools.chain(*requests)))
        num_read += costs.num_tokens_read
        num_unshared += costs.num_tokens_unshared
        sums = iter([float(np.sum(cost, dtype=np.float64)) for cost in costs.nats])
        nats += [np.array([next(sums) for _ in answers]) for answers in requests]
        advance(len(nats))
    return AnswerCosts(nats, num_read, num_unshared)


def answer_requests(model: TokenModel, question: Question) -> list[Request]:
    """For each answer the tokens that are read, the model's prefix first, and those that are paid for.

    Paid for is everything from the first token that any answer changes, and the same tokens in all answers.

    Raises:
        ScoringError: the tokenizer cannot represent the text.
    """
    encodings = [encode(model, question.text + answer) for answer in question.answers]
    num_bytes = len(question.text.encode())
    # The first token that ends after the question's last byte, in the encoding where it comes earliest.
    beyond = min(int(np.searchsorted(encoding.ends, num_bytes, side="right")) for encoding in encodings)
    first = min(beyond, *(_num_shared(encodings[0], encoding) for encoding in encodings))
    return [
        Request(
            (*model.prefix, *encoding.ids[:first].tolist()),
            tuple(encoding.ids[first:].tolist()),
        )
        for encoding in encodings
    ]


def fits(model: TokenModel, question: Question) -> bool:
    """Whether a model's context holds a question with each of its answers.

    Raises:
        ScoringError: the tokenizer cannot represent the text.
    """
    if model.context_limit is None:
        return True
    requests = answer_requests(model, question)
    return max(request.num_positions for request in requests) <= model.context_limit


def encode(model: TokenModel, text: str) -> Encoding:
    """The tokens of a text.

    Raises:
        ScoringError: the tokenizer cannot represent it.
    """
    try:
        return model.encode(text)
    except LossyTextError as error:
        raise ScoringError(f"{model.identity.name} cannot be asked: {error}") from error


def _num_shared(first: Encoding, second: Encoding) -> int:
    """With how many equal tokens two encodings begin."""
    shorter = min(len(first.ids), len(second.ids))
    differing = np.flatnonzero(first.ids[:shorter] != second.ids[:shorter])
    return int(differing[0]) if len(differing) else shorter
