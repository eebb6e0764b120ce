"""What is read before a document: whether it is read at all, once, and whether the model wants it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from evalkit.audit.result import CheckResult, not_applicable, result_of
from evalkit.audit.subject import Nats, Subject
from evalkit.audit.texts import sections
from evalkit.errors import LossyTextError

_MAX_SAVING = 0.02
"""Of the costs of texts' beginnings: what another prefix may save before something is wrong."""


class _Costs(NamedTuple):
    """What the texts cost after one prefix."""

    label: str
    costs: list[Nats]

    def later(self) -> float:
        """Of all tokens but each text's first, in nats."""
        return math.fsum(float(cost[1:].sum()) for cost in self.costs)


def check_prefix_is_read(subject: Subject) -> CheckResult:
    """The protocol of a context: nothing before the first token costs ln(V), a prefix something else."""
    name, ids = "the prefix is read once", subject.ids[:12]
    uniform = math.log(subject.model.vocab_size)
    without = subject.alone(ids, ())
    deviation = abs(float(without[0]) - uniform)
    if not deviation <= subject.tolerance:
        text = f"with nothing before it, a token costs {without[0]:.4g} and not ln(V) = {uniform:.4g} nats"
        return result_of(name, deviation, subject.tolerance, text, "prefix doubled")
    prefix = tuple(subject.model.prefix)
    if not prefix:
        return not_applicable(name, "nothing is read before a document")
    starts = [subject.ids[n : n + 2] for n in range(8)]
    ignored = np.mean([abs(float(subject.alone(start, prefix)[0]) - uniform) <= 1e-6 for start in starts])
    text = f"after {list(prefix)} the first token costs ln(V) at {ignored:.0%} of beginnings"
    return result_of(name, float(ignored), 0.5, text, "prefix missing")


def check_prefix_is_right(subject: Subject) -> CheckResult:
    """Beginnings of texts with, without, and after twice the prefix; of several, the cheapest."""
    name, model = "the prefix is the cheapest", subject.model
    num_tokens = subject.extent.num_prefix_tokens
    prefix = tuple(model.prefix)
    if not num_tokens or not subject.fits(num_tokens + len(prefix) + 1):
        return not_applicable(name, "not tried in an audit of this extent")
    starts = _beginnings(subject, num_tokens)
    if not starts:
        return not_applicable(name, "the model can represent none of the texts")
    actual = _Costs("as it is", subject.nats(starts, [prefix] * len(starts)))
    alternatives = [_Costs("without it", subject.nats(starts, [()] * len(starts)))] if prefix else []
    tried = [prefix * 2] if prefix else [(token,) for token in sorted(model.identity.token_names)]
    for ids in tried:
        if all(0 <= token < model.vocab_size for token in ids):
            label = "with it twice" if prefix else f"after token {ids[0]}"
            alternatives.append(_Costs(label, subject.nats(starts, [ids] * len(starts))))
    if not alternatives:
        return not_applicable(name, "the model names no token that could be read")
    best = min(alternatives, key=_Costs.later)
    saving = 1 - best.later() / actual.later() if actual.later() else 0.0
    listed = ", ".join(f"{costs.label} {costs.later() / actual.later() - 1:+.2%}" for costs in alternatives)
    fault = "prefix missing" if best.label != "without it" else "prefix doubled"
    return result_of(name, max(saving, 0.0), _MAX_SAVING, f"{len(starts)} beginnings cost {listed}", fault)


def _beginnings(subject: Subject, num_tokens: int) -> list[Sequence[int]]:
    starts: list[Sequence[int]] = []
    for section in sections():
        try:
            ids = subject.model.encode(section.text).ids[:num_tokens].tolist()
        except LossyTextError:
            continue
        if len(ids) > 1:
            starts.append(ids)
    return starts
