"""What `evalkit.analysis.effective_cutoff` found, in words and as JSON."""

import datetime as dt
import math
from collections.abc import Iterator

from evalkit.analysis.bends import MIN_MONTHS, Rise
from evalkit.analysis.effective_cutoff import MAX_PROBABILITY, EffectiveCutoff, month_points
from evalkit.analysis.estimates import Estimate
from evalkit.stats import CONFIDENCE


def finding_text(cutoff: EffectiveCutoff) -> str:
    """The outcome in one line."""
    rise = cutoff.rise
    if rise is None:
        return f"not known: no source has a panel and documents of {MIN_MONTHS} months"
    if rise.is_outdone and rise.probability <= MAX_PROBABILITY:
        return (
            "no bend found: the curve turns downwards rather than upwards, as it does where the training of "
            "models of the panel ends"
        )
    if cutoff.day is None:
        return (
            f"no bend found: chance alone makes as much of one in {100 * rise.probability:.0f} % of cases. "
            "What the model has read may end outside of these months, or the documents are too few to show it"
        )
    first, last = _tried(rise)
    if cutoff.low is None and cutoff.high is None:
        interval = f"but where is open: the 95 % interval reaches from {first} or before to {last} or later"
    else:
        low = f"{first} or before" if cutoff.low is None else cutoff.low.isoformat()
        high = f"{last} or later" if cutoff.high is None else cutoff.high.isoformat()
        interval = f"95 % interval {low} to {high}"
    return f"{cutoff.day.isoformat()}, {interval}; {_shape(rise)}"


def short_text(cutoff: EffectiveCutoff) -> str:
    """The day and its interval alone."""
    if cutoff.rise is None:
        return "not known"
    if cutoff.day is None:
        return "no bend found"
    low, high = (end.isoformat() if end else "open" for end in (cutoff.low, cutoff.high))
    return f"{cutoff.day.isoformat()} ({low} to {high})"


def stated_text(cutoff: EffectiveCutoff) -> str:
    """What the maker states, and whether the interval agrees."""
    if cutoff.policy is None:
        return "nothing was read: a compressor"
    if cutoff.stated is None:
        return "nothing is stated"
    text = f"{cutoff.stated.date}" + (
        " (release; no cutoff is stated)" if cutoff.stated.kind == "release" else ""
    )
    if cutoff.is_as_stated is None:
        return text
    return f"{text}, {'within' if cutoff.is_as_stated else 'outside of'} the interval"


def _tried(rise: Rise) -> tuple[str, str]:
    """The first and the last day that were tried."""
    first, last = (dt.date.fromordinal(round(day)) for day in (rise.first_day, rise.last_day))
    return first.isoformat(), last.isoformat()


def _shape(rise: Rise) -> str:
    """How it rises, where it rises most."""
    step = 100 * math.expm1(max(size.step for size in rise.sizes))
    per_month = 100 * math.expm1(max(size.per_month for size in rise.sizes))
    ramp = f"{per_month:.2g} % a month"
    if math.isfinite(rise.half_life_months):
        ramp += f" at first (half of the rise within {rise.half_life_months:g} months)"
    parts = [f"{step:.2g} % at once"] * (step > 0) + [ramp] * (per_month > 0)
    return f"then the model costs {' and '.join(parts)} more"


def cutoff_lines(cutoff: EffectiveCutoff) -> Iterator[str]:
    """A table per source, then the outcome."""
    for place, curve in enumerate(cutoff.curves):
        yield f"{curve.source}: bits of {cutoff.label} beside the mean of {', '.join(curve.panel)}"
        yield f"{'month':<8}{'documents':>10}{'more than the panel':>24}{'fitted':>12}"
        for point in month_points(cutoff, place):
            fitted = "–" if point.fitted is None else f"{100 * (point.fitted - 1):+.2f} %"
            yield f"{point.month:<8}{point.num_documents:>10,}{_percent(point.ratio):>24}{fitted:>12}"
        yield ""
    yield f"effective cutoff of {cutoff.label}: {finding_text(cutoff)}"
    yield f"stated: {stated_text(cutoff)}"
    yield from (f"note: {note}" for note in cutoff.notes)


def _percent(ratio: Estimate) -> str:
    half_width = "" if ratio.half_width is None else f" ± {100 * ratio.half_width:.2f}"
    return f"{100 * (ratio.value - 1):+.2f}{half_width} %"


def cutoff_json(cutoff: EffectiveCutoff) -> dict[str, object]:
    """The outcome as strict JSON can hold it."""
    rise = cutoff.rise
    return {
        "schema_version": 1,
        "model": cutoff.label,
        "policy": cutoff.policy,
        "stated": cutoff.stated and cutoff.stated._asdict(),
        "is_as_stated": cutoff.is_as_stated,
        "found": cutoff.day is not None,
        "day": cutoff.day and cutoff.day.isoformat(),
        "low": cutoff.low and cutoff.low.isoformat(),
        "high": cutoff.high and cutoff.high.isoformat(),
        "confidence": CONFIDENCE,
        "falls_rather": rise and rise.is_outdone,
        "probability_by_chance": rise and rise.probability,
        "half_life_months": rise
        and (rise.half_life_months if math.isfinite(rise.half_life_months) else None),
        "days_tried": rise and list(_tried(rise)),
        "sources": [
            {
                "source": curve.source,
                "panel": list(curve.panel),
                "rise": rise and rise.sizes[place]._asdict(),
                "months": [
                    {**point._asdict(), "day": point.day.isoformat(), "ratio": point.ratio._asdict()}
                    for point in month_points(cutoff, place)
                ],
            }
            for place, curve in enumerate(cutoff.curves)
        ],
        "notes": list(cutoff.notes),
        "finding": finding_text(cutoff),
    }
