"""Quality gates: is a new window's corpus like the one before, as far as counts can tell?

A crawler that breaks rarely fails: it returns half the documents, one language, boilerplate, or the same
page many times. Before models are scored on a new corpus it is compared with the previous window's by what
a healthy source keeps (`Profile`). Only the profile of the previous corpus is needed, not its texts, so that
it can be published and the comparison repeated.

The limits are for what is practically different, not for what is statistically significant: windows of a
few thousand documents always differ significantly.
"""

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from evalkit.corpora.duplicates import find_duplicates
from evalkit.corpora.store import UNKNOWN, Corpus
from evalkit.errors import CorpusError, UsageError, unknown_name
from evalkit.fields import from_json
from evalkit.files import atomic_write, parse_json, strict_json

SCHEMA_VERSION = 1
PROFILE_FILE = "profile.json"
_QUANTILES = tuple(percent / 100 for percent in range(0, 101, 5))


@dataclasses.dataclass(frozen=True)
class Limits:
    """How far a new corpus may be from the previous one, and what a first one must have."""

    min_documents_ratio: float = 0.5
    """Documents, new over old."""
    max_documents_ratio: float = 2.0
    max_language_distance: float = 0.15
    """Total variation distance of the shares of languages by documents: 0 the same, 1 nothing in common."""
    max_median_length_ratio: float = 1.5
    """Median bytes of a document, new over old or old over new, whichever is larger."""
    max_length_distance: float = 0.25
    """Kolmogorov-Smirnov distance of the lengths, from their 5 % quantiles."""
    max_duplicate_rate: float = 0.03
    """Share of documents that repeat an earlier one of the same corpus, nearly or exactly; see
    `evalkit.corpora.duplicates`. A crawl removes all of them by the same rule: any are a broken crawl's."""
    max_overlap_rate: float = 0.01
    """Share of documents that are in the previous corpus, byte for byte."""
    min_documents: float = 10
    """Documents of the first window of a source, which nothing can be compared with."""
    min_median_bytes: float = 100
    """Median bytes of a document of a first window: less are headings, notices, error pages."""
    max_median_bytes: float = 1_000_000
    """Median bytes of a document of a first window: more are dumps."""
    max_wrong_language_rate: float = 0.02
    """Share of a first window's documents that are clearly not in the language that they state; up to two are
    let pass."""


@dataclasses.dataclass(frozen=True)
class Profile:
    """What of a corpus the gates compare: counts, quantiles and digests, and no texts."""

    schema_version: int
    name: str
    corpus_sha256: str
    date_from: str | None
    date_to: str | None
    num_documents: int
    num_bytes: int
    languages: Mapping[str, int]
    """Documents by language; those without one under ``unknown``."""
    length_quantiles: tuple[int, ...]
    """Bytes of a document at every 5 %, from the shortest to the longest."""
    num_near_duplicates: int
    """Documents that repeat an earlier one, nearly or exactly; see `evalkit.corpora.duplicates`."""
    document_sha256: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Finding:
    """A gate, whether the corpus passed it, and the numbers behind."""

    gate: str
    passed: bool
    text: str
    """What was measured and what would pass."""


def profile(corpus: Corpus) -> Profile:
    """The profile of a corpus; takes about a millisecond per document."""
    lengths = [document.num_bytes for document in corpus.documents]
    return Profile(
        SCHEMA_VERSION,
        corpus.name,
        corpus.sha256,
        corpus.date_from,
        corpus.date_to,
        len(lengths),
        corpus.num_bytes,
        dict(sorted(Counter(document.language or UNKNOWN for document in corpus.documents).items())),
        tuple(int(value) for value in np.quantile(lengths, _QUANTILES, method="nearest")),
        sum(match is not None for match in find_duplicates([document.text for document in corpus.documents])),
        tuple(sorted({document.sha256 for document in corpus.documents})),
    )


def check(new: Profile, old: Profile, limits: Limits | None = None) -> list[Finding]:
    """Every gate, in a fixed order.

    Args:
        new: of the window to be scored.
        old: of the window before.
        limits: how far they may be apart.
    """
    limits = limits or Limits()
    findings = []

    def gate(name: str, passed: bool, text: str) -> None:
        findings.append(Finding(name, passed, text))

    ratio = new.num_documents / old.num_documents
    gate(
        "documents",
        limits.min_documents_ratio <= ratio <= limits.max_documents_ratio,
        f"{new.num_documents:,} after {old.num_documents:,}: {ratio:.2f} times as many, allowed "
        f"{limits.min_documents_ratio:g} to {limits.max_documents_ratio:g}",
    )
    distance, most = _language_distance(new, old)
    gate(
        "languages",
        distance <= limits.max_language_distance,
        f"shares differ by {distance:.3f}, allowed {limits.max_language_distance:g}; most in {most}",
    )
    middle = len(_QUANTILES) // 2
    medians = new.length_quantiles[middle], old.length_quantiles[middle]
    ratio = max(medians) / max(1, min(medians))
    gate(
        "median length",
        ratio <= limits.max_median_length_ratio,
        f"{medians[0]:,} bytes after {medians[1]:,}: a factor of {ratio:.2f}, allowed "
        f"{limits.max_median_length_ratio:g}",
    )
    distance = _length_distance(new.length_quantiles, old.length_quantiles)
    gate(
        "lengths",
        distance <= limits.max_length_distance,
        f"distributions differ by {distance:.3f} (Kolmogorov-Smirnov), allowed "
        f"{limits.max_length_distance:g}",
    )
    findings.append(_duplicates(new, limits))
    overlap = len(set(new.document_sha256) & set(old.document_sha256))
    rate = overlap / new.num_documents
    gate(
        "overlap",
        rate <= limits.max_overlap_rate,
        f"{overlap:,} documents are in {old.name} as well: {rate:.2%}, allowed {limits.max_overlap_rate:.2%}",
    )
    return findings


