r"""The text of a paper out of the HTML that LaTeXML makes of it, as arxiv.org serves it.

LaTeXML says in its classes what everything is (https://math.nist.gov/~BMiller/LaTeXML/manual/schema/), so
nothing has to be guessed: an element is left out, set off as a block, or read as part of a line because of
what it is called. A general-purpose extractor has to guess, and loses: on the tests' page of tables, lists,
frames and listings trafilatura 2.3.1 reaches a token F1 of 0.66 with its best settings. It empties cells that
read like a share button (``Reddit``, ``Google``), leaves out framed text, runs footnotes into the words
before them and makes tables of aligned equations. Here every word of those pages comes out, and no other.

What the text is like:

- blocks (headings, paragraphs, captions, items, tables, listings) are set apart by an empty line, items of
  one list and rows of one table by a line break; cells by `` | ``; white space inside of a line counts once;
- formulas are their LaTeX source, ``\(…\)`` in a line and ``\[…\]`` on display, equation numbers behind;
  superscripts outside of formulas are written as `evalkit_crawlers.text.scripts` has it;
- a footnote follows the block that it is in;
- kept: title, abstract, keywords, sections with their numbers, theorems, captions, listings, frames,
  appendices;
- not kept: bibliography, index, drawings, biographies, arXiv's own page around it, and the names of macros
  that LaTeXML did not know, which it prints in red; of the front matter (authors, dates, thanks, conference,
  DOI, classification) whatever is not in `evalkit_crawlers.sources.latexml_classes.TEXT`: every version of
  LaTeXML has other names for more of it.
"""

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from evalkit_crawlers.source import FetchRefused
from evalkit_crawlers.sources import latexml_classes as names
from evalkit_crawlers.text.scripts import mathml_text, write_scripts

if TYPE_CHECKING:
    from lxml.html import HtmlElement

VERSION = 3
"""Goes into `Source.extractor`; counts up with every change of the text that comes out."""
MAX_ERRORS, MIN_CHARACTERS_PER_ERROR = 10, 500
"""With more unknown macros, and more densely, their arguments make the text unreadable: it is dropped."""
MIN_BOX_CHARACTERS = 100
"""A picture with a text as long as that is a frame around text."""


_VERBATIM = "evalkit-verbatim"
"""Class of the elements that hold finished lines."""

_SPACE = re.compile("[^\\S\u3000]+")  # U+3000 has a letter's width in Chinese and Japanese
_WATERMARK = re.compile(r"arXiv:(\S+v\d+)")
_TEX_LINE_END = re.compile(r"(?<!\\)%[^\S\n]*\n\s*")  # LaTeXML breaks long formulas so
_FATAL = "Conversion to HTML had a Fatal error"


@dataclasses.dataclass(frozen=True, slots=True)
class Article:
    """What a page says."""

    text: str
    license: str | None
    """As the page names it, e.g. ``CC BY 4.0``; None where it names none."""
    version: str | None
    """Id and version that the page is of, e.g. ``2611.01234v1``; None where it doesn't say."""


def read_article(body: bytes) -> Article:
    """The article of a page; the same bytes give the same text.

    Raises:
        FetchRefused: it is no whole article, and why.
    """
    from lxml import etree, html

    try:
        page = body.decode("utf-8-sig")  # the only encoding that LaTeXML writes
    except UnicodeDecodeError:
        raise FetchRefused("not UTF-8") from None
    if "No HTML for " in page and "ltx_document" not in page:
        raise FetchRefused("no HTML version")
    if "ltx_document" not in page:
        raise FetchRefused("no LaTeXML page")
    if not re.search(r"</(article|body|html)\s*>", page[page.index("ltx_document") :], re.IGNORECASE):
        raise FetchRefused("page cut short")
    parser = html.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        root: HtmlElement = html.document_fromstring(page.encode("utf-8"), parser)
    except (etree.ParserError, etree.XMLSyntaxError):
        raise FetchRefused("no LaTeXML page") from None
    if any(error.level == etree.ErrorLevels.FATAL for error in parser.error_log):
        raise FetchRefused("page nested too deeply")  # the parser left the rest unread
    article = next(iter(_having(root, "ltx_document", "article")), None)
    if article is None:
        raise FetchRefused("no LaTeXML page")
    license, version = _page_facts(root)
    errors = _having(root, "ltx_ERROR")
    if any(_FATAL in error.text_content() for error in errors):
        raise FetchRefused("HTML conversion failed")
    num_errors = len(errors)
    _free_text_boxes(article)
    _prune_front_matter(article)
    _prune(article)
    write_scripts(article)
    _set_notes_apart(article)
    _write_displays(article)
    for formula in _outermost(article, lambda element: element.tag == "math"):
        delimiters = (r"\[", r"\]") if formula.get("display") == "block" else (r"\(", r"\)")
        _reduce(formula, _tex(formula).join(delimiters))
    _write_listings(article)
    _write_tables(article)
    text = _text(article)
    if not text:
        raise FetchRefused("no text in the HTML version")
    if num_errors > MAX_ERRORS and num_errors * MIN_CHARACTERS_PER_ERROR > len(text):
        raise FetchRefused("too many conversion errors")
    return Article(text, license, version)


