"""Cleaning on real text: Wikipedia articles of 2024 in English, French and German.

The text is CC BY-SA and not shipped; ``EVALKIT_UNCHEATABLE_DATA`` names a folder that holds Uncheatable
Eval's files. The table in `evalkit.corpora.language` is what this prints with ``-s``.
"""

import json
import os
from collections import Counter
from functools import cache
from pathlib import Path

import pytest

from evalkit.corpora import language
from evalkit.corpora.store import Document, make_document
from evalkit_crawlers.text.clean import clean_documents

FOLDER = Path(os.environ.get("EVALKIT_UNCHEATABLE_DATA") or "/nonexistent")
LANGUAGES = {"english": "en", "french": "fr", "german": "de"}

pytestmark = pytest.mark.skipif(
    not any(FOLDER.glob("wikipedia_*.json")),
    reason="EVALKIT_UNCHEATABLE_DATA names no folder with Uncheatable Eval's files (not ours to ship)",
)


@cache
def articles() -> tuple[Document, ...]:
    """Every fourth article."""
    documents = []
    for path in sorted(FOLDER.glob("wikipedia_*.json")):
        tag = LANGUAGES[path.stem.split("_")[1]]
        for number, text in enumerate(json.loads(path.read_text(encoding="utf-8"))[1::4]):
            documents.append(
                make_document(
                    text,
                    id=f"{path.stem}-{number}",
                    source="wikipedia",
                    url=f"https://{tag}.wikipedia.org/",
                    published_at="2024-06-01",
                    license="CC-BY-SA-4.0",
                    language=tag,
                )
            )
    return tuple(documents)


def test_languages_of_real_articles() -> None:
    verdicts = Counter()
    falsely = rightly = 0
    for article in articles():
        tag = language.language_of(article.text)
        verdicts["right" if tag == article.language else "wrong" if tag else "open"] += 1
        falsely += language.contradicts(article.text, str(article.language))
        wrong_tag = "de" if article.language == "en" else "en"
        rightly += language.contradicts(article.text, wrong_tag)
    count = len(articles())
    shares = {key: round(100 * value / count, 1) for key, value in verdicts.items()}
    print(shares, round(100 * rightly / count, 1), round(100 * falsely / count, 1))
    assert count >= 1200
    assert verdicts["right"] >= 0.97 * count
    assert verdicts["wrong"] <= 0.008 * count
    assert rightly >= 0.9 * count
    assert falsely <= 0.003 * count


def test_real_articles_survive() -> None:
    cleaned = clean_documents(articles())
    dropped = Counter(drop.reason for drop in cleaned.drops)
    print(dropped)
    # New articles about different things: whatever is dropped here is most likely dropped wrongly.
    assert len(cleaned.documents) >= 0.99 * len(articles())
    assert cleaned.documents
    twice = clean_documents(cleaned.documents)
    assert len(twice.documents) >= 0.999 * len(cleaned.documents)
