"""Who is told of a crawl's requests while they are made."""

from typing import Protocol


class Watcher(Protocol):
    """Is told what happens while pages are fetched, from several threads."""

    def waits(self, queue: str, seconds: float) -> None:
        """Called when a queue is about to be idle for so many seconds, out of politeness."""

    def answered(self, queue: str, num_bytes: int) -> None:
        """Called when a server has answered a request of a queue with so many bytes."""

    def message(self, text: str) -> None:
        """Called with a line that the user should read."""


class Silent:
    """A `Watcher` that tells nobody."""

    def waits(self, queue: str, seconds: float) -> None:
        """Do nothing."""

    def answered(self, queue: str, num_bytes: int) -> None:
        """Do nothing."""

    def message(self, text: str) -> None:
        """Do nothing."""
