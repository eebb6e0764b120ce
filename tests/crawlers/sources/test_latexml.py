"""Reading LaTeXML's pages: against the words that were put into them, and against a text written by hand."""

import datetime as dt
import itertools
import random
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit_crawlers.source import FetchRefused
from evalkit_crawlers.sources.latexml import read_article
from tests.conftest import DATA
from tests.support import site_arxiv as site

FOLDER = DATA / "crawlers" / "arxiv"
FLOOR = 0.95
DAY = dt.datetime(2026, 11, 3, 17, 20, tzinfo=dt.UTC)

ENGLISH = (
    "Models that read long documents forget how they began. We train a recurrent network whose state decays "
    "at a rate that it chooses, and ask what it keeps. Ten thousand steps later it still answers questions "
    "about the first page; a network with a fixed rate does not."
)
SCRIPTS = {
    "zh": "本文研究循环神经网络如何在长文本中保存信息。我们提出一种新的状态更新规则。",
    "ja": "本研究では、長い文書を読む再帰型モデルの記憶を調べる。減衰率を学習させた。",
    "ru": "Мы изучаем, как рекуррентная сеть хранит начало текста. Затухание выбирает сама сеть.",
    "ar": "ندرس كيف تحتفظ الشبكات المتكررة بالمعلومات في النصوص الطويلة، ونقترح قاعدة جديدة.",
    "el": "Μελετάμε πώς ένα αναδρομικό δίκτυο διατηρεί πληροφορία και προτείνουμε νέο κανόνα.",
    "hi": "हम देखते हैं कि पुनरावर्ती जाल लंबे पाठ की शुरुआत को कैसे याद रखता है।",
    "fr": "Nous étudions la façon dont un réseau récurrent conserve le début d'un texte ; où s'arrête-t-il ?",
    "vi": "Chúng tôi nghiên cứu cách mạng hồi quy ghi nhớ phần đầu của văn bản dài.",
}
CODE = "def decay(state, rate):\n    # forget\n    if rate < 1 and state > 0:\n        return rate * state"


def paper(id: str, title: str, abstract: str, *parts: site.Part) -> site.Paper:
    return site.Paper(id, title, abstract, site.blocks(*parts), DAY)


def tokens(text: str) -> Counter[str]:
    """Words, and single signs and ideographs; formulas are read without the delimiters around them."""
    text = re.sub(r"\\[()\[\]]", " ", text)
    return Counter(
        re.findall(r"[\u3040-\u30ff\u4e00-\u9fff]|[^\W\u3040-\u30ff\u4e00-\u9fff]+|[^\w\s|]", text)
    )


def f1(text: str, truth: str) -> float:
    read, written = tokens(text), tokens(truth)
    return 2 * (read & written).total() / (read.total() + written.total())


def sentence(random_: random.Random, num_words: int) -> str:
    letters = "abcdefghijklmnopqrstuvwxyz"
    return (
        " ".join(
            "".join(random_.choices(letters, k=random_.randint(1, 11))) for _ in range(num_words)
        ).capitalize()
        + "."
    )


def mathematical() -> site.Paper:
    m = site.math
    return paper(
        "2611.00002",
        "Decay rates & the spectrum of ⟨states⟩",
        "We bound the spectrum. Let a < b.",
        site.section(
            "1",
            "Setting",
            site.paragraph("Let ", m("x_{t}\\in\\mathbb{R}^{d}"), " obey ", m("x_{t}<y_{t}\\&z"), " where"),
            site.equation(r"x_{t+1}=w\odot x_{t}+k_{t}^{\top}v_{t}", 1),
            site.paragraph("and, unrolled,", m(r"\sum_{i}", display="block"), "we have"),
            site.align([["x_{1}", "=w x_{0}"], ["x_{2}", r"=w^{2}x_{0}+\epsilon"]], 2),
            site.theorem(
                "Theorem 1",
                site.paragraph("If ", m("w<1", annotated=False), " then ", m("x_{t}\\to 0"), "."),
            ),
            site.paragraph(
                "Proof by ", site.emph("induc"), "tion", site.footnote(site.line("Over ", m("t"), ".")), "."
            ),
        ),
        site.section("A", "Constants", site.equation(r"c=\frac{1}{1-w}"), kind="appendix"),
    )


