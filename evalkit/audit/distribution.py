"""Whether probabilities sum to 1, each token's by what the model says that the token costs."""

import numpy as np
import torch

from evalkit.audit.result import CheckResult, result_of
from evalkit.audit.subject import Nats, Subject
from evalkit.models.distributions import DistributionModel, recut

_WHOLE_VOCABULARY = 4096
"""Up to so many tokens all are priced one by one."""
_NUM_LIKELY = 48
_NUM_RANDOM = 48
_NUM_LOGITS = 1 << 22
_POSITIONS = {"short": (1, 4), "standard": (1, 7, 29), "long": (1, 7, 29)}
"""Tokens of a text after which the candidates stand."""
_BOUND = 1e-4
_COARSE_BOUND = 0.05


def check_sum(subject: Subject) -> CheckResult:
    """Sum over the vocabulary of ``exp(-nats)``, at a few positions.

    Every candidate stands before one more token, so that a model that sees it before predicting it is found
    out. Of a large vocabulary, where the model shows its logits, the likeliest tokens and some random ones
    are priced, the latter for all others; where it does not, those of the audit's text, whose sum can only be
    too large; with ``--long`` all.
    """
    model = subject.model
    positions = [
        position
        for position in _POSITIONS[subject.extent.name]
        if position < len(subject.ids) and subject.fits(position + 2)
    ]
    if model.vocab_size > _WHOLE_VOCABULARY and not isinstance(model, DistributionModel):
        positions = positions[:1]
    sums, is_whole = [], True
    for position in positions:
        total, is_whole = _sum_at(subject, position)
        sums.append(total)
    deviations = np.array(sums) - 1
    if not is_whole:
        deviations = np.maximum(deviations, 0)
    measured = float(np.abs(deviations).max()) if len(sums) else float("nan")
    scope = "the vocabulary" if is_whole else "the tokens that were tried"
    bound = _BOUND if subject.tolerance <= 2e-3 else _COARSE_BOUND
    text = f"the sum over {scope} is {', '.join(f'{total:.5g}' for total in sums)} after {positions} tokens"
    return result_of("probabilities sum to 1", measured, bound, text, _fault(sums))


def _fault(sums: list[float]) -> str:
    """What sums that are not 1 usually are."""
    if not np.isfinite(sums).all():
        return "numbers are not finite"
    if np.ptp(sums) <= 0.02 * abs(float(np.mean(sums)) - 1) + 1e-6:
        return "scaled distribution"
    # What sees a token before predicting it gives too much to many.
    return "peeks ahead" if max(sums) > 1.25 else "logits changed after normalisation"


def _sum_at(subject: Subject, position: int) -> tuple[float, bool]:
    """The sum after some tokens, and whether it stands for the whole vocabulary."""
    model = subject.model
    context, filler = [*model.prefix, *subject.ids[:position]], subject.ids[position]

    def prices(tokens: list[int]) -> Nats:
        costs = subject.in_batches([[token, filler] for token in tokens], context)
        return np.array([cost[0] for cost in costs])

    if model.vocab_size <= _WHOLE_VOCABULARY or (
        subject.extent.name == "long" and not isinstance(model, DistributionModel)
    ):
        return float(np.exp(-prices(list(range(model.vocab_size)))).sum()), True
    if not isinstance(model, DistributionModel):
        tokens = sorted(set(subject.ids))
        return float(np.exp(-prices(tokens)).sum()), False
    subject.num_tokens_read += len(context)
    [row] = recut(model.head_inputs(context, [filler]), 1)
    log_probabilities = torch.log_softmax(model.logits(row)[0].double(), -1).cpu().numpy()
    order = np.argsort(-log_probabilities)
    likely = order[:_NUM_LIKELY]
    random = np.random.default_rng(position).choice(order[_NUM_LIKELY:], _NUM_RANDOM, replace=False)
    ratios = np.exp(-prices([*likely.tolist(), *random.tolist()]) - log_probabilities[[*likely, *random]])
    mass = np.exp(log_probabilities[likely])
    rare = max(0.0, 1 - float(mass.sum()))
    return float((mass * ratios[:_NUM_LIKELY]).sum()) + rare * float(ratios[_NUM_LIKELY:].mean()), True
