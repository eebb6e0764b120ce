"""Documents that are read when somebody asks for one: a plan of many corpora asks for those it scores."""

import collections
import itertools
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, overload

if TYPE_CHECKING:
    from evalkit.corpora.document import Document


MOST_BYTES = 64 << 20
"""Of text that stays in memory after it was looked at, of all corpora together; at least one stays."""
_recent: "collections.OrderedDict[int, tuple[tuple[Document, ...], int]]" = collections.OrderedDict()
"""The documents that were looked at last, with the bytes of their texts."""
_numbers = itertools.count()


class LazyDocuments(Sequence["Document"]):
    """Documents of which the number is known, and the rest is read at the first look; equal to a tuple.

    They are read again where much else was looked at since. Looking at a document raises what `load` raises.
    """

    def __init__(
        self,
        num_documents: int,
        num_bytes: int,
        load: "Callable[[], tuple[Document, ...]]",
        *,
        has_conditions: bool,
    ) -> None:
        """Nothing is read yet.

        Args:
            num_documents: how many there are.
            num_bytes: of their texts.
            load: gives them.
            has_conditions: False where it is known that none has a context or choices.
        """
        self.has_conditions = has_conditions
        self._num_documents = num_documents
        self._num_bytes = num_bytes
        self._load = load
        self._number = next(_numbers)
        weakref.finalize(self, _recent.pop, self._number, None)

    def _documents(self) -> "tuple[Document, ...]":
        if self._number not in _recent:
            _recent[self._number] = self._load(), self._num_bytes
            while len(_recent) > 1 and sum(size for _, size in _recent.values()) > MOST_BYTES:
                _recent.popitem(last=False)
        _recent.move_to_end(self._number)
        return _recent[self._number][0]

    @overload
    def __getitem__(self, place: int) -> "Document": ...
    @overload
    def __getitem__(self, place: slice) -> "tuple[Document, ...]": ...
    def __getitem__(self, place: int | slice) -> "Document | tuple[Document, ...]":
        """A document, or several."""
        return self._documents()[place]

    def __iter__(self) -> "Iterator[Document]":
        """The documents in their order."""
        return iter(self._documents())

    def __len__(self) -> int:
        """How many there are."""
        return self._num_documents

    def __eq__(self, documents: object) -> bool:
        """Whether these are the same documents."""
        if isinstance(documents, LazyDocuments):
            documents = documents._documents()
        return isinstance(documents, tuple) and self._documents() == documents

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """As a tuple's."""
        return repr(self._documents())

    def __reduce__(self) -> "tuple[type[tuple[Document, ...]], tuple[tuple[Document, ...]]]":
        """A tuple, for whoever gets them: the file may not be there."""
        return tuple, (self._documents(),)


def may_have_conditions(documents: "Sequence[Document]") -> bool:
    """Whether documents are to be looked at to know whether one has a context or choices."""
    return not isinstance(documents, LazyDocuments) or documents.has_conditions
