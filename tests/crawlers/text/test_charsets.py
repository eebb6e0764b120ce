"""Undeclared code pages of the Latin alphabet: those of the text's language, as browsers have it."""

import pytest

from evalkit_crawlers.text.charsets import decode

WESTERN = {
    "en": "A naïve café owner — “über-cool”, said the protégé.",
    "fr": "L'été dernier, le garçon naïf était très fatigué à l'école où il étudiait.",
    "pt": "A população não estava à espera de tanta confusão nas eleições.",
    "es": "El niño pequeño comerá jamón mañana. ¿Qué pasó?",
    "de": "Die Straße führt über die Brücke zu schönen Häusern.",
    "sv": "Får får får? Nej, får får lamm på ön i Västerås.",
    "da": "Rødgrød med fløde på Ærø.",
    "is": "Það er góð hugmynd að læra íslensku.",
    "it": "Perché è più così, la città? Già, può darsi.",
}
CENTRAL = {
    "cs": "Příliš žluťoučký kůň úpěl ďábelské ódy.",
    "pl": "Zażółć gęślą jaźń, powiedział wójt gminy Łódź.",
    "hu": "Árvíztűrő tükörfúrógép, mondta a főnök.",
    "ro": "Ştefan cel Mare şi Sfânt a fost domn în ţară.",
    "hr": "Đaci su učili čitati i pisati u školi, kaže učiteljica Živković.",
}


@pytest.mark.parametrize("declares_language", [False, True])
@pytest.mark.parametrize("count", [1, 12])
@pytest.mark.parametrize("language", WESTERN)
def test_undeclared_windows_1252(language: str, count: int, declares_language: bool) -> None:
    lang = f" lang='{language}'" if declares_language else ""
    page = f"<html{lang}><body>" + f"<p>{WESTERN[language]}</p>" * count
    assert decode(page.encode("cp1252")) == page


@pytest.mark.parametrize("language", CENTRAL)
def test_undeclared_windows_1250_of_a_page_that_says_its_language(language: str) -> None:
    page = f'<html class="x" lang="{language}-XX"><body><p>{CENTRAL[language]}</p>'
    assert decode(page.encode("cp1250")) == page


@pytest.mark.parametrize("language", ["cs", "pl", "hu", "ro"])
def test_undeclared_windows_1250_of_a_page_whose_language_shows(language: str) -> None:
    page = "<html><body><script>var the = 'english words of a program';</script>"
    page += f"<p>{CENTRAL[language]}</p>" * 12
    assert decode(page.encode("cp1250")) == page


def test_other_undeclared_code_pages_are_found_as_before() -> None:
    for text, encoding in (
        ("Съешь же ещё этих мягких французских булок, да выпей чаю. ", "cp1251"),
        ("Pijamalı hasta yağız şoföre çabucak güvendi, İstanbul'da ığdır. ", "cp1254"),
    ):
        page = ("<html lang='tr'>" if encoding == "cp1254" else "<html>") + f"<p>{text}</p>" * 12
        assert decode(page.encode(encoding)) == page
