"""The language of a text, where it can be told: py3langid's verdicts on parts of it.

py3langid knows 140 languages. On a whole text its confidence is near 1 even where it errs (lists of
foreign names, tables of species), so a text is judged in up to `MAX_PARTS` parts of `PART_CHARACTERS`
characters, spread over it, without formulas, code and addresses, and a language counts only where most
parts agree with a confidence of `CONFIDENCE`. Short texts are not judged. Measured on 1,250 Wikipedia
articles of 2024 in English, French and German, the ones of tests/crawlers/text/test_clean_uncheatable.py:

    found, right            97.6 %      `language_of` names the article's language
    found, wrong             0.6 %      (lists of names; articles that quote at length)
    left open                1.8 %
    contradicted, right     92 %        of the articles under another language's name (see `contradicts`)
    contradicted, wrong      0.2 %      of the articles under their own
"""

import functools
import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

PART_CHARACTERS = 1000
MAX_PARTS = 8
CONFIDENCE = 0.9
MIN_LETTER_BYTES = 200
"""In UTF-8; less prose than this is not judged. A hundred letters are right in 97 % of cases only."""
FOUND_SHARE = 0.5
CONTRADICTED_SHARE = 0.8
EXCLUDED = 0.001
"""Largest probability of the stated language in a part that contradicts it."""

# Where nobody would rely on a classifier's difference between two of them.
_RELATED = (
    {"no", "nb", "nn", "da"},
    {"sr", "hr", "bs", "sh"},
    {"id", "ms", "jv"},
    {"zh", "yue", "wuu", "ja"},  # Japanese in Han characters alone: headlines, lists
    {"ar", "arz", "ary"},
    {"pt", "gl"},
    {"cs", "sk"},
    {"fa", "ps", "ur", "sdh", "ku"},
    {"hi", "mr", "ne", "sa"},
    {"de", "lb"},
    {"nl", "af", "fy"},
    {"az", "tr", "crh", "tk"},
    {"uz", "uzs"},
)
_ALIASES = {"simple": "en", "nb": "no", "iw": "he", "in": "id", "ji": "yi", "cmn": "zh", "mo": "ro"}

_NOT_PROSE = re.compile(
    # A formula ends before the next begins: a text of nothing but beginnings would take a time that grows
    # with its square.
    r"\\\((?:(?!\\[()]).)*\\\)|\\\[(?:(?!\\[\[\]]).)*\\\]|\$\$.*?\$\$|```.*?```|https?://\S+|\\[A-Za-z]+",
    flags=re.DOTALL,
)
_LETTERS = re.compile(r"[^\W\d_]+")


def primary(tag: str) -> str:
    """The language of a BCP 47 tag, as py3langid names it: ``pt`` of ``pt-BR``."""
    language = tag.replace("_", "-").partition("-")[0].casefold()
    return _ALIASES.get(language, language)


def language_of(text: str) -> str | None:
    """The language of most of a text; None where it cannot be told."""
    parts = _judged_parts(text)
    votes = Counter(best for ranking in parts if (best := _best(ranking)))
    if not votes:
        return None
    language, count = votes.most_common(1)[0]
    # Undecided parts count as well: one confident part among eight tells nothing of the text.
    return language if count >= FOUND_SHARE * len(parts) and 2 * count > votes.total() else None


def contradicts(text: str, stated: str) -> bool:
    """Whether a text is clearly in another language than the stated one.

    False wherever there is doubt: short texts, languages that py3langid does not know, close relatives,
    texts in several languages.
    """
    stated = primary(stated)
    if stated not in _identifier().labels:
        return False
    parts = _judged_parts(text)
    related = set().union(*(group for group in _RELATED if stated in group)) | {stated}
    votes = Counter(
        best
        for ranking in parts
        if (best := _best(ranking)) and best not in related and ranking.get(stated, 0.0) <= EXCLUDED
    )
    return bool(votes) and votes.most_common(1)[0][1] >= CONTRADICTED_SHARE * len(parts)


def _judged_parts(text: str) -> list[dict[str, float]]:
    """Probabilities of every language for each part; empty for a text without enough prose."""
    prose = _NOT_PROSE.sub(" ", text)
    num_parts = min(MAX_PARTS, max(1, round(len(prose) / PART_CHARACTERS)))
    step = len(prose) / num_parts
    starts = [int(number * step) for number in range(num_parts)]
    parts = [prose[start : start + PART_CHARACTERS] for start in starts]
    letters = sum(len(run.encode()) for part in parts for run in _LETTERS.findall(part))
    return [dict(_identifier().rank(part)) for part in parts] if letters >= MIN_LETTER_BYTES else []


def _best(ranking: dict[str, float]) -> str | None:
    language = max(ranking, key=ranking.__getitem__)
    # zxx: no linguistic content
    return language if ranking[language] >= CONFIDENCE and language != "zxx" else None


@functools.cache
def _identifier() -> "LanguageIdentifier":
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
