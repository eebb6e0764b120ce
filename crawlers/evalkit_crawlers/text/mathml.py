"""Formulas as LaTeX: their own source where it comes along, else MathML in TeX's way of writing."""

import re
from typing import TYPE_CHECKING

from evalkit_crawlers.text.xml_text import descendants_named, line_of, local_name

if TYPE_CHECKING:
    from lxml.etree import _Element

_DOCUMENT = re.compile(r"\\begin\{document\}(.*?)\\end\{document\}", re.DOTALL)
_SCRIPTS = {"msup": "^", "msub": "_", "mover": "^", "munder": "_"}
_LEFT_OUT = {"annotation", "annotation-xml", "mphantom", "malignmark", "maligngroup"}


def formula_text(formula: "_Element") -> str:
    """What stands for a formula, without delimiters; empty where it is only a picture.

    Args:
        formula: an element with ``tex-math`` or MathML somewhere inside of it.
    """
    for tex in descendants_named(formula, "tex-math"):
        if source := _tex("".join(tex.itertext())):
            return source
    for math in (formula, *descendants_named(formula, "math")):
        if local_name(math) == "math" and (source := _math(math)):
            return source
    return ""


def _tex(text: str) -> str:
    """A formula's source without the document that some publishers wrap it in."""
    match = _DOCUMENT.search(text)
    source = line_of(match[1] if match else text)
    for opening, closing in (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]")):
        if source.startswith(opening) and source.endswith(closing) and len(source) > len(opening + closing):
            return source[len(opening) : -len(closing)].strip()
    return source


def _math(math: "_Element") -> str:
    for annotation in descendants_named(math, "annotation"):
        if "tex" in str(annotation.get("encoding", "")).lower():
            return _tex("".join(annotation.itertext()))
    return line_of(_linear(math))


def _linear(element: "_Element") -> str:
    name, parts = local_name(element), [_linear(child) for child in element]
    if name in _LEFT_OUT:
        return ""
    if not parts:
        return (element.text or "").strip("\n\t ") if name != "mspace" else " "
    if name in _SCRIPTS and len(parts) == 2:
        return f"{parts[0]}{_SCRIPTS[name]}{_group(parts[1])}"
    if name in ("msubsup", "munderover") and len(parts) == 3:
        return f"{parts[0]}_{_group(parts[1])}^{_group(parts[2])}"
    if name == "mfrac" and len(parts) == 2:
        return rf"\frac{{{parts[0]}}}{{{parts[1]}}}"
    if name == "msqrt":
        return rf"\sqrt{{{''.join(parts)}}}"
    if name == "mroot" and len(parts) == 2:
        return rf"\sqrt[{parts[1]}]{{{parts[0]}}}"
    if name == "mfenced":
        return f"{element.get('open', '(')}{', '.join(parts)}{element.get('close', ')')}"
    return (" " if name in ("mtr", "mtable") else "").join(parts)


def _group(text: str) -> str:
    return text if len(text) == 1 else f"{{{text}}}"
