"""A seeded sample, balanced over strata."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

from evalkit_crawlers.source import Candidate


def sample(candidates: Sequence[Candidate], num_documents: int | None, seed: int) -> list[Candidate]:
    """At most so many candidates, in their order; every stratum gives as many as any other, or all it has.

    Within a stratum they are taken in the order of SHA-256(seed, id), which depends on nothing else: when
    the listing gains a candidate, the others keep their places, and few already fetched pages are lost.
    Versions of one story have one place in it, so that strata that are languages give the same stories.

    Args:
        candidates: with unique ids.
        num_documents: None for all.
        seed: another seed, another sample.
    """
    if num_documents is None or len(candidates) <= num_documents:
        return list(candidates)
    strata: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in sorted(
        candidates, key=lambda candidate: _rank(seed, candidate.story_id or candidate.id)
    ):
        strata[candidate.stratum].append(candidate)
    # Each stratum's first, then each one's second …: a small one is used up, and the others go on.
    rounds = [(place, stratum) for stratum, members in strata.items() for place in range(len(members))]
    # Which strata give one more in the last round is a matter of the seed too.
    rounds.sort(key=lambda turn: (turn[0], _rank(seed, turn[1])))
    chosen = {strata[stratum][place].id for place, stratum in rounds[:num_documents]}
    return [candidate for candidate in candidates if candidate.id in chosen]


def _rank(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed} {name}".encode("utf-8", "surrogatepass")).digest()
