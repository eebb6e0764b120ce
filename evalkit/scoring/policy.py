"""Context policies: which tokens of a document are paid for, and what each may look back on.

A policy cuts a document's tokens into windows. A window's targets are paid for; its context is read
and not paid for. How windows are batched and computed is none of a policy's business.

``document`` (default): the whole document in one context. A model with a limit slides on by half a
window, so that every later token sees at least half a window of text; each token is paid for once.
Each window starts with the model's prefix, because models trained with a BOS at position 0 fall apart
without it (lm-evaluation-harness #2382).

``uncheatable``: the protocol of Uncheatable Eval in 2024-25: independent chunks of 1024 ids, no
document start except where the tokenizer adds one by itself; the first id of each chunk is read and
not paid for while its bytes count. Where every chunk begins with ids of its own (its ``add_bos=True``), they
are part of the 1024 and the chunk's first id goes unpaid all the same. It understates the cost and is here to
reproduce old tables.

``uncheatable-2025-12``: its protocol since December 2025: independent chunks of 4000 ids (most of its texts
are shorter), each after the prefix, and every id is paid for. Its prefix is one token: 0 for RWKV, for
others BOS, EOS or a line break, whichever its mode finder finds cheapest on texts that are not scored:
`evalkit.scoring.mode_finder` does the same, unless ``--prefix`` says what to read.

``lm-eval``: the rolling windows of lm-evaluation-harness (`get_rolling_token_windows` with
``context_len=1``, then `make_disjoint_window`), where later windows see one token of context, and the
last one as much as fits. A document with a context is one of its requests (`loglikelihood`): one window,
whose context loses its beginning where the model's is shorter.

A document's own context is read before its first window as far as there is room; the protocols of Uncheatable
Eval know none.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from evalkit.errors import ScoringError, UsageError, unknown_name

if TYPE_CHECKING:  # the command line lists the policies, and `evalkit --help` imports nothing heavy
    import numpy as np
    from numpy.typing import NDArray

    from evalkit.corpora.document import Corpus

UNCHEATABLE_CHUNK_TOKENS = 1024
UNCHEATABLE_2025_12_CHUNK_TOKENS = 4000
"""`chunk_size` of its configuration."""
LM_EVAL_DEFAULT_CONTEXT = 2048
"""What lm-evaluation-harness takes for a model whose config states no length."""
HARNESS_POLICY = "lm-eval"
CONTEXT_POLICIES = ("document", HARNESS_POLICY)
"""Under which a document may have a context."""

Ids: TypeAlias = "NDArray[np.int64]"


class Window(NamedTuple):
    """A piece of a document: ids that are read, then ids that are paid for."""

    context: Ids
    targets: Ids
    first: int
    """Index of the first target among the document's tokens."""

    @property
    def num_positions(self) -> int:
        """Token positions of the forward pass: the last target is predicted and never read."""
        return len(self.context) + len(self.targets) - 1


class Start(NamedTuple):
    """What is read before a document and not paid for."""

    document: Ids
    """All of it."""
    chunk: Ids
    """The first of it: what every chunk begins with, where a policy cuts chunks."""
    context: Ids
    """Ids of the document's own context, which follow `document`."""


class Policy(NamedTuple):
    """A context policy, as the command line and the pages list it."""

    name: str
    help: str
    """What is paid for and what is looked back on, in a few words."""
    description: str
    """The same in full, for the site's page of the method."""
    cut: "Callable[[Ids, Start, int | None], list[Window]]"
    """Windows of a document's ids (at least one), given its start and the model's limit of positions."""
    pays_for_all: bool = True
    """Whether every token is paid for: else nobody could decode a document from what is."""


def check_policy(policy: str) -> str:
    """The policy's name if it is one.

    Raises:
        UsageError: it is not.
    """
    if policy not in POLICIES:
        raise unknown_name("policy", policy, POLICIES, f"Known: {', '.join(POLICIES)}.")
    return policy


def check_prefix_fits(policy: str, rule: str | None) -> None:
    """Refuse a prefix that a policy cannot begin with.

    Args:
        policy: one of `POLICIES`.
        rule: from `evalkit.models.prefixes.parse_rule`; None: the models' own.

    Raises:
        UsageError: lm-evaluation-harness reads exactly one token, Uncheatable Eval never none since 2025-12.
    """
    if policy == "uncheatable-2025-12" and rule == "none":
        raise UsageError(
            f"policy {policy} reads a token before a document; give --prefix bos, eos or token:ID"
        )
    if policy == "lm-eval" and rule is not None and (rule == "none" or "," in rule):
        raise UsageError(f"policy lm-eval reads one token before a document, not {rule}; give --prefix one")


