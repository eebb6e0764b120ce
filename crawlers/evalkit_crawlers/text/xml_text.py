"""Text out of XML of a known vocabulary, by a list of the structures that are kept.

Whatever is not in the list is left out with all that is in it: new elements of a vocabulary are machinery
more often than text. What the text is like: blocks are set apart by an empty line; items of a list and rows
of a table are lines; cells are joined by `` | ``; a label (of a section, a figure, an item) stands before the
line that it is of; white space inside of a line counts once.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from evalkit_crawlers.source import FetchRefused
from evalkit_crawlers.text.scripts import script_text

if TYPE_CHECKING:
    from lxml.etree import _Element

MAX_XML_BYTES = 32 << 20
MAX_ELEMENTS = 400_000
"""Of a file; the longest laws and articles have a tenth of it."""
CELL_BORDER = " | "

# Not characters of XML 1.0; one would make a whole file unreadable.
_NOT_XML = re.compile(b"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_HOSTILE = re.compile(rb"<!ENTITY|<!DOCTYPE[^>\[]*\[", re.IGNORECASE)
_SPACE = re.compile("[^\\S\u3000]+")


class Structures(NamedTuple):
    """Which elements of a vocabulary are text, by their local names."""

    blocks: frozenset[str]
    """Set apart: sections, paragraphs, headings, tables."""
    lines: frozenset[str]
    """Items of lists and rows of tables."""
    cells: frozenset[str]
    """Of rows."""
    labels: frozenset[str]
    """What is before the next line."""
    inline: frozenset[str]
    """Parts of a line."""
    verbatim: frozenset[str] = frozenset()
    """Blocks whose line breaks count."""
    special: "Mapping[str, Callable[[_Element], str]]" = {}  # noqa: RUF012 - never changed
    """Elements whose text inside of a line is worked out by itself; an empty one is left out."""
    displays: "Mapping[str, Callable[[_Element], str]]" = {}  # noqa: RUF012 - never changed
    """The same for elements that are lines of their own."""
    is_text: "Callable[[_Element], bool]" = lambda _: True
    """Asked of every element that has a place in the list; by default all are."""


def names(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


def parse_xml(body: bytes) -> "_Element":
    """The root of an XML file of somebody else's.

    Raises:
        FetchRefused: it is not well-formed, too large, or declares entities, which text has no need of.
    """
    from lxml import etree

    if len(body) > MAX_XML_BYTES:
        raise FetchRefused(f"XML larger than {MAX_XML_BYTES >> 20} MiB")
    if _HOSTILE.search(body):
        raise FetchRefused("XML declares entities")
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, no_network=True, remove_comments=True, remove_pis=True
    )
    try:
        root: _Element = etree.fromstring(_NOT_XML.sub(b"", body), parser)
    except etree.XMLSyntaxError:
        raise FetchRefused("not well-formed XML") from None
    if sum(1 for _ in root.iter()) > MAX_ELEMENTS:
        raise FetchRefused(f"XML of more than {MAX_ELEMENTS} elements")
    return root


def local_name(element: "_Element") -> str:
    """The name of an element without its namespace; empty for what is none (an undeclared entity)."""
    return element.tag.rpartition("}")[2] if isinstance(element.tag, str) else ""


def children_named(element: "_Element", *names: str) -> Iterator["_Element"]:
    """Children of these local names, whatever their namespace."""
    return (child for child in element if local_name(child) in names)


def descendants_named(element: "_Element", *names: str) -> Iterator["_Element"]:
    """Descendants of these local names, whatever their namespace."""
    return (inside for inside in element.iterdescendants() if local_name(inside) in names)


def line_of(text: str) -> str:
    """A text as one line."""
    return _SPACE.sub(" ", text).strip()


def script_of(element: "_Element", kind: str) -> str:
    """A superscript or subscript in the plain form of all sources; ``kind`` is ``sup`` or ``sub``."""
    previous, parent = element.getprevious(), element.getparent()
    before = (previous.tail if previous is not None else parent.text if parent is not None else None) or ""
    return script_text(kind, "".join(element.itertext()), before, element.tail or "")


def text_of(element: "_Element", structures: Structures) -> str:
    """The text of an element, as the module says."""
    writer = _Writer(structures)
    writer.write(element)
    writer.end_line()
    return "".join(writer.parts).strip("\n")


class _Writer:
    """Writes elements in their order; the line that is being written is not among the parts yet."""

    def __init__(self, structures: Structures) -> None:
        self.parts: list[str] = []
        self._structures = structures
        self._line: list[str] = []
        self._label = ""
        self._separator = "\n\n"
        self._depth = 0
        """How many items and rows we are in."""
        self._follows_line = False
        """Whether an item or row was written last, in the same list or table."""

    def end_line(self) -> None:
        text = line_of("".join(self._line))
        self._line.clear()
        self._put(text)

    def _put(self, text: str) -> None:
        if not text:
            return
        labelled = f"{self._label} {text}" if self._label else text
        self.parts += [self._separator, labelled]
        self._label = ""
        self._separator = "\n" if self._depth else "\n\n"

    def write(self, element: "_Element") -> None:
        """Write an element, but not its tail."""
        name, structures = local_name(element), self._structures
        if not name or not structures.is_text(element):
            return
        if name in structures.special:
            self._line.append(structures.special[name](element))
        elif name in structures.displays:
            self._end_block()
            self._put(structures.displays[name](element))
        elif name in structures.labels:
            self.end_line()
            self._label = line_of(f"{self._label} {''.join(element.itertext())}")
        elif name in structures.verbatim:
            self._end_block()
            self._put("".join(element.itertext()).strip("\n"))
        elif name in structures.lines:
            self._write_line(element)
        elif name in structures.blocks:
            self._end_block()
            self._write_inside(element)
            self._end_block()
            self._end_label()
        elif name in structures.inline:
            self._write_inside(element)

    def _end_label(self) -> None:
        """A label of something that has no text is a line."""
        label, self._label = self._label, ""
        self._put(label)

    def _end_block(self) -> None:
        self.end_line()
        if not self._depth:
            self._separator, self._follows_line = "\n\n", False

    def _write_inside(self, element: "_Element") -> None:
        self._line.append(element.text or "")
        for child in element:
            self.write(child)
            self._line.append(child.tail or "")

    def _write_line(self, element: "_Element") -> None:
        self.end_line()
        cells = [child for child in element if local_name(child) in self._structures.cells]
        self._separator = "\n" if self._depth or self._follows_line else "\n\n"
        self._depth += 1
        if cells:
            texts = [text_of(cell, self._structures_of_cells()) for cell in cells]
            self._put(CELL_BORDER.join(line_of(text) for text in texts).strip())
        else:
            self._write_inside(element)
            self.end_line()
        self._depth -= 1
        self._separator, self._follows_line = "\n" if self._depth else "\n\n", True

    def _structures_of_cells(self) -> Structures:
        return self._structures._replace(blocks=self._structures.blocks | self._structures.cells)
