"""Cleaning: normal form, boilerplate, language, precedence, and reasons that add up."""

import dataclasses
import random
import unicodedata
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evalkit.corpora import language
from evalkit.corpora.gates import profile
from evalkit.corpora.store import Document, make_corpus, make_document
from evalkit_crawlers.source import Drop
from evalkit_crawlers.text.clean import LINES_KEY, clean_documents, normal_text, without_lines

# Written for these tests.
TEXTS = {
    "en": "The harbour ferry stopped running on Monday after its engine failed twice in a single "
    "week. Commuters who cross the bay every morning now have to take a bus around it, which "
    "adds forty minutes to their journey. The operator says that spare parts will arrive "
    "from Norway before the end of the month.",
    "fr": "Le bac du port ne circule plus depuis lundi, son moteur étant tombé en panne deux fois "
    "en une semaine. Les voyageurs qui traversent la baie chaque matin doivent désormais "
    "prendre un autocar qui en fait le tour, soit quarante minutes de plus. L'exploitant "
    "attend des pièces de rechange avant la fin du mois.",
    "de": "Die Hafenfähre fährt seit Montag nicht mehr, weil ihr Motor zweimal in einer Woche "
    "ausgefallen ist. Wer jeden Morgen über die Bucht zur Arbeit muss, nimmt nun den Bus "
    "außen herum und braucht vierzig Minuten länger. Der Betreiber rechnet noch vor Ende des "
    "Monats mit Ersatzteilen aus Norwegen.",
    "es": "El transbordador del puerto dejó de funcionar el lunes, después de que su motor fallara "
    "dos veces en una semana. Quienes cruzan la bahía cada mañana tienen que tomar ahora un "
    "autobús que la rodea y tarda cuarenta minutos más. La empresa espera los repuestos "
    "antes de que termine el mes.",
    "ru": "Портовый паром не ходит с понедельника: за одну неделю его двигатель дважды выходил из "
    "строя. Тем, кто каждое утро пересекает залив, теперь приходится ехать в объезд на "
    "автобусе, а это на сорок минут дольше. Перевозчик обещает, что запасные части привезут "
    "из Норвегии до конца месяца.",
    "zh": "港口的渡轮从星期一起停航，因为发动机在一周之内坏了两次。每天早晨过海湾上班的人现在只好改"
    "乘绕行的公共汽车，路上要多花四十分钟。经营者表示，备用零件会在月底以前从挪威运到，届时渡"
    "轮将恢复正常的班次，票价也不会上涨。一些乘客希望政府在修理期间提供补贴，另一些人则开始骑"
    "自行车上班。",
    "ar": "توقفت عبّارة الميناء عن العمل منذ يوم الاثنين بعد أن تعطل محركها مرتين خلال أسبوع واحد. "
    "ويضطر الركاب الذين يعبرون الخليج كل صباح إلى ركوب حافلة تدور حوله، وهو ما يزيد رحلتهم "
    "أربعين دقيقة. وتقول الشركة إن قطع الغيار ستصل من النرويج قبل نهاية الشهر.",
}
WORDS = sorted(set(TEXTS["en"].replace(",", "").replace(".", "").lower().split()))


def story(seed: object, num_words: int = 150) -> str:
    """English words in an order of their own, in lines of 15."""
    words = random.Random(str(seed)).choices(WORDS, k=num_words)
    return "\n".join(" ".join(words[i : i + 15]) for i in range(0, num_words, 15))


def document(id: str, text: str, day: int = 1, **fields: str | None) -> Document:
    values: dict[str, str | None] = {"url": f"https://news.example/{id}", "license": "CC-BY-4.0", **fields}
    return make_document(text, id=id, source="news", published_at=f"2026-11-{day:02}", **values)


def reasons(drops: Sequence[Drop]) -> dict[str, str]:
    return {drop.id: drop.reason for drop in drops}


def test_texts_come_out_in_normal_form_and_whole() -> None:
    long = story("long", 200_000)
    raw = "\ufeff\r\nCafe\u0301 \u212b\r\rsecond\r\n" + long + " \n\n"
    (cleaned_document,) = clean_documents(
        [document("a", raw, license="http://creativecommons.org/licenses/by-sa/4.0/")]
    ).documents
    assert cleaned_document.text == "Café Å\n\nsecond\n" + long
    assert unicodedata.is_normalized("NFC", cleaned_document.text)
    assert cleaned_document.license == "CC-BY-SA-4.0"
    # Everything that follows from the text was renewed: a corpus accepts it, and stores it as it is.
    assert make_document(cleaned_document.text, source="x").sha256 == cleaned_document.sha256
    assert cleaned_document.num_bytes == len(cleaned_document.text.encode())
    assert make_corpus("sample", [cleaned_document]).num_bytes == cleaned_document.num_bytes