def check_reads_contexts(policy: str, corpora: "Iterable[Corpus]") -> None:
    """Refuse corpora with contexts under a policy that knows none.

    Raises:
        UsageError: there is one; the message names it.
    """
    for corpus in corpora:
        if policy not in CONTEXT_POLICIES and corpus.has_contexts:
            raise UsageError(
                f"corpus {corpus.name} has documents with a context, and {no_context_text(policy)}"
            )


def check_request_fits(num_tokens: int, limit: int | None) -> None:
    """Refuse a continuation that lm-evaluation-harness does not score in one forward pass.

    Raises:
        ScoringError: it has more tokens than the model has positions.
    """
    if limit is not None and num_tokens > limit:
        raise ScoringError(
            f"a continuation of {num_tokens} tokens is longer than a context of {limit}, which "
            "lm-evaluation-harness refuses as well; take --policy document"
        )


def no_context_text(policy: str) -> str:
    """Why a policy refuses a document with a context, and what to do."""
    return f"policy {policy} knows none; take --policy {' or '.join(CONTEXT_POLICIES)}"


def windows(
    policy: str,
    ids: "Sequence[int] | Ids",
    *,
    prefix: Sequence[int],
    context_limit: int | None,
    chunk_prefix: Sequence[int] = (),
    context: "Sequence[int] | Ids" = (),
) -> list[Window]:
    """Windows that pay for each of a document's tokens once (for ``uncheatable``: see above).

    Args:
        policy: one of `POLICIES`.
        ids: the document's token ids.
        prefix: ids read before the document under this policy, or ``()``.
        context_limit: most token positions of one forward pass, or None for no limit.
        chunk_prefix: the first of ``prefix``, where every chunk begins with it (for ``uncheatable``).
        context: ids of the document's own context.

    Raises:
        ScoringError: the limit is too small to slide a window, or the policy cannot begin with the prefix, or
            knows no context.
    """
    import numpy as np

    cut = POLICIES[check_policy(policy)].cut
    if len(context) and policy not in CONTEXT_POLICIES:
        raise ScoringError(no_context_text(policy))
    ids = np.asarray(ids, dtype=np.int64)
    start = Start(*(np.asarray(part, dtype=np.int64) for part in (prefix, chunk_prefix, context)))
    return cut(ids, start, context_limit) if len(ids) else []


def num_paid_tokens(
    policy: str,
    num_tokens: int,
    *,
    prefix: Sequence[int],
    context_limit: int | None,
    chunk_prefix: Sequence[int] = (),
) -> int:
    """How many of a document's tokens are paid for, which does not depend on what they are.

    Args:
        policy: see `windows`, as the rest of the arguments; so are the errors.
        num_tokens: of the document.
        prefix: ids read before the document under this policy.
        context_limit: most token positions of one forward pass, or None for no limit.
        chunk_prefix: the first of ``prefix``, where every chunk begins with it.
    """
    import numpy as np

    ids = np.zeros(num_tokens, dtype=np.int64)
    pieces = windows(policy, ids, prefix=prefix, context_limit=context_limit, chunk_prefix=chunk_prefix)
    return sum(len(piece.targets) for piece in pieces)


def _document(ids: Ids, start_ids: Start, limit: int | None) -> list[Window]:
    import numpy as np

    start, before = start_ids.document, start_ids.context
    whole = np.concatenate((before, ids)) if len(before) else ids
    if limit is None or len(start) + len(whole) - 1 <= limit:
        return [Window(np.concatenate((start, before)), ids, 0)]
    if limit < 2 * len(start) + 2:
        raise ScoringError(f"a context limit of {limit} tokens is too small to slide a window; raise it")
    stride = limit // 2
    pieces: list[Window] = []
    first = 0
    while first < len(ids):
        # The first window pays for more than a stride where its context leaves it the room.
        num_targets = stride if first else max(stride, limit - len(start) - len(before) + 1)
        targets = ids[first : first + num_targets]
        num_context = limit - len(start) - len(targets) + 1
        place = len(before) + first
        context = whole[max(0, place - num_context) : place]
        pieces.append(Window(np.concatenate((start, context)), targets, first))
        first += num_targets
    return pieces