def empirical() -> site.Paper:
    return paper(
        "2611.00003",
        "Measuring what is kept",
        ENGLISH,
        site.section(
            "1",
            "Data",
            site.paragraph("We take posts ", site.cite("Someone et al., 2025"), " and print them."),
            site.itemize(site.paragraph("Reddit"), site.paragraph("Twitter"), site.paragraph("PDF")),
            site.itemize(
                site.blocks(site.paragraph("Read."), site.paragraph("Twice.")),
                site.paragraph("Score."),
                tags=["1.", "2."],
            ),
            site.table(
                1,
                "Accuracy in %. Google is a data set here.",
                [
                    ["Data", "Ours", site.math("w^{t}")],
                    ["Reddit", "91.2", "88.0"],
                    ["Google", site.line("90.1", site.footnote(site.words("Old split."), 2)), ""],
                ],
            ),
            site.figure(1, "Accuracy over the distance."),
            site.listing(CODE),
            site.frame("You are a judge. " * 8, "Answer A or B."),
            site.paragraph("The macro ", site.unknown_macro("xspace"), "is unknown."),
            site.section("1.1", "E-Mail", site.paragraph("Print"), kind="subsection"),
        ),
    )


def long() -> site.Paper:
    random_ = random.Random(7)
    return paper(
        "2611.00004",
        "A long one",
        ENGLISH,
        *(
            site.section(
                str(number),
                sentence(random_, 4),
                *(site.paragraph(sentence(random_, 60), " ", site.math(f"x_{{{number}}}")) for _ in range(8)),
            )
            for number in range(1, 41)
        ),
    )


PAPERS = [
    mathematical(),
    empirical(),
    long(),
    *(
        paper(
            f"2611.1000{number}",
            text[:20],
            text,
            site.section("1", text[5:15], site.paragraph(text, site.math("x^{2}"), text)),
        )
        for number, text in enumerate(SCRIPTS.values())
    ),
]


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.id)
def test_token_f1_of_every_page_is_above_the_floor(paper: site.Paper) -> None:
    assert f1(read_article(paper.page()).text, paper.text) >= FLOOR


@pytest.mark.parametrize("paper", PAPERS, ids=lambda paper: paper.id)
def test_no_word_is_lost_and_none_is_added(paper: site.Paper) -> None:
    """Stricter than the floor: LaTeXML's markup leaves nothing to guess."""
    assert tokens(read_article(paper.page()).text) == tokens(paper.text)


def test_a_general_extractor_stays_below_the_floor() -> None:
    """Why there is a reader for LaTeXML alone; where this fails, it may have become superfluous."""
    import trafilatura

    paper = empirical()
    chrome = ["//section[@class='ltx_bibliography']", "//div[@class='ltx_authors']", "//nav", "//header"]
    settings = [{}, {"favor_recall": True}, {"favor_precision": True}]
    texts = [
        trafilatura.extract(
            paper.page().decode(), fast=fast, include_comments=False, prune_xpath=chrome, **setting
        )
        for fast in (True, False)
        for setting in settings
    ]
    assert 0.6 < max(f1(text or "", paper.text) for text in texts) < 0.7


def test_text_written_by_hand() -> None:
    """A page typed from LaTeXML's markup, and beside it the text as it has to come out, to the byte."""
    text = (FOLDER / "paper.txt").read_text(encoding="utf-8")
    assert read_article((FOLDER / "paper.html").read_bytes()).text + "\n" == text


def test_formulas_are_their_latex_source() -> None:
    text = read_article(mathematical().page()).text
    assert r"Let \(x_{t}\in\mathbb{R}^{d}\) obey \(x_{t}<y_{t}\&z\) where" in text
    assert "\n\n\\[x_{t+1}=w\\odot x_{t}+k_{t}^{\\top}v_{t}\\] (1)\n\n" in text
    assert r"unrolled,\[\sum_{i}\]we have" in text
    assert "\n\n\\[x_{1} =w x_{0}\\] (2)\n\\[x_{2} =w^{2}x_{0}+\\epsilon\\] (3)\n\n" in text
    assert r"Theorem 1. If \(w<1\) then \(x_{t}\to 0\)." in text, "without annotation, from alttext"


