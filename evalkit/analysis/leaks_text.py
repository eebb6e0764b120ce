"""What `evalkit.analysis.leaks` and `evalkit.analysis.repetitions` found, in words and as JSON."""

from collections.abc import Iterator

from evalkit.analysis.leaks import Leaks, TestedDocument
from evalkit.analysis.repetitions import Repetition, Repetitions
from evalkit.analysis.results import Results

_NUM_SHOWN = 40
"""Documents of a kind in a terminal; the JSON has all."""


def leak_lines(results: Results, leaks: Leaks, repetitions: Repetitions | None) -> Iterator[str]:
    """The flagged documents, the least likely first, and what they repeat."""
    flagged = leaks.flagged
    yield (
        f"{leaks.label} beside {', '.join(leaks.panel)}: {len(flagged):,} of {len(leaks.documents):,} "
        "documents are too easy"
    )
    yield (
        f"in the mean at most {100 * leaks.rate:g} % of what is flagged is so by chance "
        f"(Benjamini-Hochberg); {_tests_text(leaks)}"
    )
    older = {(row.corpus, row.place): row for row in repetitions.repetitions} if repetitions else {}
    for document in flagged[:_NUM_SHOWN]:
        yield _document_line(results, document, older.get((document.corpus, document.place)))
    if len(flagged) > _NUM_SHOWN:
        yield f"and {len(flagged) - _NUM_SHOWN:,} more; --json has all"
    if repetitions is not None:
        rows = repetitions.repetitions
        yield f"{len(rows):,} of {repetitions.num_documents:,} documents repeat one of an older corpus"
        for row in rows[:_NUM_SHOWN]:
            yield f"  {_name(results, row.corpus, row.place)} repeats {_repeats(row)}"
        if len(rows) > _NUM_SHOWN:
            yield f"and {len(rows) - _NUM_SHOWN:,} more; --json has all"
    for note in (*leaks.notes, *(repetitions.notes if repetitions else ())):
        yield f"note: {note}"


def _tests_text(leaks: Leaks) -> str:
    """What was tested, and of how many corpora."""
    tests = ["bits"]
    for words, numbers in (("hardest tokens", leaks.with_tokens), ("Min-K%++", leaks.with_distributions)):
        if numbers:
            of_some = len(numbers) < len(leaks.corpora)
            tests.append(f"{words} of {len(numbers)} of {len(leaks.corpora)} corpora" if of_some else words)
    if leaks.with_tokens:
        return f"tested: {', '.join(tests)}"
    return f"tested: {', '.join(tests)}; not all cells hold the bits of tokens (--token-bits)"


def _document_line(results: Results, document: TestedDocument, repetition: Repetition | None) -> str:
    percent = 100 * (document.bits_per_byte / document.expected_bits_per_byte - 1)
    chance = f"by chance {document.probability:.1g}"
    if document.min_k_probability is not None:
        chance += f", its hardest tokens {document.min_k_probability:.1g}"
    if document.min_k_plus_plus_probability is not None:
        chance += f", Min-K%++ {document.min_k_plus_plus_probability:.1g}"
    repeats = "" if repetition is None else f"; repeats {_repeats(repetition)}"
    return (
        f"  {_name(results, document.corpus, document.place)}: {document.bits_per_byte:.3f} bits per byte, "
        f"{document.expected_bits_per_byte:.3f} expected ({percent:+.0f} %); {chance}{repeats}"
    )


def _name(results: Results, corpus: int, place: int) -> str:
    scored = results.corpora[corpus]
    parts = (scored.label, scored.ids[place], scored.published_at[place], scored.titles[place])
    return " ".join(part for part in parts if part)


def _repeats(row: Repetition) -> str:
    return f"{row.older_corpus} {row.older_id} (similarity {row.similarity:.2f})"


def leaks_json(results: Results, leaks: Leaks, repetitions: Repetitions | None) -> dict[str, object]:
    """The same as strict JSON can hold it; of the documents those that are flagged."""

    def facts(corpus: int, place: int) -> dict[str, object]:
        scored = results.corpora[corpus]
        return {
            "corpus": scored.label,
            "id": scored.ids[place],
            "sha256": scored.digests[place],
            "title": scored.titles[place],
            "published_at": scored.published_at[place],
        }

    return {
        "schema_version": 1,
        "model": leaks.label,
        "policy": leaks.policy,
        "panel": list(leaks.panel),
        "rate": leaks.rate,
        "corpora": [results.corpora[number].label for number in leaks.corpora],
        "corpora_with_tokens": [results.corpora[number].label for number in leaks.with_tokens],
        "corpora_with_distributions": [results.corpora[number].label for number in leaks.with_distributions],
        "num_documents": len(leaks.documents),
        "flagged": [
            {**document._asdict(), **facts(document.corpus, document.place)} for document in leaks.flagged
        ],
        "num_compared": repetitions and repetitions.num_documents,
        "repetitions": repetitions
        and [{**row._asdict(), **facts(row.corpus, row.place)} for row in repetitions.repetitions],
        "notes": [*leaks.notes, *(repetitions.notes if repetitions else ())],
    }
