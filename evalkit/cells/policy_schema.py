"""What a cell says of its policy, and of what was read before a document and before its text."""

import dataclasses
from typing import Annotated, TypeAlias

from evalkit.fields import Mark
from evalkit.models.prefixes import prefix_in_words, rule_of

Fact: TypeAlias = Annotated[str | None, Mark.MAY_BE_ABSENT]


@dataclasses.dataclass(frozen=True, kw_only=True)
class TriedPrefix:
    """What one prefix cost on texts that are not the corpus, see `evalkit.scoring.mode_finder`."""

    rule: str
    ids: tuple[int, ...]
    text: str | None
    """The tokens as text; None where the vocabulary has none for them."""
    bits_per_byte: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class CellPolicy:
    """What was paid for, and what was read before it."""

    name: str
    context_limit: int | None
    """Most token positions of one forward pass; None where there is no limit."""
    prefix_rule: str
    """``bos``, ``eos``, ``none`` or ``token:ID,ID``; it says the same as `prefix_ids`."""
    prefix_ids: tuple[int, ...] | None
    """Ids that were read before each document; None for a compressor."""
    prefix_text: Fact = None
    """Their tokens as text; None where a vocabulary has none for them, and in older cells."""
    chunk_prefix_ids: Annotated[tuple[int, ...] | None, Mark.MAY_BE_ABSENT] = None
    """The first of `prefix_ids`, where every chunk began with them; None: none did."""
    context_prefix_ids: Annotated[tuple[int, ...] | None, Mark.MAY_BE_ABSENT] = None
    """Ids that were read before a document's context, where these are others; None: no such document."""
    planned_rule: Fact = None
    """What the key has in place of `prefix_rule`, where more was not known before loading (``default``)."""
    tried_prefixes: Annotated[tuple[TriedPrefix, ...] | None, Mark.MAY_BE_ABSENT] = None
    """Of which the cheapest was read; None where the policy tries none."""

    @property
    def prefix(self) -> str:
        """What was read before each document, for people."""
        words = prefix_in_words(self.prefix_rule, self.prefix_ids, self.prefix_text)
        if self.tried_prefixes:
            words += f", the cheapest of {len(self.tried_prefixes)}"
        if self.context_prefix_ids is not None:
            return f"{words}, {rule_of(self.context_prefix_ids)} before a context"
        if not self.chunk_prefix_ids:
            return words
        if self.chunk_prefix_ids == self.prefix_ids:
            return f"{words} before every chunk"
        return f"{words}, {rule_of(self.chunk_prefix_ids)} before every chunk"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContextCut:
    """How a corpus of ``--context-gain`` was made, see `evalkit.corpora.context_gain`."""

    of: str
    """The corpus whose documents end in what is paid for."""
    of_sha256: str
    num_bytes: int | None
    """Of each context; None: all that stands before."""
