"""Min-K%++: how a document's least likely tokens stand among all that could stand in their place.

Of a token x, the standard score z = (ln p(x) - mu) / sigma, where mu and sigma are the mean and the standard
deviation of ln p over the whole vocabulary, every token weighted by its own p; of a document, the mean of its
lowest z (J. Zhang et al., "Min-K%++: Improved Baseline for Detecting Pre-Training Data from Large Language
Models", ICLR 2025, arXiv 2404.02936). It is higher for what a model was trained on.

Scoring forms no distribution, and cells hold none, so that the documents are read again: a few rows of logits
at a time, of which one number a token is kept.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evalkit.corpora.document import Document
from evalkit.errors import ScoringError
from evalkit.models.distributions import DistributionModel, recut
from evalkit.scoring.document_windows import document_windows, encoded_if_possible
from evalkit.scoring.policy import Window

_NUM_LOGITS = 1 << 22
_LEAST_VARIANCE = 1e-12
"""Where all tokens are as likely, each stands at the mean."""


def standard_scores(logits: Tensor, targets: Tensor) -> Tensor:
    """How likely tokens are, in standard deviations from the mean over the vocabulary, ``[N]`` in float64.

    Args:
        logits: ``[N, V]``.
        targets: the text's own tokens, ``[N]``.
    """
    log_shares = torch.log_softmax(logits.double(), -1)
    shares = log_shares.exp()
    # Where a share is 0, also as exp(-inf), a token adds nothing.
    terms = torch.where(shares > 0, log_shares, 0.0)
    means = (shares * terms).sum(-1, keepdim=True)
    variances = (shares * (terms - means) ** 2).sum(-1)
    of_targets = log_shares.gather(-1, targets[:, None])
    return (of_targets - means)[:, 0] / variances.clamp_min(_LEAST_VARIANCE).sqrt()


def min_k_plus_plus(
    model: DistributionModel, documents: Sequence[Document], policy: str, *, share: float
) -> NDArray[np.float64]:
    """Min-K%++ of documents, ``[D]``; NaN of those that the model cannot represent, and of no tokens.

    A token that nothing precedes has no distribution and does not count.

    Args:
        model: shows its distributions.
        documents: see above.
        policy: one of `evalkit.scoring.policy.POLICIES`.
        share: of the tokens, those whose mean is taken; one at least.

    Raises:
        ScoringError: a token's score is no finite number, or the policy does not fit the model.
    """
    means = np.full(len(documents), np.nan)
    for place, document in enumerate(documents):
        cut = document_windows(model, encoded_if_possible(document, model, policy), policy)
        parts = [part for window in cut for part in _window_scores(model, window)]
        scores = torch.cat(parts).cpu().numpy() if parts else np.zeros(0)
        if not np.isfinite(scores).all():
            raise ScoringError(
                f"{model.identity.name}: its distribution in document {document.id} is not finite; the "
                "weights or the precision are broken"
            )
        if len(scores):
            means[place] = lowest_mean(scores, share)
    return means


def lowest_mean(scores: NDArray[np.float64], share: float) -> float:
    """The mean of the lowest share of some numbers, of one at least."""
    num_lowest = max(1, round(share * len(scores)))
    return float(np.partition(scores, num_lowest - 1)[:num_lowest].mean())


def _window_scores(model: DistributionModel, window: Window) -> Iterator[Tensor]:
    """The scores of a window's targets, a few at a time."""
    context, targets = window.context.tolist(), window.targets.tolist()
    if not context:
        context, targets = targets[:1], targets[1:]
    if not targets:
        return
    done = 0
    for inputs in recut(model.head_inputs(context, targets), max(1, _NUM_LOGITS // model.vocab_size)):
        logits = model.logits(inputs)
        ids = torch.tensor(targets[done : done + len(inputs)], device=logits.device)
        yield standard_scores(logits, ids)
        done += len(inputs)
