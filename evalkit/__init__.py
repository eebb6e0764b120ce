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
    from evalkit import plots, tasks
    from evalkit.analysis.compare import Comparison
    from evalkit.analysis.results import Results
    from evalkit.api import build_report, compare, read_results
    from evalkit.audit.auditing import audit_model
    from evalkit.cells.schema import CorpusCell, TaskCell
    from evalkit.corpora.store import (
        Corpus,
        Document,
        import_corpus,
        list_corpora,
        load_corpora,
        load_corpus,
        make_corpus,
        make_document,
    )
    from evalkit.errors import (
        CorpusError,
        CrawlError,
        DiskError,
        EvalkitError,
        LossyTextError,
        ModelError,
        ScoringError,
        UsageError,
    )
    from evalkit.live.evaluator import Evaluator
    from evalkit.models.loading import load_model
    from evalkit.models.protocol import Codec, Encoding, ModelIdentity, TokenModel
    from evalkit.runner.corpora import run
    from evalkit.runner.options import RunOptions
    from evalkit.runner.ranking import RankedModel, RunResult
    from evalkit.runner.tasks import TaskRunResult, run_tasks
    from evalkit.tasks import TaskOptions


_HOME = {
    "Codec": "models.protocol",
    "Comparison": "analysis.compare",
    "Corpus": "corpora.store",
    "CorpusCell": "cells.schema",
    "CorpusError": "errors",
    "CrawlError": "errors",
    "DiskError": "errors",
    "Document": "corpora.store",
    "Encoding": "models.protocol",
    "EvalkitError": "errors",
    "Evaluator": "live.evaluator",
    "LossyTextError": "errors",
    "ModelError": "errors",
    "ModelIdentity": "models.protocol",
    "RankedModel": "runner.ranking",
    "Results": "analysis.results",
    "RunOptions": "runner.options",
    "RunResult": "runner.ranking",
    "ScoringError": "errors",
    "TaskCell": "cells.schema",
    "TaskOptions": "tasks",
    "TaskRunResult": "runner.tasks",
    "TokenModel": "models.protocol",
    "UsageError": "errors",
    "audit_model": "audit.auditing",
    "build_report": "api",
    "compare": "api",
    "import_corpus": "corpora.store",
    "list_corpora": "corpora.store",
    "load_corpora": "corpora.store",
    "load_corpus": "corpora.store",
    "load_model": "models.loading",
    "make_corpus": "corpora.store",
    "make_document": "corpora.store",
    "read_results": "api",
    "run": "runner.corpora",
    "run_tasks": "runner.tasks",
}

__all__ = [
    "Codec",
    "Comparison",
    "Corpus",
    "CorpusCell",
    "CorpusError",
    "CrawlError",
    "DiskError",
    "Document",
    "Encoding",
    "EvalkitError",
    "Evaluator",
    "LossyTextError",
    "ModelError",
    "ModelIdentity",
    "RankedModel",
    "Results",
    "RunOptions",
    "RunResult",
    "ScoringError",
    "TaskCell",
    "TaskOptions",
    "TaskRunResult",
    "TokenModel",
    "UsageError",
    "__version__",
    "audit_model",
    "build_report",
    "compare",
    "import_corpus",
    "list_corpora",
    "load_corpora",
    "load_corpus",
    "load_model",
    "make_corpus",
    "make_document",
    "plots",
    "read_results",
    "run",
    "run_tasks",
    "tasks",
]


def __getattr__(name: str) -> Any:
    """Import a public name's module when the name is first asked for (PEP 562)."""
    if name in ("plots", "tasks"):
        return import_module(f"evalkit.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'evalkit' has no attribute {name!r}")
    return getattr(import_module(f"evalkit.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    """All public names, those too that nobody has asked for yet."""
    return sorted({*__all__, *(name for name in globals() if name.startswith("__"))})
