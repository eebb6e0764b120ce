"""evalkit: bits per byte of language models on text that did not exist when they were trained.

    import evalkit
    model = evalkit.load_model("rwkv7-0.1b")
    corpus = evalkit.load_corpus("python-stdlib")
    encoding = model.encode(corpus.documents[0].text)
    [nats] = model.nats([encoding.ids])
    result = evalkit.run(models=["rwkv7-0.1b", "xz"], corpora=["python-stdlib"])

The names below are the public API; everything is imported on first use, so that ``import evalkit``
costs nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from evalkit.version import __version__

if TYPE_CHECKING:
    from evalkit.audit.auditing import audit_model
    from evalkit.corpora.store import Corpus, Document, load_corpus
    from evalkit.errors import (
        CorpusError,
        CrawlError,
        EvalkitError,
        LossyTextError,
        ModelError,
        ScoringError,
        UsageError,
    )
    from evalkit.models.loading import load_model
    from evalkit.models.protocol import Codec, Encoding, ModelIdentity, TokenModel
    from evalkit.runner.corpora import run
    from evalkit.runner.options import RunOptions


_HOME = {
    "Codec": "models.protocol",
    "Corpus": "corpora.store",
    "CorpusError": "errors",
    "CrawlError": "errors",
    "Document": "corpora.store",
    "Encoding": "models.protocol",
    "EvalkitError": "errors",
    "LossyTextError": "errors",
    "ModelError": "errors",
    "ModelIdentity": "models.protocol",
    "RunOptions": "runner.options",
    "ScoringError": "errors",
    "TokenModel": "models.protocol",
    "UsageError": "errors",
    "audit_model": "audit.auditing",
    "load_corpus": "corpora.store",
    "load_model": "models.loading",
    "run": "runner.corpora",
}

__all__ = [
    "Codec",
    "Corpus",
    "CorpusError",
    "CrawlError",
    "Document",
    "Encoding",
    "EvalkitError",
    "LossyTextError",
    "ModelError",
    "ModelIdentity",
    "RunOptions",
    "ScoringError",
    "TokenModel",
    "UsageError",
    "__version__",
    "audit_model",
    "load_corpus",
    "load_model",
    "run",
]


def __getattr__(name: str) -> Any:
    """Import a public name's module when the name is first asked for (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'evalkit' has no attribute {name!r}")
    return getattr(import_module(f"evalkit.{_HOME[name]}"), name)
