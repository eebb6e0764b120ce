"""Exact and near-duplicates among texts, by MinHash: the one rule of crawls and of quality gates.

Two texts are near-duplicates when the Jaccard similarity of their sets of shingles (`SHINGLE_TOKENS`
consecutive words, case and punctuation aside; characters where a script sets no spaces) is estimated
at `THRESHOLD` or more. At 0.5 two texts of equal length share two thirds of their shingles: with single
words changed at random places that is one word in 13; and a text that is wholly contained in another
one twice as long has 0.5 too.

The estimate is the share of `NUM_PERMUTATIONS` seeded MinHash values that agree (A. Z. Broder, "On the
resemblance and containment of documents", 1997), with standard error sqrt(J (1 - J) / 256): 0.031 at
J = 0.5. Only pairs are looked at that agree in all of 4 values of one of 32 bands, which a pair does with
probability 1 - (1 - J⁴)³² (J. Leskovec, A. Rajaraman, J. Ullman, "Mining of Massive Datasets", §3.4).
Both errors together, by simulation of 256 independent values (a million draws):

    similarity J               0.3     0.4     0.45    0.5     0.55    0.6     0.7     0.8
    taken for near-duplicates  0.0000  0.0007  0.056   0.486   0.913   0.988   0.9999  1.0000

The outcome depends on the texts and their precedence alone: hashes are CRC-32 and multiplications, never
Python's `hash`, which is another one in every process.
"""

import functools
import hashlib
import re
import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

SHINGLE_TOKENS = 5
THRESHOLD = 0.5
NUM_PERMUTATIONS = 256
NUM_BANDS = 32
ROWS_PER_BAND = 4
SEED = 1

_Uint32 = npt.NDArray[np.uint32]

# Thai, Lao, Myanmar, Khmer, kana and Han write no spaces: there every character is a token.
_UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_TOKEN = re.compile(f"[{_UNSPACED}]|[^\\W{_UNSPACED}]+")

_BLOCK = 4096  # shingles hashed at once: 4 MB of permuted values, however long the text

# Odd 64-bit constants with well mixed bits, from the fractional part of the golden ratio (Knuth, The
# Art of Computer Programming 3, §6.4) and MurmurHash3's finalizer.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MURMUR = np.uint64(0xFF51AFD7ED558CCD)


class Match(NamedTuple):
    """The text that another one repeats."""

    original: int | None
    """Its place among the texts; None: it is one of the earlier texts."""
    exact: bool
    similarity: float
    """Estimated Jaccard similarity of the shingles; 1.0 where `exact`."""


def shingles(text: str) -> _Uint32:
    """Hashes of a text's distinct shingles, ascending; at least one, also for a text without words."""
    tokens = _TOKEN.findall(text.casefold())
    if not tokens:
        return np.array([zlib.crc32(text.encode())], np.uint32)
    hashes = {token: zlib.crc32(token.encode()) for token in set(tokens)}
    words = np.fromiter((hashes[token] for token in tokens), np.uint64, len(tokens))
    size = min(SHINGLE_TOKENS, len(words))
    # All shingles at once: element i is a polynomial modulo 2^64 in the hashes of words i to i + size - 1
    # (after Karp and Rabin), so that the order of the words matters.
    combined = np.zeros(len(words) - size + 1, np.uint64)
    for offset in range(size):
        combined = combined * _GOLDEN + _mixed(words[offset : offset + len(combined)])
    # The low bits of a product depend on the low bits of its factors only; the high ones on all.
    # Jaccard similarity is one of sets: a shingle that occurs twice counts once.
    return np.unique((_mixed(combined) >> np.uint64(32)).astype(np.uint32))


def signature(text: str) -> _Uint32:
    """MinHash values of a text's shingles, ``[NUM_PERMUTATIONS]``.

    Each is the least value that one of `NUM_PERMUTATIONS` random functions takes on the shingles. Two texts
    have the same least value exactly if it comes from a shingle that they share, which for a random function
    happens with the probability of their Jaccard similarity.
    """
    from datasketch import MinHash

    sketch = MinHash(
        NUM_PERMUTATIONS, seed=SEED, hashfunc=int, permutations=_permutations(), scheme="affine32"
    )
    values = shingles(text)
    for start in range(0, len(values), _BLOCK):
        sketch.update_batch(values[start : start + _BLOCK].tolist())
    return np.asarray(sketch.hashvalues, np.uint32)


@functools.cache
def _permutations() -> _Uint32:
    """Two coefficients for each of the random functions; drawn once, as drawing takes longer than hashing."""
    from datasketch import MinHash

    return np.asarray(MinHash(NUM_PERMUTATIONS, seed=SEED).permutations, np.uint32)


