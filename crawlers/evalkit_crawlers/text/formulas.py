r"""Formulas of XML: TeX, ``\(…\)`` in a line and ``\[…\]`` on display, else MathML in one line."""

import re
from typing import TYPE_CHECKING

from evalkit_crawlers.text.scripts import mathml_text
from evalkit_crawlers.text.xml_text import descendants_named, line_of, local_name

if TYPE_CHECKING:
    from lxml.etree import _Element

_DOCUMENT = re.compile(r"\\begin\{document\}(.*?)\\end\{document\}", re.DOTALL)
_DELIMITERS = (("$$", "$$"), ("$", "$"), (r"\(", r"\)"), (r"\[", r"\]"))


def formula_text(formula: "_Element", *, display: bool = False) -> str:
    """What stands for a formula; empty where it is only a picture.

    Args:
        formula: MathML, ``tex-math``, or an element with either inside of it.
        display: whether it stands by itself.
    """
    parts = [formula, *descendants_named(formula, "math", "tex-math")]
    maths = [part for part in parts if local_name(part) == "math"]
    sources = [
        *(part for part in parts if local_name(part) == "tex-math"),
        *(note for math in maths for note in descendants_named(math, "annotation") if _is_tex(note)),
    ]
    for source in sources:
        if tex := _tex("".join(source.itertext())):
            return rf"\[{tex}\]" if display else rf"\({tex}\)"
    return next(filter(None, (line_of(mathml_text(math)) for math in maths)), "")


def _is_tex(annotation: "_Element") -> bool:
    return "tex" in str(annotation.get("encoding", "")).lower()


def _tex(text: str) -> str:
    """A formula's source without the document that some publishers wrap it in."""
    match = _DOCUMENT.search(text)
    source = line_of(match[1] if match else text)
    for opening, closing in _DELIMITERS:
        if source.startswith(opening) and source.endswith(closing) and len(source) > len(opening + closing):
            return source[len(opening) : -len(closing)].strip()
    return source
