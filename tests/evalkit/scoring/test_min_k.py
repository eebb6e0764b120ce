"""Min-K%++ beside its formula written another way, a token and a word of the vocabulary at a time."""

import itertools
import math

import numpy as np
import pytest
import torch

from evalkit.corpora.store import make_document
from evalkit.errors import ScoringError
from evalkit.scoring.min_k import min_k_plus_plus, standard_scores
from tests.support.toys import DistributionBigram


def plain_score(logits: list[float], token: int) -> float:
    """(ln p(x) - E[ln p]) / sqrt(Var[ln p]), the expectations under p itself."""
    weights = [math.exp(logit) for logit in logits]
    shares = [weight / math.fsum(weights) for weight in weights]
    mean = math.fsum(share * math.log(share) for share in shares)
    variance = math.fsum(share * math.log(share) ** 2 for share in shares) - mean**2
    return (math.log(shares[token]) - mean) / math.sqrt(variance)


def test_a_document_is_the_mean_of_its_lowest_scores() -> None:
    model = DistributionBigram(lossy="?")
    texts = ["Of twenty-three bytes, 5.", "ab", "a", "no?", ""]
    scores = min_k_plus_plus(
        model, [make_document(text, source="toy") for text in texts], "document", share=0.2
    )
    for text, num_lowest, score in zip(texts[:3], (5, 1, 1), scores, strict=False):
        ids = [256, *text.encode()]
        of_tokens = [
            plain_score((-model.table[before]).tolist(), token) for before, token in itertools.pairwise(ids)
        ]
        assert score == pytest.approx(sum(sorted(of_tokens)[:num_lowest]) / num_lowest, rel=1e-5)
    assert np.isnan(scores[3:]).all()  # what has no tokens, or none that spell it


def test_a_certain_or_an_even_distribution_has_a_score() -> None:
    """The first token of an even one stands at the mean; of a certain one the likeliest does."""
    logits = torch.tensor([[0.0] * 6, [0.0, *[-math.inf] * 5]])
    assert standard_scores(logits, torch.tensor([3, 0])).tolist() == pytest.approx([0, 0], abs=1e-6)
    assert standard_scores(logits[1:], torch.tensor([3])).tolist() == [-math.inf]


def test_what_is_not_finite_is_refused() -> None:
    model = DistributionBigram()
    model.table[:, 98] = np.inf
    with pytest.raises(ScoringError, match="not finite"):
        min_k_plus_plus(model, [make_document("abc", source="toy")], "document", share=0.2)