@given(st.text())
@example("\ufeff \ufeffmarked twice\ufeff")
def test_the_normal_form_is_stable(text: str) -> None:
    once = normal_text(text)
    assert normal_text(once) == once
    assert "\r" not in once


def test_every_document_is_kept_or_dropped_for_one_reason() -> None:
    earlier = document("old", story("earlier"))
    near = story("near")
    raw_documents = [
        document("fine", story("fine")),
        document("copy-2", story("twice"), day=3),
        document("copy-1", story("twice"), day=2),
        document("same-day-b", story("same day"), day=2),
        document("same-day-a", story("same day"), day=2),
        document("near-late", near.replace("harbour", "port", 1), day=9),
        document("near-early", near, day=4),
        document("seen", story("earlier"), day=5),
        document("seen-edited", story("earlier") + " and a postscript", day=5),
        document("short", "too short"),
        document("empty", " \n"),
        document("mojibake", story("mojibake") + "\ufffd" * 5),
        document("fine", story("another one"), day=8),
        document("german", TEXTS["de"] * 2, language="en"),
        document("undated", story("undated")),
        document("undated-copy", story("undated")),
    ]
    raw_documents[-2] = dataclasses.replace(raw_documents[-2], published_at=None)
    cleaned = clean_documents(raw_documents, earlier_documents=iter([earlier]))
    assert [cleaned_document.id for cleaned_document in cleaned.documents] == [
        "fine",
        "undated-copy",
        "copy-1",
        "same-day-a",
        "near-early",
    ]
    assert reasons(cleaned.drops) == {
        "copy-2": "exact duplicate",
        "same-day-b": "exact duplicate",
        "near-late": "near-duplicate",
        "seen": "exact duplicate of an earlier corpus",
        "seen-edited": "near-duplicate of an earlier corpus",
        "short": "shorter than 500 bytes",
        "empty": "shorter than 500 bytes",
        "mojibake": "damaged characters",
        "fine": "same id as an earlier document",
        "german": "not in the stated language",
        "undated": "exact duplicate",
    }
    assert len(cleaned.documents) + len(cleaned.drops) == len(raw_documents)


@settings(max_examples=20, deadline=None)
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_documents_makes_no_difference(rng: random.Random) -> None:
    banner = "Subscribe to our letter and never miss what happens at the harbour"
    documents = [document(f"d{n}", f"{story(n % 9)}\n{banner}", day=1 + n % 3) for n in range(14)]
    documents += [document(f"e{n}", f"{story(n)} with an end of its own {n}", day=1 + n) for n in range(5)]
    expected = clean_documents(documents)
    assert 0 < len(expected.drops) < len(documents)
    shuffled = list(documents)
    rng.shuffle(shuffled)
    assert clean_documents(shuffled) == expected


BANNER = "Sign up for our weekly letter: the best stories of the harbour, every Friday"
RIGHTS = "本网站的全部内容均受著作权法保护，未经许可不得转载或者用于任何商业目的。"


def test_boilerplate_lines_go_and_everything_else_stays() -> None:
    documents = [
        document(f"d{n}", f"Introduction\n{story(n)}\n\n{BANNER}  \n\nThe end\n{RIGHTS}") for n in range(10)
    ]
    elsewhere = document("other", f"{story('other')}\n{BANNER}", url="https://elsewhere.example/1")
    once = document("once", f"{story('once')}\nA long line that stands in a single document of this site")
    cleaned = clean_documents([*documents, elsewhere, once])
    assert not cleaned.drops
    texts = {cleaned_document.id: cleaned_document.text for cleaned_document in cleaned.documents}
    for n in range(10):
        assert texts[f"d{n}"] == f"Introduction\n{story(n)}\n\nThe end"
    assert texts["other"] == elsewhere.text  # another site's documents are its own affair
    assert texts["once"] == once.text
    # A single document can be cleaned again from what the manifest keeps.
    digests = cleaned.provenance[LINES_KEY].split()
    assert len(digests) == 2
    assert without_lines(documents[3].text, documents[3].url, digests) == texts["d3"]
    assert without_lines(elsewhere.text, elsewhere.url, digests) == elsewhere.text


def with_every_nth_word_changed(text: str, n: int) -> str:
    words = text.split()
    return " ".join(f"edit{place}" if place % n == n - 1 else word for place, word in enumerate(words))


def test_the_quality_gate_counts_exactly_what_cleaning_removes() -> None:
    """One rule for both; the gate once counted 3 of these 9, by other shingles and another threshold."""
    originals = [document(f"original-{n}", story(f"original {n}", 400), day=1) for n in range(4)]
    # One word in n changed leaves (n - 5) / n of the shingles in both: J = 0.23, 0.60 and 0.78.
    copies = [
        document(f"copy-{place}-{n}", with_every_nth_word_changed(original.text, n), day=2 + place)
        for place, original in enumerate(originals)
        for n in (8, 20, 40)
    ]
    again = document("again", originals[0].text, day=9)
    cleaned = clean_documents([*originals, *copies, again])
    assert Counter(reasons(cleaned.drops).values()) == {"near-duplicate": 8, "exact duplicate": 1}
    raw = make_corpus("raw", [*originals, *copies, again])
    assert profile(raw).num_near_duplicates == len(cleaned.drops)
    assert profile(make_corpus("cleaned", cleaned.documents)).num_near_duplicates == 0


