"""What a model's bits per byte would be at most if every way to spell a text by tokens counted."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from evalkit.coding.segmentations import LostBits, Spellings, Stretch, lost_bits
from evalkit.corpora.document import Document
from evalkit.corpora.store import Corpus
from evalkit.errors import LossyTextError, ModelError, ScoringError
from evalkit.models.lanes import DecodingModel, lane_reader
from evalkit.models.protocol import Model
from evalkit.stats import SEED, Interval, ratio_interval

STRETCH_TOKENS = 32
CONTEXT_TOKENS = 128
"""Of those before a stretch, at most so many are read."""
NUM_STRETCHES = 64
NUM_DRAWS = 16


class TokenizationBound(NamedTuple):
    """What is lost to a tokenizer's own tokens on a sample of stretches of a corpus."""

    model: str
    corpus: str
    num_stretches: int
    num_draws: int
    """Other spellings of each that were drawn."""
    num_tokens: int
    num_bytes: int
    bits_per_byte: float
    """Of the stretches, as tokenizer's tokens."""
    lost_bits_per_byte: float
    """What the marginal over all spellings saves, at least."""
    interval: Interval | None
    """Of that; None for too few documents."""
    lost_percent: float
    """Of the bits of the stretches."""
    percent_interval: Interval | None

    def to_json(self) -> dict[str, object]:
        """The bound as strict JSON can hold it."""
        intervals = {"interval": self.interval, "percent_interval": self.percent_interval}
        by_ends = {name: interval and interval._asdict() for name, interval in intervals.items()}
        return {"schema_version": 1, **self._asdict(), **by_ends}


class _Place(NamedTuple):
    """Where a stretch begins."""

    document: Document
    ids: tuple[int, ...]
    """Of the whole document."""
    first: int


def tokenization_bound(
    model: Model, corpus: Corpus, *, num_stretches: int = NUM_STRETCHES, num_draws: int = NUM_DRAWS
) -> TokenizationBound:
    """Estimate how many bits are lost because one spelling of a text is scored, and not all.

    Stretches of `STRETCH_TOKENS` tokens are drawn from all of a corpus with a fixed seed. Each is taken after
    the tokens of its document before it, `CONTEXT_TOKENS` at most; see `evalkit.coding.segmentations`.

    Args:
        model: one that is loaded by ``rwkv7``, ``hf``, ``gguf`` or ``llamacpp``.
        corpus: documents that its tokens cannot represent are left out.
        num_stretches: how many to draw; all where there are fewer.
        num_draws: other spellings of each that are drawn.

    Raises:
        ModelError: the model shows no distributions, or not what its tokens stand for.
        ScoringError: it can represent no document, its context is too short, or a logit is no number.
    """
    reader = lane_reader(model)
    spellings = Spellings(reader.model)
    rng = np.random.default_rng(SEED)
    places = list(_places(reader.model, corpus.documents))
    if not places:
        raise ScoringError(
            f"{model.identity.name}: no document of {corpus.name} has tokens to be spelled otherwise"
        )
    chosen = sorted(rng.permutation(len(places))[:num_stretches].tolist())
    stretches = [_stretch(reader.model, spellings, places[place]) for place in chosen]
    lost = [lost_bits(reader, spellings, stretch, num_draws=num_draws, rng=rng) for stretch in stretches]
    clusters = [places[place].document.cluster or places[place].document.id for place in chosen]
    num_bytes = [len(spellings.spelled(stretch.ids)) for stretch in stretches]
    return _bound(model.identity.name, corpus.name, stretches, num_bytes, lost, clusters, num_draws)


def _bound(
    model: str,
    corpus: str,
    stretches: Sequence[Stretch],
    num_bytes: Sequence[int],
    lost: Sequence[LostBits],
    clusters: Sequence[str],
    num_draws: int,
) -> TokenizationBound:
    saved = np.array([stretch.bits for stretch in lost])
    bits = np.array([stretch.canonical_bits for stretch in lost])
    return TokenizationBound(
        model=model,
        corpus=corpus,
        num_stretches=len(stretches),
        num_draws=num_draws,
        num_tokens=sum(len(stretch.ids) for stretch in stretches),
        num_bytes=sum(num_bytes),
        bits_per_byte=float(bits.sum()) / sum(num_bytes),
        lost_bits_per_byte=float(saved.sum()) / sum(num_bytes),
        interval=ratio_interval(saved, num_bytes, clusters),
        lost_percent=100 * float(saved.sum() / bits.sum()),
        percent_interval=ratio_interval(100 * saved, bits, clusters),
    )


def _places(model: DecodingModel, documents: Sequence[Document]) -> Iterator[_Place]:
    """Where stretches begin, in all documents; something precedes each of them."""
    for document in documents:
        try:
            ids = tuple(model.encode(document.text).ids.tolist())
        except LossyTextError:  # it has no score either
            continue
        firsts = range(0 if model.prefix else 1, len(ids), STRETCH_TOKENS)
        yield from (_Place(document, ids, first) for first in firsts)


def _stretch(model: DecodingModel, spellings: Spellings, place: _Place) -> Stretch:
    """The tokens from a place on, as many as leave room for a spelling by bytes.

    Raises:
        ModelError: the bytes of its tokens are not those of the document.
        ScoringError: the model's context is too short.
    """
    document, ids, first = place
    room = model.context_limit or 1 << 60
    end = min(len(ids), first + STRETCH_TOKENS)
    while end > first and 2 * len(spellings.spelled(ids[first:end])) > room:
        end -= 1
    if end == first:
        raise ScoringError(
            f"{model.identity.name}: a context of {room} tokens is too short to spell a text in"
        )
    if spellings.spelled(ids).removeprefix(b" ") != document.data.removeprefix(b" "):
        raise ModelError(f"{model.identity.name}: the bytes of its tokens depend on the tokens before them")
    num_context = min(CONTEXT_TOKENS, room - len(spellings.spelled(ids[first:end])))
    before = (*model.prefix, *ids[:first])
    return Stretch(before[max(0, len(before) - num_context) :], ids[first:end])
