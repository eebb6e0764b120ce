"""Characters that betray faults of extraction: each kind is found, and what only looks like it is not."""

import pytest

from evalkit.corpora.faults import FAULT_KINDS, glued_words, prose_of
from evalkit.corpora.language import language_of
from tests.support.site_news import LANGUAGES
from tests.support.site_news import prose as news_prose

BY_NAME = {kind.name: kind for kind in FAULT_KINDS}

FAULTY = [
    ("replacement characters", "the bytes \ufffd\ufffd of it"),
    ("mojibake", "un cafÃ© crÃ¨me"),
    ("mojibake", "it isnâ€™t so"),
    ("mojibake", "price: 5 â‚¬"),
    ("mojibake", "Â© 2026 and Â\u00a0more"),
    ("mojibake", "ÐŸÑ€Ð¸Ð²ÐµÑ‚"),
    ("mojibake", "ï»¿A text"),
    ("mojibake", "æ—¥æœ¬èªž"),
    ("control characters", "a\x07b"),
    ("control characters", "first\x85second"),
    ("control characters", "an icon \ue016 of a font"),
    ("invisible characters", "extra\u00adordinary"),
    ("invisible characters", "a\u200bb"),
    ("glued sentences", "It was the end.The next one began at once, they said."),
    ("glued sentences", "Was it the end?Nobody knew of it."),
    ("glued words", "a" * 46),
    ("lost superscripts", "a speed of 3×108 m/s"),
    ("lost superscripts", "6.022 × 1023 of them"),
    ("lost superscripts", "a charge of 1.6 · 10−19 C"),
    ("lost superscripts", "as others found.12 The second reason"),
    ("lost superscripts", "a “quotation”7 Another one"),
    ("markup", "a <b>word</b> of it"),
    ("markup", '<a href="/x" class="y">here'),
    ("markup", "A &amp; B &#8217;s"),
    ("markup", "see [[Berlin|the city]] and {{cite web|url=x}}"),
    ("markup", r"as shown \cite{smith2026} before"),
    ("markup", "var x; function go(a, b) { return a }"),
    ("markup", ".menu { color: red; }"),
    ("markup", '[caption id="1" width="3"]A picture'),
    ("traces of PDF", "an ef\ufb01cient method"),
    ("traces of PDF", "the extrac-\ntion of text"),
]

CLEAN = [
    ("mojibake", "« C’était l’été\u00a0», dit-il\u00a0; à\u00a0»"),
    ("mojibake", "SÃO PAULO, EDUCAÇÃO, the letter “Ñ”, Â and â, ÄÖÜ, Århus"),
    ("mojibake", "Привет, 日本語 и ещё; Việt Nam Ấn Độ"),
    ("control characters", "tabs\tand\nlines"),
    ("invisible characters", "می\u200cخواهم 👨\u200d👩\u200d👧"),
    ("glued sentences", "e.g. at 3.5 p.m. St. Petersburg, Node.js and example.com; file.txt U.S.A."),
    ("glued sentences", "see https://example.org/a.Html and `x.Y` or someone@example.Org now"),
    ("glued words", "Donaudampfschifffahrtsgesellschaftskapitän"),
    ("lost superscripts", "3×100, 4 × 1000, 2×10^8, 10⁸, 5×12, 1,024 × 768"),
    ("lost superscripts", "It cost 3.50 Euros in No.12 The Strand, version 2.0 Beta; p.12 He"),
    ("lost superscripts", r"so \(3 \times 10^{8}\) and $6×1023$ hold"),
    ("markup", "if a < b and c > d, then R&D, AT&T; x <- y; 1 < 2 > 1"),
    ("markup", "a template `{{x}}` and\n\n    <p>code</p>\n\n```\n<div>\n```\nand more"),
    ("markup", "He wrote [sic] and {a, b}; function words (and others) are short"),
    ("traces of PDF", "a well-\nKnown man - and a non-\n\nstop"),
]


def found(name: str, text: str) -> list[str]:
    kind = BY_NAME[name]
    looked_at = prose_of(text) if kind.is_of_prose else text
    return [looked_at[place.start : place.end] for place in kind.find(looked_at)]


@pytest.mark.parametrize(("name", "text"), FAULTY)
def test_a_fault_is_found(name: str, text: str) -> None:
    assert found(name, text)


@pytest.mark.parametrize(("name", "text"), CLEAN)
def test_what_looks_like_a_fault_and_is_none(name: str, text: str) -> None:
    assert found(name, text) == []


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
@pytest.mark.parametrize("language", sorted(set(LANGUAGES) - {"en"}))
def test_the_prose_of_every_language_read_in_a_wrong_encoding(language: str, encoding: str) -> None:
    text = "\n".join(news_prose(language, 3, 4))
    assert found("mojibake", text) == []
    assert len(found("mojibake", text.encode().decode(encoding, "ignore"))) > 3


def test_prose_stays_where_it_stands() -> None:
    text = "a `b c` d\n\n    code\nhttps://example.org/x e"
    assert prose_of(text) == "a       d\n\n        \n                      e"


def test_words_of_the_corpus_that_stand_together() -> None:
    texts = [
        "The title of it. Author Smith wrote a report.",
        "Another title. An Author of note, a report.",
        "A titleAuthor stood there; a YouTube film and a userNamespace too.",
        "YouTube again.",
    ]
    assert [
        [text[place.start : place.end] for place in places]
        for text, places in zip(texts, glued_words(texts), strict=True)
    ] == [[], [], ["titleAuthor"], []]


@pytest.mark.parametrize("beginning", ["\\(", "\\[", "a@", "a/", "é", "[url", "function(", "a.", "```~"])
def test_a_text_of_nothing_but_beginnings_takes_no_time_to_speak_of(beginning: str) -> None:
    """With a search from every beginning to the end of the text this would take an hour."""
    text = beginning * (300_000 // len(beginning))
    assert len(prose_of(text)) == len(text)
    assert sum(sum(1 for _ in kind.find(text)) for kind in FAULT_KINDS) <= 1
    assert language_of(text) is None
