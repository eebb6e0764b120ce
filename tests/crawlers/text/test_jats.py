"""What is kept of a JATS article, and how it reads; the shapes are those of eLife's and PMC's files."""
# ruff: noqa: E501  (markup is easier to read unbroken)

import pytest

from evalkit_crawlers.source import FetchRefused
from evalkit_crawlers.text.jats import Article, read_article
from evalkit_crawlers.text.xml_text import MAX_ELEMENTS

NAMESPACES = 'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns:mml="http://www.w3.org/1998/Math/MathML"'


def read(body: str, meta: str = "", back: str = "") -> Article:
    return read_article(
        f"<article {NAMESPACES}><front><journal-meta><journal-title>Journal</journal-title></journal-meta>"
        f"<article-meta><title-group><article-title>T</article-title></title-group>{meta}</article-meta></front>"
        f"<body>{body}</body><back>{back}</back></article>".encode()
    )


def text(body: str, meta: str = "", back: str = "") -> str:
    article = read(body, meta, back)
    assert article.text.startswith("T\n\n")
    return article.text.removeprefix("T\n\n")


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("<sec><label>1</label><title>Intro</title><p>A <italic>b</italic>\n  c.</p></sec>", "1 Intro\n\nA b c."),
        ("<p>See (<xref ref-type='bibr' rid='r1'>Smith, 2020</xref>) and [<xref ref-type='bibr'>3</xref>].</p>",
         "See (Smith, 2020) and [3]."),
        ("<p>Known<sup><xref ref-type='bibr' rid='r1'>1</xref>,<xref ref-type='bibr'>2</xref></sup>.</p>", "Known."),
        ("<p>Known<xref ref-type='fn'><sup>a</sup></xref>.</p>", "Known."),
        ("<p>3×10<sup>8</sup> m, H<sub>2</sub>O, Ca<sup>2+</sup>, A<sub>ij</sub></p>", "3×10^8 m, H_2O, Ca^{2+}, A_ij"),
        ("<p>One:</p><list><list-item><label>•</label><p>a</p><p>b</p></list-item><list-item><p>c</p>"
         "<list><list-item><p>d</p></list-item></list></list-item></list><p>Two.</p>", "One:\n\n• a\nb\nc\nd\n\nTwo."),
        ("<fig id='f1'><object-id>10.1/f</object-id><label>Figure 1.</label><caption><title>What.</title>"
         "<p>How.</p></caption><graphic xlink:href='a.tif'/><alt-text>x</alt-text></fig><p>On.</p>",
         "Figure 1. What.\n\nHow.\n\nOn."),
        ("<table-wrap><label>Table 1.</label><caption><title>Numbers</title></caption><table><thead><tr><th>A"
         "<break/>a</th><th>B</th></tr></thead><tbody><tr><td>1</td><td><p>2</p></td></tr><tr><td/><td>3</td></tr>"
         "</tbody></table><table-wrap-foot><fn><p>Of us.</p></fn></table-wrap-foot></table-wrap>",
         "Table 1. Numbers\n\nA a | B\n1 | 2\n| 3\n\nOf us."),
        ("<p>Code:</p><preformat>if x:\n    y  =  1\n</preformat><p>End.</p>", "Code:\n\nif x:\n    y  =  1\n\nEnd."),
        ("<p>So <inline-formula><alternatives><tex-math>$e=mc^2$</tex-math><mml:math><mml:mi>e</mml:mi></mml:math>"
         "</alternatives></inline-formula>.</p>", r"So \(e=mc^2\)."),
        ("<p>So <disp-formula><label>(1)</label><tex-math>\\documentclass{a}\\begin{document}$$ x $$\\end{document}"
         "</tex-math></disp-formula> on.</p>", "So\n\n\\[x\\] (1)\n\non."),
        ("<p>So <inline-formula><mml:math><mml:msubsup><mml:mi>x</mml:mi><mml:mi>i</mml:mi><mml:mn>10</mml:mn>"
         "</mml:msubsup><mml:mo>=</mml:mo><mml:mfrac><mml:mn>1</mml:mn><mml:mi>n</mml:mi></mml:mfrac></mml:math>"
         "</inline-formula>.</p>", "So x_i^10=1/n."),
        ("<boxed-text><title>Box</title><p>In it.</p></boxed-text><disp-quote><p>Said.</p><attrib>A</attrib>"
         "</disp-quote>", "Box\n\nIn it.\n\nSaid.\n\nA"),
        ("<p>Foot<fn><p>note</p></fn> and <funding-source>money</funding-source>.</p>", "Foot and ."),
        ("<sec sec-type='supplementary-material'><title>More</title></sec><p>Text.</p>", "Text."),
    ],
)  # fmt: skip
def test_structures(body: str, expected: str) -> None:
    assert text(body) == expected