def test_line_ends_that_latexml_puts_into_long_formulas_are_none() -> None:
    broken = site.math("a+%\nb+\\%\nc")
    text = read_article(paper("2611.00009", "T", "A.", site.paragraph(broken)).page()).text
    assert text.endswith(r"\(a+b+\% c\)")


@pytest.mark.parametrize(("language", "text"), SCRIPTS.items(), ids=SCRIPTS)
def test_scripts_survive_to_the_letter(language: str, text: str) -> None:
    page = paper("2611.00009", text, text, site.section("1", text, site.paragraph(text))).page()
    assert read_article(page).text.count(text) == 4


def test_nothing_around_the_article_is_in_the_text() -> None:
    text = read_article(empirical().page()).text
    for noise in (
        "Bibliographical item",
        "The Authors",
        "example.org",
        "Report",
        "Contents",
        "Generated",
        "arXiv:",
        "License",
        "display errors",
        "xspace",
        "tikz",
        "Refer to caption",
        "⬇",
    ):
        assert noise not in text
    assert text.startswith("Measuring what is kept\n\nAbstract\n\nModels that read")


def test_license_and_version_are_those_of_the_page() -> None:
    article = read_article(empirical().page())
    assert (article.license, article.version) == ("CC BY 4.0", "2611.00003v1")


def test_the_same_page_gives_the_same_text() -> None:
    page = mathematical().page()
    assert len({read_article(page).text for _ in range(3)}) == 1


