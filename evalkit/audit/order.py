"""What may not change a token's cost: its future, its company, how often and in which pieces it is read."""

import numpy as np

from evalkit.audit.result import CheckResult, not_applicable, result_of
from evalkit.audit.subject import Subject, largest
from evalkit.models.continuations import ReadingModel

_NUM_LOOKED_AT = 12
"""Positions at which the last token read is exchanged."""


def check_causality(subject: Subject) -> CheckResult:
    """Change what follows, or cut it off: the costs of what came before stay."""
    measured, place, lengths = 0.0, "", []
    for length in filter(subject.fits, subject.extent.lengths):
        ids = subject.ids[:length]
        base = subject.alone(ids)
        lengths.append(length)
        for cut in sorted({length // 2, length - 2}):
            changed = [*ids[:cut], *_others(ids[cut:], subject.ids)]
            for text in (changed, ids[:cut]):
                difference = largest(subject.alone(text)[:cut] - base[:cut])
                if not (difference <= measured or np.isnan(measured)):
                    measured, place = (
                        difference,
                        f", at {length} tokens of which the last {length - cut} changed",
                    )
    if not lengths:
        return not_applicable("the future changes nothing", "the context is too short")
    found_at = f"over lengths of {lengths[0]} to {lengths[-1]} tokens{place}"
    summary = f"costs move by {measured:.2g} nats at most {found_at}"
    return result_of("the future changes nothing", measured, subject.tolerance, summary, "peeks ahead")


def check_last_token(subject: Subject) -> CheckResult:
    """Change a token: the cost of the very next one moves, if any later one's does."""
    name = "the last token is read"
    length = 64
    if not subject.fits(length) or len(subject.ids) < length:
        return not_applicable(name, "the context is too short")
    ids = subject.ids[:length]
    base = subject.alone(ids)
    places = np.linspace(2, length - 4, _NUM_LOOKED_AT).astype(int).tolist()
    moved_next, moved_later = 0, 0
    for place in places:
        [token] = _others(ids[place : place + 1], subject.ids)
        difference = np.abs(subject.alone([*ids[:place], token, *ids[place + 1 :]]) - base)
        moved_next += bool(difference[place + 1] > 1e-6)
        moved_later += bool((difference[place + 2 :] > 1e-6).any())
    if not moved_next and not moved_later:
        return not_applicable(name, "no token's cost depends on those before it")
    measured = 1 - moved_next / len(places)
    text = (
        f"the next token's cost moved at {moved_next} of {len(places)} places, a later one's at {moved_later}"
    )
    return result_of(name, measured, 0.5, text, "off-by-one shift")


def check_company(subject: Subject) -> CheckResult:
    """Texts alone, side by side, in another order: the same costs."""
    rows = [subject.ids[3 * n : 3 * n + length] for n, length in enumerate(subject.extent.rows)]
    rows = [row for row in rows if subject.fits(len(row))]
    alone = [subject.alone(row) for row in rows]
    together = subject.nats(rows)
    backwards = subject.nats(rows[::-1])[::-1]
    measured = largest(
        [
            largest(costs - expected)
            for batch in (together, backwards)
            for costs, expected in zip(batch, alone, strict=True)
        ]
    )
    text = f"{len(rows)} texts side by side and in another order: costs move by {measured:.2g} nats at most"
    return result_of("company changes nothing", measured, subject.tolerance, text, "rows leak")


def check_repetition(subject: Subject) -> CheckResult:
    """The same text twice, with another in between."""
    ids = subject.ids[:40]
    first = subject.alone(ids)
    subject.alone(subject.ids[7:31])
    measured = largest(subject.alone(ids) - first)
    text = f"read again, costs move by {measured:.2g} nats at most"
    return result_of(
        "costs are repeatable", measured, subject.tolerance / 2, text, "costs are not repeatable"
    )


def check_carried_state(subject: Subject) -> CheckResult:
    """A text in pieces with the state carried on, twice from each place: the costs of the whole."""
    name, model = "a state carried on changes nothing", subject.model
    if not isinstance(model, ReadingModel) or not model.carries_state:
        return not_applicable(name, "the model does not read on from a state")
    length = max(filter(subject.fits, subject.extent.rows), default=0)
    ids = subject.ids[:length]
    whole = subject.alone(ids)
    differences = []
    for cut in sorted({1, 16, length // 2, length - 1}):
        if not 0 < cut < length:
            continue
        reading = model.read_on([*model.prefix, *ids[:cut]])
        for _ in range(2):  # what is read from a state must leave it as it was
            [costs] = model.branch_nats(reading, [ids[cut:]])
            differences.append(largest(np.asarray(costs, np.float64) - whole[cut:]))
        subject.num_tokens_read += cut + 2 * (length - cut)
    measured = largest(differences)
    text = f"{length} tokens in two pieces: costs move by {measured:.2g} nats at most"
    return result_of(name, measured, subject.tolerance, text, "state is not carried")


def _others(ids: list[int], vocabulary: list[int]) -> list[int]:
    """As many tokens, each another than its counterpart."""
    distinct = sorted(set(vocabulary))
    following = dict(zip(distinct, [*distinct[1:], distinct[0]], strict=True))
    return [following[token] if len(distinct) > 1 else int(not token) for token in ids]
