r"""The text of an article out of JATS, the Journal Article Tag Suite (https://jats.nlm.nih.gov).

What is kept, and nothing else:

- title; abstract (not the graphical one, nor those for the table of contents or in another language);
- of body and appendices: sections with labels and titles, paragraphs, lists, definitions, quotations, boxes,
  statements, verse, code, captions of figures and tables, tables with their notes; acknowledgements;
- formulas as LaTeX, ``\(…\)`` in a line and ``\[…\]`` on display, where the file has their source, else their
  MathML in one line; superscripts and subscripts as ``^`` and ``_``.

Not kept: authors, affiliations, references, footnotes, funding, supplementary files, alternative texts; marks
of references that are superscripts.
"""

import dataclasses
from typing import TYPE_CHECKING

from evalkit.corpora import licenses
from evalkit_crawlers.source import FetchRefused
from evalkit_crawlers.text.formulas import formula_text
from evalkit_crawlers.text.xml_text import (
    Structures,
    children_named,
    descendants_named,
    line_of,
    local_name,
    names,
    parse_xml,
    script_of,
    text_of,
)

if TYPE_CHECKING:
    from lxml.etree import _Element

VERSION = 1
"""Goes into `Source.extractor`; counts up with every change of the text that comes out."""
MAX_PICTURES = 5
"""Formulas inside of lines that are only pictures; with more, sentences are full of holes."""
NO_BODY = "no full text in the XML"

_OTHER_ABSTRACTS = {
    *("graphical", "toc", "teaser", "editor-summary", "key-points", "highlights"),
    *("plain-language-summary", "executive-summary"),
}
_REFERENCE_KINDS = {"bibr", "fn", "table-fn", "aff", "corresp"}


@dataclasses.dataclass(frozen=True, slots=True)
class Article:
    """What a file says."""

    title: str
    text: str
    """Title, abstract and body."""
    has_body: bool
    license: str | None
    """SPDX identifier or address; None where the file states none."""
    doi: str | None


def read_article(body: bytes) -> Article:
    """The article of a JATS file.

    Raises:
        FetchRefused: it is none, or cannot be read as one.
    """
    root = parse_xml(body)
    article = root if local_name(root) == "article" else next(descendants_named(root, "article"), None)
    front = None if article is None else next(children_named(article, "front"), None)
    meta = None if front is None else next(children_named(front, "article-meta"), None)
    if article is None or meta is None:
        raise FetchRefused("not a JATS article")
    titles = (text_of(title, _STRUCTURES) for title in descendants_named(meta, "article-title"))
    title = line_of(next(titles, ""))
    abstracts = [
        text_of(abstract, _STRUCTURES)
        for abstract in children_named(meta, "abstract")
        if abstract.get("abstract-type") not in _OTHER_ABSTRACTS
    ]
    bodies = [text_of(part, _STRUCTURES) for part in children_named(article, "body", "back")]
    has_body = any(text_of(part, _STRUCTURES) for part in children_named(article, "body"))
    _check_formulas(article)
    ids = children_named(meta, "article-id")
    return Article(
        title=title,
        text="\n\n".join(filter(None, [title, *abstracts, *bodies])),
        has_body=has_body,
        license=_license(meta),
        doi=next((_plain(id) for id in ids if id.get("pub-id-type") == "doi"), None),
    )


def _check_formulas(article: "_Element") -> None:
    formulas = list(descendants_named(article, "inline-formula"))
    if sum(not formula_text(formula) for formula in formulas) > MAX_PICTURES:
        raise FetchRefused("formulas are pictures")


def _plain(element: "_Element") -> str:
    return line_of("".join(element.itertext()))


def _license(meta: "_Element") -> str | None:
    for permissions in children_named(meta, "permissions"):
        for license in children_named(permissions, "license"):
            addresses = [value for name, value in license.attrib.items() if str(name).endswith("href")]
            addresses += [_plain(reference) for reference in children_named(license, "license_ref")]
            addresses += [
                value
                for link in descendants_named(license, "ext-link")
                for name, value in link.attrib.items()
                if str(name).endswith("href")
            ]
            for address in addresses:
                if licenses.normalise(str(address)):
                    return licenses.normalise(str(address))
    return None


def _script(element: "_Element") -> str:
    inside = [*descendants_named(element, "xref"), *(element.iterancestors())]
    if any(local_name(link) == "xref" and link.get("ref-type") in _REFERENCE_KINDS for link in inside):
        return ""
    return script_of(element, local_name(element))


def _is_text(element: "_Element") -> bool:
    """Whether an element of a kept kind is text where it stands."""
    name = local_name(element)
    if name == "sec":
        return element.get("sec-type") not in ("supplementary-material", "display-objects")
    parent = element.getparent()
    if name == "fn":
        return parent is not None and local_name(parent) == "table-wrap-foot"
    if parent is None or local_name(parent) != "alternatives" or name in ("table", "code", "preformat"):
        return True
    return name == "tex-math" or (name == "math" and not any(children_named(parent, "tex-math")))


def _display_formula(element: "_Element") -> str:
    formula = formula_text(element, display=True)
    label = next((_plain(label) for label in children_named(element, "label")), "")
    return f"{formula} {label}".strip() if formula else ""


_STRUCTURES = Structures(
    blocks=names(
        "body back app-group app sec title subtitle p abstract ack disp-quote boxed-text statement "
        "verse-group verse-line attrib speech speaker list def-list fig fig-group caption table-wrap "
        "table-wrap-group table table-wrap-foot fn disp-formula-group"
    ),
    lines=names("list-item def-item tr"),
    cells=names("td th"),
    labels=names("label"),
    inline=names(
        "article-title bold italic monospace overline roman sans-serif sc strike underline styled-content "
        "named-content abbrev ext-link uri email xref milestone-start term def string-date date year month "
        "day institution country thead tbody tfoot alternatives"
    ),
    verbatim=names("preformat code"),
    special={
        "inline-formula": formula_text,
        "math": formula_text,
        "tex-math": formula_text,
        "sup": _script,
        "sub": _script,
        "break": lambda _: " ",
    },
    displays={"disp-formula": _display_formula},
    is_text=_is_text,
)