def find_duplicates(texts: Sequence[str], earlier_texts: Iterable[str] = ()) -> list[Match | None]:
    """For every text the one that it repeats; None for those that survive.

    A text is a duplicate when it repeats an earlier text, or one of ``texts`` before it that survives. So
    the survivors are no duplicates of each other, and everything else is one of a survivor's.

    Takes less than 4 kB of memory per text, earlier ones included, and 0.4 ms of one core per text of 4 kB:
    22 s and 180 MB for 50,000 texts. (datasketch's own index alone would take 11 kB per text, most of it
    for buckets with a single member.)

    Args:
        texts: in their order of precedence.
        earlier_texts: texts that survive whatever happens; they are read once and not kept in memory.
    """
    # A row of the table of signatures for every distinct text, the earlier ones first.
    row_of_digest: dict[bytes, int] = {}
    signatures: list[_Uint32] = []
    for text in earlier_texts:
        row = len(signatures)
        if row_of_digest.setdefault(_digest(text), row) == row:
            signatures.append(signature(text))
    num_earlier = len(signatures)
    matches: list[Match | None] = []
    places: list[int] = []  # of the rows after the earlier ones: which of `texts` each is
    for place, text in enumerate(texts):
        row = row_of_digest.setdefault(_digest(text), len(signatures))
        if row < len(signatures):
            matches.append(Match(None if row < num_earlier else places[row - num_earlier], True, 1.0))
        else:
            matches.append(None)
            places.append(place)
            signatures.append(signature(text))
    if not places:
        return matches
    table = np.stack(signatures)
    del signatures  # half of the memory, and the table has it all
    for row, (original_row, similarity) in _repeated_rows(table, num_earlier).items():
        original = None if original_row < num_earlier else places[original_row - num_earlier]
        matches[places[row - num_earlier]] = Match(original, False, similarity)
    # What repeats a near-duplicate letter by letter repeats that one's original.
    for place, match in enumerate(matches):
        if match and match.exact and match.original is not None and (through := matches[match.original]):
            matches[place] = through
    return matches


def find_repeated(texts: Sequence[str], earlier_texts: Iterable[str]) -> list[Match | None]:
    """For every text the earlier one that it repeats, the most similar; None for those that repeat none.

    Unlike `find_duplicates` this compares no two of ``texts``, and `Match.original` is the place of the
    earlier text among the earlier ones.

    Args:
        texts: in any order.
        earlier_texts: they are read once and not kept in memory.
    """
    place_of_digest: dict[bytes, int] = {}
    places: list[int] = []
    signatures: list[_Uint32] = []
    for place, text in enumerate(earlier_texts):
        if place_of_digest.setdefault(_digest(text), place) == place:
            places.append(place)
            signatures.append(signature(text))
    if not signatures or not texts:
        return [None] * len(texts)
    num_earlier = len(signatures)
    table = np.stack([*signatures, *map(signature, texts)])
    bucket_numbers = _shared_buckets(table)
    members: dict[tuple[int, int], list[int]] = {}
    for row in range(num_earlier):
        for bucket in _buckets_of(bucket_numbers, row):
            members.setdefault(bucket, []).append(row)
    matches: list[Match | None] = []
    for row, text in enumerate(texts, start=num_earlier):
        if (exact := place_of_digest.get(_digest(text))) is not None:
            matches.append(Match(exact, True, 1.0))
            continue
        buckets = _buckets_of(bucket_numbers, row)
        candidates = sorted({member for bucket in buckets for member in members.get(bucket, ())})
        best = _most_similar(table, row, candidates)
        matches.append(None if best is None else Match(places[best[0]], False, best[1]))
    return matches


def _buckets_of(bucket_numbers: npt.NDArray[np.int32], row: int) -> list[tuple[int, int]]:
    """The buckets that a row shares with others, each as band and number."""
    return [(band, number) for band, number in enumerate(bucket_numbers[row].tolist()) if number >= 0]


def _most_similar(table: _Uint32, row: int, candidates: Sequence[int]) -> tuple[int, float] | None:
    """Of candidates the one that a row repeats, and the similarity; None if it repeats none.

    Sharing a bucket makes a candidate; what decides is the share of all values that agree.
    """
    if not candidates:
        return None
    agreement = (table[candidates] == table[row]).mean(axis=1)
    best = int(agreement.argmax())
    return (candidates[best], float(agreement[best])) if agreement[best] >= THRESHOLD else None


def _repeated_rows(table: _Uint32, num_earlier: int) -> dict[int, tuple[int, float]]:
    """Row → (surviving row that it repeats, similarity), for the rows from `num_earlier` on.

    In the order of the rows, since only what survives can be repeated: a chain of texts, each near the next
    one, must not fall out altogether because of its first link.
    """
    bucket_numbers = _shared_buckets(table)
    survivors: dict[tuple[int, int], list[int]] = {}  # by band and bucket
    repeated: dict[int, tuple[int, float]] = {}
    for row in np.flatnonzero((bucket_numbers >= 0).any(axis=1)).tolist():
        buckets = _buckets_of(bucket_numbers, row)
        if row >= num_earlier:
            candidates = sorted({survivor for bucket in buckets for survivor in survivors.get(bucket, ())})
            if (best := _most_similar(table, row, candidates)) is not None:
                repeated[row] = best
                continue
        for bucket in buckets:
            survivors.setdefault(bucket, []).append(row)
    return repeated


def _shared_buckets(table: _Uint32) -> npt.NDArray[np.int32]:
    """For every row and band the number of its bucket, ``[rows, NUM_BANDS]``; -1 where it is alone.

    Rows are in one bucket of a band when they agree in all `ROWS_PER_BAND` values of it. Nearly all rows are
    alone in nearly all bands, and need no entry in any index.
    """
    bucket_numbers = np.full((len(table), NUM_BANDS), -1, np.int32)
    for band in range(NUM_BANDS):
        # A band's values as one 64-bit number; two rows collide by chance once in 2^64 pairs.
        key = np.zeros(len(table), np.uint64)
        for column in range(band * ROWS_PER_BAND, (band + 1) * ROWS_PER_BAND):
            key = key * _GOLDEN + _mixed(table[:, column].astype(np.uint64))
        _, bucket, num_rows = np.unique(key, return_inverse=True, return_counts=True)
        bucket_numbers[:, band] = np.where(num_rows[bucket] > 1, bucket, -1)
    return bucket_numbers


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Numbers whose every bit depends on many bits of the given ones; one to one."""
    values = (values ^ (values >> np.uint64(33))) * _MURMUR
    return values ^ (values >> np.uint64(29))


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()