def _uncheatable(ids: Ids, start: Start, limit: int | None) -> list[Window]:
    import numpy as np

    before_chunk = start.chunk
    if not np.array_equal(start.document[: len(before_chunk)], before_chunk):
        raise ScoringError("what every chunk begins with must be what the document begins with")
    size = min(UNCHEATABLE_CHUNK_TOKENS, limit or UNCHEATABLE_CHUNK_TOKENS) - len(before_chunk)
    if size < 2:
        raise ScoringError(f"a context limit of {limit} tokens leaves a chunk nothing to pay for; raise it")
    before_document = start.document[len(before_chunk) :]
    whole = np.concatenate((before_document, ids))
    pieces = []
    for first in range(0, len(whole), size):
        chunk = whole[first : first + size]
        num_read = max(1, len(before_document) - first)  # of several start tokens none is paid for
        if len(chunk) > num_read:
            context = np.concatenate((before_chunk, chunk[:num_read]))
            pieces.append(Window(context, chunk[num_read:], first + num_read - len(before_document)))
    return pieces


def _uncheatable_2025_12(ids: Ids, start: Start, limit: int | None) -> list[Window]:
    prefix = start.document
    if not len(prefix):
        raise ScoringError(
            "the uncheatable-2025-12 policy reads a token before every chunk, and this model has none of its "
            "own; give one with --prefix"
        )
    size = UNCHEATABLE_2025_12_CHUNK_TOKENS
    if limit is not None:
        size = min(size, limit - len(prefix) + 1)
    if size < 1:
        raise ScoringError(f"a context limit of {limit} tokens leaves a chunk nothing to pay for; raise it")
    return [Window(prefix, ids[first : first + size], first) for first in range(0, len(ids), size)]


def _request(ids: Ids, start: Start, limit: int | None) -> list[Window]:
    import numpy as np

    check_request_fits(len(ids), limit)
    context = np.concatenate((start.document, start.context))
    num_read = len(context) if limit is None else min(len(context), limit + 1 - len(ids))
    return [Window(context[len(context) - num_read :], ids, 0)]


def _lm_eval(ids: Ids, start: Start, limit: int | None) -> list[Window]:
    if len(start.context):
        return _request(ids, start, limit)
    limit = limit or LM_EVAL_DEFAULT_CONTEXT
    if not len(start.document):
        raise ScoringError("the lm-eval policy needs a BOS or end-of-text token; this model has neither")
    if len(start.document) > 1:
        raise ScoringError("the lm-eval policy reads one token before a document; pass --prefix token:ID")
    pieces = [Window(start.document, ids[:limit], 0)]
    for first in range(limit, len(ids), limit):
        end = min(first + limit, len(ids))
        pieces.append(Window(ids[end - limit - 1 : first], ids[first:end], first))
    return pieces


POLICIES: Mapping[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy(
            "document",
            "every token, given the whole document before it",
            "The whole document is one context. Recurrent models carry their state without limit. "
            "A model with a context limit slides on by half a window, so that every later token "
            "sees at least half a window of text, and each window begins with the model's "
            "document start. Every token is paid for once.",
            _document,
        ),
        Policy(
            "uncheatable",
            "chunks of 1024 tokens, the first of each unpaid",
            "Independent chunks of 1024 tokens, no document start except where the tokenizer adds "
            "one by itself, and before every chunk where Uncheatable Eval put one (Gemma); the "
            "first token of each chunk is read and not paid for while its bytes count. The "
            "protocol of Uncheatable Eval's tables of 2024–25. It understates the cost and is here "
            "for comparing with those tables.",
            _uncheatable,
            pays_for_all=False,
        ),
        Policy(
            "uncheatable-2025-12",
            "chunks of 4000 tokens, each after the prefix and all paid for",
            "Independent chunks of 4000 tokens, fewer where the model's context is shorter; before each "
            "comes the prefix, and every token is paid for. The protocol of Uncheatable Eval since December "
            "2025, whose texts are mostly shorter than a chunk. The prefix is token 0 for RWKV and for "
            "others BOS, EOS or a line break, whichever costs least on texts that are not scored, as its "
            "mode finder chooses; or what --prefix says.",
            _uncheatable_2025_12,
        ),
        Policy(
            HARNESS_POLICY,
            "the rolling windows of lm-evaluation-harness",
            "The rolling windows of lm-evaluation-harness (loglikelihood_rolling with "
            "add_bos_token=False and softmax_dtype=float32): disjoint windows, where later ones "
            "see one token of context and the last as much as fits. Documents with a context are its "
            "requests (loglikelihood).",
            _lm_eval,
        ),
    )
}
"""Every policy by its name, in the order in which they are listed."""

DEFAULT_POLICY = "document"
