"""A document's tokens and the windows that a policy cuts them into, for whoever reads with the model."""

from evalkit.corpora.document import Document
from evalkit.errors import LossyTextError
from evalkit.models.prefixes import WITH_CONTEXT, prefix_under
from evalkit.models.protocol import TokenModel
from evalkit.scoring.encoding import EncodedDocument, encode_document
from evalkit.scoring.policy import HARNESS_POLICY, Window, windows


def encoded_if_possible(document: Document, model: TokenModel, policy: str) -> EncodedDocument | None:
    """A document in a model's tokens; None where it has none that spell it."""
    try:
        return encode_document(model.encode, document, policy, model.identity.name)
    except LossyTextError:
        return None


def document_windows(model: TokenModel, encoding: EncodedDocument | None, policy: str) -> list[Window]:
    """The windows of a document as `evalkit.scoring.documents` scores it; of None, none.

    Raises:
        ScoringError: see `evalkit.scoring.policy.windows`.
    """
    if encoding is None:
        return []
    has_context = policy == HARNESS_POLICY and len(encoding.context) > 0
    prefix = prefix_under(model, WITH_CONTEXT if has_context else policy)
    return windows(
        policy,
        encoding.ids,
        prefix=prefix.ids,
        context_limit=model.context_limit,
        chunk_prefix=prefix.chunk_ids,
        context=encoding.context,
    )