FATAL = (
    '<div class="ltx_para"><span class="ltx_ERROR">Conversion to HTML had a Fatal error and exited abruptly. '
    "This document may be truncated or damaged.</span></div></article>"
)


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (site.no_html_page("2611.00003v1"), "no HTML version"),
        (empirical().page().replace(b"</article>", FATAL.encode()), "HTML conversion failed"),
        (b"<html><body><p>Checking your browser</p></body></html>", "no LaTeXML page"),
        (b"<p>ltx_document</p></html>", "no LaTeXML page"),
        (b"", "no LaTeXML page"),
        (empirical().page()[:-2000], "page cut short"),
        (empirical().page().decode().encode("utf-16"), "not UTF-8"),
        (b"<article class='ltx_document'><nav>x</nav></article>", "no text in the HTML version"),
        (
            paper("2611.00009", "T", "A.", *[site.paragraph(site.unknown_macro("x"), "y")] * 40).page(),
            "too many conversion errors",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_whole_paper_is_refused_with_a_reason(page: bytes, reason: str) -> None:
    with pytest.raises(FetchRefused) as refusal:
        read_article(page)
    assert refusal.value.reason == reason


def test_size_is_borne() -> None:
    """Work that grows with the square of a page's size would not end here."""
    parts = [
        "<div>" * 1500 + "Deep down." + "</div>" * 1500,
        "<p class='ltx_p'>" + "word " * 100_000 + "</p>",
        "<p class='ltx_p'>" + "<math alttext='x'></math> <svg></svg>y " * 20_000 + "</p>",
        "<p class='ltx_p'>" + "z<span class='ltx_note'>note</span>" * 5_000 + "</p>",
        "<table class='ltx_tabular'><tr><td>" * 500 + "cell" + "</td></tr></table>" * 500,
        "<p class='ltx_p'>last</p>",
    ]
    text = read_article(f"<article class='ltx_document'>{''.join(parts)}</article>".encode()).text
    assert "Deep down." in text
    assert [text.count(word) for word in ("word", r"\(x\) y", "note", "cell")] == [100_000, 20_000, 5_000, 1]
    assert text.endswith("last")


def test_what_the_parser_would_leave_unread_is_refused() -> None:
    deep = "<div>" * 3000 + "</div>" * 3000 + "<p>lost</p>"
    with pytest.raises(FetchRefused, match="nested too deeply"):
        read_article(f"<article class='ltx_document'>{deep}</article>".encode())


KINDS = [
    *(
        "p.ltx_p",
        "div.ltx_para",
        "span.ltx_text",
        "em",
        "section.ltx_section",
        "h2.ltx_title",
        "figure.ltx_figure",
    ),
    *(
        "figcaption.ltx_caption",
        "ul.ltx_itemize",
        "li.ltx_item",
        "span.ltx_tag_item",
        "h6.ltx_runin",
        "dl",
        "dt",
    ),
    *(
        "dd.ltx_item",
        "table.ltx_tabular",
        "span.ltx_tabular",
        "tr.ltx_tr",
        "td.ltx_td",
        "span.ltx_tr",
        "tbody",
    ),
    *("span.ltx_td", "table.ltx_eqn_table", "tr.ltx_eqn_row", "td.ltx_eqn_cell", "span.ltx_equation"),
    *("span.ltx_note", "span.ltx_note_content", "div.ltx_listing", "div.ltx_listingline", "pre.ltx_verbatim"),
    *("blockquote", "cite.ltx_cite", "a.ltx_ref", "sup"),
]
TREES = st.recursive(
    st.sampled_from(KINDS).map(lambda kind: (kind, [])),
    lambda children: st.tuples(st.sampled_from(KINDS), st.lists(children, max_size=4)),
    max_leaves=25,
)


def markup(tree: tuple[str, list[Any]], numbers: Iterator[int]) -> str:
    """A tree with a word of its own before, in and behind every element."""
    tag, _, name = tree[0].partition(".")
    inner = "".join(markup(child, numbers) for child in tree[1])
    return f"<{tag} class='{name}'>w{next(numbers)} {inner}</{tag}> w{next(numbers)} "


@settings(max_examples=150, deadline=None)
@given(trees=st.lists(TREES, min_size=1, max_size=4))
def test_no_word_is_lost_however_elements_are_nested(trees: list[tuple[str, list[Any]]]) -> None:
    numbers = itertools.count()
    inner = "".join(markup(tree, numbers) for tree in trees)
    text = read_article(f"<article class='ltx_document'>{inner}</article>".encode()).text
    assert Counter(re.findall(r"w\d+", text)) == Counter(f"w{number}" for number in range(next(numbers)))


SEEDS = [mathematical().page(), empirical().page()]


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_mutated_pages_are_read_or_refused(data: st.DataObject) -> None:
    page = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 8))):
        start = data.draw(st.integers(0, len(page)))
        end = min(len(page), start + data.draw(st.integers(0, 400)))
        kind = data.draw(st.sampled_from(["cut", "double", "swap", "insert", "noise"]))
        piece = bytes(page[start:end])
        page[start:end] = {
            "cut": b"",
            "double": piece * 2,
            "swap": piece[::-1],
            "insert": piece
            + data.draw(
                st.sampled_from(
                    [
                        b"</article>",
                        b"<table class='ltx_eqn_table'>",
                        b"<math>",
                        b"&#xD800;&#0;",
                        b"<!--",
                        b"<li class='ltx_item'>",
                        b"<span class='ltx_note'>",
                        b"<td class='ltx_tabular ltx_tr'>",
                        b"\xff\xfe",
                        b"<script>",
                        b"<![CDATA[",
                        b"<p class='ltx_p ltx_listing ltx_equation ltx_tabular'>",
                    ]
                )
            ),
            "noise": data.draw(st.binary(max_size=40)),
        }[kind]
    try:
        text = read_article(bytes(page)).text
    except FetchRefused as refusal:
        assert refusal.reason
    else:
        assert 0 < len(text.encode("utf-8")) <= 2 * len(page)
        assert unicodedata.normalize("NFC", text)


def read_front(title: str, after: str = "") -> str:
    body = '<section class="ltx_section"><p class="ltx_p">The text.</p></section>'
    heading = f'<h1 class="ltx_title ltx_title_document">{title}</h1>'
    return read_article(f'<article class="ltx_document">{heading}{after}{body}</article>'.encode()).text


