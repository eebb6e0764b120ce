"""Parallel text: what a model pays for one story in several languages.

Bits per byte cannot compare languages: a letter takes one byte in Latin script, two in Cyrillic and three in
Devanagari, whatever it says. Where the same story stands in several languages, what is paid for the story can
be compared: its bits in one language over its bits in another, for the very same stories. Each language is
compared with the reference on the stories that both have; stories are what intervals resample.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from evalkit.analysis.estimates import ALONE, DECIMALS, Estimate
from evalkit.analysis.results import Results, ScoredCorpus
from evalkit.errors import UsageError
from evalkit.stats import percentile_interval, resampled_ratios


class Parity(NamedTuple):
    """What one model pays for the stories that a language shares with the reference."""

    num_stories: int
    """That it could represent in both languages."""
    bits_per_story: float
    reference_bits_per_story: float
    """Of the same stories."""
    ratio: Estimate
    """The first over the second; NaN where there is no such story."""


class Language(NamedTuple):
    """A language of a corpus's stories beside the reference."""

    name: str
    num_stories: int
    """In this language and the reference."""
    byte_ratio: float
    """Bytes of these stories in this language over those in the reference."""
    parities: Mapping[int, Parity]
    """By model configuration."""


class CorpusParity(NamedTuple):
    """The stories of a corpus by language."""

    corpus: int
    """Index in `Results.corpora`."""
    reference: str
    num_stories: int
    """In two languages or more, the reference among them or not."""
    languages: tuple[Language, ...]
    """Those that share stories with the reference, the one with most of them first."""


def corpus_parity(results: Results, corpus: int, reference: str | None = None) -> CorpusParity | None:
    """The stories of a corpus by language; None where none stands in two languages.

    Of several documents of one story in one language the first one counts.

    Args:
        results: the cells.
        corpus: index in `Results.corpora`.
        reference: the language that others are compared with; by default the one that shares most stories
            with others, and of several English.

    Raises:
        UsageError: no story stands in the reference and another language.
    """
    scored = results.corpora[corpus]
    stories = _stories(scored)
    if not stories:
        return None
    shared: dict[str, int] = {}
    for by_language in stories.values():
        for name in by_language:
            shared[name] = shared.get(name, 0) + len(by_language) - 1
    if reference is None:
        reference = min(shared, key=lambda name: (-shared[name], name != "en", name))
    elif reference not in shared:
        raise UsageError(
            f"--reference {reference!r}: no story of {scored.name} stands in it and another language; "
            f"there are {', '.join(sorted(shared))}"
        )
    places: dict[str, dict[str, tuple[int, int]]] = {}
    for story_id, by_language in stories.items():
        for name, place in by_language.items():
            if name != reference and reference in by_language:
                places.setdefault(name, {})[story_id] = (place, by_language[reference])
    languages = [_language(scored, name, pairs) for name, pairs in places.items()]
    languages.sort(key=lambda language: (-language.num_stories, language.name))
    return CorpusParity(corpus, reference, len(stories), tuple(languages))


def _stories(scored: ScoredCorpus) -> dict[str, dict[str, int]]:
    """The places of documents by story and language, of stories in two languages or more."""
    stories: dict[str, dict[str, int]] = {}
    for place, (story_id, name) in enumerate(zip(scored.story_ids, scored.languages, strict=True)):
        if story_id is not None and name is not None:
            stories.setdefault(story_id, {}).setdefault(name, place)
    return {story_id: by_language for story_id, by_language in stories.items() if len(by_language) > 1}


def _language(scored: ScoredCorpus, name: str, pairs: Mapping[str, tuple[int, int]]) -> Language:
    story_ids, places = list(pairs), np.array(list(pairs.values()))
    num_bytes = scored.num_bytes[places].sum(axis=0)
    parities = {index: _parity(scored.bits[places, index], story_ids) for index in scored.cells}
    return Language(name, len(story_ids), float(num_bytes[0] / num_bytes[1]), parities)


def _parity(bits: NDArray[np.float64], story_ids: Sequence[str]) -> Parity:
    """Of bits ``[S, 2]``: in the language and in the reference."""
    scored = np.flatnonzero(~np.isnan(bits).any(axis=1)).tolist()
    num_stories = len(scored)
    if not num_stories:
        return Parity(0, math.nan, math.nan, Estimate(math.nan, None, None))
    bits, clusters = bits[scored], [story_ids[place] for place in scored]
    total, reference_total = (math.fsum(column) for column in bits.T.tolist())
    interval = percentile_interval(
        resampled_ratios(bits[:, 0], bits[:, 1], clusters, stream=ALONE), num_stories
    )
    low, high = (None, None) if interval is None else (round(end, DECIMALS) for end in interval)
    return Parity(
        num_stories,
        total / num_stories,
        reference_total / num_stories,
        Estimate(round(total / reference_total, DECIMALS), low, high),
    )


def parity_lines(results: Results, parity: CorpusParity) -> list[str]:
    """A table: a model a line, a language a column, the ratio of bits with the half-width of its interval."""
    scored = results.corpora[parity.corpus]
    heads = [f"{language.name} ({language.num_stories})" for language in parity.languages]
    rows = [("bytes", [f"{language.byte_ratio:.3f}" for language in parity.languages])]
    for index in scored.cells:
        configuration = results.configurations[index]
        label = configuration.label + (f" ({configuration.policy})" if configuration.policy else "")
        rows.append((label, [_ratio_text(language.parities[index].ratio) for language in parity.languages]))
    width = max(len(label) for label, _ in rows)
    column = max(14, *(len(text) + 2 for text in [*heads, *(text for _, texts in rows for text in texts)]))
    return [
        f"{scored.label}: {parity.num_stories} stories in several languages; bits of a story over "
        f"those of the same story in {parity.reference} (stories)",
        "  " + " " * width + "".join(f"{head:>{column}}" for head in heads),
        *(f"  {label:<{width}}" + "".join(f"{text:>{column}}" for text in texts) for label, texts in rows),
    ]


def _ratio_text(ratio: Estimate) -> str:
    if math.isnan(ratio.value):
        return "–"
    return f"{ratio.value:.3f}" + (f" ±{ratio.half_width:.3f}" if ratio.half_width is not None else "")


def parity_json(results: Results, parity: CorpusParity) -> dict[str, object]:
    """The same as JSON holds it, with the bits per story; null where a model could represent no story."""
    scored = results.corpora[parity.corpus]
    return {
        "corpus": scored.name,
        "sha256": scored.sha256,
        "reference": parity.reference,
        "num_stories": parity.num_stories,
        "languages": [
            {
                "language": language.name,
                "num_stories": language.num_stories,
                "byte_ratio": language.byte_ratio,
                "models": [
                    {
                        "model": results.configurations[index].label,
                        "policy": results.configurations[index].policy,
                        "num_stories": row.num_stories,
                        "bits_per_story": _number(row.bits_per_story),
                        "reference_bits_per_story": _number(row.reference_bits_per_story),
                        "ratio": _number(row.ratio.value),
                        "ratio_low": row.ratio.low,
                        "ratio_high": row.ratio.high,
                    }
                    for index, row in language.parities.items()
                ],
            }
            for language in parity.languages
        ],
    }


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