def test_what_is_rare_on_a_site_or_short_is_no_boilerplate() -> None:
    rare = [document(f"r{n}", f"{story(n)}\n{BANNER if n < 5 else ''}") for n in range(101)]
    assert clean_documents(rare).provenance.keys() == {"cleaner"}  # 5 of 101: less than 5 %
    assert LINES_KEY in clean_documents(rare[:100]).provenance
    few = [document(f"f{n}", f"{story(n)}\n{BANNER}") for n in range(4)]
    assert [cleaned_document.text for cleaned_document in clean_documents(few).documents] == [
        raw_document.text for raw_document in few
    ]


def test_copies_of_one_article_do_not_make_it_boilerplate() -> None:
    copies = [document(f"c{n}", f"Header {n} of a page\n{story('copied')}", day=1 + n) for n in range(8)]
    originals = [document(f"o{n}", story(n)) for n in range(20)]
    cleaned = clean_documents([*copies, *originals])
    assert copies[0].text in [cleaned_document.text for cleaned_document in cleaned.documents]
    assert reasons(cleaned.drops) == {f"c{n}": "near-duplicate" for n in range(1, 8)}


def test_pages_that_are_little_else_than_boilerplate_are_dropped_with_that_reason() -> None:
    lines = [f"{BANNER}, number {n}" for n in range(5)]
    documents = [document(f"d{n}", "\n".join([story(n), *lines])) for n in range(30)]
    husk = document("husk", "\n".join([*lines, *lines, "Nothing was found here"]))
    cleaned = clean_documents([*documents, husk])
    assert reasons(cleaned.drops) == {"husk": "shorter than 500 bytes without boilerplate"}


def test_boilerplate_does_not_make_different_articles_alike() -> None:
    lines = [f"{BANNER}, number {n}" for n in range(9)]
    documents = [document(f"d{n}", "\n".join([story(n), *lines])) for n in range(10)]
    assert len(clean_documents(documents).documents) == 10


@pytest.mark.parametrize("stated", TEXTS)
def test_languages_are_found_and_contradicted(stated: str) -> None:
    text = TEXTS[stated]
    assert language.language_of(text) == stated
    assert [tag for tag in TEXTS if language.contradicts(text, tag)] == [
        tag for tag in TEXTS if tag != stated
    ]
    assert not language.contradicts(text, f"{stated}-XX")


def test_languages_in_doubt_are_left_alone() -> None:
    assert language.language_of("Guten Morgen") is None
    assert not language.contradicts("Guten Morgen", "en")
    assert not language.contradicts(TEXTS["de"], "als")  # Alemannic, which the classifier does not know
    assert not language.contradicts(TEXTS["de"], "lb")  # which it does, but from German?
    half = f"{TEXTS['de'] * 4} {TEXTS['fr'] * 4}"
    assert not any(language.contradicts(half, tag) for tag in ("de", "fr", "en"))
    assert not language.contradicts(TEXTS["en"], "simple")
    numbers = "\n".join(f"{n} | {n * n} | {n**3}" for n in range(300))
    assert language.language_of(numbers) is None


def test_formulas_and_code_do_not_decide_the_language() -> None:
    formula = r"\[ \mathcal{L}(\theta) = \sum_{t=1}^{T} \log p_\theta(x_t \mid x_{<t}) \]"
    code = "```\nfor index in range(10):\n    print(index, file=handle)\n```"
    text = "\n".join([formula, TEXTS["es"], code] * 6)
    assert language.language_of(text) == "es"
    assert not language.contradicts(text, "es")
    assert language.contradicts(text, "en")


def test_a_missing_language_is_filled_in_and_a_stated_one_kept() -> None:
    documents = [document(tag, f"{text} {text}", language=None) for tag, text in TEXTS.items()]
    languages = {
        cleaned_document.id: cleaned_document.language
        for cleaned_document in clean_documents(documents).documents
    }
    assert languages == {tag: tag for tag in TEXTS}
    (cleaned_document,) = clean_documents([document("a", TEXTS["es"] * 2, language="es-AR")]).documents
    assert cleaned_document.language == "es-AR"


def test_counted_reasons_hold_no_particulars() -> None:
    documents = [document(f"d{n}", "x" * n) for n in range(40)]
    assert Counter(drop.reason for drop in clean_documents(documents).drops) == {"shorter than 500 bytes": 40}