_FEW_WRONG = 2
"""Documents that may be in a wrong language whatever their share: quotations and lists of names mislead."""


def check_first(new: Profile, num_wrong_language: int, limits: Limits | None = None) -> list[Finding]:
    """Every gate that needs no previous window, in a fixed order.

    Args:
        new: of the first window of a source.
        num_wrong_language: how many documents are clearly not in the language that they state.
        limits: what it must have.
    """
    limits = limits or Limits()
    median = new.length_quantiles[len(_QUANTILES) // 2]
    wrong_rate = num_wrong_language / new.num_documents
    is_in_language = num_wrong_language <= _FEW_WRONG or wrong_rate <= limits.max_wrong_language_rate
    return [
        Finding(
            "documents",
            new.num_documents >= limits.min_documents,
            f"{new.num_documents:,}, at least {limits.min_documents:g} are needed",
        ),
        Finding(
            "languages",
            is_in_language,
            f"{num_wrong_language:,} of {new.num_documents:,} documents are not in the language they state: "
            f"{wrong_rate:.2%}, allowed {limits.max_wrong_language_rate:.2%} or {_FEW_WRONG} documents",
        ),
        Finding(
            "median length",
            limits.min_median_bytes <= median <= limits.max_median_bytes,
            f"{median:,} bytes, allowed {limits.min_median_bytes:,g} to {limits.max_median_bytes:,g}",
        ),
        _duplicates(new, limits),
    ]


def _duplicates(new: Profile, limits: Limits) -> Finding:
    rate = new.num_near_duplicates / new.num_documents
    return Finding(
        "duplicates",
        rate <= limits.max_duplicate_rate,
        f"{new.num_near_duplicates:,} of {new.num_documents:,} documents repeat another: {rate:.2%}, allowed "
        f"{limits.max_duplicate_rate:.2%}",
    )


def _language_distance(new: Profile, old: Profile) -> tuple[float, str]:
    """Half the sum of the absolute differences of shares, and the language that differs most."""
    names = sorted({*new.languages, *old.languages})
    gaps = {
        name: new.languages.get(name, 0) / new.num_documents - old.languages.get(name, 0) / old.num_documents
        for name in names
    }
    most = max(names, key=lambda name: abs(gaps[name]))
    return math.fsum(map(abs, gaps.values())) / 2, f"{most} ({gaps[most]:+.1%})"


def _length_distance(new: Sequence[int], old: Sequence[int]) -> float:
    """The largest difference of the two distribution functions, interpolated between quantiles."""
    lengths = np.union1d(new, old)

    def distribution(quantiles: Sequence[int]) -> NDArray[np.float64]:
        # Quantiles repeat where many documents are of one length; interpolation needs them to rise.
        rising = np.maximum.accumulate(np.asarray(quantiles) + 1e-6 * np.arange(len(quantiles)))
        return np.interp(lengths, rising, _QUANTILES)

    return float(np.abs(distribution(new) - distribution(old)).max())


def write_profile(profile: Profile, path: Path) -> None:
    """A profile as strict JSON, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_text(strict_json(dataclasses.asdict(profile)), encoding="utf-8")


def read_profile(path: Path) -> Profile:
    """The profile that `write_profile` wrote.

    Raises:
        CorpusError: the file cannot be read or is no profile of this version.
    """
    try:
        stored = from_json(Profile, parse_json(path.read_text(encoding="utf-8")))
        if stored.num_documents < 1:
            raise ValueError("it counts no documents")
        if stored.schema_version != SCHEMA_VERSION or len(stored.length_quantiles) != len(_QUANTILES):
            raise ValueError(f"it is no profile of version {SCHEMA_VERSION}")
    except OSError as error:
        raise CorpusError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise CorpusError(
            f"{path} is no profile of a corpus: {error}; `evalkit corpora check --save-profile` writes one"
        ) from error
    return stored


def is_profile(path: str | Path) -> bool:
    """Whether a file is called as profiles are: its name ends in `PROFILE_FILE`."""
    return Path(path).name.endswith(PROFILE_FILE)


def profile_of(name_or_path: str, store: Path | None = None) -> Profile:
    """The profile in a file ``*profile.json``, else of the corpus of that name or path.

    Raises:
        UsageError: nothing has this name.
        CorpusError: it cannot be read.
    """
    from evalkit.corpora.store import load_corpus

    if is_profile(name_or_path):
        return read_profile(Path(name_or_path))
    return profile(load_corpus(name_or_path, store=store))


def parse_limits(values: Mapping[str, object], origin: str) -> Limits:
    """Limits from a table of numbers; those that it does not name keep their defaults.

    Args:
        values: as a TOML file has them.
        origin: the file and its table, for messages.

    Raises:
        UsageError: a name is unknown, or a value is no number.
    """
    known_names = [field.name for field in dataclasses.fields(Limits)]
    numbers: dict[str, float] = {}
    for name, value in values.items():
        if name not in known_names:
            hint = f"Known: {', '.join(known_names)}."
            raise UsageError(f"{origin}: {unknown_name('limit', name, known_names, hint)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise UsageError(f"{origin}: {name} must be a number from 0 up, not {value!r}")
        numbers[name] = value
    return Limits(**numbers)