def test_abstract_acknowledgements_and_appendices_stay_and_nothing_else_around_the_body() -> None:
    meta = (
        "<contrib-group><contrib><name><surname>Author</surname></name></contrib></contrib-group><abstract><title>"
        "Abstract</title><sec><title>Aim</title><p>Why.</p></sec></abstract><abstract abstract-type='graphical'>"
        "<p>Picture</p></abstract><trans-abstract><p>Pourquoi.</p></trans-abstract><kwd-group><kwd>word</kwd>"
        "</kwd-group>"
    )
    back = (
        "<ack><title>Acknowledgements</title><p>Thanks.</p></ack><ref-list><ref><mixed-citation>R.</mixed-citation>"
        "</ref></ref-list><fn-group><fn><p>Interests.</p></fn></fn-group><app-group><app><title>Appendix</title>"
        "<p>More.</p></app></app-group>"
    )
    assert text("<p>Text.</p>", meta, back) == (
        "Abstract\n\nAim\n\nWhy.\n\nText.\n\nAcknowledgements\n\nThanks.\n\nAppendix\n\nMore."
    )


@pytest.mark.parametrize(
    ("license", "expected"),
    [
        ('<license xlink:href="http://creativecommons.org/licenses/by/4.0/"><p>…</p></license>', "CC-BY-4.0"),
        ('<license><license-p>Under <ext-link xlink:href="https://creativecommons.org/licenses/by-nc/4.0/">it'
         "</ext-link></license-p></license>", "CC-BY-NC-4.0"),
        ('<license><a:license_ref xmlns:a="http://www.niso.org/schemas/ali/1.0/">https://creativecommons.org/'
         "publicdomain/zero/1.0/</a:license_ref></license>", "CC0-1.0"),
        ("<license><license-p>All rights reserved.</license-p></license>", None),
        ("", None),
    ],
)  # fmt: skip
def test_licenses(license: str, expected: str | None) -> None:
    assert read("<p>x</p>", f"<permissions>{license}</permissions>").license == expected
    # A figure's is not the article's.
    figure = f"<fig><permissions>{license}</permissions><caption><p>x</p></caption></fig>"
    assert read(figure).license is None


def test_whether_there_is_a_body() -> None:
    assert read("<p>x</p>").has_body
    assert not read(
        "<supplementary-material><p>x</p></supplementary-material>", back="<ack><p>y</p></ack>"
    ).has_body


def test_sentences_full_of_pictures_are_refused() -> None:
    picture = '<p>If <inline-formula><inline-graphic xlink:href="a.gif"/></inline-formula> then.</p>'
    assert text(picture * 5).count("If then.") == 5
    with pytest.raises(FetchRefused, match="formulas are pictures"):
        read(picture * 6)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"<html><body>Not found</body></html>", "not a JATS article"),
        (b"", "not well-formed XML"),
        (b"<article><front>", "not well-formed XML"),
        (b'<!DOCTYPE article [<!ENTITY a "b">]><article/>', "XML declares entities"),
        (b"<!DOCTYPE article SYSTEM 'a.dtd' [ %x; ]><article/>", "XML declares entities"),
        (b"<a>" + b"<b/>" * MAX_ELEMENTS + b"</a>", "XML of more than 400000 elements"),
    ],
)
def test_what_is_no_article_is_refused(body: bytes, reason: str) -> None:
    with pytest.raises(FetchRefused, match=reason):
        read_article(body)


def test_control_characters_cost_nothing() -> None:
    assert text("<p>a\x0bb</p>") == "ab"