_NOTE = (
    '<span class="ltx_note ltx_role_{0}"><sup class="ltx_note_mark">†</sup><span class="ltx_note_outer">'
    '<span class="ltx_note_content"><sup class="ltx_note_mark">†</sup>'
    '<span class="ltx_note_type">{0}: </span>{1}</span></span></span>'
)
_PUBNOTE = '<span class="ltx_pubnote ltx_role_{0}"><span class="ltx_note_name">{0}: </span>{1}</span>'
# What amsart, acmart, revtex, elsarticle and IEEEtran put there, by the roles of LaTeXML's bindings.
ROLES = [
    "thanks",
    "conference",
    "doi",
    "isbn",
    "ccs",
    "copyright",
    "journal",
    "price",
    "preprint",
    "publicationid",
    "dedication",
    "institutetext",
]


@pytest.mark.parametrize("role", ROLES)
def test_front_matter_of_both_generations_of_latexml_is_not_in_the_text(role: str) -> None:
    """The older puts a note into the title or behind it; that of 2026 ``ltx_pubnotes``, in three ways."""
    note, pubnote = _NOTE.format(role, "Funded by Y."), _PUBNOTE.format(role, "Funded by Y.")
    expected = "Towards X\n\nThe text."
    assert read_front("Towards X" + note) == expected
    assert read_front("Towards X", note) == expected
    assert read_front(f'Towards X<span class="ltx_pubnotes">{pubnote}</span>') == expected
    content = f'<span class="ltx_pubnotes_content">{pubnote * 3}</span>'
    assert read_front(f'Towards X<span class="ltx_pubnotes">{content}</span>') == expected
    assert (
        read_front("Towards X", f'<span class="ltx_pubnotes ltx_pubnotes_meta">{content}</span>') == expected
    )
    assert read_front("Towards X", f'<div class="ltx_titlepage">{pubnote}{note}</div>') == expected


@pytest.mark.parametrize(
    "name", ["ltx_dates", "ltx_date", "ltx_classification", "ltx_contact", "ltx_yet_unheard_of"]
)
def test_front_matter_by_names_that_nobody_knows_yet_is_not_in_the_text(name: str) -> None:
    assert read_front("Towards X", f'<div class="{name}">(November 2026)</div>') == "Towards X\n\nThe text."
    inside = (
        f'Towards <span class="ltx_text ltx_font_italic">X</span><span class="{name}">Received in May</span>'
    )
    assert read_front(inside) == "Towards X\n\nThe text."


def test_what_belongs_to_the_article_stays_beside_the_front_matter() -> None:
    note = _NOTE.format("footnote", "Of the title.").replace("footnote: ", "")
    abstract = '<div class="ltx_abstract"><h6 class="ltx_title">Abstract</h6><p class="ltx_p">A.</p></div>'
    keywords = '<div class="ltx_keywords"><h6 class="ltx_title">Keywords: </h6>k</div>'
    own = '<div class="own">Somebody\'s own.</div><div class="ltx_font_bold">Bold.</div>'
    text = read_front("Towards X" + note, abstract + keywords + own)
    assert text.split() == (
        [
            "Towards",
            "X",
            "Of",
            "the",
            "title.",
            "Abstract",
            "A.",
            "Keywords:",
            "k",
            "Somebody's",
            "own.",
            "Bold.",
            "The",
            "text.",
        ]
    )


def test_biographies_are_not_in_the_text() -> None:
    """As IEEEtran.cls.ltxml has them: a float of the class ``biography``."""
    biography = (
        '<figure class="ltx_float biography"><table class="ltx_tabular">'
        '<tr class="ltx_tr"><td class="ltx_td"><p class="ltx_p">Ada got her degree in 2001.</p></td></tr>'
        "</table></figure>"
    )
    page = f'<article class="ltx_document"><p class="ltx_p">The text.</p>{biography}</article>'
    assert read_article(page.encode()).text == "The text."
