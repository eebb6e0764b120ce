"""What is read before a document: whether it is read at all, once, and whether the model wants it."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from evalkit.audit.result import CheckResult, not_applicable, result_of
from evalkit.audit.subject import Nats, Subject
from evalkit.audit.texts import sections
from evalkit.errors import LossyTextError
from evalkit.stats import ratio_interval

_MAX_SAVING = 0.02
"""Of the costs of texts' beginnings: what another prefix may save before something is wrong."""


class _Alternative(NamedTuple):
    """What the texts cost after another prefix than the model's."""

    label: str
    saving: float
    """Share of what they cost after the model's."""
    least_saving: float
    """The lower end of the interval over the texts: a prefix says that a document begins, and whether a text
    begins as those that a model was trained on differs more from text to text than what is tolerated. The
    saving itself where the texts are too few for an interval."""


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
    """Beginnings of texts with, without, and after twice the prefix: which of them the model wants."""
    name, model = "the prefix is the cheapest", subject.model
    num_tokens = subject.extent.num_prefix_tokens
    prefix = tuple(model.prefix)
    if not num_tokens or not subject.fits(num_tokens + len(prefix) + 1):
        return not_applicable(name, "not tried in an audit of this extent")
    starts = _beginnings(subject, num_tokens)
    if not starts:
        return not_applicable(name, "the model can represent none of the texts")
    prefixes = {"without it": (), "with it twice": prefix * 2}
    if not prefix:
        prefixes = {f"after token {token}": (token,) for token in sorted(model.identity.token_names)}
    actual = _later_costs(subject, starts, prefix)
    alternatives = [
        _alternative(label, actual, _later_costs(subject, starts, ids))
        for label, ids in prefixes.items()
        if all(0 <= token < model.vocab_size for token in ids)
    ]
    if not alternatives:
        return not_applicable(name, "the model names no token that could be read")
    best = max(alternatives, key=lambda alternative: alternative.least_saving)
    listed = ", ".join(f"{alternative.label} {-alternative.saving:+.2%}" for alternative in alternatives)
    text = f"{len(starts)} beginnings cost {listed}; {best.label} they save {best.least_saving:.2%} or more"
    fault = "prefix missing" if best.label != "without it" else "prefix doubled"
    return result_of(name, max(best.least_saving, 0.0), _MAX_SAVING, text, fault)


def _later_costs(subject: Subject, starts: Sequence[Sequence[int]], prefix: Sequence[int]) -> Nats:
    """Of all tokens but the first of each text, ``[len(starts)]``."""
    return np.array([costs[1:].sum() for costs in subject.nats(starts, [prefix] * len(starts))])


def _alternative(label: str, actual: Nats, costs: Nats) -> _Alternative:
    saved, total = actual - costs, float(actual.sum())
    if not total:
        return _Alternative(label, 0.0, 0.0)
    saving = float(saved.sum()) / total
    interval = ratio_interval(saved, actual, [str(number) for number in range(len(saved))])
    return _Alternative(label, saving, saving if interval is None else interval.low)


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
