"""Which token a model reads before a document under ``uncheatable-2025-12``: the cheapest of a few.

As Uncheatable Eval's ``bos_mode_finder.py`` does since December 2025: each candidate is put before every
chunk of some texts, and the one with the fewest bits is taken; of equal ones the first. For RWKV it tries
nothing and reads token 0. What the model is scored on takes no part. Its costs are of bfloat16, ours of the
model's own precision.

The texts of its repository (``support/uncheatable_eval_dev.jsonl``) have no license and are not in this
package. By default candidates are tried on texts of evalkit's own, in English and five other languages, code,
Markdown and LaTeX; the environment variable `TEXTS_VARIABLE` names a file of others, also that one.
"""

import hashlib
import importlib.resources
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from evalkit.corpora.document import Document, make_document
from evalkit.errors import ScoringError, UsageError
from evalkit.files import parse_json, plain_file_text
from evalkit.models.prefixes import CHEAPEST, Prefix, check_in_vocabulary
from evalkit.models.protocol import TokenModel
from evalkit.scoring.documents import score_documents

TEXTS_VARIABLE = "EVALKIT_PREFIX_TEXTS"
"""Names a JSON Lines file, each line with a text under ``content``, as Uncheatable Eval's files have it."""


class PrefixTexts(NamedTuple):
    """What prefixes are tried on."""

    documents: tuple[Document, ...]
    sha256: str
    """Of the texts, each followed by a zero byte."""


class PrefixCost(NamedTuple):
    """What one candidate cost."""

    prefix: Prefix
    bits_per_byte: float


def read_prefix_texts() -> PrefixTexts:
    """The texts of the file that `TEXTS_VARIABLE` names, else those of the package.

    Raises:
        UsageError: the file cannot be read, or is no JSON Lines with texts.
    """
    name = os.environ.get(TEXTS_VARIABLE)
    if not name:
        file = importlib.resources.files("evalkit.scoring").joinpath("prefix_texts.jsonl")
        return _texts_in(file.read_text(encoding="utf-8"), "prefix_texts.jsonl")
    try:
        content = plain_file_text(Path(name).expanduser())
    except OSError as error:
        raise UsageError(f"{TEXTS_VARIABLE}: cannot read {name}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{TEXTS_VARIABLE}: {name} is no text in UTF-8: {error}") from error
    return _texts_in(content, f"{TEXTS_VARIABLE}: {name}")


def _texts_in(content: str, origin: str) -> PrefixTexts:
    texts = []
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        try:
            entry = parse_json(line)
        except ValueError as error:
            raise UsageError(f"{origin}, line {number}: it is no JSON: {error}") from error
        text = entry.get("content") if isinstance(entry, dict) else None
        if not isinstance(text, str) or not text:
            raise UsageError(f"{origin}, line {number}: it has no text under content")
        texts.append(text)
    if not texts:
        raise UsageError(f"{origin}: it holds no text")
    try:
        digest = hashlib.sha256(b"".join(text.encode() + b"\0" for text in texts)).hexdigest()
    except UnicodeEncodeError as error:
        raise UsageError(f"{origin}: a text is no Unicode: {error}") from error
    documents = [
        make_document(text, source="prefix texts", id=str(number)) for number, text in enumerate(texts)
    ]
    return PrefixTexts(tuple(documents), digest)


def search_rule(candidates: Sequence[Prefix], texts: PrefixTexts) -> str:
    """What stands in a key for the prefix, which is known only when the model has been loaded."""
    tried = "; ".join(",".join(map(str, prefix.ids)) for prefix in candidates)
    return f"cheapest of {tried} on {texts.sha256}"


def prefix_costs(
    model: TokenModel, candidates: Sequence[Prefix], texts: PrefixTexts
) -> tuple[PrefixCost, ...]:
    """Bits per byte of the texts after each candidate, in their order.

    Raises:
        ModelError: a candidate lies outside the model's vocabulary.
        ScoringError: the model can represent none of the texts, or gives a cost that is no number.
    """
    name = model.identity.name
    check_in_vocabulary([prefix.ids for prefix in candidates], model.vocab_size, name)
    costs = []
    for prefix in candidates:
        scores = score_documents(model, texts.documents, CHEAPEST, prefix=prefix)
        scored = [score for score in scores if score.total_bits is not None]
        num_bytes = sum(score.document.num_bytes for score in scored)
        if not num_bytes:
            raise ScoringError(
                f"{name} can represent none of the texts on which prefixes are tried; give --prefix"
            )
        bits = math.fsum(score.total_bits or 0.0 for score in scored)
        costs.append(PrefixCost(prefix, bits / num_bytes))
    return tuple(costs)


def cheapest(costs: Sequence[PrefixCost]) -> Prefix:
    """The prefix of the least cost, of equal ones the first."""
    return min(costs, key=lambda cost: cost.bits_per_byte).prefix
