"""Superscripts and subscripts: no digit runs into the one before it, whatever the source."""

import html
import re

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from lxml import etree
from lxml.html import fragment_fromstring

from evalkit_crawlers.sources import arxiv, latexml
from evalkit_crawlers.sources.wikipedia_text import article_text
from evalkit_crawlers.text import pages
from evalkit_crawlers.text.scripts import mathml_text, without_latex_scripts, write_formulas, write_scripts
from tests.support.direct import capture
from tests.support.toy_source import prose

EXAMPLES = {
    "3×10<sup>8</sup> m/s": "3×10^8 m/s",
    "6.022×10<sup>23</sup>": "6.022×10^23",
    "10<sup>−6</sup>, 10<sup>-6</sup>": "10^−6, 10^-6",
    "A<sub>ij</sub>": "A_ij",
    "A<sub>ij</sub><sup>2</sup>": "A_ij^2",
    "H<sub>2</sub>O and C<sub>6</sub>H<sub>12</sub>O<sub>6</sub>": "H_2O and C_6H_12O_6",
    "x<sup>n+1</sup>y": "x^{n+1}y",
    "<b>10</b><sup><i>8</i></sup>7": "10^{8}7",
    "x<sub>a</sub>b": "x_{a}b",
    "Ca<sup>2+</sup>, H<sup>+</sup>": "Ca^{2+}, H^+",
    "e<sup>−x<sup>2</sup></sup>": "e^{−x^2}",
    "<sup>235</sup>U": "^235U",
    "10² and H₂O": "10² and H₂O",
    "the 1<sup>st</sup> of May": "the 1st of May",
    "le XIX<sup>e</sup> siècle, M<sup>me</sup> Durand": "le XIXe siècle, Mme Durand",
    "1<sup>o</sup> de mayo, 25 <sup>o</sup>C": "1º de mayo, 25 °C",
    "25<sup>o</sup>C": "25°C",
    "3<sup>1</sup>/<sub>2</sub> cups, <sup>1</sup>⁄<sub>3</sub>": "3 1/2 cups, 1⁄3",
    "Acme<sup>TM</sup>": "Acme™",
    'a word<sup><a href="#fn1">1</a></sup> and<a href="#fn2"><sup>[2]</sup></a> on': "a word and on",
    "10<sup></sup>8": "108",
}


def plain(source: str) -> str:
    tree = fragment_fromstring(f"<div><p>{source}</p></div>")
    write_formulas(tree)
    write_scripts(tree)
    return str(tree.text_content())


@pytest.mark.parametrize(("source", "text"), EXAMPLES.items())
def test_the_form_of_scripts(source: str, text: str) -> None:
    assert plain(source) == text


@pytest.mark.parametrize(("source", "text"), EXAMPLES.items())
def test_the_form_is_the_same_on_pages_of_news_and_wikipedia(source: str, text: str) -> None:
    paragraph = f"<p>Measured were {source}, as they said.</p>"
    body = f"<html><body><article><p>{prose(1)}</p>{paragraph}<p>{prose(2)}</p></article></body></html>"
    wanted_line = f"Measured were {text}, as they said."
    assert wanted_line in pages.read_page(capture(body.encode())).text.splitlines()
    assert wanted_line in article_text(f"<p>{prose(1)}</p>{paragraph}<p>{prose(2)}</p>").splitlines()


@pytest.mark.parametrize(("source", "text"), EXAMPLES.items())
def test_the_form_is_the_same_in_papers(source: str, text: str) -> None:
    source = source.replace("<sup>", '<sup class="ltx_sup">').replace("<sub>", '<sub class="ltx_sub">')
    page = f'<article class="ltx_document"><p class="ltx_p">Measured: {source}.</p></article>'
    assert latexml.read_article(page.encode()).text == f"Measured: {text}."


@pytest.mark.parametrize(
    ("source", "text"),
    [
        (r"10\textsuperscript{6} of A\textsubscript{ij}", "10^6 of A_ij"),
        (r"\textsuperscript{6}Li, \textsuperscript2H", "^6Li, ^2H"),
        (r"x\textsuperscript{a\textsuperscript{b}}", "x^{a^b}"),
        (
            r"the 21\textsuperscript{st} and \textsuperscript{unclosed",
            r"the 21st and \textsuperscript{unclosed",
        ),
        (r"$10^6$ stays $H_{ij}$", r"$10^6$ stays $H_{ij}$"),
    ],
)
def test_scripts_of_latex_in_abstracts(source: str, text: str) -> None:
    assert without_latex_scripts(source) == text
    assert arxiv._paragraphs(f"  {source}\n") == text


BASE = st.text("abXY019 .,", min_size=1, max_size=6)
CONTENT = st.text("abij0189+-−() ,", min_size=1, max_size=6).map(lambda text: " ".join(text.split()))
PIECES = st.lists(st.tuples(BASE, st.sampled_from(["sup", "sub"]), CONTENT), min_size=1, max_size=5)
_SCRIPT = re.compile(r"([\^_])(?:\{([^{}]*)\}|([+\-−–]?(?:[0-9]+|[A-Za-z]+)|[+\-−–]))")


@given(PIECES, BASE)
def test_the_plain_form_can_be_read_back(pieces: list[tuple[str, str, str]], end: str) -> None:
    assume(all(content and content not in ("a",) for _, _, content in pieces))  # 1ª
    source = "".join(f"{base}<{kind}>{html.escape(content)}</{kind}>" for base, kind, content in pieces)
    tree = fragment_fromstring(f"<div>{source}{end}</div>")
    write_scripts(tree)
    back = _SCRIPT.sub(
        lambda match: "<{0}>{1}</{0}>".format(
            "sup" if match[1] == "^" else "sub", match[2] if match[2] is not None else match[3]
        ),
        tree.text_content(),
    )
    assert back == source + end


def test_formulas_of_pages_are_tex_or_one_line() -> None:
    row = "<mrow><msup><mn>10</mn><mn>8</mn></msup><mo>=</mo><msub><mi>H</mi><mi>ij</mi></msub></mrow>"
    assert mathml_text(etree.fromstring(f"<math>{row}</math>")) == "10^8=H_ij"
    fraction = "<mfrac><mn>1</mn><mrow><mi>a</mi><mo>+</mo><mn>2</mn></mrow></mfrac>"
    assert mathml_text(etree.fromstring(f"<math><msqrt>{fraction}</msqrt></math>")) == "√(1/(a+2))"
    tex = '<annotation encoding="application/x-tex">x^{2}</annotation>'
    semantics = f"<math><semantics><msup><mi>x</mi><mn>2</mn></msup>{tex}</semantics></math>"
    assert plain(f"Let {semantics} be.") == r"Let \(x^{2}\) be."
    bare = f'<article class="ltx_document"><p class="ltx_p"><math>{row}</math></p></article>'
    assert latexml.read_article(bare.encode()).text == r"\(10^8=H_ij\)"
