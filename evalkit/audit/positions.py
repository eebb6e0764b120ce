"""How costs go with the place in a text: they fall, and rise at no boundary."""

import numpy as np

from evalkit.audit.result import CheckResult, not_applicable, result_of
from evalkit.audit.subject import Nats, Subject

_STRETCH = 32
"""Tokens whose costs are taken together."""
_SHIFT = 37
"""Tokens left out at the beginning of the second reading: no boundary of the first is one of the second."""
_MAX_RISE = 0.5
"""Nats a token, in a stretch, for want of as many tokens of context as were left out."""


def check_positions(subject: Subject) -> tuple[CheckResult, CheckResult]:
    """One text read twice, the second time from a later token on: the same tokens at other positions.

    The text cancels out of the difference of the two. Where a state is lost, or a window ends, at a fixed
    position, costs rise behind it in one reading and not in the other. And tokens that are deep in a text
    cost less than as its beginning.
    """
    cliff, fall = "no cliff at a position", "costs fall along a text"
    length = subject.extent.num_curve_tokens
    if subject.context_limit is not None:
        length = min(length, subject.context_limit - len(subject.model.prefix) - 1)
    if length < 4 * _STRETCH + _SHIFT:
        reason = (
            "not tried in an audit of this extent"
            if not subject.extent.num_curve_tokens
            else "the context is short"
        )
        return not_applicable(cliff, reason), not_applicable(fall, reason)
    ids = subject.ids[: length + _SHIFT]
    first, second = subject.alone(ids[:length]), subject.alone(ids[_SHIFT:])
    differences = _stretches(first[_SHIFT:] - second[: length - _SHIFT])[
        1:
    ]  # its first has no context in one of them
    place = int(np.argmax(np.abs(differences)))
    measured = float(np.abs(differences[place]))
    start = _SHIFT + (place + 1) * _STRETCH
    text = (
        f"{length} tokens read from two places: costs of {_STRETCH} tokens differ by {measured:.2g} nats "
        f"a token at most, at {start}"
    )
    result = result_of(cliff, measured, _MAX_RISE, text, "context is lost")
    return result, _fall(subject, fall, first)


def _fall(subject: Subject, name: str, costs: Nats) -> CheckResult:
    """Stretches of the text as texts of their own, beside what they cost deep in it."""
    num_stretches = min(12, len(costs) // _STRETCH - 3)
    starts = [(n + 3) * _STRETCH for n in range(num_stretches)]
    shallow = np.concatenate(subject.nats([subject.ids[start : start + _STRETCH] for start in starts]))
    deep = np.concatenate([costs[start : start + _STRETCH] for start in starts])
    rise = float(deep.mean() - shallow.mean())
    text = f"a token costs {shallow.mean():.3g} nats at a text's beginning and {deep.mean():.3g} later on"
    return result_of(name, max(rise, 0.0), 0.25, text, "context is lost")


def _stretches(values: Nats) -> Nats:
    means: Nats = values[: len(values) // _STRETCH * _STRETCH].reshape(-1, _STRETCH).mean(axis=1)
    return means
