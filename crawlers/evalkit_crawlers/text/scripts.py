r"""Superscripts and subscripts in plain text: ``10^8``, ``H_ij``, ``H_2O``, ``x^{n+1}``.

Without a mark ``3×10<sup>8</sup>`` would read as 3×108. One form for all sources, that of TeX, in which the
formulas of papers are written anyway: ``^`` or ``_``, then a sign and a run of digits or a run of letters, or
anything else in braces, so that it can be read back. Why not Unicode's ``10⁸``: it has ten digits and a few
letters of either kind and no way to write ``H_ij`` or ``x^{n+1}``, so that there would be two forms, and
normalisation (NFKC) makes digits of them again. What a page writes in Unicode's characters stays as it is.

Endings of numerals and abbreviations (``1<sup>st</sup>``, ``M<sup>me</sup>``, ``n<sup>o</sup>``) are written
so in plain text and get no mark, fractions get their bar alone, and marks of footnotes go.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from evalkit_crawlers.text.normal_form import word_set

if TYPE_CHECKING:
    from lxml.etree import _Element

MAX_CHARACTERS = 60
"""What is longer is a sentence that is set small, and no script."""

_MARKS = {"sup": "^", "sub": "_"}
_BARS = "/\u2044\u2215"
_PLUS_MINUS = "+-\u2212\u2013"
_SINGLE = "*\u2032\u2033\u2020\u2021\u00b0"
_ORDINALS = word_set("st nd rd th e er re ère eme ème ieme ième nde o a os as º ª de ste te")
"""Behind digits, and behind Roman numerals."""
_ROMAN = re.compile(r"[IVXLCDM]{2,}|[IVX]")
_ABBREVIATIONS = word_set(
    "M|e M|me M|mes M|lle M|lles M|r M|rs M|gr M|c D|r D|rs V|ve S|t S|te S|ts P|r C|ie n|o n|os N|o N|os"
)
_SIGNS = {"tm": "™", "sm": "℠", "®": "®", "©": "©", "™": "™"}
_NOTE_MARK = re.compile(r"[\[(]?(?:\d{1,3}|[a-z*†‡§])[\])]?")
_LATEX = re.compile(r"\\text(super|sub)script\s*(?:\{|([^\s\\{}]))")


def script_text(kind: str, content: str, before: str = "", after: str = "") -> str:
    """What stands for a superscript or subscript in plain text.

    Args:
        kind: ``sup`` or ``sub``.
        content: of the script, already plain.
        before: the text in front of it, as far as it is known.
        after: the text behind it.
    """
    content = " ".join(content.split())
    if not content or len(content) > MAX_CHARACTERS:
        return content
    if kind == "sup" and (plain := _plain_superscript(content, before, after)) is not None:
        return plain
    run = content[1:] if content[0] in _PLUS_MINUS else content
    is_run = run.isdecimal() or run.isalpha() or content in _SINGLE or not run
    if is_run and not _goes_on(content[-1], after[:1]):
        return f"{_MARKS[kind]}{content}"
    return f"{_MARKS[kind]}{{{content}}}"


def _goes_on(last: str, following: str) -> bool:
    """Whether a run would seem to go on with what stands behind it."""
    if last.isdecimal():
        return following.isdecimal()
    if last in _PLUS_MINUS:
        return following.isdecimal() or following.isalpha()
    return last.isalpha() and (following.isalpha() or _is_mark(following))


def _is_mark(character: str) -> bool:
    return bool(character) and "\u0300" <= character <= "\u036f"


def _plain_superscript(content: str, before: str, after: str) -> str | None:
    """A superscript that gets no mark; None for all others."""
    letters = content.casefold().rstrip(".")
    if letters in _SIGNS:
        return _SIGNS[letters]
    if letters == "o" and before.rstrip()[-1:].isdecimal() and re.match(r"\s?[CF]\b", after):
        return "°"
    match = re.search(r"\w*$", before)
    base = match[0] if match else ""
    if f"{base}|{letters}" in _ABBREVIATIONS:
        return content
    if letters not in _ORDINALS or not base or not (base[-1].isdecimal() or _ROMAN.fullmatch(base)):
        return None
    return {"o": "º", "a": "ª"}.get(letters, content)


def without_latex_scripts(text: str) -> str:
    r"""A text whose ``\textsuperscript{…}`` and ``\textsubscript{…}`` are in the plain form."""
    pieces: list[str] = []
    position = 0
    while match := _LATEX.search(text, position):
        end = match.end() if match[2] else _closing_brace(text, match.end())
        if end is None:  # it is not closed, and means itself
            pieces.append(text[position : match.end()])
            position = match.end()
            continue
        content = match[2] or without_latex_scripts(text[match.end() : end - 1])
        pieces.append(text[position : match.start()])
        before = "".join(pieces)[-MAX_CHARACTERS:]
        pieces.append(script_text("sup" if match[1] == "super" else "sub", content, before, text[end:]))
        position = end
    return "".join(pieces) + text[position:]


def _closing_brace(text: str, start: int) -> int | None:
    depth = 1
    for position in range(start, min(len(text), start + 1000)):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return position + 1
    return None


def mathml_text(formula: "_Element") -> str:
    """A formula of MathML that brings no TeX along, in one line; scripts in the plain form."""
    parts = [mathml_text(part) for part in formula if isinstance(part.tag, str)]
    name = str(formula.tag).rpartition("}")[2].rpartition(":")[2]
    if name in ("annotation", "annotation-xml", "mphantom"):
        return ""
    if name in ("msup", "mover") and len(parts) == 2:
        return parts[0] + script_text("sup", parts[1], parts[0])
    if name in ("msub", "munder") and len(parts) == 2:
        return parts[0] + script_text("sub", parts[1], parts[0])
    if name in ("msubsup", "munderover") and len(parts) == 3:
        return parts[0] + script_text("sub", parts[1], parts[0]) + script_text("sup", parts[2])
    if name == "mfrac" and len(parts) == 2:
        return "/".join(part if part.isalnum() else f"({part})" for part in parts)
    if name == "msqrt":
        return f"√({''.join(parts)})"
    if name in ("mtr", "mtable"):
        return (", " if name == "mtr" else "; ").join(parts)
    return "".join(parts) if parts else " ".join((formula.text or "").split())


def write_formulas(tree: "_Element") -> None:
    r"""Write every ``<math>`` of a tree as its TeX in ``\(…\)``, or in one line where it brings none."""
    for formula in [element for element in tree.iter() if element.tag == "math"]:
        tex = [
            annotation.text or ""
            for annotation in formula.iter("annotation")
            if annotation.get("encoding") == "application/x-tex"
        ]
        source = " ".join((tex[0] if tex else formula.get("alttext") or "").split())
        text = rf"\({source}\)" if source else mathml_text(formula)
        formula.clear(keep_tail=True)
        formula.tag, formula.text = "span", text


def write_scripts(tree: "_Element") -> None:
    """Write every ``<sup>`` and ``<sub>`` of a tree in the plain form; marks of footnotes go."""
    from lxml import etree

    scripts = [element for _, element in etree.iterwalk(tree, events=("end",), tag=("sup", "sub"))]
    for element in scripts:
        parent = element.getparent()
        if parent is None or element.tag not in _MARKS or _has_blocks(element):
            continue
        content = "".join(element.itertext())
        if _is_note_mark(element, content):
            text = ""
        elif (denominator := _denominator_of(element)) is not None:
            before = _before(element)
            text = (" " if before[-1:].isdigit() else "") + content.strip()
            _write_denominator(element, denominator)
        else:
            text = script_text(element.tag, content, _before(element), _after(element))
        element.clear(keep_tail=True)
        element.tag, element.text = "span", text


def _has_blocks(element: "_Element") -> bool:
    return any(descendant.tag in ("p", "div", "li", "td", "br") for descendant in element.iterdescendants())


def _is_note_mark(element: "_Element", content: str) -> bool:
    """Whether a superscript calls a note: a link to a place of the same page."""
    anchors = [*element.iterdescendants("a"), *filter(_is_link, [element.getparent()])]
    if element.tag != "sup" or not _NOTE_MARK.fullmatch(content.strip()):
        return False
    return any("#" in (anchor.get("href") or "") for anchor in anchors) or content.strip().startswith("[")


def _is_link(element: "_Element | None") -> bool:
    return element is not None and element.tag == "a"


def _denominator_of(element: "_Element") -> "_Element | None":
    """The denominator of ``<sup>1</sup>/<sub>2</sub>``."""
    following = element.getnext()
    if element.tag == "sup" and following is not None and following.tag == "sub":
        tail = (element.tail or "").strip()
        if len(tail) == 1 and tail in _BARS:
            return following
    return None


def _write_denominator(element: "_Element", denominator: "_Element") -> None:
    element.tail = (element.tail or "").strip()
    content = "".join(denominator.itertext()).strip()
    denominator.clear(keep_tail=True)
    denominator.tag, denominator.text = "span", content


_BLOCKS = word_set(
    "p div li td th tr table ul ol dl dt dd h1 h2 h3 h4 h5 h6 section article body blockquote figure br"
)


def _before(element: "_Element") -> str:
    """Some of the text in front of an element, within its block."""
    return _beside(element, lambda node: node.getprevious(), is_before=True)


def _after(element: "_Element") -> str:
    """Some of the text behind an element, within its block."""
    return _beside(element, lambda node: node.getnext(), is_before=False)


def _beside(element: "_Element", step: "Callable[[_Element], _Element | None]", *, is_before: bool) -> str:
    node: _Element | None = element
    while node is not None:
        if not is_before and node.tail:
            return str(node.tail)
        neighbour = step(node)
        while neighbour is not None:
            if neighbour.tag in _BLOCKS:
                return ""
            text = "".join(neighbour.itertext())
            text = text + (neighbour.tail or "") if is_before else text
            if text:
                return text
            if not is_before and neighbour.tail:
                return str(neighbour.tail)
            neighbour = step(neighbour)
        parent = node.getparent()
        if parent is None:
            return ""
        if is_before and parent.text:
            return str(parent.text)
        if parent.tag in _BLOCKS:
            return ""
        node = parent
    return ""
