"""The explorer's data as the pages' scripts read them.

A text is shown where its license allows it; of other documents the site holds digests, offsets and the bits
of longer stretches.
"""

from collections.abc import Callable, Mapping

import numpy as np

from evalkit.analysis.byte_costs import byte_costs
from evalkit.corpora.licenses import may_republish
from evalkit.corpora.store import Document
from evalkit.report.explorer import Exploration
from evalkit.scoring.tokens import Tokens

BITS_STEP = 0.01
"""In which the site stores the bits of a token."""
COARSE_BYTES = 64
"""Of a text that may not be shown, the site tells no more than the bits of stretches of this length."""


def document_data(document: Document) -> dict[str, object]:
    """What the explorer's page needs of a document; its text only where its license allows."""
    is_shown = may_republish(document.license)
    return {
        "id": document.id,
        "title": document.title if is_shown else None,
        "sha256": document.sha256,
        "num_bytes": document.num_bytes,
        "license": document.license,
        "url": document.url,
        "source": document.source,
        "published_at": document.published_at,
        "language": document.language,
        "text": document.text if is_shown else None,
    }


def token_data(tokens: Tokens) -> dict[str, object]:
    """Tokens as lists of whole numbers: bits in steps of `BITS_STEP` (None: unpaid), and lengths in bytes."""
    rounded = np.round(tokens.bits / BITS_STEP)
    return {
        "bits": [None if np.isnan(bits) else int(bits) for bits in rounded.tolist()],
        "lengths": np.diff(tokens.ends, prepend=0).tolist(),
    }


def coarse_data(tokens: Tokens) -> dict[str, object]:
    """The same for a text that may not be shown: stretches of `COARSE_BYTES` in place of tokens.

    Who has the model could make out a text from the bits of each token. A stretch is paid for in ``paid`` of
    its bytes, which a list says where they are not all; its bits are those of these bytes.
    """
    costs = byte_costs(tokens.bits, tokens.ends)
    starts = np.arange(0, len(costs), COARSE_BYTES)
    bits = np.round(np.add.reduceat(np.nan_to_num(costs), starts) / BITS_STEP)
    num_paid = np.add.reduceat((~np.isnan(costs)).astype(np.int64), starts)
    lengths = np.diff(np.append(starts, len(costs)))
    data: dict[str, object] = {
        "bits": [int(cost) if paid else None for cost, paid in zip(bits, num_paid, strict=True)],
        "lengths": lengths.tolist(),
    }
    if (num_paid < lengths).any():
        data["paid"] = num_paid.tolist()
    return data


def exploration_data(
    exploration: Exploration, key_of: Callable[[int], str], documents: Mapping[int, Document]
) -> dict[str, object]:
    """What the script of the corpus's explorer page needs.

    Args:
        exploration: of the corpus.
        key_of: a configuration's key.
        documents: of the corpus, those whose texts are at hand, by place.
    """

    def pair_key(pair: tuple[int, int]) -> str:
        return f"{key_of(pair[0])} {key_of(pair[1])}"

    lists = exploration.lists
    return {
        "passages": [
            {
                "document": passage.document,
                "start": passage.start,
                "end": passage.end,
                "bits": list(passage.bits.values()),  # in the order of the models: keys of forty are long
                "text": passage.text,
                "label": label_of(documents[passage.document]),
            }
            for passage in exploration.passages
        ],
        "won": {pair_key(pair): indices for pair, indices in lists.won.items()},
        "lost": {pair_key(pair): indices for pair, indices in lists.lost.items()},
        "cheapest": {key_of(index): indices for index, indices in lists.cheapest.items()},
        "costliest": {key_of(index): indices for index, indices in lists.costliest.items()},
        "opened": list(exploration.opened),
    }


def label_of(document: Document) -> str:
    """How a document is called on the pages: by its title where its license allows, else by its id."""
    return (document.title if may_republish(document.license) else None) or document.id
