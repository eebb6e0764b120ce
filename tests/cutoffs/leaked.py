"""Leaks among drawn distributions: which test finds the documents that a model has read.

Every token is drawn from a distribution over a small vocabulary. Models know its logits but for noise of
their own; of a document that it has read, a model has put a little more on what the text really says.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evalkit.analysis.leaks import HARDEST, measure, probabilities_of, smallest_of
from evalkit.analysis.residuals import adjusted
from evalkit.scoring.min_k import lowest_mean, standard_scores

RATE = 0.05
NUM_DOCUMENTS, NUM_TOKENS, VOCAB_SIZE, NUM_PANEL = 300, 100, 64, 3
STRENGTHS = (0.0, 0.35, 0.7)
"""What is added to the logit of a token that was read, in nats."""
TESTS = ("bits", "Min-K %", "Min-K%++", "all three")
_NUM_LEAKED = NUM_DOCUMENTS // 100
_NOISE = 0.5
"""Of each model's logits."""

Array = NDArray[np.float64]


class LeakOutcome(NamedTuple):
    """Over draws, of one test."""

    strength: float
    """Of `STRENGTHS`; 0: nothing was read."""
    test: str
    num_leaked: int
    """In all draws."""
    num_found: int
    num_false: int
    """Flagged, and not leaked."""
    num_documents: int


def plant_in_distributions(num_draws: int) -> list[LeakOutcome]:
    """Draw documents, read some, and look for them with each test and with all."""
    found, false = (np.zeros((len(STRENGTHS), len(TESTS)), np.int64) for _ in range(2))
    for seed in range(num_draws):
        for row, strength_rates in enumerate(_rates(torch.Generator().manual_seed(seed))):
            for column, rates in enumerate(strength_rates):
                num_leaked = _NUM_LEAKED if STRENGTHS[row] else 0
                found[row, column] += int((rates[:num_leaked] <= RATE).sum())
                false[row, column] += int((rates[num_leaked:] <= RATE).sum())
    return [
        LeakOutcome(
            strength,
            test,
            num_draws * _NUM_LEAKED if strength else 0,
            int(found[row, column]),
            int(false[row, column]),
            num_draws * NUM_DOCUMENTS,
        )
        for row, strength in enumerate(STRENGTHS)
        for column, test in enumerate(TESTS)
    ]


def _rates(generator: torch.Generator) -> list[list[Array]]:
    """Of the documents, the leaked ones first, by each of `TESTS`, for each of `STRENGTHS`."""
    shape = NUM_DOCUMENTS, NUM_TOKENS, VOCAB_SIZE
    sharpness = 1 + 2 * torch.rand(NUM_DOCUMENTS, 1, 1, generator=generator)
    truth = sharpness * torch.randn(shape, generator=generator)
    targets = torch.multinomial(truth.softmax(-1).flatten(0, 1), 1, generator=generator).view(shape[:2])
    models = [truth + _NOISE * torch.randn(shape, generator=generator) for _ in range(NUM_PANEL + 1)]
    panel = np.stack([_numbers(logits, targets) for logits in models[1:]], axis=-1)
    rates = []
    for strength in STRENGTHS:
        read = torch.nn.functional.one_hot(targets[:_NUM_LEAKED], VOCAB_SIZE) * strength
        models[0][:_NUM_LEAKED] += read
        subject = _numbers(models[0], targets)[..., None]
        models[0][:_NUM_LEAKED] -= read
        rates.append(_tested(np.concatenate((subject, panel), axis=-1)))
    return rates


def _numbers(logits: Tensor, targets: Tensor) -> Array:
    """What a model makes of documents, smaller for what is easy: bits, Min-K % and Min-K%++, ``[3, D]``."""
    costs = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none")
    of_tokens = costs.view(targets.shape).double().numpy()
    scores = standard_scores(logits.flatten(0, 1), targets.flatten()).view(targets.shape).numpy()
    return np.stack(
        (
            np.log(of_tokens.mean(axis=1)),
            np.log([-lowest_mean(-of_document, HARDEST) for of_document in of_tokens]),
            [-lowest_mean(of_document, HARDEST) for of_document in scores],
        )
    )


def _tested(numbers: Array) -> list[Array]:
    """The rates of false discoveries at which documents are flagged, by each of `TESTS`."""
    num_bytes = np.full(NUM_DOCUMENTS, 2 * NUM_TOKENS)
    chance = [probabilities_of([measure(of_kind, num_bytes)])[0] for of_kind in numbers]
    return [adjusted(of_test) for of_test in (*chance, smallest_of(chance))]
