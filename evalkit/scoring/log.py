"""What is kept of documents while others are still being scored."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from evalkit.scoring.documents import DocumentScore


class ScoreLog(Protocol):
    """What is finished of a run over documents; `evalkit.cells.partial` has one on disk."""

    @property
    def scores(self) -> Mapping[int, "DocumentScore"]:
        """What was finished before, by place among the documents."""
        ...

    @property
    def seconds(self) -> float:
        """What that took."""
        ...

    def add(self, place: int, score: "DocumentScore") -> None:
        """Take a document that is finished."""
        ...


class NoLog:
    """A log of nothing, for nobody."""

    scores: Mapping[int, "DocumentScore"] = MappingProxyType({})
    seconds = 0.0

    def add(self, place: int, score: "DocumentScore") -> None:
        """See `ScoreLog`."""