def _classes(element: "HtmlElement") -> frozenset[str]:
    return frozenset((element.get("class") or "").split())


def _having(element: "HtmlElement", name: str, tag: str = "*") -> list["HtmlElement"]:
    """Descendants with a class, in document order."""
    elements: list[HtmlElement] = element.xpath(
        f"descendant::{tag}[contains(concat(' ', normalize-space(@class), ' '), ' {name} ')]"
    )
    return elements


def _line(text: str) -> str:
    return _SPACE.sub(" ", text).strip()


def _page_facts(root: "HtmlElement") -> tuple[str | None, str | None]:
    """License and version, which arXiv writes above the article."""
    license = _line("".join(root.xpath("string(//*[@id='license-tr'])"))).removeprefix("License:").strip()
    watermark = _WATERMARK.search(_line(root.xpath("string(//*[@id='watermark-tr'])")))
    return license or None, watermark[1] if watermark else None


def _reduce(element: "HtmlElement", text: str, tag: str = "span") -> None:
    """Leave an element with nothing but a text; in place, because moving tails is quadratic work."""
    element.clear(keep_tail=True)
    element.tag, element.text = tag, text


def _reduce_to_lines(element: "HtmlElement", lines: Iterable[str]) -> None:
    """Make an element a block that is finished."""
    _reduce(element, "\n".join(line for line in lines if line.strip()), "pre")
    element.set("class", _VERBATIM)


def _free_text_boxes(article: "HtmlElement") -> None:
    """Take the text out of frames, which LaTeXML draws like any picture; a drawing's labels are short."""
    for picture in _outermost(article, lambda element: element.tag == "svg"):
        boxes = _outermost(picture, lambda element: element.tag == "foreignobject")
        if max((len(_line(box.text_content())) for box in boxes), default=0) >= MIN_BOX_CHARACTERS:
            _reduce(picture, "", "div")
            for box in boxes:
                box.tag, box.tail = "div", None
                picture.append(box)


def _prune_front_matter(article: "HtmlElement") -> None:
    """Leave of what stands outside of sections, and in the title, only what is made of text."""
    pages = [article, *_having(article, "ltx_titlepage")]
    parts = [child for page in pages for child in page.iterchildren("*")]
    for title in (*_having(article, "ltx_title_document"), *_having(article, "ltx_subtitle")):
        parts += title.iterdescendants("*")
    for part in parts:
        kinds = {
            name for name in _classes(part) if name.startswith("ltx_") and not name.startswith(names.STYLES)
        }
        if kinds and not kinds & names.TEXT:
            _reduce(part, "")


def _prune(article: "HtmlElement") -> None:
    for element in _outermost(article, _is_pruned):
        _reduce(element, "")


def _is_pruned(element: "HtmlElement") -> bool:
    classes = _classes(element)
    roles = {name for name in classes if name.startswith("ltx_role_")}
    is_foreign_note = "ltx_note" in classes and bool(roles) and not roles & names.NOTES
    return element.tag in names.PRUNED_TAGS or bool(classes & names.PRUNED) or is_foreign_note


def _outermost(root: "HtmlElement", matches: Callable[["HtmlElement"], bool]) -> list["HtmlElement"]:
    """Descendants that match, without those inside of another that does."""
    from lxml import etree

    outermost = []
    walker = etree.iterwalk(root, events=("start",))
    for _, element in walker:
        if element is not root and isinstance(element.tag, str) and matches(element):
            outermost.append(element)
            walker.skip_subtree()
    return outermost


def _set_notes_apart(article: "HtmlElement") -> None:
    """Put every footnote behind the block (or table, or equation) in which it is called."""
    from lxml import html

    for note in reversed(_having(article, "ltx_note")):  # each goes before those already put there
        host = None
        for ancestor in note.iterancestors():
            if ancestor is article:
                break
            classes = _classes(ancestor)
            if classes & names.DISPLAYS or "ltx_tabular" in classes or (host is None and _is_block(ancestor)):
                host = ancestor
        if host is not None:
            apart = html.Element("div")
            apart.text = note.text
            apart.extend(list(note))
            _reduce(note, "")
            host.addnext(apart)


def _tex(formula: "HtmlElement") -> str:
    """The LaTeX source of a ``<math>``."""
    for annotation in formula.iterdescendants("annotation"):
        if annotation.get("encoding") == "application/x-tex":
            source = annotation.text_content()
            break
    else:
        source = formula.get("alttext") or mathml_text(formula)
    return _line(_TEX_LINE_END.sub("", source))


def _write_displays(article: "HtmlElement") -> None:
    for display in _outermost(article, lambda element: bool(_classes(element) & names.DISPLAYS)):
        rows = _outermost(display, lambda element: "ltx_eqn_row" in _classes(element)) or [display]
        _reduce_to_lines(display, [*(_display_line(row) for row in rows), _outside(display, rows)])


