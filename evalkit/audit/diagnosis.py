"""Whether a port is the model of a fingerprint, and if not, what is likely wrong with it."""

import dataclasses
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from evalkit.audit.fingerprint import TOLERANCES, Fingerprint, SectionCosts
from evalkit.audit.result import FAULTS, ModelAudit
from evalkit.audit.subject import Nats
from evalkit.fields import to_json

_NOISE_NATS = 3e-5
"""Up to so much a cost in float32 differs by the order of summation; what is greater may be a fault's."""
_NAMES = 0.9
"""Share of the squared differences that a known fault explains, from which on it is named."""
_RESEMBLES = 0.5

Verdict = Literal["the same", "the same but for rounding", "another"]


class Match(NamedTuple):
    """A known fault beside the costs that were measured."""

    fault: str
    explained: float
    """Share of the squared differences from the fingerprint; 1: the costs are those of the fault."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What a comparison came to."""

    model: str
    fingerprint: str
    verdict: Verdict
    rounding: str | None
    """The coarsest data type that the differences fit; None where they fit none."""
    fault: str | None
    """Of `FAULTS`; None where nothing is wrong."""
    reason: str
    """From what the fault is told."""
    mean_difference_nats: float | None
    """Of a token's cost, either way, over the probe; None where the tokens are not the same."""
    max_difference_nats: float | None
    share: float
    """Nats of all sections over those of the fingerprint, less 1."""
    by_section: tuple[tuple[str, float], ...]
    """The same share of each section."""
    curve: tuple[tuple[int, float], ...]
    """By the position from which on, the mean difference in nats."""

    @property
    def passed(self) -> bool:
        """Whether it is the same model and nothing is wrong with it."""
        return self.verdict != "another" and self.fault is None

    def to_json(self) -> dict[str, object]:
        """The JSON object."""
        return {**to_json(self), "passed": self.passed}


def diagnose(measured: Fingerprint, fingerprint: Fingerprint, audit: ModelAudit | None = None) -> Diagnosis:
    """Compare a port with a fingerprint.

    A fault that the audit finds in the port itself comes first, then tokens, then what is read before a
    document; then the costs of the probe are held against those in every known fault, and last their pattern
    is looked at.

    Args:
        measured: `fingerprint_of` the port.
        fingerprint: of the checkpoint.
        audit: of the port.
    """
    length = min(len(measured.probe.nats), len(fingerprint.probe.nats))  # a short context holds no more
    same_tokens = measured.probe.ids[:length] == fingerprint.probe.ids[:length]
    costs, expected = (np.array(of.probe.nats[:length]) for of in (measured, fingerprint))
    differences = costs - expected if same_tokens else np.full(1, np.nan)
    mean = float(np.abs(differences).mean())
    rounding = next((dtype for dtype in _levels(fingerprint) if mean <= fingerprint.tolerances[dtype]), None)
    fault, reason = _fault(measured, fingerprint, audit, costs, expected)
    fits_dtype = mean <= fingerprint.tolerances.get(measured.model.dtype, TOLERANCES["8-bit"])
    if fault is None and not fits_dtype:
        if _is_constant(differences):
            fault = "scaled distribution"
            reason = f"every token costs {differences.mean():+.4f} nats, whatever it is"
        elif _is_rounding(differences, expected):
            reason = f"costs differ as those of {rounding} weights or activations do, and either way alike"
        else:
            fault, reason = _pattern(costs, expected)
    share, by_section = _shares(measured.sections, fingerprint.sections)
    references = {point.first: point.mean_nats for point in fingerprint.curve}
    verdict: Verdict = "the same" if fits_dtype else "the same but for rounding"
    if fault is not None:
        verdict = "another"
    return Diagnosis(
        model=measured.model.name,
        fingerprint=fingerprint.model.name,
        verdict=verdict,
        rounding=rounding if verdict != "another" else None,
        fault=fault,
        reason=reason,
        mean_difference_nats=mean if same_tokens else None,
        max_difference_nats=float(np.abs(differences).max()) if same_tokens else None,
        share=share,
        by_section=by_section,
        curve=tuple(
            (point.first, point.mean_nats - references[point.first])
            for point in measured.curve
            if point.first in references
        ),
    )


def _levels(fingerprint: Fingerprint) -> list[str]:
    return sorted(fingerprint.tolerances, key=lambda dtype: fingerprint.tolerances[dtype])