def _display_line(row: "HtmlElement") -> str:
    r"""One line of displayed mathematics: alignment's cells make one formula, words stay words."""
    from lxml import etree

    pieces: list[tuple[bool, str]] = []
    walker = etree.iterwalk(row, events=("start", "end"))
    for event, element in walker:
        if event == "start" and element.tag == "math":
            pieces.append((True, _tex(element).removeprefix(r"\displaystyle").strip()))
            walker.skip_subtree()
        elif event == "start":
            pieces.append((False, _line(element.text or "")))
        elif element is not row:
            pieces.append((False, _line(element.tail or "")))
    line: list[str] = []
    formula: list[str] = []
    for is_formula, piece in [*(piece for piece in pieces if piece[1]), (False, "")]:
        if is_formula:
            formula.append(piece)
            continue
        if formula:
            line.append(rf"\[{' '.join(formula)}\]")
            formula = []
        line.append(piece)
    return " ".join(line).strip()


def _write_listings(article: "HtmlElement") -> None:
    for listing in _outermost(article, lambda element: "ltx_listing" in _classes(element)):
        lines = _outermost(listing, lambda element: "ltx_listingline" in _classes(element))
        if lines:
            texts = [line.text_content().replace("\xa0", " ").strip("\n") for line in lines]
            _reduce_to_lines(listing, [*texts, _outside(listing, lines)])
    for verbatim in _outermost(article, lambda element: element.tag == "pre"):
        if "ltx_verbatim" in _classes(verbatim):
            _reduce_to_lines(verbatim, verbatim.text_content().splitlines())


def _write_tables(article: "HtmlElement") -> None:
    for table in _outermost(article, lambda element: "ltx_tabular" in _classes(element)):
        rows = _outermost(table, lambda element: element.tag == "tr" or "ltx_tr" in _classes(element))
        _reduce_to_lines(table, [*(_row_line(row) for row in rows), _outside(table, rows)])


def _row_line(row: "HtmlElement") -> str:
    cells = list(row.iterchildren("*"))
    if _line("".join([row.text or "", *(cell.tail or "" for cell in cells)])):  # no row of cells
        cells = [row]
    texts = [_line(" ".join(text for _, text in _blocks(cell))) for cell in cells]
    return " | ".join(texts) if any(texts) else ""


def _outside(element: "HtmlElement", rows: list["HtmlElement"]) -> str:
    """The text of an element that is in none of its rows; LaTeXML leaves none there, damaged pages may."""
    from lxml import etree

    if rows == [element]:
        return ""
    inside, texts = set(rows), []
    walker = etree.iterwalk(element, events=("start", "end"))
    for event, part in walker:
        if event == "start" and part in inside:
            walker.skip_subtree()
        elif event == "start":
            texts.append(part.text or "")
        elif part is not element:
            texts.append(part.tail or "")
    return _line(" ".join(texts))


def _is_block(element: "HtmlElement") -> bool:
    return element.tag in names.BLOCK_TAGS or bool(_classes(element) & names.BLOCK_CLASSES)


def _is_item(element: "HtmlElement") -> bool:
    return element.tag == "li" or (element.tag == "span" and "ltx_item" in _classes(element))


def _is_own(element: "HtmlElement") -> bool:
    return element.tag in names.OWN_TAGS or _is_item(element)


def _blocks(root: "HtmlElement") -> Iterator[tuple[bool, str]]:
    """The blocks inside of an element: whether it belongs to a list's item, and its text."""
    from lxml import etree

    line: list[str] = []
    item_depth, label_waits = 0, False

    def finished() -> Iterator[tuple[bool, str]]:
        text = _line("".join(line))
        line.clear()
        if text:
            yield item_depth > 0, text

    walker = etree.iterwalk(root, events=("start", "end"))
    for event, element in walker:
        if not isinstance(element.tag, str):  # an entity reference
            continue
        classes = _classes(element)
        if event == "start":
            if _VERBATIM in classes:
                yield from finished()
                yield item_depth > 0, element.text or ""
                label_waits = False
                continue
            if _is_own(element) or (_is_block(element) and not label_waits):
                yield from finished()
                label_waits = False
            elif _is_block(element) or element.tag == "br":
                line.append(" ")
            item_depth += _is_item(element)
            text = element.text
        else:
            if _VERBATIM not in classes:
                if classes & names.LABELS:
                    line.append(" ")
                    label_waits = True
                elif _is_own(element) or (_is_block(element) and not label_waits):
                    yield from finished()
                    label_waits = False
                item_depth -= _is_item(element)
            text = element.tail if element is not root else None
        if text:
            line.append(text)
            label_waits = label_waits and text.isspace()
    yield from finished()


def _text(article: "HtmlElement") -> str:
    pieces: list[str] = []
    after_item = False
    for in_item, text in _blocks(article):
        if pieces:
            pieces.append("\n" if in_item and after_item else "\n\n")
        pieces.append(text)
        after_item = in_item
    return "".join(pieces)