def _fault(
    measured: Fingerprint, fingerprint: Fingerprint, audit: ModelAudit | None, costs: Nats, expected: Nats
) -> tuple[str | None, str]:
    """A fault that has a name, and from what it is told."""
    if audit is not None and audit.likely_fault is not None:
        failure = audit.failures[0]
        return audit.likely_fault, f"the port fails its audit: {failure.name}: {failure.text}"
    prefixes = measured.model.prefix_ids, fingerprint.model.prefix_ids
    tokens = _token_fault(measured.sections, fingerprint.sections)
    if tokens is not None:
        return tokens
    if prefixes[0] != prefixes[1]:
        name = {(): "prefix missing", prefixes[1] * 2: "prefix doubled"}.get(prefixes[0], "another prefix")
        return name, f"{list(prefixes[0])} is read before a document, and should be {list(prefixes[1])}"
    best = max(matches(costs, fingerprint), key=lambda match: match.explained, default=None)
    noise = max(_NOISE_NATS, TOLERANCES.get(measured.model.dtype, 0.05) / 10)
    if best and best.explained >= _NAMES and float(np.abs(costs - expected).max()) > noise:
        return best.fault, f"the probe costs what it costs with this fault ({best.explained:.1%} explained)"
    return None, "costs are those of the fingerprint"


def matches(costs: Nats, fingerprint: Fingerprint) -> list[Match]:
    """How well every known fault explains a port's costs of the probe."""
    expected = np.array(fingerprint.probe.nats[: len(costs)])
    total = float(np.square(costs - expected).sum())
    return [
        Match(fault.fault, 1 - float(np.square(costs - np.array(fault.nats[: len(costs)])).sum()) / total)
        for fault in fingerprint.faults
        if total > 0
    ]


def _token_fault(
    measured: Sequence[SectionCosts], expected: Sequence[SectionCosts]
) -> tuple[str, str] | None:
    by_name = {section.name: section for section in expected}
    for section in measured:
        reference = by_name.get(section.name)
        if reference is None or section.ids_sha256 == reference.ids_sha256:
            continue
        text = (
            f"section {section.name} begins with tokens {list(section.first_ids)}, {section.num_tokens} in "
            f"all, and should begin with {list(reference.first_ids)}, {reference.num_tokens} in all"
        )
        same_number = section.num_tokens == reference.num_tokens
        return "vocabulary order" if same_number else "another tokenizer", text
    missing = by_name.keys() - {section.name for section in measured}
    if missing:
        return "another tokenizer", f"the port cannot represent section {min(missing)}"
    return None


def _is_constant(differences: Nats) -> bool:
    return bool(differences.std() < 0.05 * abs(differences.mean()))


def _is_rounding(differences: Nats, expected: Nats) -> bool:
    """Whether differences are small, and as often to one side as to the other."""
    size = float(np.abs(differences).mean())
    return size <= TOLERANCES["4-bit"] / 2 and abs(float(differences.sum())) <= 0.03 * float(expected.sum())


def _pattern(costs: Nats, expected: Nats) -> tuple[str, str]:
    """What differences that no known fault explains look like."""
    differences = costs - expected
    late = differences[len(differences) // 2 :]
    if float(np.abs(differences[:8]).mean()) > 20 * float(np.abs(late).mean()):
        return "another prefix", "only the first tokens cost something else"
    early = float(np.abs(differences[1 : len(differences) // 8]).mean())
    if early * 20 < float(np.abs(late).mean()):
        return "context is lost", "only later tokens cost something else"
    text = f"a token costs {costs.mean():.4g} nats and should cost {expected.mean():.4g}"
    if float(costs.mean()) > 1.5 * float(expected.mean()) + 2:
        return "vocabulary order", text
    return "other weights", text


def _shares(
    measured: Sequence[SectionCosts], expected: Sequence[SectionCosts]
) -> tuple[float, tuple[tuple[str, float], ...]]:
    """What the sections cost that both have read over what they should, less 1: all together, and each."""
    totals = {section.name: section.total_nats for section in expected if section.total_nats}
    pairs = [
        (section.name, section.total_nats, totals[section.name])
        for section in measured
        if section.total_nats is not None and section.name in totals
    ]
    share = sum(nats for _, nats, _ in pairs) / sum(total for _, _, total in pairs) - 1 if pairs else 0.0
    return share, tuple((name, nats / total - 1) for name, nats, total in pairs)


def diagnosis_lines(diagnosis: Diagnosis) -> list[str]:
    """A diagnosis for a terminal."""
    head = f"{diagnosis.model} against the fingerprint of {diagnosis.fingerprint}: "
    if diagnosis.fault is not None:
        fault = f"likely fault: {diagnosis.fault}: {FAULTS[diagnosis.fault].meaning}"
        lines = [f"{head}NOT the same", fault, f"  {diagnosis.reason}"]
    else:
        lines = [f"{head}{diagnosis.verdict}, to {diagnosis.rounding} rounding", f"  {diagnosis.reason}"]
    if diagnosis.mean_difference_nats is not None:
        lines.append(
            f"  a token's cost differs by {diagnosis.mean_difference_nats:.2g} nats either way, by "
            f"{diagnosis.max_difference_nats:.2g} at most"
        )
    listed = ", ".join(f"{name} {share:+.3%}" for name, share in diagnosis.by_section)
    if listed:
        lines.append(f"  the sections cost {diagnosis.share:+.4%}: {listed}")
        curve = ", ".join(f"{first}: {difference:+.2g}" for first, difference in diagnosis.curve)
        lines.append(f"  nats a token by position, from {curve}")
    return lines
